"""Peak memory of explaining memory-mapped anchors and of calibrating, against their number."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

_EXPLAIN = """
import json, resource, sys, threading, time
import numpy as np, torch, psutil
torch.set_num_threads(1)
from pxgen_plugins import PXGen
from pxgen_plugins.datasets import load_mnist_vae
from pxgen_plugins.models import VAE
from pxgen_plugins.thresholds import MeanMax
net = load_mnist_vae()
model = VAE(net, sample_shape=(1, 28, 28))
samples, repeats = int(sys.argv[2]), int(sys.argv[3])
explainer = PXGen(model, threshold=MeanMax(samples, repeats))
def size(node):
    if isinstance(node, dict):
        return sum(size(child) for child in node.values())
    return node.nbytes if isinstance(node, np.ndarray) else 0
process, peak, done = psutil.Process(), [0], threading.Event()
def watch():
    while not done.wait(0.02):
        peak[0] = max(peak[0], process.memory_info().rss)
explainer.fit() if sys.argv[1] != "-" else explainer._scorer()
before = process.memory_info().rss
threading.Thread(target=watch, daemon=True).start()
table = 0
if sys.argv[1] != "-":
    found = explainer.explain(sys.argv[1])
    table = size(found.data)
else:
    explainer.fit()
done.set()
print(json.dumps({"growth": peak[0] - before, "table": table}))
"""


def run(quick: bool = False) -> list[dict[str, Any]]:
    """Return growth of the resident memory over that before the call, in MiB."""
    counts = [2_000, 20_000] if quick else [100_000, 1_000_000]
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for n in counts:
            path = Path(folder) / "anchors.npy"
            write(path, n)
            found = measure(str(path), 1_000, 2)
            rows.append(row(f"explain n={n:,}", "mapped uint8 .npy, 28x28", found))
            beyond = {"growth": found["growth"] - found["table"]}
            rows.append(row(f"explain n={n:,}, beyond the result table", "the same run", beyond))
    for repeats in (2, 20):
        found = measure("-", 6_000 if quick else 60_000, repeats)
        rows.append(row(f"calibrate x {repeats} repeats", "samples per repeat as given", found))
    return rows


def write(path: Path, n: int) -> None:
    """Write ``n`` noisy images as a .npy file, a block at a time."""
    rng = np.random.default_rng(0)
    out = np.lib.format.open_memmap(path, mode="w+", dtype=np.uint8, shape=(n, 28, 28))
    for start in range(0, n, 10_000):
        block = out[start : start + 10_000]
        block[:] = rng.integers(0, 256, block.shape, dtype=np.uint8)
    out.flush()


def measure(path: str, samples: int, repeats: int) -> dict[str, int]:
    """Run one call in a fresh process; return bytes."""
    command = [sys.executable, "-c", _EXPLAIN, path, str(samples), str(repeats)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    found: dict[str, int] = json.loads(done.stdout)
    return found


def row(name: str, setting: str, found: dict[str, int]) -> dict[str, Any]:
    """Return one row of the table."""
    value = found["growth"] / 2**20
    return {"name": name, "setting": setting, "value": value, "unit": "MiB", "target": ""}
