"""One script for a card: calibration and scoring against a bare loop, memory, agreement.

It ends within 8 minutes on one card; with ``--device cpu --quick`` it shows that it runs.
"""

from __future__ import annotations

import argparse
import itertools
import json
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from rows import HEADER, Row, line
from torch import Tensor, nn

from pxgen_plugins import PXGen
from pxgen_plugins.anchors import open_for
from pxgen_plugins.models import VAE
from pxgen_plugins.thresholds import MeanMax
from pxgen_plugins.utils.files import write_atomic
from pxgen_plugins.utils.machine import machine

SHAPE = (3, 64, 64)
_SECONDS = 8 * 60  # after which what is left is not begun


class ConvVAE(nn.Module):
    """A convolutional VAE for 64 x 64 pictures; weights are seeded, the same on every device."""

    def __init__(self, width: int, latent: int = 128) -> None:
        super().__init__()
        sides = [SHAPE[0], width, 2 * width, 4 * width, 8 * width]
        down: list[nn.Module] = []
        up: list[nn.Module] = []
        for one, other in itertools.pairwise(sides):
            down += [nn.Conv2d(one, other, 4, 2, 1), nn.SiLU()]
            up[:0] = [nn.SiLU(), nn.ConvTranspose2d(other, one, 4, 2, 1)]
        self.encoder = nn.Sequential(*down, nn.Flatten(), nn.Linear(sides[-1] * 16, 2 * latent))
        first = nn.Linear(latent, sides[-1] * 16)
        self.decoder = nn.Sequential(first, nn.Unflatten(1, (sides[-1], 4, 4)), *up, nn.Sigmoid())
        draws = torch.Generator().manual_seed(0)
        for parameter in self.parameters():
            scale = 1.0 / np.sqrt(max(1, parameter[0].numel()))
            parameter.data = torch.randn(parameter.shape, generator=draws) * scale

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        mean, log_var = self.encoder(x).chunk(2, 1)
        return mean, log_var

    def decode(self, z: Tensor) -> Tensor:
        pictures: Tensor = self.decoder(z)
        return pictures


def run(device: str, quick: bool) -> Iterator[Row]:
    """Yield throughput over that of a bare loop, memory, and how far a device is from the CPU."""
    start = time.monotonic()
    n, width = (64, 8) if quick else (20_000, 64)
    pictures = np.random.default_rng(0).random((n, *SHAPE), np.float32)
    values = {}
    for precision in ("float32", "bfloat16"):
        for size in (16,) if quick else (64, 512):
            if time.monotonic() - start > _SECONDS:
                yield Row(f"batch {size}, {precision}", "", None, "", note="no time was left")
                continue
            model = VAE(ConvVAE(width).to(device), sample_shape=SHAPE)
            yield from _throughput(model, pictures, size, precision, quick)
            values[precision] = _values(model, pictures[:64], precision)
    on_cpu = _values(VAE(ConvVAE(width), sample_shape=SHAPE), pictures[:64], "float32")
    for precision, found in values.items():
        gap = float(np.max(np.abs(found - on_cpu) / np.abs(on_cpu)))
        name = f"largest relative difference to the CPU's float32, {precision}"
        yield Row(
            name, "kld and mse of 64 pictures", gap, "", 1e-3 if precision != "bfloat16" else None
        )


def _throughput(
    model: VAE, pictures: NDArray[np.float32], size: int, precision: str, quick: bool
) -> Iterator[Row]:
    n, device = len(pictures), model.device.type
    setting = f"{device}, conv VAE {SHAPE[1]}x{SHAPE[2]}, n={n:,}, batch {size}, {precision}"
    rule = MeanMax(n_samples=n // 4, n_repeats=2)
    explainer = PXGen(model, ["kld"], ["mse"], threshold=rule, batch_size=size, precision=precision)
    anchors = open_for(model, pictures)
    cases: dict[str, tuple[int, Callable[[], object]]] = {
        "bare encode and decode": (n, lambda: _bare(model, pictures, size, precision)),
        "scoring": (n, lambda: explainer.scorer().score(anchors)),
        "calibration": (2 * (n // 4), explainer.fit),
    }
    rates = {}
    for name, (count, call) in cases.items():
        if not quick:
            call()  # kernels are chosen, and memory is taken, the first time
        if device == "cuda":
            torch.cuda.reset_peak_memory_stats()
        begin = time.perf_counter()
        call()
        if device == "cuda":
            torch.cuda.synchronize()
        rates[name] = count / (time.perf_counter() - begin)
        yield Row(name, setting, rates[name], "pictures/s")
        if device == "cuda":
            peak = torch.cuda.max_memory_allocated() / 2**20
            yield Row(f"{name}: most memory of the card", setting, peak, "MiB")
    bare = rates.pop("bare encode and decode")
    for name, rate in rates.items():
        note = "calibration samples, too" if name == "calibration" else ""
        yield Row(f"time of {name} / bare", setting, bare / rate, "x time", note=note)


@torch.inference_mode()
def _bare(model: VAE, pictures: NDArray[np.float32], size: int, precision: str) -> None:
    """What anybody would write: batches to the device, through the model, and errors back."""
    net: Any = model.modules[0]
    enabled = precision == "bfloat16"
    with torch.autocast(model.device.type, torch.bfloat16, enabled=enabled):
        for low in range(0, len(pictures), size):
            x = torch.from_numpy(pictures[low : low + size]).to(model.device)
            mean, _ = net.encode(x)
            (net.decode(mean).float() - x).square().flatten(1).mean(1).cpu()


def _values(model: VAE, pictures: NDArray[np.float32], precision: str) -> NDArray[np.float64]:
    explainer = PXGen(model, ["kld"], ["mse"], batch_size=32, precision=precision)
    return explainer.scorer().score(open_for(model, pictures)).values


def main() -> int:
    """Run the script; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    parser.add_argument("--quick", action="store_true", help="tiny sizes, to see that it runs")
    parser.add_argument("--output", type=Path, default=Path("output/gpu.json"))
    options = parser.parse_args()
    if options.device == "cuda" and not torch.cuda.is_available():
        print("no card is here: run it with --device cpu --quick, to see that it runs")
        return 2
    about: dict[str, object] = dict(machine())
    if options.device == "cuda":
        about["card"] = torch.cuda.get_device_name()
    rows = []
    print(HEADER)
    for row in run(options.device, options.quick):
        print(line(row, judge=not options.quick), flush=True)
        rows.append(vars(row))
    content = json.dumps({"machine": about, "quick": options.quick, "rows": rows}, indent=1) + "\n"
    write_atomic(options.output, content.encode())
    return 0


if __name__ == "__main__":
    sys.exit(main())
