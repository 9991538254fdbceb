"""Intervals of a binomial share."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["exact_interval", "mid_p_interval", "wilson_interval"]

Floats = NDArray[np.float64]

_BISECTIONS = 45  # to 3e-14


def exact_interval(count: int, n: int, confidence: float = 0.95) -> tuple[float, float]:
    """Return the exact interval of a share ``count / n`` (Clopper and Pearson 1934).

    Its coverage is never below ``confidence``, and mostly above.

    Example:
        >>> low, high = exact_interval(2, 3)
        >>> round(low, 3), round(high, 3)
        (0.094, 0.992)
    """
    from scipy.stats import binomtest

    interval = binomtest(count, n).proportion_ci(confidence, method="exact")
    return float(interval.low), float(interval.high)


def mid_p_interval(count: ArrayLike, n: ArrayLike, confidence: float = 0.95) -> Floats:
    """Return the mid-P interval of shares ``count / n`` (Lancaster 1961; Agresti and Gottard 2007).

    Each end is the share at which the probability of a count beyond the observed one, plus half the
    probability of the observed one, is (1 - confidence) / 2. Its coverage is near the nominal also
    where few are counted: Wilson's falls to 84% there, and the exact interval (Clopper-Pearson) is
    too wide everywhere.

    Args:
        count: Counts, any shape.
        n: Numbers counted among, of a shape that broadcasts.
        confidence: In (0, 1).

    Returns:
        Array (..., 2) of low and high ends; NaN for n = 0.

    Example:
        >>> mid_p_interval(8, 10).round(4).tolist()
        [0.4805, 0.965]
    """
    from scipy.special import betainc

    k, of = np.broadcast_arrays(
        np.asarray(count, dtype=np.float64), np.asarray(n, dtype=np.float64)
    )
    fewer: Floats = k - 1.0
    tail = (1.0 - confidence) / 2.0

    def beyond(at: Floats, share: Floats) -> Floats:
        """Return P(X > at) for X binomial; 1 below 0 and 0 from n on."""
        inside = (at >= 0) & (at < of)
        one, other = np.where(inside, at + 1, 1.0), np.where(inside, of - at, 1.0)
        probability: Floats = np.where(inside, betainc(one, other, share), np.where(at < 0, 1, 0))
        return probability

    ends = []
    for target in (tail, 1.0 - tail):
        low: Floats = np.zeros(k.shape)
        high: Floats = np.ones(k.shape)
        for _ in range(_BISECTIONS):
            middle = (low + high) / 2.0
            above = (beyond(k, middle) + beyond(fewer, middle)) / 2.0 > target
            low, high = np.where(above, low, middle), np.where(above, middle, high)
        ends.append((low + high) / 2.0)
    lower, upper = np.where(k == 0, 0.0, ends[0]), np.where(k == of, 1.0, ends[1])
    interval: Floats = np.stack([lower, upper], axis=-1)
    interval[of == 0] = math.nan
    return interval


def wilson_interval(count: int, n: int, confidence: float = 0.95) -> list[float] | None:
    """Return the Wilson score interval of a share ``count / n`` (Wilson 1927); None for n = 0.

    Example:
        >>> [round(bound, 4) for bound in wilson_interval(8, 10)]
        [0.4902, 0.9433]
    """
    if n == 0:
        return None
    from statistics import NormalDist

    z = NormalDist().inv_cdf(0.5 + confidence / 2)
    share = count / n
    centre = share + z * z / (2 * n)
    half = z * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    width = 1 + z * z / n
    # at 0 and n the exact bound is the end itself, which rounding would miss
    low = 0.0 if count == 0 else (centre - half) / width
    high = 1.0 if count == n else (centre + half) / width
    return [low, high]
