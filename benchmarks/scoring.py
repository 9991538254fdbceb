"""What scoring costs over a bare encode-and-decode loop of the same batch size."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np
import torch
from clock import fastest
from rows import Row
from torch import Tensor, nn

from pxgen_plugins import criteria
from pxgen_plugins.anchors import open_anchors
from pxgen_plugins.models import VAE
from pxgen_plugins.scoring import Scorer
from pxgen_plugins.utils.threads import one_thread

SHAPE = (1, 28, 28)
TARGETS = {"KLD + MSE": 1.05, "KLD + MSE + SSIM": 1.15}


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


def run(quick: bool = False) -> Iterator[Row]:
    """Yield one row per set of criteria: processor time over that of the bare loop."""
    n, size, repeats = (128, 64, 1) if quick else (8_192, 512, 15)
    with one_thread():
        best = fastest(_cases(n, size), repeats)
    setting = f"conv VAE 28x28, n={n:,}, batch {size}, uint8 anchors"
    bare = best.pop("bare")
    for name, seconds in best.items():
        target = TARGETS.get(name)
        yield Row(
            f"scoring {name} / bare encode + decode", setting, seconds / bare, "x CPU time", target
        )


def _cases(n: int, size: int) -> dict[str, Callable[[], object]]:
    net = ConvVAE().eval()
    vae = VAE(net, sample_shape=SHAPE)
    pixels = np.random.default_rng(0).integers(0, 256, (n, 28, 28), dtype=np.uint8)
    ready = torch.from_numpy(pixels).float().div(255).unsqueeze(1)

    @torch.inference_mode()
    def bare() -> None:
        for start in range(0, n, size):
            mean, _ = net.encode(ready[start : start + size])
            net.decode(mean)

    def scoring(names: list[str], **options: Any) -> Callable[[], object]:
        scorer = Scorer(vae, [criteria.make(name) for name in names], batch_size=size, **options)
        return partial(scorer.score, open_anchors(pixels, sample_shape=SHAPE))

    return {
        "bare": bare,
        "KLD + MSE": scoring(["kld", "mse"]),
        "KLD + MSE + SSIM": scoring(["kld", "mse", "ssim"]),
        "KLD + MSE, bfloat16": scoring(["kld", "mse"], precision="bfloat16"),
    }
