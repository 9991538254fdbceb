"""What holds for every registered writer: its files and no others, the same bytes, started anew."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from pxgen_plugins.audit.cli import FAILED, run
from pxgen_plugins.audit.run_folder import RESULTS, Run
from pxgen_plugins.audit.writers.base import REGISTRY, Writer, file_names
from tests.audit.runs import finished_run

pytest.importorskip("yaml")
pytest.importorskip("jinja2")
each_writer = pytest.mark.parametrize("name", REGISTRY.names())

# Names of users that a page, a parser or a terminal must not obey.
PAYLOAD = "</script><b>x</b>\x1b[31m\u202e|`@you\n# EOF"
SETTINGS = {
    "name": PAYLOAD,
    "model": {"shipped": "mnist_vae"},
    "anchors": {"shipped": "mnist", "limit": 60},
    "threshold": {"name": "Quantile", "n_samples": 40, "n_repeats": 2},
    "conditions": [
        {"condition": "HIHE.count >= 1000", "name": PAYLOAD},
        {"condition": "HILE.fraction <= 0.01", "severity": "warning"},
        "label:0.HIHE.count >= 0",
        "median.invalid.kld >= 0",
    ],
    "output": "run",
}


@pytest.fixture(scope="module")
def settings(tmp_path_factory) -> Path:
    """Settings of two finished runs, the second of which has a baseline and other methods."""
    folder = finished_run(tmp_path_factory, json.dumps(SETTINGS), FAILED)
    other = {"output": "other", "seed": 1, "baseline": "run", "adapters": {"names": ["protodash"]}}
    (folder / "other.yaml").write_text(json.dumps(SETTINGS | other), encoding="utf-8")
    assert run(["audit", str(folder / "other.yaml"), "--quiet"]) == FAILED
    return folder


@pytest.fixture(params=["run", "other"])
def finished(settings: Path, request) -> Path:
    return settings / request.param


@each_writer
def test_a_writer_is_made_without_arguments_and_names_its_files(name: str):
    writer = REGISTRY.get(name)
    assert issubclass(writer, Writer)
    assert isinstance(writer(), Writer)
    assert writer.files
    assert all(Path(file).name == file for file in writer.files)
    assert not {*writer.files} & {*RESULTS}


def test_no_two_writers_write_one_file():
    files = [file for name in REGISTRY.names() for file in REGISTRY.get(name).files]
    assert len(files) == len({*files})
    assert file_names() == sorted([*files, *RESULTS])


@each_writer
def test_a_writer_writes_its_files_and_an_opened_run_gives_the_same_bytes(
    name: str, finished: Path, tmp_path: Path
):
    writer = REGISTRY.get(name)
    REGISTRY.get(name)().write(tmp_path, Run.open(finished))
    again = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert {*again} <= {*writer.files}
    assert again == {
        file: (finished / file).read_bytes() for file in writer.files if (finished / file).exists()
    }


@each_writer
def test_a_writer_removes_what_the_run_before_left(name: str, settings: Path, tmp_path: Path):
    """A run with fewer results after one with more has the files of the second alone."""
    writer = REGISTRY.get(name)()
    for run_name in ("other", "run"):
        writer.write(tmp_path, Run.open(settings / run_name))
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {
        file: (settings / "run" / file).read_bytes()
        for file in writer.files
        if (settings / "run" / file).exists()
    }


@each_writer
def test_no_file_holds_a_control_character_of_users(name: str, finished: Path):
    forbidden = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]")
    for file in REGISTRY.get(name).files:
        content = (finished / file).read_bytes() if (finished / file).exists() else b""
        try:
            text = content.decode()
        except UnicodeDecodeError:  # a picture
            continue
        assert not forbidden.search(text)
        assert PAYLOAD not in text


def test_a_run_folder_holds_the_files_of_the_registry_and_no_others(finished: Path):
    found = {path.name for path in finished.iterdir() if path.is_file()}
    assert found <= {*file_names(), "plan.json"}
    assert "conditions.json" in found


def test_checksums_are_written_last(finished: Path):
    times = {path: path.stat().st_mtime_ns for path in finished.iterdir() if path.is_file()}
    assert max(times, key=times.__getitem__).name == "checksums.json"


def test_no_file_that_writers_name_outlives_the_run_that_wrote_it(tmp_path: Path, monkeypatch):
    monkeypatch.setattr(REGISTRY.get("junit"), "files", ("junit.xml", "note.txt"))
    path = tmp_path / "audit.yaml"
    path.write_text(json.dumps(SETTINGS), encoding="utf-8")
    assert run(["audit", str(path), "--quiet"]) == FAILED
    note = tmp_path / "run" / "note.txt"
    for extra in ([], ["--fresh"]):  # a verdict of an earlier run may stand in it
        note.write_text("from a writer")
        assert run(["audit", str(path), "--quiet", *extra]) == FAILED
        assert not note.exists()


def test_the_page_lists_the_files_of_the_writers_that_ship():
    page = (Path(__file__).parents[2] / "docs" / "audit-ci.md").read_text(encoding="utf-8")
    shipped = {"junit", "markdown", "metrics", "report"}
    assert shipped <= {*REGISTRY.names()}
    rows = re.findall(r"^\| `([\w.]+)` \|", page, re.MULTILINE)
    assert {*rows} == {file for name in shipped for file in REGISTRY.get(name).files}
