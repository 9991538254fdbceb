"""Hostile anchors are one clear error or one bad anchor each; no code runs, no memory is taken."""

from __future__ import annotations

import contextlib
import multiprocessing
import resource
import warnings
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pyarrow import parquet

from pxgen_plugins.anchors import _blocks, open_anchors
from pxgen_plugins.anchors.documents import open_texts
from pxgen_plugins.utils.errors import AnchorError, PXGenWarning
from tests.attacks import corpus
from tests.attacks.corpus import ANCHORS, IMAGES, MARKER, SHAPE

MOST = 400 << 10  # KiB that reading any of them may add to the peak


@pytest.fixture
def bounded(tmp_path: Path):
    """Fail when the payload ran or the peak of memory rose."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    yield
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < MOST
    assert not list(tmp_path.rglob(MARKER))


@pytest.mark.parametrize("name", ANCHORS)
def test_a_file_that_holds_no_anchors_is_one_clear_error(name: str, tmp_path: Path, bounded):
    path = ANCHORS[name](tmp_path)
    with pytest.raises(AnchorError) as found:
        open_anchors(path, sample_shape=SHAPE)
    text = str(found.value)
    assert len(text) < 1000
    assert text.isprintable()


@pytest.mark.slow
def test_hostile_images_are_bad_anchors_among_good_ones(tmp_path: Path, bounded):
    good = corpus.png(8, 8, rows=b"\0" * 72)
    for place in ("a.png", "zz.png"):
        corpus.written(tmp_path / place, good)
    for name, make in IMAGES.items():
        make(tmp_path / name)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", PXGenWarning)
        anchors = open_anchors(tmp_path, sample_shape=SHAPE)
    assert anchors.ids is not None
    rows, failed = anchors.read(slice(None))
    names = anchors.ids.tolist()
    good_ones = {name for i, name in enumerate(names) if i not in failed}
    assert good_ones == {"a.png", "zz.png"}
    assert {names[i] for i in failed} == set(IMAGES) - {"folder.png.png"}  # a linked folder
    for why in failed.values():
        assert why.isprintable()
        assert str(tmp_path) not in why
    assert not rows.any()


@pytest.mark.slow
def test_the_same_images_are_bad_anchors_when_a_csv_file_or_parquet_names_them(
    tmp_path: Path, bounded
):
    files = [name for name in IMAGES if name not in {"folder.png.png"}]
    for name in files:
        IMAGES[name](tmp_path / name)
    listing = tmp_path / "list.csv"
    others = ["../list.csv", "/etc/passwd", "a\0b.png", "x" * 300 + ".png", "list.csv", "."]
    listing.write_text("\n".join(["path", *files, *others]), encoding="utf-8")
    _, failed = open_anchors(listing, sample_shape=SHAPE).read(slice(None))
    assert len(failed) == len(files) + len(others)
    held = [(tmp_path / n).read_bytes() for n in files if not (tmp_path / n).is_symlink()
            and (tmp_path / n).is_file()]  # fmt: skip
    path = corpus.table(tmp_path / "a.parquet", image=held)
    _, failed = open_anchors(path, sample_shape=SHAPE).read(slice(None))
    assert len(failed) == len(held)


def test_a_parquet_file_that_repeats_one_large_value_is_read_in_small_blocks(
    tmp_path: Path, bounded
):
    value = b"\0" * (16 << 20)
    column = pa.DictionaryArray.from_arrays(pa.array([0] * 64, pa.int32()), pa.array([value]))
    path = tmp_path / "a.parquet"
    parquet.write_table(pa.table({"image": column}), path, compression="zstd", store_schema=False)
    assert path.stat().st_size < 1 << 20
    anchors = open_anchors(path, sample_shape=SHAPE)
    failed = anchors.read(slice(0, 3))[1]
    assert len(failed) == 3


def test_a_parquet_row_of_endless_length_is_not_decoded(tmp_path: Path, bounded, monkeypatch):
    monkeypatch.setattr(_blocks, "MOST_VALUES", 1 << 20)
    path = corpus.table(tmp_path / "a.parquet", x=[np.zeros((1 << 20) + 1, np.int8)])
    _, failed = open_anchors(path, sample_shape=SHAPE).read(slice(None))
    assert "values a row" in failed[0]


def _samples(folder: Path) -> dict[str, Path]:
    values = np.random.default_rng(0).random((4, *SHAPE), dtype=np.float32)
    image = corpus.png(8, 8, rows=bytes(range(72)))
    corpus.archive(folder / "a.npz", x=corpus.array(values), y=corpus.array(np.arange(4)))
    corpus.written(folder / "a.npy", corpus.array(values))
    corpus.written(folder / "images" / "a.png", image)
    corpus.table(folder / "a.parquet", x=values.reshape(4, -1).tolist(), label=["a"] * 4)
    corpus.table(folder / "b.parquet", image=[image] * 4)
    return {
        "npz": folder / "a.npz",
        "npy": folder / "a.npy",
        "png": folder / "images" / "a.png",
        "lists": folder / "a.parquet",
        "images": folder / "b.parquet",
    }


@pytest.mark.parametrize("kind", ["npz", "npy", "png", "lists", "images"])
@given(changes=st.lists(st.tuples(st.integers(0, 9999), st.integers(0, 255)), max_size=8),
       cut=st.integers(0, 9999))  # fmt: skip
@settings(max_examples=60, deadline=None,
          suppress_health_check=[HealthCheck.function_scoped_fixture])  # fmt: skip
def test_any_damage_is_an_error_a_bad_anchor_or_other_numbers(
    kind: str, changes: list[tuple[int, int]], cut: int, tmp_path: Path
):
    path = _samples(tmp_path)[kind]
    content = bytearray(path.read_bytes())
    for at, value in changes:
        content[at % len(content)] = value
    path.write_bytes(bytes(content[: cut if cut < len(content) else None]))
    try:
        anchors = open_anchors(path.parent if kind == "png" else path, sample_shape=SHAPE)
        rows, failed = anchors.read(slice(None))
    except AnchorError as error:
        shown = [str(error)]
    else:
        shown = list(failed.values())
        assert rows.shape == (len(anchors), *SHAPE)
    assert all(text.isprintable() for text in shown)


def _every_flip_of_the_footer(path: Path, good: bytes) -> None:
    length = int.from_bytes(good[-8:-4], "little")
    for at in range(len(good) - 8 - length, len(good) - 8):
        changed = bytearray(good)
        changed[at] ^= 1
        path.write_bytes(changed)
        with contextlib.suppress(AnchorError):
            open_texts(path, 64)


def test_no_damage_to_what_parquet_says_of_its_chunks_ends_the_process(tmp_path: Path):
    path = tmp_path / "a.parquet"
    texts = [f"text {i}" for i in range(6)]
    parquet.write_table(pa.table({"text": texts, "label": list("ababab")}), path)
    context = multiprocessing.get_context("fork")
    process = context.Process(target=_every_flip_of_the_footer, args=(path, path.read_bytes()))
    process.start()
    process.join(300)
    process.kill()
    assert process.exitcode == 0
