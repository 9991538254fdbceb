"""Bootstrap intervals of the shares of groups, over anchors and over calibration repeats."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from pxgen_plugins.groups import GROUPS, codes

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
    anchors are never copied; and a group that is the same under the lowest and the highest of the
    thresholds is the same under all, so only the anchors in between are assigned again.

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

    Cost: O(n m), and at most 20 million assignments of anchors between the thresholds (50 each when
    there are more); memory O(n m).

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
    ends = [
        codes(values, end, kinds, rule, scale) for end in (thresholds.min(0), thresholds.max(0))
    ]
    open_ = ends[0] != ends[1]
    settled = np.bincount(ends[0][~open_], minlength=len(GROUPS) + 1)
    between = values[open_]
    different = max(_FEWEST, _WORK // max(len(between), 1)) if len(between) else 1
    counts = np.array(
        [
            settled + np.bincount(codes(between, cut, kinds, rule, scale), minlength=len(settled))
            for cut in thresholds[:different]
        ]
    )
    rows = np.resize(np.arange(len(counts)), n_resamples)
    shares = rng.multinomial(n, counts[rows] / n) / n
    tail = (1.0 - confidence) / 2.0
    low, high = np.quantile(shares, [tail, 1.0 - tail], axis=0)
    return {name: [float(low[k]), float(high[k])] for k, name in enumerate(GROUPS)}
