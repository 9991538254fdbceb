"""A renderer of an ellipse by four factors, as a model whose codes are the factors, or mixed."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from pxgen_plugins.evaluation import RotatedCodes
from pxgen_plugins.models.base import GenerativeModel

SIDE = 24
LIMIT = 1.6
PAIR = np.eye(4)
PAIR[:2, :2] = np.array([[1.0, -1.0], [1.0, 1.0]]) / np.sqrt(2.0)


class Ellipse(GenerativeModel):
    """Draws an ellipse by x, y, size and angle; a factor sheet on top carries the code of itself.

    Instances are (24, 24) pictures. The encoder looks an instance up among those that were drawn.
    """

    capabilities = frozenset({"sample", "encode", "decode", "reconstruct"})
    sample_shape = (SIDE, SIDE)
    latent_shape = (4,)
    data_range = (0.0, 1.0)

    def __init__(self, codes: Tensor, spread: float = 0.05) -> None:
        grid = torch.linspace(-1, 1, SIDE, dtype=torch.float64)
        self._down, self._right = torch.meshgrid(grid, grid, indexing="ij")
        self._codes, self._spread = codes, spread
        self.pictures = self.decode(codes)

    def decode(self, z: Tensor) -> Tensor:
        f = z.double().clamp(-LIMIT, LIMIT)[:, :, None, None]
        right, down = self._right - 0.45 * f[:, 0], self._down - 0.45 * f[:, 1]
        size, angle = 0.34 + 0.12 * f[:, 2], f[:, 3] * torch.pi / 4
        u = right * angle.cos() + down * angle.sin()
        v = down * angle.cos() - right * angle.sin()
        return (4 * (1 - (u / size) ** 2 - (2 * v / size) ** 2)).sigmoid().float()

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        place = torch.cdist(x.flatten(1), self.pictures.flatten(1)).argmin(1)
        mean = self._codes[place]
        return mean, torch.full_like(mean, 2 * np.log(self._spread))

    def reconstruct(self, x: Tensor) -> Tensor:
        return self.decode(self.encode(x)[0])


def ellipse(n: int = 200, seed: int = 0) -> Ellipse:
    """The renderer, with n factors drawn evenly; its anchors are ``model.pictures``."""
    generator = torch.Generator().manual_seed(seed)
    return Ellipse(2 * torch.rand(n, 4, generator=generator) - 1)


def mixed(model: Any, turn: Any = None, seed: int = 0) -> RotatedCodes:
    """The same pictures behind rotated codes."""
    return RotatedCodes(model, turn, seed=seed)
