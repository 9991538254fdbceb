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
    "scoring KLD + MSE / bare encode + decode": 1.05,
    "scoring KLD + MSE + SSIM / bare encode + decode": 1.15,
    "k_center": 1.3,
    "import pxgen_plugins": 0.3,
    "pxgen --help": 0.5,
    "killed audits with other files": 0,
    "explorer: slider step over HTTP / bare picture": 3.0,
}
FOUR_CORES = {"audit: 4 workers / 1"}  # not measured where there are fewer
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


# One test, since it takes half a minute: pytest-xdist would make a fixture once per process.
@pytest.mark.slow(minutes=2)
def test_a_quick_run_has_every_row_with_its_target_and_where_it_was_measured(tmp_path):
    for package in ("jinja2", "psutil", "yaml"):
        pytest.importorskip(package)
    output = tmp_path / "rows.json"
    done = run(BENCHMARKS / "run.py", "--quick", "--output", output)
    assert done.returncode == 0, done.stdout + done.stderr
    rows = rows_of(output)
    texts = {path.stem: path.read_text("utf-8") for path in BENCHMARKS.glob("*.py")}
    # one that is a program of its own, as that for a card, is no part of the whole
    scripts = {
        name for name, text in texts.items() if "def run(" in text and "__main__" not in text
    }
    assert {row["benchmark"] for row in rows} == scripts
    assert all(row["name"] and row["setting"] and row["error"] == "" for row in rows)
    assert {row["name"] for row in rows if row["value"] is None} <= {*PEERS, *FOUR_CORES}
    check_targets(rows)
    check_peers(rows)
    check_origin(rows)
    check_table(done.stdout, rows)
    kills = [row["value"] for row in rows if row["benchmark"] == "kills"]
    assert kills == [0, 0]  # tiny or not, killed audits end like an undisturbed one


def check_targets(rows: list[dict[str, Any]]) -> None:
    """Targets stand beside the values; a quick run is not judged."""
    targets = {row["name"]: row["target"] for row in rows if row["target"] is not None}
    assert {name: targets.get(name) for name in TARGETS} == TARGETS
    assert {row["reached"] for row in rows} == {None}


def check_peers(rows: list[dict[str, Any]]) -> None:
    """Peers that are installed are measured, the others are named."""
    peers = {row["name"]: row for row in rows if row["name"] in PEERS}
    assert set(peers) == PEERS
    for row in peers.values():
        assert ("not installed" in row["note"]) == (row["value"] is None)


def check_origin(rows: list[dict[str, Any]]) -> None:
    """Each row says where, when and how it was measured."""
    for row in rows:
        assert row["quick"] is True
        assert row["command"] == "python benchmarks/run.py --quick"
        assert row["machine"]["cores"] >= 1
        assert row["versions"]["torch"]
        assert datetime.fromisoformat(row["date"]).tzinfo is not None


def check_table(text: str, rows: list[dict[str, Any]]) -> None:
    """The table shows every row, and that the sizes are not the real ones."""
    first, header, *lines, last = text.splitlines()
    assert first == last
    assert "sizes are not the real ones" in first
    assert re.split(r"\s{2,}", header)[0] == "benchmark"
    starts = [f"{row['name']:<50}  {row['setting']}" for row in rows]
    assert all(line.startswith(start) for line, start in zip(lines, starts, strict=True))


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
    kept = other_benchmarks(tmp_path, "--only", "broken", "--output", str(output))
    assert kept.returncode == 1
    assert [row["benchmark"] for row in rows_of(output)] == ["broken"] * 2 + ["working"] * 2
    page = output.with_suffix(".md").read_text(encoding="utf-8")
    assert page.count("\n| ") == 1 + 4  # the header, and each row
    assert "Made by `python benchmarks/run.py --only working` on" in page
    assert "Made by `python benchmarks/run.py --only broken` on" in page
    assert [path.name for path in tmp_path.glob(".rows*")] == []
