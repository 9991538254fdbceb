"""What a group's anchors have in common: statistics and labels."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from pxgen_plugins.utils.large_arrays import copy, std

__all__ = ["label_counts", "statistics"]

Floats = NDArray[np.float64]

_MEASURES = ("median", "mean", "std", "min", "max")


def statistics(values: Floats, names: Sequence[str]) -> dict[str, dict[str, float | None]]:
    """Return median, mean, std (population), min and max of each criterion; None when empty.

    Example:
        >>> statistics(np.array([[1.0], [3.0]]), ["kld"])["kld"]["median"]
        2.0
    """
    return {name: _of_column(values[:, j]) for j, name in enumerate(names)}


def _of_column(values: Floats) -> dict[str, float | None]:
    if not len(values):
        return dict.fromkeys(_MEASURES)
    median = float(np.median(copy(values), overwrite_input=True))
    others = (function(values) for function in (np.mean, std, np.min, np.max))
    measures = (median, *map(float, others))
    return dict(zip(_MEASURES, measures, strict=True))


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
