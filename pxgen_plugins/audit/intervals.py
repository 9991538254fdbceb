"""Ends of the intervals on which conditions are judged."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pxgen_plugins.groups import wilson_interval

__all__ = ["Interval", "between", "of_mean", "of_median", "of_repeats", "of_share", "repeats_of"]

Interval = tuple[float, float] | None
Floats = NDArray[np.float64]


def of_share(least: int, most: int, n: int, confidence: float) -> Interval:
    """Return Wilson's (1927) interval of a share of n, of which least to most may be counted.

    Example:
        >>> low, high = of_share(0, 5, 100, 0.95)
        >>> low, round(high, 3)
        (0.0, 0.112)
    """
    low, high = (wilson_interval(count, n, confidence) for count in (least, most))
    return None if low is None or high is None else (low[0], high[1])


def of_mean(values: Floats, confidence: float) -> Interval:
    """Return Student's interval of a mean; None for fewer than two values."""
    half = _half(values, confidence)
    mean = float(values.mean()) if len(values) else math.nan
    return None if half is None else (mean - half, mean + half)


def of_repeats(observed: float, repeats: Floats, confidence: float) -> Interval:
    """Return the interval of a threshold: of the mean of its repeats, or of the one it took.

    Student's interval where the threshold is the mean of the repeats; where it is one of them
    (conformal thresholds), as far around it as a single repeat spreads.
    """
    half = _half(repeats, confidence)
    if half is None:
        return None
    if not math.isclose(observed, float(repeats.mean()), rel_tol=1e-6, abs_tol=1e-12):
        half *= math.sqrt(len(repeats))
    return observed - half, observed + half


def repeats_of(data: Mapping[str, Any]) -> Floats:
    """Return the thresholds of each calibration repeat, (r, m); no row where there are none."""
    repeats = np.asarray((data.get("calibration") or {}).get("repeats"), dtype=float)
    return repeats if repeats.ndim == 2 else np.empty((0, len(data["criteria"])))


def between(before: Floats, after: Floats, confidence: float) -> Interval:
    """Return Welch's (1947) interval of the mean after less the mean before."""
    from scipy.stats import t

    a, b = before, after
    if min(len(a), len(b)) < 2 or not (np.isfinite(a).all() and np.isfinite(b).all()):
        return None
    gap, parts = float(b.mean() - a.mean()), [one.var(ddof=1) / len(one) for one in (a, b)]
    total = sum(parts)
    if total == 0:
        return gap, gap
    degrees = total**2 / (parts[0] ** 2 / (len(a) - 1) + parts[1] ** 2 / (len(b) - 1))
    half = float(t.ppf(0.5 + confidence / 2, degrees)) * math.sqrt(total)
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


def _half(values: Floats, confidence: float) -> float | None:
    from scipy.stats import t

    if len(values) < 2 or not np.isfinite(values).all():
        return None
    spread = values.std(ddof=1) / math.sqrt(len(values))
    return float(t.ppf(0.5 + confidence / 2, len(values) - 1) * spread)
