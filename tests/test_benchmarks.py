"""The benchmarks run, on tiny sizes, and each row is there as soon as it is measured."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"
# What DESIGN promises, and the peers, by the names of their rows.
TARGETS = {
    "scoring KLD + MSE / bare loop": 1.05,
    "scoring KLD + MSE + SSIM / bare loop": 1.15,
    "k_center": 1.3,
    "import pxgen_plugins": 0.3,
    "pxgen --help": 0.5,
    "killed audits with other files": 0,
}
PEERS = {
    "fpsample", "scikit-activeml k_greedy_center", "scikit-learn kmeans_plusplus", "scikit-matter",
    "small-text greedy_coreset", "torch-cluster",
}  # fmt: skip
BROKEN = """
from rows import Row

def run(quick):
    yield Row("first", "n=1", 2.0, "x", target=1.0)
    raise ValueError("the second cannot be measured")
"""
WORKING = """
import json, os
from pathlib import Path
from rows import Row

def run(quick):
    yield Row("before", "n=1", 1.0, "x")
    content = json.loads(Path(os.environ["OUTPUT"]).read_text())  # what is stored by now
    yield Row("stored", ", ".join(row["name"] for row in content["rows"]), None, "", note="a peer")
"""


def run(*command: str | Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *map(str, command)],
        env={**os.environ, "OMP_NUM_THREADS": "1", **environment},
        capture_output=True,
        text=True,
        check=False,
    )


def rows_of(path: Path) -> list[dict[str, Any]]:
    content = json.loads(path.read_text(encoding="utf-8"))
    assert set(content) == {"rows"}
    return list(content["rows"])


@pytest.fixture(scope="module")
def quick(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, list[dict[str, Any]]]:
    """What a quick run prints, and its rows."""
    for package in ("jinja2", "psutil", "yaml"):
        pytest.importorskip(package)
    output = tmp_path_factory.mktemp("benchmarks") / "rows.json"
    done = run(BENCHMARKS / "run.py", "--quick", "--output", output)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout, rows_of(output)


def test_every_benchmark_has_rows_with_a_value_or_a_reason(quick):
    _, rows = quick
    scripts = {path.stem for path in BENCHMARKS.glob("*.py") if "def run(" in path.read_text()}
    assert {row["benchmark"] for row in rows} == scripts
    assert [row for row in rows if row["value"] is None and not row["note"]] == []
    assert all(row["name"] and row["setting"] and row["error"] == "" for row in rows)
    assert [row["name"] for row in rows if row["value"] is None and row["name"] not in PEERS] == []


def test_targets_stand_beside_the_values_and_a_quick_run_is_not_judged(quick):
    _, rows = quick
    targets = {row["name"]: row["target"] for row in rows if row["target"] is not None}
    assert {name: targets.get(name) for name in TARGETS} == TARGETS
    assert {row["reached"] for row in rows} == {None}


def test_peers_that_are_installed_are_measured_and_the_others_named(quick):
    _, rows = quick
    peers = {row["name"]: row for row in rows if row["name"] in PEERS}
    assert set(peers) == PEERS
    for row in peers.values():
        assert ("not installed" in row["note"]) == (row["value"] is None)


def test_killed_audits_end_like_an_undisturbed_one(quick):
    _, rows = quick
    (row,) = [row for row in rows if row["benchmark"] == "kills"]
    assert row["value"] == 0


def test_each_row_says_where_when_and_how_it_was_measured(quick):
    _, rows = quick
    for row in rows:
        assert row["quick"] is True
        assert row["command"].startswith("python benchmarks/run.py --quick --output ")
        assert row["machine"]["cores"] >= 1
        assert row["versions"]["torch"]
        assert datetime.fromisoformat(row["date"]).tzinfo is not None


def test_the_table_shows_every_row_and_that_the_sizes_are_not_the_real_ones(quick):
    text, rows = quick
    first, header, *lines, last = text.splitlines()
    assert first == last
    assert "sizes are not the real ones" in first
    assert re.split(r"\s{2,}", header)[0] == "benchmark"
    starts = [f"{row['name']:<50}  {row['setting']}" for row in rows]
    assert [line.startswith(start) for line, start in zip(lines, starts, strict=True)]


def other_benchmarks(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run benchmarks ``broken`` and ``working`` in place of the real ones."""
    (folder / "broken.py").write_text(BROKEN)
    (folder / "working.py").write_text(WORKING)
    code = (
        f"import sys; sys.path[:0] = [{str(BENCHMARKS)!r}, {str(folder)!r}]; import run; "
        f"run.BENCHMARKS = ('broken', 'working'); sys.exit(run.main({list(arguments)!r}))"
    )
    return run("-c", code, OUTPUT=str(folder / "rows.json"))


def test_a_failure_is_a_row_and_the_exit_code_and_the_rest_goes_on(tmp_path):
    output = tmp_path / "rows.json"
    done = other_benchmarks(tmp_path, "--output", str(output))
    assert done.returncode == 1
    rows = rows_of(output)
    assert [row["name"] for row in rows] == ["first", "broken", "before", "stored"]
    assert [bool(row["error"]) for row in rows] == [False, True, False, False]
    assert rows[0]["reached"] is False
    assert "target missed" in done.stdout
    assert "FAILED: ValueError: 'the second cannot be measured'" in done.stdout
    assert "Traceback" in done.stderr


def test_a_row_is_stored_before_the_next_is_measured(tmp_path):
    output = tmp_path / "rows.json"
    done = other_benchmarks(tmp_path, "--only", "working", "--output", str(output))
    assert done.returncode == 0, done.stderr
    assert rows_of(output)[-1]["setting"] == "before"
    assert [path.name for path in tmp_path.glob(".rows*")] == []
