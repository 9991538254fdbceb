"""Peak memory of explaining memory-mapped anchors and of calibrating, against their number."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import fresh_process
import numpy as np
from rows import Row

from pxgen_plugins import PXGen
from pxgen_plugins.datasets import load_mnist_vae
from pxgen_plugins.models import VAE
from pxgen_plugins.thresholds import MeanMax
from pxgen_plugins.utils.threads import one_thread


def run(quick: bool = False) -> Iterator[Row]:
    """Yield by how much the resident memory grows during a call, in MiB."""
    for n in (200, 2_000) if quick else (100_000, 1_000_000):
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "anchors.npy"
            write_images(path, n)
            growth, table = fresh_process.call(explain, str(path), 100 if quick else 1_000)
        setting = f"n={n:,}, mapped uint8 .npy, 28x28"
        yield _row("explain: growth of memory", setting, growth)
        yield _row("explain: growth beyond the result's arrays", setting, growth - table)
    samples = 200 if quick else 60_000
    for repeats in (2, 20):
        growth = fresh_process.call(calibrate, samples, repeats)
        setting = f"{samples:,} samples x {repeats} repeats"
        yield _row("calibration: growth of memory", setting, growth)


def write_images(path: Path, n: int) -> None:
    """Write ``n`` noisy images as a .npy file, a block at a time."""
    rng = np.random.default_rng(0)
    images = np.lib.format.open_memmap(path, "w+", np.uint8, (n, 28, 28))  # type: ignore[no-untyped-call]
    for start in range(0, n, 10_000):
        block = images[start : start + 10_000]
        block[:] = rng.integers(0, 256, block.shape, dtype=np.uint8)
    images.flush()


def explain(path: str, samples: int) -> tuple[int, int]:
    """Return the growth while anchors are explained, and the bytes of the result's arrays."""
    with one_thread():
        explainer = _explainer(samples, 2).fit()
        with fresh_process.peak_growth() as growth:
            explanation = explainer.explain(path)
        return growth(), _size(explanation.data)


def calibrate(samples: int, repeats: int) -> int:
    """Return the growth while a model is calibrated."""
    with one_thread():
        explainer = _explainer(samples, repeats)
        with fresh_process.peak_growth() as growth:
            explainer.fit()
        return growth()


def _explainer(samples: int, repeats: int) -> PXGen:
    model = VAE(load_mnist_vae(), sample_shape=(1, 28, 28))
    return PXGen(model, threshold=MeanMax(samples, repeats))


def _size(node: Any) -> int:
    if isinstance(node, Mapping):
        return sum(_size(child) for child in node.values())
    return node.nbytes if isinstance(node, np.ndarray) else 0


def _row(name: str, setting: str, size: int) -> Row:
    return Row(name, setting, size / 2**20, "MiB")
