"""What a group's anchors have in common: statistics, labels, and intervals of its share."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["label_counts", "statistics", "wilson_interval"]

Floats = NDArray[np.float64]


def statistics(values: Floats, names: Sequence[str]) -> dict[str, dict[str, float | None]]:
    """Return median, mean, std (population), min and max of each criterion; None when empty.

    Example:
        >>> statistics(np.array([[1.0], [3.0]]), ["kld"])["kld"]["median"]
        2.0
    """
    measures: dict[str, Callable[[Floats], Any]] = {
        "median": np.median,
        "mean": np.mean,
        "std": np.std,
        "min": np.min,
        "max": np.max,
    }
    return {
        name: {
            measure: float(function(values[:, j])) if len(values) else None
            for measure, function in measures.items()
        }
        for j, name in enumerate(names)
    }


def label_counts(labels: NDArray[np.str_] | None) -> dict[str, int]:
    """Return how often each label occurs, by label; empty without labels.

    Example:
        >>> label_counts(np.array(["b", "a", "b"]))
        {'a': 1, 'b': 2}
    """
    if labels is None:
        return {}
    found, counts = np.unique(labels, return_counts=True)
    return {str(label): int(count) for label, count in zip(found, counts, strict=True)}


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
