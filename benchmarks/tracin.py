"""PXGen against VAE-TracIn: the time to explain the same anchors of the same model."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from scoring import SHAPE, ConvVAE, fastest, void

from pxgen_plugins import criteria
from pxgen_plugins.adapters import VAETracIn
from pxgen_plugins.anchors import open_anchors
from pxgen_plugins.models import VAE
from pxgen_plugins.scoring import Scorer


def run(quick: bool = False) -> list[dict[str, Any]]:
    """Return CPU time of VAE-TracIn over that of scoring the same anchors (KLD + MSE)."""
    torch.set_num_threads(1)
    train, tests, checkpoints = (100, 10, 2) if quick else (1_000, 100, 3)
    net = ConvVAE().eval()
    vae = VAE(net, sample_shape=SHAPE)
    pixels = np.random.default_rng(0).integers(0, 256, (train, 28, 28), dtype=np.uint8)
    state = {name: value.clone() for name, value in net.state_dict().items()}
    tracin = VAETracIn(vae, checkpoints=[(state, 1e-3)] * checkpoints, n_draws=1).fit(pixels)
    scorer = Scorer(vae, [criteria.make("kld"), criteria.make("mse")])
    anchors = open_anchors(pixels, sample_shape=SHAPE)
    best = fastest(
        {
            "tracin": lambda: void(tracin.explain(pixels[:tests])),
            "pxgen": lambda: void(scorer.score(anchors)),
        },
        1 if quick else 3,
    )
    ratio = best["tracin"] / best["pxgen"]
    setting = f"conv VAE, {train} anchors x {tests} samples x {checkpoints} checkpoints, 1 draw"
    name = "VAE-TracIn / PXGen scoring"
    rows = [{"name": name, "setting": setting, "value": ratio, "unit": "x CPU time", "target": ""}]
    per = {"name": f"{name}, per checkpoint", "value": ratio / checkpoints}
    return [*rows, {**rows[0], **per}]
