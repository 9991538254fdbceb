"""Matching units with concepts: one histogram per unit against the naive loop over levels."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import numpy as np
import torch
from clock import fastest
from numpy.typing import NDArray
from rows import Row
from torch import Tensor

from pxgen_plugins.adapters.units.match import best_match, binned, counts_of, levels_of
from pxgen_plugins.utils.threads import one_thread

Floats = NDArray[np.float64]


def run(quick: bool = False) -> Iterator[Row]:
    """Yield processor time of one histogram per unit over that of a pass per level."""
    units, concepts, levels, pixels = (4, 2, 8, 1_000) if quick else (32, 4, 64, 40_000)
    generator = torch.Generator().manual_seed(0)
    values = torch.randn(units, pixels, generator=generator)
    masks = torch.rand(concepts, pixels, generator=generator) < 0.2
    cases = {
        "histogram": partial(_histogram, values, masks, levels),
        "loop": partial(_loop, values, masks, levels),
    }
    with one_thread():
        for one, other in zip(cases["histogram"](), cases["loop"](), strict=True):
            np.testing.assert_allclose(one, other, atol=1e-9)
        best = fastest(cases, 1 if quick else 3)
    setting = f"{units} units x {concepts} concepts x {levels} levels x {pixels:,} pixels"
    ratio = best["histogram"] / best["loop"]
    name = "units and concepts: histogram / loop over levels"
    yield Row(name, setting, ratio, "x CPU time", note="the same IoU and ratio")


def _histogram(values: Tensor, masks: Tensor, n_levels: int) -> tuple[Floats, Floats]:
    levels = levels_of(values, n_levels)
    bins = binned(values, levels)
    above = counts_of(bins, n_levels)
    both = np.stack([counts_of(bins, n_levels, mask) for mask in masks])
    return _best(above, both, masks)


def _loop(values: Tensor, masks: Tensor, n_levels: int) -> tuple[Floats, Floats]:
    levels = levels_of(values, n_levels)
    above = torch.empty(len(values), n_levels)
    both = torch.empty(len(masks), len(values), n_levels)
    for level in range(n_levels):
        fires = values > levels[:, level, None]
        above[:, level] = fires.sum(1)
        for row, mask in enumerate(masks):
            both[row, :, level] = (fires & mask).sum(1)
    return _best(above.double().numpy(), both.double().numpy(), masks)


def _best(above: Floats, both: Floats, masks: Tensor) -> tuple[Floats, Floats]:
    found = best_match(above, both, masks.sum(1).double().numpy(), float(masks.shape[1]))
    return found.iou, found.iqr
