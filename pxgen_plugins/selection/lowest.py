"""The rows with the smallest values."""

from __future__ import annotations

from typing import Any

import numpy as np

from pxgen_plugins.selection.base import Selection, check_finite, count, matrix, register, row
from pxgen_plugins.utils.errors import ParameterError, short_repr
from pxgen_plugins.utils.validation import integer

__all__ = ["top"]


@register("top", space="anchor_value", uses_start=False, uses_seed=False, repeats=True)
def top(X: Any, k: int, *, start: int | None = None, seed: int = 0) -> Selection:
    """Pick the k rows with the smallest values of one column, smallest first.

    With anchor values these are the most representative anchors of HIHE in the sense of PXGen
    (Huang, Weng and Yang 2025): intrinsic plus extrinsic value, lower is better.

    Args:
        X: Values, shape (n,) or (n, 1).
        k: Number of rows to pick; more than n picks all and warns.
        start: Has no effect, like ``seed``: all selectors take both.
        seed: Has no effect.

    Returns:
        ``indices`` by rising value, equal ones by index; ``objective`` is the mean of the picked
        values. Rows are not assigned.

    Raises:
        ParameterError: On more than one column, NaN or infinity, or k < 1.

    Cost: O(n log n).

    Example:
        >>> top([3.0, 1.0, 2.0, 1.0], 3).indices
        array([1, 3, 2])
    """
    values = matrix(X)
    if values.shape[1] != 1:
        hint = "Pass the anchor values, or k_center for several features."
        raise ParameterError("X", "one column", short_repr(values), hint)
    check_finite(values)
    integer(seed, "seed", minimum=0)
    k = count(k, len(values))
    row(start, len(values))
    indices = np.argsort(values[:, 0], kind="stable")[:k].astype(np.int64)
    return Selection(indices, float(values[indices, 0].astype(np.float64).mean()))
