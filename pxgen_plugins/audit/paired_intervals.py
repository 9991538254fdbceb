"""The difference of two shares counted on the same anchors."""

from __future__ import annotations

import math

from pxgen_plugins.groups import wilson_interval

__all__ = ["paired_interval"]


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
    low = _joined(later - after[0], before[1] - share, correlation)
    high = _joined(after[1] - later, share - before[0], correlation)
    difference = (second - first) / n
    return max(difference - low, -1.0), min(difference + high, 1.0)


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


def _joined(one: float, other: float, correlation: float) -> float:
    square = one * one - 2.0 * correlation * one * other + other * other
    return math.sqrt(max(square, 0.0))
