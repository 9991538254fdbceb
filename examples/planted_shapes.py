"""A renderer of one shape by five factors and one that does nothing, as a model with these codes.

It is not that of the training: edges are hard and counted on a finer grid. Its shapes, from a
triangle to a rectangle, are of kinds that the captioner knows; of others it says that their outline
changes where they turn.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from pxgen_plugins.axes import Axis, dimensions
from pxgen_plugins.models.base import GenerativeModel

__all__ = ["ATTRIBUTES", "DIRECTIONS", "FACTORS", "PlantedShapes", "factors", "mixture"]

SIDE = 64
FINE = 2  # points a pixel and direction
FACTORS = ("x", "y", "size", "angle", "shape", "nothing")
ATTRIBUTES = ("horizontal position", "vertical position", "size", "rotation", "shape", "")
DIRECTIONS = ("right", "down", "larger", "", "", "")


class PlantedShapes(GenerativeModel):
    """Draws (1, 64, 64) pictures; codes of N(0, I) are x, y, size, angle, shape and nothing."""

    capabilities = frozenset({"sample", "decode"})
    sample_shape = (1, SIDE, SIDE)
    latent_shape = (6,)
    data_range = (0.0, 1.0)

    def decode(self, z: Tensor) -> Tensor:
        """Return pictures in [0, 1], (n, 1, 64, 64), of codes (n, 6)."""
        grid = (torch.arange(SIDE * FINE) + 0.5) / (SIDE * FINE)
        f = z.float().clamp(-2, 2)[:, :, None, None]
        right, down = grid - 0.5 - 0.11 * f[:, 0], grid[:, None] - 0.5 - 0.11 * f[:, 1]
        size, angle = 0.15 + 0.03 * f[:, 2], 0.8 + 0.32 * f[:, 3]
        u = (right * angle.cos() + down * angle.sin()) / size
        v = (down * angle.cos() - right * angle.sin()) / size
        # how far out a point lies, 1 on the edge; areas are alike, so no shape is a larger one
        rectangle = torch.maximum(0.9 * u.abs(), v.abs() / 0.9)
        triangle = torch.maximum(v, 0.866 * u.abs() - 0.5 * v) / 0.877
        inside = torch.lerp(triangle, rectangle, torch.sigmoid(2 * f[:, 4])) < 1
        return torch.nn.functional.avg_pool2d(inside.float()[:, None], FINE)

    def sample(self, n: int, seed: int = 0) -> Tensor:
        """Return n pictures of codes drawn from N(0, I)."""
        return self.decode(torch.randn(n, 6, generator=torch.Generator().manual_seed(seed)))


def factors() -> list[Axis]:
    """Return the axes of the six factors."""
    return [replace(axis, label=name) for axis, name in zip(dimensions((6,)), FACTORS, strict=True)]


def mixture(i: int, j: int) -> Axis:
    """Return the axis at 45 degrees between two factors."""
    vector = np.zeros(6, dtype=np.float32)
    vector[[i, j]] = 1.0
    return Axis(f"{FACTORS[i]} and {FACTORS[j]}", vector)
