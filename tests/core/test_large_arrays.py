"""Arrays in files, done in blocks: nothing but the memory may differ."""

from __future__ import annotations

import errno
import gc
import io
import json
import os
import sys
from pathlib import Path

import numpy as np
import pytest

from pxgen_plugins import PXGen
from pxgen_plugins.audit import engine
from pxgen_plugins.audit.run_folder import Run
from pxgen_plugins.audit.settings import Config, config_of
from pxgen_plugins.result import Result
from pxgen_plugins.selection import k_center, k_dispersion
from pxgen_plugins.testing.examples import LinearModel
from pxgen_plugins.utils import large_arrays
from pxgen_plugins.utils.limits import Limit

needs_files = pytest.mark.skipif(
    not hasattr(os, "posix_fallocate"), reason="this system cannot reserve room for a file"
)


@pytest.fixture
def small(monkeypatch):
    """Everything is large from now on: arrays lie in files, and blocks are of few rows."""
    monkeypatch.setattr(large_arrays, "_IN_MEMORY", 0)
    monkeypatch.setattr(large_arrays, "_BLOCK", 37)


@needs_files
def test_a_large_array_is_in_a_file_without_a_name_that_goes_with_it(monkeypatch, tmp_path: Path):
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    before = len(large_arrays._maps)
    array = large_arrays.empty((3, 2_000_000), np.float64)
    assert len(large_arrays._maps) == before + 1
    array[:] = np.arange(2_000_000)
    large_arrays.give_back()
    assert array.sum() == 3 * np.arange(2_000_000.0).sum()
    assert not list(tmp_path.iterdir())
    del array
    gc.collect()
    assert len(large_arrays._maps) == before


@needs_files
def test_others_may_make_arrays_while_memory_is_given_back(small):
    arrays = [large_arrays.empty(10, np.float64) for _ in range(3)]

    def meanwhile(*event):  # what another thread may do at any step
        arrays.append(large_arrays.empty(10, np.float64))

    before = sys.getprofile()
    sys.setprofile(meanwhile)
    try:
        large_arrays.give_back()
    finally:
        sys.setprofile(before)
    assert len(arrays) > 3


@needs_files
def test_without_room_for_a_file_it_is_in_memory(monkeypatch):
    def full(*arguments):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full)
    before = len(large_arrays._maps)
    array = large_arrays.empty(5_000_000, np.float64)
    assert array.shape == (5_000_000,)
    assert len(large_arrays._maps) == before


@pytest.mark.parametrize("n", [0, 1, 36, 37, 38, 500])
def test_every_function_does_what_numpy_does_at_once(n: int, small):
    rng = np.random.default_rng(n)
    table, mask = rng.normal(3.0, 2.0, (n, 3)), rng.random(n) < 0.4
    index = rng.integers(max(n, 1), size=n)
    assert np.array_equal(large_arrays.take(table, index), table[index])
    assert np.array_equal(large_arrays.true_rows(lambda r: mask[r], n), np.flatnonzero(mask))
    assert large_arrays.count(lambda rows: mask[rows], n) == mask.sum()
    assert np.array_equal(large_arrays.compress(table[:, 0], lambda v: v > 3), table[:, 0][
        table[:, 0] > 3])  # fmt: skip
    squares = large_arrays.from_blocks(lambda rows: table[rows] ** 2, n, np.float64, 3)
    assert np.array_equal(squares, table**2)
    if n > 1:
        assert np.allclose(large_arrays.std(table, ddof=1), table.std(axis=0, ddof=1), rtol=1e-12)
    assert np.array_equal(large_arrays.copy(table), table)
    assert np.array_equal(
        large_arrays.full((n, 2), 1.5, np.float32), np.full((n, 2), 1.5, np.float32)
    )
    content = rng.bytes(n)
    assert large_arrays.read(io.BytesIO(content), Limit("X", 500, "bytes")).tobytes() == content


def test_a_file_above_its_limit_is_refused():
    with pytest.raises(ValueError, match="PXGEN_MAX_X"):
        large_arrays.read(io.BytesIO(b"12345"), Limit("X", 4, "bytes"))


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("selector", [k_center, k_dispersion])
def test_selectors_pick_the_same(selector, ties: bool, small, monkeypatch):
    rng = np.random.default_rng(4)
    X = rng.normal(size=(9_000, 3))
    X = np.round(X) if ties else X
    blocked = selector(X, 12)
    monkeypatch.undo()
    whole = selector(X, 12)
    assert blocked.indices.tolist() == whole.indices.tolist()
    assert np.array_equal(blocked.radii, whole.radii)
    if whole.assignment is not None:
        assert np.array_equal(blocked.assignment, whole.assignment)


def test_an_explanation_is_the_same(small, monkeypatch):
    rng = np.random.default_rng(1)
    anchors = rng.random((400, 1, 8, 8), dtype=np.float32)
    anchors[7] = np.nan
    results = []
    for _ in range(2):
        explainer = PXGen(
            LinearModel(), selectors=("k_center", "k_dispersion", "top"), seed=2, verbose=False
        )
        results.append(Result.of(explainer.fit().explain(anchors)))
        monkeypatch.undo()  # the second is done at once
    _assert_same(*results)


def test_a_run_with_a_baseline_writes_the_same_and_is_read_as_the_same(
    small, monkeypatch, tmp_path: Path
):
    folders = [tmp_path / name for name in ("blocks", "whole")]
    for folder in folders:
        for config in _settings(folder):
            engine.audit(config)
        monkeypatch.undo()
    blocked, whole = folders
    tables = [(folder / "after" / "anchors.parquet").read_bytes() for folder in folders]
    assert tables[0] == tables[1]
    for name in ("changes.json", "conditions.json"):
        one, other = (_leaves((folder / "after" / name).read_text()) for folder in folders)
        assert one.keys() == other.keys()
        for place, value in one.items():  # sums of blocks are rounded otherwise
            close = isinstance(value, float) and pytest.approx(other[place], rel=1e-9) == value
            assert close or value == other[place], (name, place)
    monkeypatch.setattr(large_arrays, "_IN_MEMORY", 0)
    monkeypatch.setattr(large_arrays, "_BLOCK", 37)
    _assert_same(Run.open(blocked / "after").result, Run.open(whole / "after").result)


def _leaves(text: str) -> dict[str, object]:
    """Return what stands in JSON, by its place."""
    found, left = {}, [("", json.loads(text))]
    while left:
        place, value = left.pop()
        if isinstance(value, (dict, list)):
            items = value.items() if isinstance(value, dict) else enumerate(value)
            left += [(f"{place}/{key}", inner) for key, inner in items]
        else:
            found[place] = value
    return found


def _settings(folder: Path) -> list[Config]:
    """Return the settings of a run, and of one by another rule that is compared with it."""
    folder.mkdir()
    rng = np.random.default_rng(0)
    anchors = rng.random((300, 1, 8, 8), dtype=np.float32)
    anchors[[5, 50]] = np.nan
    np.savez(folder / "anchors.npz", x=anchors, y=rng.integers(3, size=300))
    shared = {
        "model": {"factory": "pxgen_plugins.testing.examples:LinearModel"},
        "anchors": {"path": "anchors.npz"},
        "shard_size": 128,
    }
    rule = {"n_samples": 300, "n_repeats": 4}
    before = shared | {"threshold": {"name": "Median", **rule}, "output": "before"}
    conditions = [
        "HIHE.fraction >= 0.2", "HIHE.fraction drop <= 0.05", "label:1.HIHE.fraction change <= 0.1",
        "HIHE.count rise <= 3", "moved.fraction <= 0.1", "median.kld <= 5", "median.HILE.mse >= 9",
        "stability.mean >= 0.9", "invalid.count < 1", "threshold.mse rise <= 0.1",
    ]  # fmt: skip
    after = shared | {
        "threshold": {"name": "Quantile", "q": 0.6, **rule},
        "output": "after",
        "baseline": "before",
        "conditions": conditions,
    }
    return [config_of(before, folder), config_of(after, folder)]


def _assert_same(one: Result, other: Result) -> None:
    for name in ("values", "group", "group_stability", "distance", "p_value", "anchor_value",
                 "affinity", "invalid", "thresholds", "labels", "ids"):  # fmt: skip
        first, second = getattr(one, name), getattr(other, name)
        assert (first is None) == (second is None), name
        if first is not None:
            floats = np.asarray(first).dtype.kind == "f"
            assert np.array_equal(first, second, equal_nan=floats), name
    for name, group in one.groups.items():
        beside = other.groups[name]
        assert np.array_equal(group.indices, beside.indices)
        assert group.interval == beside.interval
        for selector, picks in group.representatives.items():
            assert picks.tolist() == beside.representatives[selector].tolist(), selector
        for criterion, measures in group.statistics.items():
            for measure, value in measures.items():
                expected = beside.statistics[criterion][measure]
                assert value == (expected and pytest.approx(expected, rel=1e-12))
    for name, strip in one.strips.items():
        assert strip.tolist() == other.strips[name].tolist()
    for name in one.groups:
        for n in (None, 3):
            assert one.foremost(name, n).tolist() == other.foremost(name, n).tolist()
    assert np.array_equal(one.shares.intervals(), other.shares.intervals())
