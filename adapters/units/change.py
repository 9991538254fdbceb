"""What of a concept goes, and what changes elsewhere, when units are moved to other values."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pxgen_plugins.adapters.units.unit_maps import Concepts, UnitLayer, concept_masks
from pxgen_plugins.concepts.base import pictures
from pxgen_plugins.utils.errors import ParameterError

__all__ = [
    "OFF",
    "Shares",
    "changes",
    "concept_shares",
    "half_width",
    "notes_on_off",
    "off_values",
    "removed",
    "unit_strength",
]

Floats = NDArray[np.float64]
OFF = ("zero", "mean", "low")
_LEVEL = 0.95


@dataclass(frozen=True)
class Shares:
    """How much of each of n instances is each of c concepts.

    Attributes:
        share: Mean of the mask, (n, c).
        outside: Mean absolute change of the instance outside of the mask before, (n, c); empty
            where nothing is compared.
        images: The instances, (n, *sample_shape).
        masks: Their masks, (n, c, height, width).
    """

    share: Floats
    outside: Floats
    images: Tensor
    masks: Tensor


def off_values(off: str, means: Tensor, lows: Tensor) -> Tensor:
    """Return what units that are off return, (1, u, 1, 1): 0, their mean, or their 1% quantile."""
    values = {"zero": torch.zeros_like(means), "mean": means, "low": lows.to(means)}[off]
    return values.reshape(1, -1, 1, 1)


def concept_shares(
    units: UnitLayer,
    z: Tensor,
    concepts: Concepts,
    batch_size: int,
    change: tuple[Tensor, Tensor] | None = None,
    before: Shares | None = None,
) -> Shares:
    """Return how much of the instances of codes ``z`` is each concept.

    Args:
        units: The layer.
        z: Codes, (n, *latent_shape).
        concepts: Concepts by name.
        batch_size: Codes per model call.
        change: Strength and values of the units, as for :meth:`UnitLayer.decode_with`.
        before: The same without change, to compare with.
    """
    images, masks = [], []
    for part in torch.split(z, batch_size):
        with torch.no_grad():
            x = units.decode(part)[0] if change is None else units.decode_with(part, *change)
        images.append(x.float().cpu())
        masks.append(concept_masks(concepts, x))
    image, mask = torch.cat(images), torch.cat(masks)
    outside = np.empty((len(z), 0))
    if before is not None:
        outside = changes(before.images, image, before.masks)[1]
    share: Floats = mask.double().mean(dim=(2, 3)).numpy()
    return Shares(share, outside, image, mask)


def changes(before: Tensor, after: Tensor, masks: Tensor) -> tuple[Floats, Floats]:
    """Return the mean absolute change inside and outside of masks, each (n, c).

    Args:
        before: Instances, (n, *sample_shape).
        after: Likewise.
        masks: In [0, 1], (n, c, height, width).
    """
    gap, sides = (after - before).abs(), (int(masks.shape[-2]), int(masks.shape[-1]))
    if gap.ndim in (3, 4):
        moved = pictures(gap).mean(1)[:, None].double()
    else:  # a row of numbers, or a volume with its channels first: in the order of the masks
        row = gap if gap.ndim == 2 else gap.mean(1).flatten(1)
        same = row.shape[1] == sides[0] * sides[1]
        moved = row.reshape(len(row), 1, *(sides if same else (1, -1))).double()
    inside, others = masks.double(), 1.0 - masks.double()
    if moved.shape[-2:] != masks.shape[-2:]:
        moved = torch.nn.functional.interpolate(moved, sides, mode="area")
    pair = []
    for weight in (inside, others):
        total = weight.sum(dim=(2, 3))
        mean = (moved * weight).sum(dim=(2, 3)) / total.clamp_min(1e-12)
        pair.append(torch.where(total > 0, mean, torch.zeros_like(mean)).numpy())
    return pair[0], pair[1]


def notes_on_off(units: UnitLayer, off: str, lows: Tensor) -> list[str]:
    """Return what must be said of "off": that 0 is not the lowest value of units, where it is not.

    Args:
        units: The layer.
        off: How units are off.
        lows: 1% quantile of each unit's values, (u,).
    """
    below = int((lows < 0).sum())
    if off != "zero" or not below:
        return []
    kind = type(units.layer.module).__name__
    return [
        f"{below} of {units.n_units} units of {units.name} ({kind}) go below 0, so a unit at 0 is "
        "not at its lowest. Behind a layer without an activation of its own, a ReLU that the code "
        "calls as a function makes 0 off all the same; else take off='low' or 'mean'."
    ]


def removed(
    before: Floats, after: Floats, most: float = math.inf
) -> tuple[float, tuple[float, float]]:
    """Return the share of a concept that is gone, and its 95% interval over instances.

    1 - sum(after) / sum(before), a ratio of means; the interval is Student's, by the linearised
    variance of a ratio (Cochran 1977, section 6.3).

    Args:
        before: How much of each instance was the concept, (n,).
        after: The same after the change.
        most: The largest possible share, at which the interval ends: 1 where amounts are masks,
            which are never below 0. There is no least one, because a concept may grow.

    Returns:
        NaN where the concept did not occur; of one instance there is no interval.

    Example:
        >>> removed(np.array([0.2, 0.4]), np.array([0.1, 0.2]))
        (0.5, (0.5, 0.5))
    """
    mean = float(before.mean())
    if mean <= 0:
        return float("nan"), (float("nan"), float("nan"))
    left = float(after.mean()) / mean
    reach = half_width(after - left * before) / mean
    gone = 1.0 - left
    return gone, (gone - reach, min(gone + reach, most))


def half_width(values: Floats) -> float:
    """Return half the width of the 95% interval of a mean, by Student's t; NaN for one value.

    Example:
        >>> round(half_width(np.array([1.0, 2.0, 3.0])), 3)
        2.484
    """
    from scipy.stats import t as student

    n = len(values)
    if n < 2:
        return float("nan")
    times = float(student.ppf(0.5 + _LEVEL / 2, n - 1))
    return times * float(values.std(ddof=1)) / math.sqrt(n)


def unit_strength(n_units: int, chosen: object) -> Tensor:
    """Return a strength of 1 for chosen units and 0 for the others, (1, u, 1, 1).

    Raises:
        ParameterError: When a unit does not exist.
    """
    strength = torch.zeros(1, n_units, 1, 1)
    for unit in np.atleast_1d(np.asarray(chosen, dtype=np.int64)):
        if not 0 <= unit < n_units:
            hint = f"Choose out of 0 to {n_units - 1}."
            raise ParameterError("units", f"below {n_units}", str(unit), hint)
        strength[0, int(unit)] = 1.0
    return strength
