"""A small part of `benchmarks/fuzz.py`, with fixed seeds: no internal error, no other verdict."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
FLIPS, DAMAGES = 40, 90

pytest.importorskip("yaml")
pytest.importorskip("jinja2")
psutil = pytest.importorskip("psutil")  # the benchmarks measure with it


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory: pytest.TempPathFactory) -> dict[str, object]:
    sys.path.insert(0, str(BENCHMARKS))
    try:
        import fuzz_files
        import fuzz_run_folder
    finally:
        sys.path.remove(str(BENCHMARKS))
    with pytest.MonkeyPatch.context() as patch:
        import os

        patch.setattr(os, "fsync", os.fsync)  # the batch puts another in its place
        return {
            "run folder": fuzz_run_folder.batch(tmp_path_factory.mktemp("run"), 0, FLIPS, True),
            "files": fuzz_files.batch(tmp_path_factory.mktemp("files"), 0, DAMAGES, True),
        }


@pytest.mark.parametrize("kind", ["run folder", "files"])
@pytest.mark.parametrize("fault", ["exit code 4", "hangs"])
def test_damage_is_one_clear_error_or_none(outcomes, kind: str, fault: str):
    assert outcomes[kind].n >= min(FLIPS, DAMAGES)
    assert not outcomes[kind].faults.get(fault)


def test_no_flipped_bit_changes_a_verdict_unnoticed(outcomes):
    assert not outcomes["run folder"].faults.get("other results without a message")
