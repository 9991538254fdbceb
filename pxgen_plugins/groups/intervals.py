"""Bootstrap intervals of the shares of groups, over anchors and over calibration repeats."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from pxgen_plugins.groups.assignment import GROUPS, codes

__all__ = ["Combine", "bootstrap"]

Floats = NDArray[np.float64]
Combine = Callable[[Floats], Floats]

_WORK = 20_000_000  # group assignments done at most; with more open anchors thresholds are re-used
_FEWEST = 50  # different thresholds, whatever the number of anchors


def bootstrap(
    values: Floats,
    repeats: Floats,
    combine: Combine,
    kinds: Sequence[str],
    rule: str = "all",
    scale: Floats | None = None,
    *,
    seed: int = 0,
    n_resamples: int = 1_000,
    confidence: float = 0.95,
) -> dict[str, list[float] | None]:
    """Return percentile intervals of each group's share (Efron and Tibshirani 1993).

    Each resample draws calibration repeats with replacement, which gives other thresholds, and
    anchors with replacement. Given thresholds, the counts of resampled anchors are multinomial, so
    anchors are never copied. With one criterion of each kind all counts come from one two-way
    table; with more, a group that is the same under the lowest and the highest of the thresholds is
    the same under all, so only the anchors in between are assigned again.

    The interval covers both sources of chance; with a single repeat only that of the anchors. For a
    share of 0 or 1 that no threshold changes it has no width: the Wilson interval is better there.

    Args:
        values: Array (n, m) of criterion values.
        repeats: Thresholds of each calibration repeat, (r, m).
        combine: How the thresholds of repeats (r, m) become the reported ones (m,).
        kinds: As for :func:`pxgen_plugins.groups.assign`, like ``rule`` and ``scale``.
        rule: See there.
        scale: See there.
        seed: Seed of the resamples.
        n_resamples: How many.
        confidence: Share of the resamples inside the interval.

    Returns:
        ``[low, high]`` by group; None without anchors.

    Cost: O(n log b + b^2) for b resamples, with one criterion of each kind. With more, O(n m), and
    at most 20 million assignments of anchors between the thresholds (50 each when there are more),
    where fewer different thresholds make the ends rougher. Memory O(n m + b^2).

    Example:
        >>> values = np.array([[1.0, 1.0]] * 30 + [[9.0, 9.0]] * 70)
        >>> found = bootstrap(
        ...     values, np.array([[5.0, 5.0]]), lambda r: r.mean(0), ["intrinsic", "extrinsic"]
        ... )
        >>> [round(bound, 1) for bound in found["HIHE"]], found["HILE"]
        ([0.2, 0.4], [0.0, 0.0])
    """
    n, r = len(values), len(repeats)
    if not n:
        return dict.fromkeys(GROUPS)
    rng = np.random.default_rng(seed)
    drawn = rng.integers(r, size=(n_resamples, r)) if r > 1 else np.zeros((1, 1), dtype=np.int64)
    thresholds = np.array([combine(repeats[some]) for some in drawn])
    if sorted(kinds) == ["extrinsic", "intrinsic"]:
        counts = pair_counts(values, thresholds, list(kinds).index("intrinsic"))
    else:
        counts = _counts_by_assignment(values, thresholds, kinds, rule, scale)
    rows = np.resize(np.arange(len(counts)), n_resamples)
    shares = rng.multinomial(n, counts[rows] / n) / n
    tail = (1.0 - confidence) / 2.0
    low, high = np.quantile(shares, [tail, 1.0 - tail], axis=0)
    return {name: [float(low[k]), float(high[k])] for k, name in enumerate(GROUPS)}


def pair_counts(values: Floats, thresholds: Floats, intrinsic: int) -> NDArray[np.int64]:
    """Return the counts of the groups and of invalid anchors under each row of thresholds, (b, 5).

    For one criterion of each kind all counts are sums over a corner of one two-way table, of
    anchors by how many of the thresholds each value reaches.
    """
    valid = values[np.isfinite(values).all(axis=1)]
    reached, place, width = [], [], []
    for j in (intrinsic, 1 - intrinsic):
        different, where = np.unique(thresholds[:, j], return_inverse=True)
        reached.append(np.searchsorted(different, valid[:, j], side="right"))
        place.append(where)
        width.append(len(different) + 1)
    table = np.bincount(reached[0] * width[1] + reached[1], minlength=width[0] * width[1])
    below = table.reshape(width).cumsum(axis=0).cumsum(axis=1)
    both, high_in, high_ex = below[place[0], place[1]], below[place[0], -1], below[-1, place[1]]
    neither = len(valid) - high_in - high_ex + both
    invalid = np.full(len(thresholds), len(values) - len(valid))
    return np.stack([both, high_in - both, high_ex - both, neither, invalid], axis=1)


def _counts_by_assignment(
    values: Floats, thresholds: Floats, kinds: Sequence[str], rule: str, scale: Floats | None
) -> NDArray[np.int64]:
    """Return the same for any criteria, of the first thresholds only when many anchors are open."""
    ends = [
        codes(values, end, kinds, rule, scale) for end in (thresholds.min(0), thresholds.max(0))
    ]
    open_ = ends[0] != ends[1]
    settled = np.bincount(ends[0][~open_], minlength=len(GROUPS) + 1)
    between = values[open_]
    different = max(_FEWEST, _WORK // max(len(between), 1)) if len(between) else 1
    return np.array(
        [
            settled + np.bincount(codes(between, cut, kinds, rule, scale), minlength=len(settled))
            for cut in thresholds[:different]
        ]
    )
