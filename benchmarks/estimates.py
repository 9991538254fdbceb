"""What ``estimate`` says against the clock: five models of 1 to 1,000 passes an instance."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from statistics import median
from typing import Any, NamedTuple
from unittest import mock

import numpy as np
import torch
from rows import Row
from scoring import SHAPE, ConvVAE
from torch import Tensor, nn

from pxgen_plugins import PXGen
from pxgen_plugins.models import GAN, VAE, Diffusion, GenerativeModel
from pxgen_plugins.models.inversion import Inversion
from pxgen_plugins.thresholds import Quantile
from pxgen_plugins.utils.threads import one_thread

FACTOR = 2.0  # that an estimate may be off
LONGEST = 5.0  # seconds that an estimate may take


class NoiseNet(nn.Module):
    """A seeded network of three convolutions that predicts noise."""

    def __init__(self) -> None:
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            self.net = nn.Sequential(
                nn.Conv2d(1, 16, 3, padding=1), nn.SiLU(),
                nn.Conv2d(16, 16, 3, padding=1), nn.SiLU(),
                nn.Conv2d(16, 1, 3, padding=1),
            )  # fmt: skip

    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        """Return noise; the time changes nothing that costs."""
        noise: Tensor = self.net(x)
        return noise


class Case(NamedTuple):
    """A model, and what is explained how often: ``n`` anchors, twice as many samples."""

    model: GenerativeModel
    intrinsic: Any
    n: int
    n_quick: int


def run(quick: bool = False) -> Iterator[Row]:
    """Yield, per model, by what factor the estimates of fit and of explain miss the clock."""
    # both in processor time, the clock's on a calm machine, whoever else works on this one
    with one_thread(), mock.patch("time.perf_counter", time.process_time):
        for name, case in _cases().items():
            yield from _rows(name, case, quick)


def _cases() -> dict[str, Case]:
    """Return models by name; "mse" needs the passes that the name says, there and back."""
    net = ConvVAE().eval()
    conv = NoiseNet().eval()
    cases = {"VAE": Case(VAE(net, sample_shape=SHAPE), "kld", 1_000, 20)}
    for steps, n, n_quick in ((10, 60, 2), (100, 16, 1), (1_000, 4, 1)):
        model = Diffusion(conv, sample_shape=SHAPE, data_range=(0.0, 1.0), steps=steps)
        cases[f"Diffusion of {steps:,} steps"] = Case(model, "denoising_loss", n, n_quick)
    # no descent ends early where nothing can be reached, so that it takes the passes it states
    inversion = Inversion(steps=50, restarts=1, bank=64)
    gan = GAN(net.decode, modules=net, latent_shape=(20,), sample_shape=SHAPE, inversion=inversion)
    return cases | {"GAN, inverted in 50 steps": Case(gan, "prior_nll", 64, 2)}


def _rows(name: str, case: Case, quick: bool) -> Iterator[Row]:
    n = case.n_quick if quick else case.n
    X = np.random.default_rng(0).random((n, *SHAPE), dtype=np.float32)
    explainer = PXGen(
        case.model, case.intrinsic, "mse", Quantile(0.9, n, 2), selectors=(), examples=False
    )
    ratios: dict[str, list[float]] = {"fit": [], "explain": []}
    waits = []
    # estimate and clock take turns, so that drift hits both alike
    for _ in range(1 if quick else 3):
        start = time.perf_counter()
        told = explainer.estimate(X)
        waits.append(time.perf_counter() - start)
        ratios["fit"].append(told.fit_seconds / _seconds(explainer.fit))
        ratios["explain"].append(told.explain_seconds / _seconds(lambda: explainer.explain(X)))
    counts = {"fit": told.fit_passes // (2 * n), "explain": told.explain_passes // n}
    for step, found in ratios.items():
        ratio = median(found)
        setting = f"{step}, {counts[step]:,} passes each; n={2 * n if step == 'fit' else n:,}"
        yield Row(
            f"estimate: {name}",
            setting,
            max(ratio, 1 / ratio),
            "x too long or short",
            FACTOR,
            note=f"estimate / time {ratio:.2f} ({min(found):.2f} to {max(found):.2f})",
        )
    yield Row(f"estimate: {name}", "until it is there", max(waits), "s", LONGEST)


def _seconds(call: Callable[[], object]) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start
