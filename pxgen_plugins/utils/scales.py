"""Whether values are better shown on a linear or on a logarithmic axis."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["asks_for_logarithm"]

_SPREAD = 10.0
_FEW = 0.01  # share of values that may be 0 or below


def asks_for_logarithm(values: NDArray[np.float64]) -> bool:
    """Return whether finite values, (n,), ask for a logarithmic axis.

    At least 99% of them are above 0, and the 99th percentile is 10 times the 1st and the median
    lies in the lower third between them, or the largest value is 10 times the 99th percentile.
    Shares that lie evenly in [0, 1] ask for a linear one.

    Example:
        >>> asks_for_logarithm(np.linspace(0.0, 1.0, 500)), asks_for_logarithm(10.0 ** np.arange(9))
        (False, True)
    """
    positive = values[values > 0]
    if positive.size <= (1.0 - _FEW) * values.size:
        return False
    low, middle, high = np.quantile(positive, [0.01, 0.5, 0.99])
    wide = high >= _SPREAD * low and 3.0 * (middle - low) <= high - low
    return bool(wide or positive.max() >= _SPREAD * high)
