"""Units set, in a cell where a concept is not, to the value that they have where it is."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from pxgen_plugins.adapters.units.change import Shares, half_width, unit_strength
from pxgen_plugins.adapters.units.unit_maps import Concepts, UnitLayer, concept_masks
from pxgen_plugins.utils.seeds import derive

__all__ = ["Insertion", "insertion_of"]


@dataclass(frozen=True)
class Insertion:
    """Where a concept can be inserted, and with which values.

    Attributes:
        units: The layer.
        z: Codes, (n, *latent_shape).
        typical: Mean of the units' values where the concept is, weighted by how much, (1, u, 1, 1).
        means: Mean of the units' values, (u,); ``lows``: their 1% quantile, (u,).
        lows: See ``means``.
        cells: One cell without the concept for every code that has one, as a mask over the grid,
            (m, 1, h, w); the whole grid for units without one; None where the concept is
            everywhere.
        rows: Which codes these are, (m,).
    """

    units: UnitLayer
    z: Tensor
    typical: Tensor
    means: Tensor
    lows: Tensor
    cells: Tensor | None
    rows: Tensor

    def measure(
        self, chosen: object, concepts: Concepts, batch_size: int
    ) -> tuple[float, tuple[float, float]]:
        """Return how much of the concept is in the cells afterwards, and the 95% interval."""
        if self.cells is None:
            return float("nan"), (float("nan"), float("nan"))
        strength = unit_strength(self.units.n_units, chosen)
        values = []
        for low in range(0, len(self.rows), batch_size):
            part = slice(low, low + batch_size)
            cell = self.cells[part]
            with torch.no_grad():
                x = self.units.decode_with(self.z[self.rows[part]], strength * cell, self.typical)
            masks = concept_masks(concepts, x)[:, 0]
            values.append(inside(masks, cell).double())
        amounts: NDArray[np.float64] = torch.cat(values).numpy()
        mean, reach = float(amounts.mean()), half_width(amounts)
        return mean, (mean - reach, mean + reach)


def inside(masks: Tensor, cells: Tensor) -> Tensor:
    """Return the mean of masks (n, H, W) over cells (n, 1, h, w) of a grid, (n,)."""
    size = (int(masks.shape[1]), int(masks.shape[2]))
    # a cell smaller than a pixel is that pixel: it must not fall between
    smaller = cells.shape[2] > size[0] or cells.shape[3] > size[1]
    fine = F.adaptive_max_pool2d(cells, size) if smaller else F.interpolate(cells, size)
    fine = fine[:, 0].to(masks)
    return (masks * fine).sum(dim=(1, 2)) / fine.sum(dim=(1, 2)).clamp_min(1e-12)


def insertion_of(
    units: UnitLayer, z: Tensor, concepts: Concepts, before: Shares, seed: int, batch_size: int
) -> Insertion:
    """Return where and how a concept can be inserted.

    Args:
        units: The layer.
        z: Codes, (n, *latent_shape).
        concepts: The concept, by its name.
        before: Instances and masks of these codes.
        seed: Seed of the cells.
        batch_size: Codes per model call.
    """
    grid = units.grid or (1, 1)
    present = F.adaptive_avg_pool2d(before.masks[:, :1], grid)  # (n, 1, h, w)
    highest = F.adaptive_max_pool2d(before.masks[:, :1], grid)
    parts = [units.decode(part)[1].float().cpu() for part in torch.split(z, batch_size)]
    maps = torch.cat(parts)
    weight = present / present.sum().clamp_min(1e-12)
    typical = (maps * weight).sum(dim=(0, 2, 3)).reshape(1, -1, 1, 1)
    flat = maps.transpose(0, 1).flatten(1)
    lows = torch.from_numpy(np.quantile(flat.numpy(), 0.01, axis=1)).float()
    free = (highest < 0.5).flatten(1)
    rows = torch.nonzero(free.any(1))[:, 0]
    cells: Tensor | None = None
    if len(rows):
        generator = torch.Generator().manual_seed(derive(seed, "cells"))
        draw = torch.rand(free.shape, generator=generator)[rows].masked_fill(~free[rows], -1.0)
        cells = F.one_hot(draw.argmax(1), free.shape[1]).float().reshape(len(rows), 1, *grid)
    return Insertion(units, z, typical, flat.mean(1), lows, cells, rows)
