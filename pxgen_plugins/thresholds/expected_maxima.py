"""The expected maximum of some of many samples, by order statistics."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.special import gammaln

from pxgen_plugins.thresholds.calibration import Floats
from pxgen_plugins.utils.errors import ParameterError, caller, short_repr

__all__ = ["expected_maxima"]


@caller("expected_maxima")
def expected_maxima(values: Floats, sizes: Sequence[int] | NDArray[np.int64]) -> Floats:
    """Return the mean of the maximum over all subsets of k of the N values, for each size k.

    Of all C(N, k) subsets, C(i, k) have their maximum among the i smallest values. The mean is the
    U-statistic of the maximum (Hoeffding 1948): unbiased for the expected maximum of k fresh
    samples, and no firmer than the mean of N / k maxima of disjoint blocks, for k near N no firmer
    than one maximum.

    Args:
        values: N finite values, (N,).
        sizes: Sizes k, 1 to N.

    Returns:
        Array (len(sizes),), in the unit of the values.

    Raises:
        ParameterError: When a size is not in 1 to N.

    Cost: O(N log N + N len(sizes)).

    Example:
        >>> expected_maxima(np.array([0.0, 1.0, 5.0]), [1, 2, 3]).round(12).tolist()
        [2.0, 3.666666666667, 5.0]
    """
    ordered, k = np.sort(values), np.asarray(sizes, dtype=np.int64)
    n = len(ordered)
    if k.size and not (k.min() >= 1 and k.max() <= n):
        hint = "Pool more values, or ask for smaller sizes."
        raise ParameterError("sizes", f"in 1 to {n}, the number of values", short_repr(k), hint)
    expected = np.full(len(k), ordered[-1] if n else np.nan)
    i = np.arange(1, n)
    for place, size in enumerate(k):
        # P(the maximum is at most the i-th value) = C(i, k) / C(N, k), in logarithms
        of_size = i[size - 1 :]
        log = gammaln(of_size + 1) - gammaln(of_size - size + 1)
        log += gammaln(n - size + 1) - gammaln(n + 1)
        expected[place] -= np.exp(log) @ np.diff(ordered)[size - 1 :]
    return expected
