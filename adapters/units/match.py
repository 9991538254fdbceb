"""How well units and concepts match: intersection over union at the most informative level."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

__all__ = [
    "Match",
    "best_match",
    "binned",
    "chance_of_meeting",
    "counts_of",
    "levels_of",
    "q_values",
]

Floats = NDArray[np.float64]
_FEW = 5  # instances expected together, below which the shuffles say too little
_TINY = 1e-9  # a ratio of 0 has no logarithm
_LARGEST_SHARE, _SMALLEST_SHARE = 1.0, 1e-3  # of a unit's values above its levels


@dataclass(frozen=True)
class Match:
    """The match of u units and c concepts at each pair's own level.

    Attributes:
        iou: Pixels where the unit is above the level and the concept is, over those where one of
            the two holds, (u, c).
        iqr: Information quality ratio there, (u, c), in [0, 1].
        level: Position of the level, int64 (u, c).
    """

    iou: Floats
    iqr: Floats
    level: NDArray[np.int64]


def levels_of(values: Tensor, n_levels: int) -> Tensor:
    """Return the levels of every unit, ascending, (u, n_levels).

    They are the quantiles that leave shares from 1 down to 0.001 of the values above, evenly spaced
    in their logarithm, as in GAN Dissection (Bau et al. 2019).

    Args:
        values: Values of u units, (u, N).
        n_levels: Number of levels.
    """
    shares = np.geomspace(_LARGEST_SHARE, _SMALLEST_SHARE, n_levels)
    ordered = values.sort(dim=1).values
    place = np.clip(((1.0 - shares) * values.shape[1]).astype(np.int64) - 1, 0, None)
    levels = ordered[:, torch.from_numpy(place)].contiguous()
    levels[:, 0] = -torch.inf  # all values are above the first
    return levels


def binned(values: Tensor, levels: Tensor) -> Tensor:
    """Return how many levels lie below each value, int64 (u, N); it is above these."""
    return torch.searchsorted(levels, values.contiguous(), right=False)


def counts_of(bins: Tensor, n_levels: int, mask: Tensor | None = None) -> Floats:
    """Return how many values of every unit are above each level, (u, n_levels).

    One pass over the values serves all levels: a histogram, added up from above.

    Args:
        bins: What :func:`binned` returned, (u, N).
        n_levels: Number of levels.
        mask: Which of the N positions count, bools (N,); None counts all.
    """
    chosen = bins if mask is None else bins[:, mask]
    u = len(bins)
    rows = torch.arange(u)[:, None] * (n_levels + 1)
    flat = torch.bincount((chosen + rows).flatten(), minlength=u * (n_levels + 1))
    histogram = flat.reshape(u, n_levels + 1).double().numpy()
    above: Floats = histogram[:, ::-1].cumsum(axis=1)[:, ::-1][:, 1:]
    return above


def best_match(above: Floats, both: Floats, inside: Floats, total: float) -> Match:
    """Return IoU and information quality ratio at the level where the latter is highest.

    Information quality ratio: mutual information of "above the level" and "in the concept" over
    their joint entropy. It does not tell a match from its opposite, so only levels count at which
    the concept is more frequent above than elsewhere.

    Args:
        above: Positions above each level, (u, l).
        both: Those of them that are in each concept, (c, u, l).
        inside: Positions in each concept, (c,).
        total: All positions.
    """
    u = len(above)
    c = len(inside)
    a, s = above[None] / total, inside[:, None, None] / total
    joint = np.stack([both / total, a - both / total, s - both / total,
                      1.0 - a - s + both / total])  # fmt: skip
    joint = np.clip(joint, 0.0, 1.0)
    entropy = -_xlogx(joint).sum(axis=0)
    marginal = -(_xlogx(a) + _xlogx(1.0 - a)) - (_xlogx(s) + _xlogx(1.0 - s))
    information = np.clip(marginal - entropy, 0.0, None)
    ratio = np.divide(information, entropy, out=np.zeros_like(entropy), where=entropy > 1e-12)
    union = a + s - both / total
    iou = np.divide(both / total, union, out=np.zeros_like(union), where=union > 0)
    rises = both / total > a * s
    score = np.where(rises, ratio, -1.0)
    level = score.argmax(axis=2)  # (c, u)
    pick = (np.arange(c)[:, None], np.arange(u)[None, :], level)
    found = np.broadcast_to(rises, ratio.shape)[pick]
    return Match(
        iou=np.where(found, iou[pick], 0.0).T,
        iqr=np.where(found, ratio[pick], 0.0).T,
        level=level.T.astype(np.int64),
    )


def _xlogx(p: Floats) -> Floats:
    logs = np.log(p, out=np.zeros_like(p), where=p > 0)
    product: Floats = p * logs
    return product


def chance_of_meeting(together: Floats, fires: Floats, has: Floats, n: int) -> Floats:
    """Return how likely a unit meets a concept by chance, where few instances hold both, (u, c).

    The probability, with the instances of the concept drawn anew, that at least as many of those on
    which the unit fires are among them (hypergeometric), where fewer than five would be expected;
    0 where there are more. With so few, the ratio of a single accident is far above that of the
    shuffles, which have none.

    Args:
        together: Instances on which the unit fires and that hold the concept, (u, c).
        fires: Instances on which it fires, (u, c).
        has: Instances that hold the concept, (c,).
        n: All instances.

    Example:
        >>> one = np.ones((1, 1))
        >>> chance_of_meeting(one, 5 * one, np.array([4.0]), 100).round(2).tolist()
        [[0.19]]
    """
    from scipy.stats import hypergeom

    tail = hypergeom.sf(together - 1, n, np.broadcast_to(has, fires.shape), fires)
    chance: Floats = np.where(fires * has / n < _FEW, tail, 0.0)
    return chance


def q_values(ratio: Floats, null: Floats, least: Floats | float = 0.0) -> Floats:
    """Return the false discovery rate at which each match would be called one, (u, c).

    The statistic is the logarithm of the information quality ratio: the best of many levels is
    skewed to the right, its logarithm is not. A match is compared with its own null by Student's t
    for a new observation, which allows for the small number of shuffles. The rates are those of
    Benjamini and Hochberg (1995), over all pairs.

    Args:
        ratio: Information quality ratios, (u, c).
        null: The same with masks of other instances, (r, u, c), r >= 2.
        least: What the probabilities are at least, (u, c), as of :func:`chance_of_meeting`.
    """
    from scipy.stats import false_discovery_control
    from scipy.stats import t as student

    r = len(null)
    logs, others = np.log(ratio + _TINY), np.log(null + _TINY)
    gap = logs - others.mean(axis=0)
    scale = others.std(axis=0, ddof=1) * np.sqrt(1.0 + 1.0 / r)
    # a concept that is the same in all instances has a null without spread, and a gap of 0
    p = np.where(gap < 1e-9, 1.0, student.sf(gap / np.maximum(scale, 1e-9), r - 1))
    p = np.maximum(p, least)
    rates: Floats = false_discovery_control(p.ravel()).reshape(p.shape)
    return rates
