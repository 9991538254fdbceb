"""Kernels between rows, in blocks whose size does not grow with the number of rows."""

from __future__ import annotations

import numpy as np

from pxgen_plugins.adapters._anchors import Floats

__all__ = ["distances", "gaussian", "kernel_mean", "pair_scale"]

_BLOCK = 2**21  # elements of a block of the kernel matrix: 16 MiB, small against any data set
_PAIRS = 1_000  # rows whose pairwise distances stand for those of all


def distances(one: Floats, other: Floats) -> Floats:
    """Return squared Euclidean distances (a, b) between rows; exact zeros stay near zero.

    The data are taken relative to the mean of ``other``, because |x|^2 - 2 x y + |y|^2 loses all
    digits where the mean is large against the spread.
    """
    centre = other.mean(axis=0) if len(other) else 0.0
    left, right = one - centre, other - centre
    squares = (left**2).sum(1)[:, None] + (right**2).sum(1)[None] - 2.0 * left @ right.T
    positive: Floats = np.maximum(squares, 0.0, out=squares)
    return positive


def gaussian(one: Floats, other: Floats, sigma: float) -> Floats:
    """Return exp(-|x - y|^2 / (2 sigma^2)) between rows, (a, b)."""
    squares = distances(one, other)
    squares /= -2.0 * sigma**2
    kernel: Floats = np.exp(squares, out=squares)
    return kernel


def kernel_mean(rows: Floats, candidates: Floats, sigma: float | None) -> Floats:
    """Return the mean over ``rows`` of the kernel with each candidate, (c,).

    Args:
        rows: Array (n, d), n >= 1.
        candidates: Array (c, d).
        sigma: Width of the Gaussian kernel; None takes the linear one.

    Cost: O(n c d) for the Gaussian, O((n + c) d) for the linear kernel; memory O((n + c) d).
    """
    if sigma is None:
        linear: Floats = candidates @ rows.mean(axis=0)
        return linear
    total = np.zeros(len(candidates))
    across = min(len(rows), _BLOCK)
    step = max(1, _BLOCK // across)
    for low in range(0, len(candidates), step):
        some = candidates[low : low + step]
        for start in range(0, len(rows), across):
            total[low : low + step] += gaussian(some, rows[start : start + across], sigma).sum(1)
    return total / len(rows)


def pair_scale(rows: Floats, seed: int, quantile: float = 0.5) -> float:
    """Return a quantile of the pairwise distances of at most 1,000 rows drawn with ``seed``.

    Pairs of equal rows are left out; 1.0 when all rows are equal. The median is the usual width of
    a Gaussian kernel (Gretton et al. 2012).

    Example:
        >>> pair_scale(np.array([[0.0], [1.0], [3.0]]), seed=0)
        2.0
    """
    if len(rows) > _PAIRS:
        chosen = np.random.default_rng(seed).choice(len(rows), _PAIRS, replace=False)
        rows = rows[np.sort(chosen)]
    upper = np.sqrt(distances(rows, rows))[np.triu_indices(len(rows), 1)]
    apart = upper[upper > 1e-7 * upper.max(initial=0.0)]  # below lies the rounding of equal rows
    return float(np.quantile(apart, quantile)) if len(apart) else 1.0
