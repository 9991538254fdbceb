"""Whether training and held-out instances differ in kind, which would look like memory."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from pxgen_plugins.evaluation.memorisation.returned import stack
from pxgen_plugins.utils.nearest import len_of, shares_in_common
from pxgen_plugins.utils.seeds import derive

__all__ = ["difference"]

_MOST = 500  # instances of each set
_DRAWS = 499


def difference(training: Any, held_out: Any, seed: int) -> float:
    """Return the p-value that two sets are of one distribution.

    The kernel two-sample test of Gretton et al. (2012) by permutation, with a Gaussian kernel as
    wide as the median distance, or, of sets of text, Jaccard's similarity, on at most 500 of each.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> a, b = rng.normal(size=(2, 200, 3))
        >>> difference(a, b, seed=0) > 0.05, difference(a, b + 1.0, seed=0)
        (True, 0.002)
    """
    rng = np.random.default_rng(derive(seed, "difference"))
    parts = [rows[np.sort(rng.permutation(len_of(rows))[:_MOST])] for rows in (training, held_out)]
    n = len_of(parts[0])
    kernel = _kernel(stack(*parts))
    np.fill_diagonal(kernel, 0.0)
    names = np.zeros(len(kernel))
    names[:n] = 1.0
    observed = _discrepancy(kernel, names)
    shuffled = [_discrepancy(kernel, rng.permutation(names)) for _ in range(_DRAWS)]
    more = int((np.array(shuffled) >= observed - 1e-12).sum())
    return (1 + more) / (_DRAWS + 1)


def _kernel(rows: Any) -> NDArray[np.float64]:
    if not isinstance(rows, np.ndarray):
        return shares_in_common(rows, rows)
    from scipy.spatial.distance import pdist, squareform

    squares = pdist(rows.astype(np.float64), "sqeuclidean")
    width = float(np.median(squares)) or 1.0
    kernel: NDArray[np.float64] = squareform(np.exp(-squares / width))
    return kernel


def _discrepancy(kernel: NDArray[np.float64], names: NDArray[np.float64]) -> float:
    """Return the unbiased squared discrepancy of the two named parts."""
    n, m = names.sum(), len(names) - names.sum()
    toward = kernel @ names
    within = float(names @ toward)
    across = float((1.0 - names) @ toward)
    rest = float(kernel.sum()) - within - 2.0 * across
    return float(within / (n * (n - 1)) + rest / (m * (m - 1)) - 2.0 * across / (n * m))
