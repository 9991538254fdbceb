"""A renderer of an ellipse by four factors: a model whose axes are known, and can be mixed."""

from __future__ import annotations

import math

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pxgen_plugins.models.base import GenerativeModel

__all__ = ["PAIR", "EllipseRenderer"]

SIDE = 24
_REACH = 1.6  # of a factor, beyond which nothing changes
_HALF = math.sqrt(0.5)

PAIR: NDArray[np.float64] = np.eye(4)
"""Turns place right and place down by 45 degrees, and leaves size and angle alone."""
PAIR[:2, :2] = [[_HALF, -_HALF], [_HALF, _HALF]]


class EllipseRenderer(GenerativeModel):
    """Draws an ellipse by place right, place down, size and angle, as (24, 24) pictures in [0, 1].

    The encoder looks a picture up among those that were drawn at first.

    Args:
        n: How many, with factors drawn evenly from [-1, 1].
        spread: Standard deviation of the posterior in every factor.
        seed: Seed of the factors.

    Attributes:
        factors: The factors, (n, 4).
        pictures: What they draw, (n, 24, 24).
    """

    capabilities = frozenset({"encode", "decode", "reconstruct"})
    sample_shape = (SIDE, SIDE)
    latent_shape = (4,)
    data_range = (0.0, 1.0)

    def __init__(self, n: int = 200, spread: float = 0.05, seed: int = 0) -> None:
        grid = torch.linspace(-1, 1, SIDE, dtype=torch.float64)
        self._down, self._right = torch.meshgrid(grid, grid, indexing="ij")
        self.spread = spread
        generator = torch.Generator().manual_seed(seed)
        self.factors = 2 * torch.rand(n, 4, generator=generator) - 1
        self.pictures = self.decode(self.factors)

    def decode(self, z: Tensor) -> Tensor:
        """Return pictures (n, 24, 24) of factors (n, 4)."""
        f = z.double().clamp(-_REACH, _REACH)[:, :, None, None]
        right, down = self._right - 0.45 * f[:, 0], self._down - 0.45 * f[:, 1]
        size, angle = 0.34 + 0.12 * f[:, 2], f[:, 3] * torch.pi / 4
        u = right * angle.cos() + down * angle.sin()
        v = down * angle.cos() - right * angle.sin()
        return (4 * (1 - (u / size) ** 2 - (2 * v / size) ** 2)).sigmoid().float()

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return the factors of the nearest picture, and the log variance."""
        place = torch.cdist(x.flatten(1), self.pictures.flatten(1)).argmin(1)
        mean = self.factors[place]
        return mean, torch.full_like(mean, 2 * math.log(self.spread))

    def reconstruct(self, x: Tensor) -> Tensor:
        """Return the nearest picture of each."""
        return self.decode(self.encode(x)[0])
