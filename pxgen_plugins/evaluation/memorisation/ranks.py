"""Statistics of ranks: areas under a curve, and their intervals."""

from __future__ import annotations

import math
from statistics import NormalDist
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["auc", "auc_interval", "mann_whitney"]

Floats = NDArray[np.float64]
_BISECTIONS = 60


def auc(members: Floats, others: Floats) -> float:
    """Return the probability that a member's value is below another's, ties counting half.

    It is the area under the receiver operating characteristic of "the smaller, the more likely a
    member"; 0.5 tells nothing.

    Example:
        >>> auc(np.array([1.0, 2.0]), np.array([2.0, 3.0]))
        0.875
    """
    ordered = np.sort(others)
    above = len(ordered) - np.searchsorted(ordered, members, side="right")
    same = len(ordered) - np.searchsorted(ordered, members, side="left") - above
    return float((above + same / 2.0).mean() / len(ordered))


def auc_interval(area: float, n: int, m: int, confidence: float = 0.95) -> tuple[float, float]:
    """Return an interval of an area under the curve of ``n`` members and ``m`` others.

    Newcombe (2006), "Confidence intervals for an effect size measure based on the Mann-Whitney
    statistic, part 2", method 5: the areas whose own standard error, by the formula of Hanley and
    McNeil (1982), explains the observed one. It does not collapse where the observed area is 1.

    Example:
        >>> [round(end, 3) for end in auc_interval(0.875, 2, 2)], auc_interval(1.0, 50, 50)[1]
        ([0.3, 0.991], 1.0)
    """
    z = NormalDist().inv_cdf(0.5 + confidence / 2.0)
    extra = (n + m) / 2.0 - 1.0

    def beyond(theta: float) -> float:
        spread = (
            theta * (1 - theta) * (1 + extra * ((1 - theta) / (2 - theta) + theta / (1 + theta)))
        )
        return abs(area - theta) - z * math.sqrt(spread / (n * m))

    def end(inner: float, outer: float) -> float:
        if beyond(outer) <= 0.0:
            return outer
        for _ in range(_BISECTIONS):
            middle = (inner + outer) / 2.0
            inner, outer = (middle, outer) if beyond(middle) <= 0.0 else (inner, middle)
        return (inner + outer) / 2.0

    return end(area, 0.0), end(area, 1.0)


def mann_whitney(first: Floats, second: Floats) -> tuple[float, float]:
    """Return Mann and Whitney's (1947) U in standard deviations from its mean, and a p-value.

    Both are of the question whether ``first`` is smaller: negative, and small, where it is.
    """
    from scipy.stats import mannwhitneyu, norm

    answer: Any = mannwhitneyu(first, second, alternative="less", method="asymptotic")
    p_value = float(answer.pvalue)
    return float(norm.ppf(p_value)), p_value
