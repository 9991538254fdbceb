"""What scoring costs over a bare encode-and-decode loop of the same batch size."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from pxgen_plugins import criteria
from pxgen_plugins.anchors import open_anchors
from pxgen_plugins.models import VAE
from pxgen_plugins.scoring import Scorer

SHAPE = (1, 28, 28)


class ConvVAE(nn.Module):
    """A small convolutional VAE for 28 x 28 images, about 200,000 parameters."""

    def __init__(self, latent: int = 20) -> None:
        super().__init__()
        self.encoder = nn.Sequential(
            nn.Conv2d(1, 32, 4, 2, 1),
            nn.ReLU(),
            nn.Conv2d(32, 64, 4, 2, 1),
            nn.ReLU(),
            nn.Flatten(),
        )
        self.heads = nn.Linear(64 * 49, 2 * latent)
        self.first = nn.Linear(latent, 64 * 49)
        self.decoder = nn.Sequential(
            nn.Unflatten(1, (64, 7, 7)),
            nn.ConvTranspose2d(64, 32, 4, 2, 1),
            nn.ReLU(),
            nn.ConvTranspose2d(32, 1, 4, 2, 1),
            nn.Sigmoid(),
        )

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        mean, log_var = self.heads(self.encoder(x)).chunk(2, 1)
        return mean, log_var

    def decode(self, z: Tensor) -> Tensor:
        images: Tensor = self.decoder(torch.relu(self.first(z)))
        return images


def run(quick: bool = False) -> list[dict[str, Any]]:
    """Return one row per set of criteria: CPU time over that of the bare loop."""
    torch.set_num_threads(1)
    n, repeats = (2_048, 3) if quick else (8_192, 15)
    net = ConvVAE().eval()
    vae = VAE(net, sample_shape=SHAPE)
    pixels = np.random.default_rng(0).integers(0, 256, (n, 28, 28), dtype=np.uint8)
    ready = torch.from_numpy(pixels).float().div(255).unsqueeze(1)
    size = 512

    @torch.inference_mode()
    def bare() -> None:
        for start in range(0, n, size):
            mean, _ = net.encode(ready[start : start + size])
            net.decode(mean)

    def scoring(names: list[str], **options: Any) -> Callable[[], None]:
        scorer = Scorer(vae, [criteria.make(name) for name in names], batch_size=size, **options)
        anchors = open_anchors(pixels, sample_shape=SHAPE)
        return lambda: void(scorer.score(anchors))

    cases = {
        "bare loop": bare,
        "KLD + MSE": scoring(["kld", "mse"]),
        "KLD + MSE + SSIM": scoring(["kld", "mse", "ssim"]),
        "KLD + MSE, bfloat16": scoring(["kld", "mse"], precision="bfloat16"),
    }
    best = fastest(cases, repeats)
    targets = {"KLD + MSE": "<= 1.05", "KLD + MSE + SSIM": "<= 1.15"}
    return [
        {
            "name": f"scoring {name} / bare encode + decode",
            "setting": f"conv VAE 28x28, n={n}, batch {size}, uint8 anchors",
            "value": best[name] / best["bare loop"],
            "unit": "x CPU time",
            "target": targets.get(name, ""),
        }
        for name in cases
        if name != "bare loop"
    ]


def fastest(cases: dict[str, Callable[[], None]], repeats: int) -> dict[str, float]:
    """Return the least CPU time of each case, s; cases take turns, so drift hits all alike."""
    best = dict.fromkeys(cases, float("inf"))
    for _ in range(repeats):
        for name, case in cases.items():
            start = time.process_time()
            case()
            best[name] = min(best[name], time.process_time() - start)
    return best


def void(_: object) -> None:
    """Drop a result."""
