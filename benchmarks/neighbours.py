"""Nearest neighbours among a million training rows, as the search for copies takes them."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import fresh_process
import numpy as np
from clock import fastest
from numpy.typing import NDArray
from rows import Row

from pxgen_plugins.utils.nearest import nearest
from pxgen_plugins.utils.threads import one_thread

_BLOCK = 2**14
_D = 64


def run(quick: bool = False) -> Iterator[Row]:
    """Yield processor time as a ratio to plain blocked products, in seconds, and memory."""
    n, m = (50, 3_000) if quick else (1_000, 1_000_000)
    setting = f"{n:,} samples, {m:,} mapped rows, d={_D}"
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "training.npy"
        rows = np.lib.format.open_memmap(path, "w+", np.float32, (m, _D))  # type: ignore[no-untyped-call]
        rng = np.random.default_rng(0)
        for start in range(0, m, _BLOCK):
            rows[start : start + _BLOCK] = rng.normal(size=rows[start : start + _BLOCK].shape)
        rows.flush()
        samples = rng.normal(size=(n, _D)).astype(np.float32)
        with one_thread():
            cases = {
                "ours": lambda: nearest(samples, rows),
                "plain": lambda: blocked(samples, rows),
            }
            times = fastest(cases, 1 if quick else 2)
        note = "distances of ours are exact, those of the product rounded"
        ratio = times["ours"] / times["plain"]
        name = "nearest training rows"
        yield Row(name, setting, ratio, "x numpy's blocked product", 2.0, note)
        yield Row(name, setting, times["ours"], "s")
        growth = fresh_process.call(search, str(path), samples)
        yield Row(f"{name}: growth of memory", setting, growth / 2**20, "MiB")


def blocked(samples: NDArray[np.float32], rows: NDArray[np.float32]) -> NDArray[np.int64]:
    """Return the nearest row of each sample, by plain products in float64, block by block."""
    x = samples.astype(np.float64)
    best, index = np.full(len(x), np.inf), np.zeros(len(x), dtype=np.int64)
    for start in range(0, len(rows), _BLOCK):
        y = rows[start : start + _BLOCK].astype(np.float64)
        squares = (y**2).sum(1) - 2.0 * x @ y.T
        place = squares.argmin(1)
        found = squares[np.arange(len(x)), place]
        index[found < best] = start + place[found < best]
        best = np.minimum(best, found)
    return index


def search(path: str, samples: NDArray[np.float32]) -> int:
    """Return by how many bytes resident memory grows during a search, mapped pages included."""
    rows = np.load(path, mmap_mode="r")
    with one_thread(), fresh_process.peak_growth() as growth:
        nearest(samples, rows)
        return growth()
