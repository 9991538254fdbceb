"""Folders of runs that go on: whose they are, what differs, and two processes at once."""

from __future__ import annotations

import json
import threading
from pathlib import Path

import pytest

from pxgen_plugins.utils.resumable import PLAN, begin, read_plan


def test_a_run_goes_on_with_the_same_plan_and_not_with_another(tmp_path: Path) -> None:
    folder = tmp_path / "deep" / "run"
    assert read_plan(folder) is None
    assert begin(folder, {"seed": 1, "sizes": (2, 3)}) == []
    before = (folder / PLAN).read_bytes()
    assert begin(folder, {"seed": 1, "sizes": [2, 3]}) == []
    assert begin(folder, {"seed": 2, "sizes": [3], "tag": ""}) == ["seed", "sizes", "tag"]
    assert (folder / PLAN).read_bytes() == before
    assert [path.name for path in folder.iterdir()] == [PLAN]


def test_what_is_no_identity_is_brought_up_to_date(tmp_path: Path) -> None:
    def identity(plan):
        return plan["digests"]

    begin(tmp_path, {"digests": {"model": "a"}, "path": "here"}, identity)
    assert begin(tmp_path, {"digests": {"model": "a"}, "path": "there"}, identity) == []
    assert json.loads((tmp_path / PLAN).read_text())["path"] == "there"
    assert begin(tmp_path, {"digests": {"model": "b"}, "path": "x"}, identity) == ["model"]
    assert json.loads((tmp_path / PLAN).read_text())["path"] == "there"
    (tmp_path / PLAN).write_text("{}")
    with pytest.raises(ValueError, match="no plan"):
        begin(tmp_path, {"digests": {"model": "a"}}, identity)


@pytest.mark.parametrize("text", ["", "[1]", "{", "nul", "[" * 100_000, "\xff"])
def test_what_is_no_plan_is_refused_and_left(tmp_path: Path, text: str) -> None:
    (tmp_path / PLAN).write_text(text, encoding="latin-1")
    with pytest.raises(ValueError, match=r"no plan|Expecting|codec"):
        begin(tmp_path, {"seed": 1})
    assert (tmp_path / PLAN).read_text(encoding="latin-1") == text


def test_of_many_that_begin_at_once_one_gets_the_folder(tmp_path: Path) -> None:
    gate = threading.Barrier(8)
    results: list[list[str]] = []

    def start(seed: int) -> None:
        gate.wait()
        results.append(begin(tmp_path, {"seed": seed}))

    threads = [threading.Thread(target=start, args=(seed,)) for seed in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(results) == [[], *[["seed"]] * 7]


def test_a_file_system_without_hard_links_will_do(tmp_path, monkeypatch):
    def refuse(*_: object) -> None:
        raise PermissionError("no hard links here")

    monkeypatch.setattr("os.link", refuse)
    assert begin(tmp_path, {"seed": 1}) == []
    assert begin(tmp_path, {"seed": 2}) == ["seed"]
