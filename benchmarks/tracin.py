"""PXGen against VAE-TracIn: the time to explain the same anchors of the same model."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import numpy as np
from clock import fastest
from rows import Row
from scoring import SHAPE, ConvVAE

from pxgen_plugins import criteria
from pxgen_plugins.adapters import VAETracIn
from pxgen_plugins.anchors import open_anchors
from pxgen_plugins.models import VAE
from pxgen_plugins.scoring import Scorer
from pxgen_plugins.utils.threads import one_thread


def run(quick: bool = False) -> Iterator[Row]:
    """Yield processor time of VAE-TracIn over that of scoring the same anchors (KLD + MSE)."""
    train, tests, checkpoints = (20, 4, 2) if quick else (1_000, 100, 3)
    with one_thread():
        ratio = _ratio(train, tests, checkpoints, 1 if quick else 3)
    setting = f"{train:,} anchors x {tests} samples x {checkpoints} checkpoints"
    name = "VAE-TracIn / PXGen scoring"
    note = "conv VAE 28x28, 1 draw"
    yield Row(name, setting, ratio, "x CPU time", note=note)
    yield Row(f"{name}, per checkpoint", setting, ratio / checkpoints, "x CPU time", note=note)


def _ratio(train: int, tests: int, checkpoints: int, repeats: int) -> float:
    net = ConvVAE().eval()
    vae = VAE(net, sample_shape=SHAPE)
    pixels = np.random.default_rng(0).integers(0, 256, (train, 28, 28), dtype=np.uint8)
    state = {name: value.clone() for name, value in net.state_dict().items()}
    tracin = VAETracIn(vae, checkpoints=[(state, 1e-3)] * checkpoints, n_draws=1).fit(pixels)
    scorer = Scorer(vae, [criteria.make("kld"), criteria.make("mse")])
    anchors = open_anchors(pixels, sample_shape=SHAPE)
    cases = {
        "tracin": partial(tracin.explain, pixels[:tests]),
        "pxgen": partial(scorer.score, anchors),
    }
    best = fastest(cases, repeats)
    return best["tracin"] / best["pxgen"]
