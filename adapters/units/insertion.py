"""Units set, around a cell where a concept is not, to the value that they have where it is."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from pxgen_plugins.adapters.units.change import Shares, half_width, unit_strength
from pxgen_plugins.adapters.units.unit_maps import Concepts, UnitLayer, concept_masks
from pxgen_plugins.concepts.base import pictures
from pxgen_plugins.utils.errors import ParameterError
from pxgen_plugins.utils.seeds import derive

__all__ = ["Insertion", "insertion_of"]

_FEW = 16  # codes on which the size of a patch is measured
_REST = 0.1  # of the change at the middle that may come from outside of a patch


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
        reach: Cells around it that are set as well, to each side: a patch of 2 reach + 1.
    """

    units: UnitLayer
    z: Tensor
    typical: Tensor
    means: Tensor
    lows: Tensor
    cells: Tensor | None
    rows: Tensor
    reach: int = 0

    @property
    def patch(self) -> int | None:
        """Side of the patch in cells; None for units without a grid."""
        return None if self.units.grid is None else 2 * self.reach + 1

    def patches(self, cells: Tensor) -> Tensor:
        """Return the patches around cells (n, 1, h, w), likewise; they end at the grid's rim."""
        if self.units.grid is None or not self.reach:
            return cells
        return F.max_pool2d(cells, 2 * self.reach + 1, stride=1, padding=self.reach)

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
            x = self._set(part, strength)
            values.append(inside(concept_masks(concepts, x)[:, 0], self.cells[part]).double())
        amounts: NDArray[np.float64] = torch.cat(values).numpy()
        mean, reach = float(amounts.mean()), half_width(amounts)
        return mean, (max(mean - reach, 0.0), min(mean + reach, 1.0))

    def with_patch(self, patch: int | None, concepts: Concepts, batch_size: int) -> Insertion:
        """Return the same with a patch of ``patch`` cells a side; None measures how many it takes.

        What is behind a layer mixes cells: a convolution of 3 x 3 makes an output of nine of them,
        and one cell that is set is drowned by its neighbours. So all units are set in growing
        patches, on a few codes, until the instance at the cell in the middle changes by nine tenths
        of what it does when the whole layer is set, and the concept there is the same within 0.1:
        what lies outside of such a patch hardly matters at its middle.

        Raises:
            ParameterError: When a patch is given for units without a grid, or a larger one than
                covers the layer.
        """
        grid = self.units.grid
        if grid is None:
            if patch is not None:
                hint = "Leave patch out, or name a layer with maps."
                got = f"{patch} for {self.units.name!r}, whose units have no place in the picture"
                raise ParameterError("patch", "None for this layer", got, hint)
            return self
        whole = max(grid) - 1
        if patch is not None:
            if patch > 2 * whole + 1:
                allowed = f"at most {2 * whole + 1}, which covers the layer's {grid} from any cell"
                raise ParameterError("patch", allowed, str(patch), "Take a smaller one.")
            return replace(self, reach=patch // 2)
        if self.cells is None:
            return self
        return replace(self, reach=self._sufficient(whole, concepts, batch_size))

    def _sufficient(self, whole: int, concepts: Concepts, batch_size: int) -> int:
        strength = torch.ones(1, self.units.n_units, 1, 1)
        before = self._middles(0.0 * strength, concepts, batch_size)
        after = replace(self, reach=whole)._middles(strength, concepts, batch_size)
        change = float((after[0] - before[0]).abs().sum())
        reach = 0
        while reach < whole:
            own = replace(self, reach=reach)._middles(strength, concepts, batch_size)
            near = float((after[0] - own[0]).abs().sum()) <= _REST * change
            if near and float((after[1] - own[1]).abs().mean()) <= _REST:
                break
            reach += max(1, reach // 2)  # a wide one need not be exact
        return min(reach, whole)

    def _middles(
        self, strength: Tensor, concepts: Concepts, batch_size: int
    ) -> tuple[Tensor, Tensor]:
        """Return pictures (m, c, H, W), 0 outside of the cells, and the concept in the cells."""
        assert self.cells is not None  # asked only where there are some
        images, amounts = [], []
        count = min(_FEW, len(self.rows))
        for low in range(0, count, batch_size):
            part = slice(low, min(low + batch_size, count))
            x = self._set(part, strength)
            masks = concept_masks(concepts, x)[:, 0]
            fine = _at_size(self.cells[part], (int(masks.shape[1]), int(masks.shape[2])))
            # of rows of numbers the masks alone have places
            image = pictures(x).float().cpu() if x.ndim in (3, 4) else masks[:, None]
            images.append(image * fine)
            amounts.append(inside(masks, self.cells[part]))
        return torch.cat(images), torch.cat(amounts)

    def _set(self, part: slice, strength: Tensor) -> Tensor:
        assert self.cells is not None  # asked only where there are some
        with torch.no_grad():
            moved = strength * self.patches(self.cells[part])
            return self.units.decode_with(self.z[self.rows[part]], moved, self.typical)


def inside(masks: Tensor, cells: Tensor) -> Tensor:
    """Return the mean of masks (n, H, W) over cells (n, 1, h, w) of a grid, (n,)."""
    fine = _at_size(cells, (int(masks.shape[1]), int(masks.shape[2])))[:, 0].to(masks)
    return (masks * fine).sum(dim=(1, 2)) / fine.sum(dim=(1, 2)).clamp_min(1e-12)


def _at_size(cells: Tensor, size: tuple[int, int]) -> Tensor:
    # a cell smaller than a pixel is that pixel: it must not fall between
    smaller = cells.shape[2] > size[0] or cells.shape[3] > size[1]
    return F.adaptive_max_pool2d(cells, size) if smaller else F.interpolate(cells, size)


def insertion_of(
    units: UnitLayer, z: Tensor, concepts: Concepts, before: Shares, seed: int, batch_size: int
) -> Insertion:
    """Return where and how a concept can be inserted, in single cells.

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
