"""A convolutional VAE of dSprites (published), tried on squares and ellipses drawn here."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from safetensors.torch import load_file

from family_models.common import Family, beside, digits, strangers
from family_models.published import BurgessNet
from pxgen_plugins.models import VAE

SIDE = 64


def shapes(n: int, seed: int, triangle: bool = False) -> NDArray[np.float32]:
    """Return white squares and ellipses, or triangles, of random size, angle and place on black."""
    draws = np.random.default_rng(seed)
    rows, columns = np.mgrid[:SIDE, :SIDE]
    images = np.empty((n, 1, SIDE, SIDE), dtype=np.float32)
    for at in range(n):
        size, angle = draws.uniform(6, 11), draws.uniform(0, 2 * np.pi)
        centre = draws.uniform(16, 48, 2)
        across, down = columns - centre[0], rows - centre[1]
        u = across * np.cos(angle) + down * np.sin(angle)
        v = down * np.cos(angle) - across * np.sin(angle)
        if triangle:
            inside = (v > -size / 2) & (v < size - 2 * np.abs(u))
        elif at % 2:
            inside = np.maximum(np.abs(u), np.abs(v)) < 0.8 * size
        else:
            inside = (u / size) ** 2 + (v / (0.6 * size)) ** 2 < 1
        images[at, 0] = inside
    return images


def build() -> Family:
    """Return the model and what it is tried on."""
    net = BurgessNet(1, SIDE)
    net.load_state_dict(load_file(beside("models", "disvae_VAE_dsprites.safetensors")))
    x = shapes(300, 0)
    written = np.kron(digits(300), np.ones((1, 1, 2, 2), dtype=np.float32))
    others = {
        "triangles": shapes(300, 1, triangle=True),
        "two shapes": np.maximum(shapes(300, 2), shapes(300, 3)),
        "digits": np.pad(written, ((0, 0), (0, 0), (4, 4), (4, 4))),
    }
    return Family(
        VAE(net, sample_shape=(1, SIDE, SIDE)),
        ["kld", "mahalanobis", "elbo"],
        ["mse", "fvu", "bce", "ssim"],
        x,
        others | strangers(x),
        shapes(1_000, 4),
    )
