"""Anchors that are in the reference data, by their values."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pxgen_plugins.utils.large_arrays import blocks

__all__ = ["count_shared"]

Floats = NDArray[np.float64]

_SAME = 1e-6  # relative difference that batches of another size may make in single precision
_REPEATS = 0.01  # share of rows like their neighbour from which values name no instance


def count_shared(values: Floats, reference: Floats) -> int:
    """Count the anchors whose values are those of an instance of the reference data.

    Two instances seldom have the same values of two criteria, to six digits; where the criteria
    take few values, or there is only one, nothing can be said, and 0 is returned.

    Args:
        values: Of n anchors, (n, m).
        reference: Of s instances, (s, m).

    Cost: O((n + s) log s) time for m criteria.

    Example:
        >>> reference = np.array([[1.0, 2.0], [3.0, 1.5], [2.0, 7.0]])
        >>> count_shared(np.array([[3.0, 1.5], [3.0, 1.6], [9.0, 9.0]]), reference)
        1
    """
    known = reference[np.isfinite(reference).all(axis=1)]
    if not len(values) or len(known) < 2 or values.shape[1] < 2:
        return 0
    known = known[np.argsort(known[:, 0], kind="stable")]
    if _alike(known[1:], known[:-1]).mean() > _REPEATS:
        return 0
    count = 0
    for rows in blocks(len(values)):
        some = values[rows][np.isfinite(values[rows]).all(axis=1)]
        place = np.searchsorted(known[:, 0], some[:, 0])
        above = known[np.minimum(place, len(known) - 1)]
        below = known[np.maximum(place - 1, 0)]
        count += int((_alike(some, above) | _alike(some, below)).sum())
    return count


def _alike(one: Floats, other: Floats) -> NDArray[np.bool_]:
    limit = _SAME * np.maximum(np.abs(one), np.abs(other))
    alike: NDArray[np.bool_] = (np.abs(one - other) <= limit).all(axis=1)
    return alike
