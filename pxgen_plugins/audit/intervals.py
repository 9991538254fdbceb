"""Confidence intervals used to judge conditions."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pxgen_plugins.groups import wilson_interval
from pxgen_plugins.result import Result
from pxgen_plugins.utils.large_arrays import std

__all__ = [
    "Interval",
    "Threshold",
    "difference",
    "of_mean",
    "of_median",
    "paired_interval",
]

Interval = tuple[float, float] | None
Floats = NDArray[np.float64]


def of_mean(values: Floats, confidence: float) -> Interval:
    """Return Student's interval of a mean; None for fewer than two values."""
    half = _half_width(values, confidence)
    mean = float(values.mean()) if len(values) else math.nan
    return None if half is None else (mean - half, mean + half)


@dataclass(frozen=True)
class Threshold:
    """A criterion's threshold and the calibration repeats behind it.

    Attributes:
        reported: The threshold.
        repeats: Thresholds of each repeat, (r,).
        resampled: Whether the repeats are resamples of reference data around the first, which is
            the reported one: their spread is its standard error, however many there are.
    """

    reported: float
    repeats: Floats
    resampled: bool = False

    @classmethod
    def of(cls, result: Result, column: int) -> Threshold:
        """Return the threshold of a run's criterion."""
        reported, calibration = float(result.thresholds[column]), result.calibration
        if calibration is None:
            return cls(reported, np.empty(0))
        return cls(reported, calibration.repeats[:, column], calibration.resampled)

    @property
    def n_behind(self) -> int:
        """How many repeats it is the mean of: all, or 1 where it is one of them.

        That is so for resamples, and for rules that report the first repeat (``Conformal``).
        """
        to_first, to_mean = (
            abs(self.reported - one) for one in (self.repeats[0], self.repeats.mean())
        )
        return 1 if self.resampled or to_first <= to_mean else len(self.repeats)

    def interval(self, confidence: float) -> Interval:
        """Return Student's interval around it; None for fewer than two repeats."""
        half = _half_width(self.repeats, confidence)
        if half is None:
            return None
        half *= math.sqrt(len(self.repeats) / self.n_behind)
        return self.reported - half, self.reported + half


def difference(before: Threshold, after: Threshold, confidence: float, paired: bool) -> Interval:
    """Return an interval of the second threshold less the first, around that of the reported ones.

    Student's of the differences where the repeats come in pairs (common random numbers, or one
    choice of instances for both resamples), else Welch's (1947). Each threshold's variance is that
    of its repeats, divided by how many of them it is the mean of.

    Args:
        before: The first threshold.
        after: The second.
        confidence: In (0, 1).
        paired: Whether the repeats come in pairs.

    Returns:
        Low and high end; None for fewer than two repeats.
    """
    from scipy.stats import t

    both = (before, after)
    if any(len(one.repeats) < 2 or not np.isfinite(one.repeats).all() for one in both):
        return None
    gap = after.reported - before.reported
    if paired:
        spread = (after.repeats - before.repeats).var(ddof=1)
        parts = [float(spread) / min(one.n_behind for one in both)]
        sizes = [len(before.repeats)]
    else:
        parts = [float(one.repeats.var(ddof=1)) / one.n_behind for one in both]
        sizes = [len(one.repeats) for one in both]
    total = sum(parts)
    if total == 0:
        return gap, gap
    squares = (part**2 / (size - 1) for part, size in zip(parts, sizes, strict=True))
    half = float(t.ppf(0.5 + confidence / 2, total**2 / sum(squares))) * math.sqrt(total)
    return gap - half, gap + half


def of_median(values: Floats, unknown: int, confidence: float) -> tuple[float, float]:
    """Return the order statistics around the median (Conover 1999, section 3.2).

    Their coverage is at least ``confidence``, whatever the distribution. An end is infinite where
    so few values allow no such interval, or where the unknown ones reach.

    Args:
        values: Sorted and finite, (n,).
        unknown: Further values of which nothing is known: the low end is as if all were lowest,
            the high end as if all were highest.
        confidence: In (0, 1).

    Example:
        >>> of_median(np.arange(9.0), 0, 0.95), of_median(np.arange(5.0), 0, 0.95)
        ((1.0, 7.0), (-inf, inf))
    """
    from scipy.stats import binom

    tail, n = (1 - confidence) / 2, len(values) + unknown
    rank = int(binom.ppf(tail, n, 0.5))  # ranks count from 1
    if binom.cdf(rank, n, 0.5) > tail:
        rank -= 1
    known = len(values) - 1
    low = rank - unknown
    high = known - rank + unknown
    return (
        float(values[low]) if rank >= 0 and low >= 0 else -math.inf,
        float(values[high]) if rank >= 0 and high <= known else math.inf,
    )


def paired_interval(
    both: int, first: int, second: int, neither: int, confidence: float = 0.95
) -> tuple[float, float] | None:
    """Return an interval of the second share less the first, both over the same n anchors.

    Method 10 of Newcombe (1998, "Improved confidence intervals for the difference between binomial
    proportions based on paired data", Statistics in Medicine 17, 2635): the Wilson intervals of the
    two shares, put together by their correlation, which is taken with a correction for continuity.
    Unlike the Wald interval it has a width when nothing changed, and stays within -1 and 1.

    Args:
        both: Anchors counted both times.
        first: Anchors counted the first time only.
        second: Anchors counted the second time only.
        neither: Anchors counted neither time.
        confidence: Share of such intervals that hold the true difference.

    Returns:
        Low and high end; None without anchors.

    Cost: O(1).

    Example:
        >>> low, high = paired_interval(59, 6, 16, 80)  # consolidation therapy, Cavo et al. (2012)
        >>> round(low, 4), round(high, 4)
        (0.0046, 0.1186)
    """
    n = both + first + second + neither
    before = wilson_interval(both + first, n, confidence)
    after = wilson_interval(both + second, n, confidence)
    if before is None or after is None:
        return None
    share, later = (both + first) / n, (both + second) / n
    correlation = _correlation(both, first, second, neither)
    low = _combine(later - after[0], before[1] - share, correlation)
    high = _combine(after[1] - later, share - before[0], correlation)
    difference = (second - first) / n
    return max(difference - low, -1.0), min(difference + high, 1.0)


def _half_width(values: Floats, confidence: float) -> float | None:
    from scipy.stats import t

    if len(values) < 2 or not np.isfinite(values).all():
        return None
    spread = std(values, ddof=1) / math.sqrt(len(values))
    return float(t.ppf(0.5 + confidence / 2, len(values) - 1) * spread)


def _correlation(both: int, first: int, second: int, neither: int) -> float:
    """Return the corrected phi coefficient of the two counts."""
    n = both + first + second + neither
    spread = (both + first) * (second + neither) * (both + second) * (first + neither)
    if not spread:
        return 0.0
    product: float = both * neither - first * second
    if product > 0:
        product = max(product - n / 2, 0.0)
    return product / math.sqrt(spread)


def _combine(one: float, other: float, correlation: float) -> float:
    """Return the half-width of a difference, by the law of cosines."""
    square = one * one - 2.0 * correlation * one * other + other * other
    return math.sqrt(max(square, 0.0))
