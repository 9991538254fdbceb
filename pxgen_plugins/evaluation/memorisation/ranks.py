"""Statistics of ranks: p-values against a control, false discoveries, areas under a curve."""

from __future__ import annotations

import math
from statistics import NormalDist
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["adjusted", "auc", "auc_interval", "control_p_values"]

Floats = NDArray[np.float64]
_BISECTIONS = 60


def control_p_values(values: Floats, control: Floats) -> Floats:
    """Return for each value how likely one of the control is as small: (1 + rank) / (m + 1).

    Where value and control are exchangeable, P(p <= a) <= a for every a, whatever their
    distribution (Vovk, Gammerman and Shafer 2005). A value that ties with controls ranks behind
    them.

    Args:
        values: The n values; small ones are suspicious.
        control: The m values of instances that cannot be remembered.

    Example:
        >>> control_p_values(np.array([0.0, 2.0, 9.0]), np.array([1.0, 2.0, 3.0])).tolist()
        [0.25, 0.75, 1.0]
    """
    ranks = np.searchsorted(np.sort(control), values, side="right")
    p_values: Floats = (1.0 + ranks) / (len(control) + 1.0)
    return p_values


def adjusted(p_values: Floats) -> Floats:
    """Return p-values adjusted for their number (Benjamini and Hochberg 1995).

    The instances with an adjusted value of at most q have a false discovery rate of at most q: for
    independent p-values, and for those of one control, which depend on each other positively
    (Bates, Candes, Lei, Romano and Sesia 2023, "Testing for outliers with conformal p-values").

    Example:
        >>> adjusted(np.array([0.01, 0.04, 0.03, 0.5])).round(4).tolist()
        [0.04, 0.0533, 0.0533, 0.5]
    """
    n = len(p_values)
    order = np.argsort(p_values, kind="stable")
    scaled = p_values[order] * n / np.arange(1, n + 1)
    result = np.empty(n)
    result[order] = np.minimum(np.minimum.accumulate(scaled[::-1])[::-1], 1.0)
    return result


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
