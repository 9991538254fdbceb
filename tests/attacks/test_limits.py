"""Every limit in SECURITY.md is kept before what it bounds is decoded: peaks of memory."""

from __future__ import annotations

import multiprocessing
import os
import re
import resource
import struct
import time
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import parquet

from pxgen_plugins.anchors import open_anchors
from pxgen_plugins.anchors.documents import open_texts
from pxgen_plugins.anchors.label_text import as_labels
from pxgen_plugins.anchors.text_columns import check_table
from pxgen_plugins.audit import fit
from pxgen_plugins.audit.conditions import Condition
from pxgen_plugins.audit.digests import path_digest
from pxgen_plugins.audit.run_folder import Run
from pxgen_plugins.audit.run_table import RunTable
from pxgen_plugins.audit.settings import load_config
from pxgen_plugins.datasets import data_files, load_mnist_vae
from pxgen_plugins.evaluation.removal_store import Store
from pxgen_plugins.models.files import files_behind
from pxgen_plugins.result import read_json as read_explanation
from pxgen_plugins.saving import read
from pxgen_plugins.thresholds import MeanMax
from pxgen_plugins.utils import limits
from pxgen_plugins.utils.files import read_regular
from pxgen_plugins.utils.json_files import read_json
from tests.attacks import corpus
from tests.attacks.corpus import SHAPE

pytest.importorskip("yaml")
MOST = 160  # MiB that refusing a file may take, what is imported on first use included
SECONDS = 60
SPACE = 4 << 30  # of addresses, so that a reader that fails the test does not take the machine's
GIB = 1 << 30


def sparse(path: Path, head: bytes, size: int) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        file.write(head)
        file.truncate(size)
    return path


def tiff(path: Path, n: int, size: int) -> Path:
    """A TIFF file of n tags of bytes, which all point at the same ones."""
    entries = b"".join(struct.pack("<HHII", 40_000 + i, 1, size, 0) for i in range(n))
    head = b"II*\0" + struct.pack("<IH", 8, n) + entries + b"\0" * 4
    return sparse(path, head, max(size, len(head)))


def repeated(path: Path, name: str, length: int, n: int, **others: object) -> Path:
    """A small Parquet file whose column holds a text of some length in each of its n rows."""
    places, values = pa.array(np.zeros(n, np.int32)), pa.array(["a" * length])
    table = pa.table({name: pa.DictionaryArray.from_arrays(places, values), **others})
    parquet.write_table(table, path, compression="zstd", store_schema=False)
    return path


def constant(path: Path, n: int, columns: int) -> Path:
    names = [f"c{i}" for i in range(columns)]
    chunk = pa.table(dict.fromkeys(names, pa.array(np.zeros(1 << 20))))
    with parquet.ParquetWriter(path, chunk.schema, compression="zstd") as writer:
        for _ in range(n >> 20):
            writer.write_table(chunk)
    assert path.stat().st_size < n // 8
    return path


def archive(path: Path, n: int) -> Path:
    with zipfile.ZipFile(path, "w") as file:
        for i in range(n):
            file.writestr(f"{i:06d}.npy", b"")
    return path


def text(path: Path, content: str) -> Path:
    path.write_text(content, encoding="utf-8")
    return path


def anchors(path: Path) -> object:
    """Open and read; a bad anchor's reason is raised, as an error would be."""
    opened = open_anchors(path, sample_shape=SHAPE)
    _, failed = opened.read(slice(0, 4))
    if failed:
        raise ValueError(next(iter(failed.values())))
    return None


def run_table(path: Path) -> object:
    table = RunTable(read_regular(path))
    return [table.texts(name) for name in table.names]


def texts(path: Path) -> object:
    return open_texts(path, 64)


PIXELS = pa.FixedSizeListArray.from_arrays(pa.array(np.zeros(1024 * 64, np.float32)), 64)
PNG = b"\x89PNG\r\n\x1a\n" + corpus.chunk(b"IHDR", struct.pack(">IIBBBBB", 8, 8, 8, 0, 0, 0, 0))
# Per row of the table: what makes the file, what reads it, a lower limit so that the test is quick,
# and what the refusal says.
CASES: dict[str, tuple[Callable[[Path], Path], Callable[[Path], object], dict[str, int], str]] = {
    "a sparse image": (
        lambda f: sparse(f / "in" / "a.webp", b"RIFF\0\0\0\xc0WEBPVP8L", 3 * GIB).parent,
        anchors, {}, "IMAGE_FILE"),
    "a private chunk of PNG": (
        lambda f: sparse(f / "in" / "a.png", PNG + struct.pack(">I", 3 * GIB // 2) + b"prIv",
                         2 * GIB).parent, anchors, {}, "IMAGE_FILE"),
    "an image in Parquet": (
        lambda f: corpus.table(f / "a.parquet", image=[b"\0" * (40 << 20)]),
        anchors, {"IMAGE_FILE": 1 << 20}, "IMAGE_FILE"),
    "tags of TIFF": (
        lambda f: tiff(f / "in" / "a.tif", 4000, 64 << 20).parent, anchors, {}, "IMAGE_TAGS"),
    "pixels": (
        lambda f: corpus.written(f / "in" / "a.png", corpus.png(60_000, 60_000)).parent,
        anchors, {}, "pixels"),
    "an endless text": (
        lambda f: sparse(f / "a.txt", b"a\n", 3 * GIB), texts, {}, "TEXT_FILE"),
    "a line of a text": (
        lambda f: sparse(f / "a.txt", b"a\n", GIB // 2), texts, {}, "LINE"),
    "short lines of a text": (
        lambda f: text(f / "a.txt", "ab\n" * 2_000_000), texts, {"TEXTS": 1 << 25}, "TEXTS"),
    "short lines of JSON": (
        lambda f: text(f / "a.jsonl", '{"text": "ab"}\n' * 300_000),
        texts, {"TEXTS": 1 << 23}, "TEXTS"),
    "a nest of JSON": (
        lambda f: text(f / "a.jsonl", '{"text": [' + "[]," * 4_000_000 + "[]]}\n"),
        texts, {"JSON_MEMORY": 1 << 28}, "JSON_MEMORY"),
    "short lines of CSV": (
        lambda f: text(f / "a.csv", "path,label\n" + "aa,bb\n" * 1_000_000),
        anchors, {"TEXTS": 1 << 25}, "TEXTS"),
    "long ids of CSV": (
        lambda f: text(f / "a.csv", "path,id\n" + "x" * 131_000 + ",a\n" + "a,b\n" * 60_000),
        anchors, {}, "1024 characters"),
    "a repeated label of Parquet": (
        lambda f: repeated(f / "a.parquet", "label", 4 << 20, 1024, x=PIXELS),
        anchors, {}, "1024 characters"),
    "a repeated text of Parquet": (
        lambda f: repeated(f / "a.parquet", "text", 16 << 20, 1 << 14),
        texts, {"TEXTS": 1 << 23}, "TEXTS"),
    "a million long labels": (
        lambda f: f, lambda f: as_labels(["x" * 1000] * 1_000_000, 1_000_000), {}, "LABELS"),
    "the index of an archive": (
        lambda f: archive(f / "a.npz", 20_000), anchors, {}, "ARCHIVE_INDEX"),
    "rows of a table": (
        lambda f: constant(f / "a.parquet", 2 << 20, 14), check_table, {"TABLE": 1 << 27}, "TABLE"),
    "texts of a table": (
        lambda f: repeated(f / "a.parquet", "c", 1 << 20, 4096), check_table, {}, "TABLE"),
    "cells of a table": (
        lambda f: text(f / "a.csv", "a,b\n" + "1,2\n" * 1_000_000),
        check_table, {"TABLE": 1 << 25}, "TABLE"),
    "JSON of a run": (
        lambda f: sparse(f / "a.json", b"[", GIB), read_json, {}, "JSON_FILE"),
    "content of JSON": (
        lambda f: text(f / "a.json", "[" + "[]," * 3_000_000 + "[]]"),
        read_json, {"JSON_MEMORY": 1 << 28},
        "JSON_MEMORY"),
    "the table of a run": (
        lambda f: constant(f / "a.parquet", 2 << 20, 14), run_table,
        {"RUN_TABLE": 1 << 27}, "RUN_TABLE"),
    "texts of a run": (
        lambda f: repeated(f / "a.parquet", "label", 4 << 20, 1024), run_table, {}, "RUN_TABLE"),
    "texts where a run has numbers": (
        lambda f: repeated(f / "a.parquet", "anchor_value", 1 << 20, 1 << 16),
        lambda f: RunTable(read_regular(f)).numbers(["anchor_value"]), {}, "no numbers"),
    "arrays of an explainer": (lambda f: explainer(f), read, {}, "RUN_ARRAYS"),
    "a fit that is too large": (
        lambda f: sparse(f / "fit" / "a.safetensors", b"", 3 * GIB).parent.parent,
        lambda f: fit.load(text(f / "fit" / "checksums.json", "{}").parent.parent, None, ""), {},
        "too large"),
    "weights of the package's network": (
        lambda f: sparse(f / "a.safetensors", b"", 3 * GIB),
        lambda f: load_mnist_vae(weights=f), {}, "RUN_ARRAYS"),
    "a data file": (
        lambda f: sparse(f / "a.npz", b"", 3 * GIB),
        lambda f: data_files.read(f.name, f.parent), {}, "RUN_ARRAYS"),
    "an explanation": (
        lambda f: sparse(f / "a.json", b"{", GIB), read_explanation, {}, "JSON_FILE"),
    "content of an explanation": (
        lambda f: text(f / "a.json", "[" + "[]," * 3_000_000 + "[]]"), read_explanation,
        {"JSON_MEMORY": 1 << 28}, "JSON_MEMORY"),
    "a point of a removal experiment": (
        lambda f: sparse(f / "points" / "a.json", b"[", GIB).parent.parent,
        lambda f: removal(f).get(Point()), {}, "JSON_FILE"),
    "features of a removal experiment": (
        lambda f: sparse(text(f / "reference.json", "{}").parent / "reference.safetensors", b"",
                         3 * GIB).parent, lambda f: removal(f).reference(), {}, "RUN_ARRAYS"),
    "an ONNX file": (
        lambda f: sparse(f / "a.onnx", b"", 3 * GIB), files_behind, {}, "ONNX_FILE"),
    "a digest": (lambda f: sparse(f / "a.bin", b"", GIB), path_digest, {}, "nothing"),
    "settings": (
        lambda f: sparse(f / "a.yaml", b"a: b\n", 3 * GIB), load_config, {}, "SETTINGS"),
    "values of settings": (
        lambda f: text(f / "a.yaml", "name: [" + "x," * 400_000 + "x]"), load_config, {},
        "10000 values"),
    "dots of TOML": (
        lambda f: text(f / "a.toml", "a." * 400_000 + "b = 1"), load_config, {}, "dots"),
    "a condition": (
        lambda f: f, lambda f: Condition("HIHE.fraction" + " " * 200_000 + "x"), {}, "10,000"),
    "numbers": (
        lambda f: text(f / "a.yaml", "threshold: {name: MeanMax, n_samples: 9000000000000000000}\n"
                       "batch_size: 9000000000000000000"), load_config, {}, "1,000,000,000"),
    "samples": (
        lambda f: f, lambda f: MeanMax(n_samples=9 * 10**18), {}, "100,000,000"),
}  # fmt: skip


class Point:
    """Of a removal experiment, as far as the store looks."""


def removal(folder: Path) -> Store:
    """A store of a removal experiment that raises what it would warn of."""
    warnings.simplefilter("error")
    store = object.__new__(Store)  # a plan takes a whole experiment
    store.folder, store.plan = folder, SimpleNamespace(name=lambda point: "a")
    return store


def explainer(folder: Path) -> Path:
    calibration = '"calibration": {"names": ["kld"], "method": "MeanMax", "params": {}}'
    text(folder / "pxgen.json", f'{{"format": 1, "params": {{}}, {calibration}}}')
    sparse(folder / "calibration.safetensors", struct.pack("<Q", 2) + b"{}", 3 * GIB)
    return folder


def measured(
    reader: Callable[[Path], object], path: Path, bounds: dict[str, int], end: Any
) -> None:
    """Send what a reader raised, the MiB by which it raised the peak, and its seconds."""
    os.environ |= {f"PXGEN_MAX_{name}": str(value) for name, value in bounds.items()}
    with open("/proc/self/statm", encoding="ascii") as file:
        used, resident = (int(one) * resource.getpagesize() for one in file.read().split()[:2])
    resource.setrlimit(resource.RLIMIT_AS, (used + SPACE, used + SPACE))
    start = time.process_time()
    try:
        reader(path)
        message = "nothing"
    except Exception as error:
        message = f"{type(error).__name__}: {error}"
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10
    end.send((message, (peak - resident) >> 20, time.process_time() - start))


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="needs Linux's /proc")
@pytest.mark.parametrize("name", CASES)
def test_a_limit_is_kept_before_anything_is_decoded(name: str, tmp_path: Path):
    make, reader, bounds, mention = CASES[name]
    context = multiprocessing.get_context("fork")
    ours, theirs = context.Pipe()
    args = (reader, make(tmp_path), bounds, theirs)
    process = context.Process(target=measured, args=args)
    process.start()
    theirs.close()
    try:
        message, growth, seconds = ours.recv() if ours.poll(300) else ("no end", 0, 0.0)
    finally:
        process.kill()
        process.join()
    assert mention in message
    assert not message.startswith("MemoryError")
    assert growth < MOST
    assert seconds < SECONDS


def test_a_limit_is_raised_by_the_environment(tmp_path: Path, monkeypatch):
    path = text(tmp_path / "a.txt", "a text\n" * 1000)
    monkeypatch.setenv("PXGEN_MAX_TEXTS", "1000")
    with pytest.raises(ValueError, match="PXGEN_MAX_TEXTS"):
        open_texts(path, 64)
    monkeypatch.setenv("PXGEN_MAX_TEXTS", "100000")
    assert len(open_texts(path, 64)) == 1000
    for bad in ("", "-1", "1e9", "lots", "0", "9" * 30):
        monkeypatch.setenv("PXGEN_MAX_TEXTS", bad)
        with pytest.raises(ValueError, match="PXGEN_MAX_TEXTS must be a positive integer"):
            open_texts(path, 64)


def test_the_page_has_a_row_for_every_limit():
    page = (Path(__file__).parents[2] / "SECURITY.md").read_text(encoding="utf-8")
    rows = {name: line for line in page.splitlines() for name in re.findall(r"PXGEN_MAX_\w+", line)
            if line.startswith("|")}  # fmt: skip
    known = {f"PXGEN_MAX_{one.name}": one for one in vars(limits).values()
             if isinstance(one, limits.Limit)}  # fmt: skip
    assert rows.keys() == known.keys() | {"PXGEN_MAX_SETTINGS", "PXGEN_MAX_SHARD"}
    for name, one in known.items():
        power = one.default.bit_length() - 1
        sizes = (f"{one.default >> 30} GiB", f"{one.default >> 20} MiB", f"2^{power}")
        assert any(size in rows[name] for size in sizes), name


def test_a_run_is_not_read_through_a_pipe(tmp_path: Path):
    os.mkfifo(tmp_path / "checksums.json")
    with pytest.raises(ValueError, match="no regular file"):
        Run.open(tmp_path)
