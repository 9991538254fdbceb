"""Resident memory does not grow with the number of anchors."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

WIDTH = 784
SMALL, LARGE = 20_000, 100_000
SLACK = 24.0  # MiB; the larger file is 240 MiB longer

SCRIPT = """
import sys
import numpy as np
from pxgen_plugins.anchors import open_anchors

def resident():
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("VmRSS")) / 1024

path, kind = sys.argv[1:]
X = np.load(path, mmap_mode="r") if kind == "memmap" else path
anchors = open_anchors(X, sample_shape=(784,))
total, most, start = 0.0, 0.0, None
for first in range(0, len(anchors), 500):
    rows, failed = anchors.read(slice(first, first + 500))
    assert not failed
    total += float(rows.sum(dtype=np.float64))
    start = start or resident()
    most = max(most, resident())
scattered, _ = anchors.read(np.arange(0, len(anchors), len(anchors) // 20))
most = max(most, resident())
print(start, most, total, scattered[:, 0].sum())
"""


def _most(path: Path, kind: str) -> tuple[float, float]:
    """Return the largest resident memory in MiB while reading, and the sum of all that was read."""
    command = [sys.executable, "-c", SCRIPT, str(path), kind]
    root = Path(__file__).parents[2]
    result = subprocess.run(
        command, capture_output=True, text=True, check=True, cwd=root, timeout=120
    )
    _, most, total, _ = map(float, result.stdout.split())
    return most, total


def _write(folder: Path, kind: str, n: int) -> Path:
    block = np.arange(1000 * WIDTH, dtype=np.float32).reshape(1000, WIDTH) % 251
    if kind == "parquet":
        path = folder / f"{n}.parquet"
        column = pa.FixedSizeListArray.from_arrays(pa.array(block.reshape(-1)), WIDTH)
        table = pa.concat_tables([pa.table({"anchor": column})] * (n // 1000))
        pq.write_table(table, path, row_group_size=n, use_dictionary=False, compression="snappy")
        return path
    path = folder / f"{n}.npy"
    array = np.lib.format.open_memmap(path, "w+", np.float32, (n, WIDTH))  # type: ignore[no-untyped-call]
    for start in range(0, n, 1000):
        array[start : start + 1000] = block
    return path


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads /proc")
@pytest.mark.parametrize("kind", ["memmap", "npy", "parquet"])
def test_five_times_the_rows_take_no_more_memory(kind: str, tmp_path: Path) -> None:
    used = {}
    for n in (SMALL, LARGE):
        path = _write(tmp_path, kind, n)
        used[n], total = _most(path, kind)
        assert total == n // 1000 * float((np.arange(1000 * WIDTH) % 251).sum())
        path.unlink()
    assert used[LARGE] < used[SMALL] + SLACK
