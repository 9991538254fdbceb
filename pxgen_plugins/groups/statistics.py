"""What a group's anchors have in common: statistics and labels."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["label_counts", "statistics"]

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
