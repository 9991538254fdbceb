"""Frechet distance of two sets of images or features."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from pxgen_plugins.evaluation.moments import Moments, as_rows
from pxgen_plugins.utils.errors import ParameterError, caller, warn

__all__ = ["frechet_distance"]

Floats = NDArray[np.float64]


@caller("frechet_distance")
def frechet_distance(a: Any, b: Any) -> float:
    """Return the squared Frechet distance of two sets, each seen as a Gaussian.

    |m - k|^2 + tr(S + T - 2 (S T)^(1/2)) for means m, k and covariances S, T (Frechet 1957;
    Dowson and Landau 1982; for features of images Heusel et al. 2017). In float64. The last trace
    is the sum of the singular values of S^(1/2) T^(1/2), with roots by ``eigh``: where a covariance
    is singular this keeps 14 digits, the roots of the eigenvalues of S T only 7. Call it by its
    features, as in "Frechet distance (LeNet)": only with Inception's is it the "FID".

    Args:
        a: Rows (n, d), or (n, ...) which is flattened; or their :class:`Moments`. At least one row;
            the covariance of a single row is zero.
        b: Likewise, of the same d; the number of rows may differ.

    Returns:
        A number >= 0. It is 0 for identical sets, whatever n and d; otherwise rounding leaves
        about 1e-12 (tr S + tr T), also between two orders of the same rows.

    Raises:
        ParameterError: When a set is empty, not finite, no array of real numbers, or has another
            number of columns.

    Warns:
        PXGenWarning: When a set has no more rows than columns: its covariance has no inverse, and
            the distance is biased upwards.

    Cost: O(n d^2 + d^3); memory O(d^2) beyond the sets.

    Example:
        >>> a = np.array([[0.0], [2.0], [4.0]])
        >>> frechet_distance(a, a + 3.0)
        9.0
    """
    one, other = (_moments(X, name) for X, name in ((a, "a"), (b, "b")))
    if len(one.mean) != len(other.mean):
        hint = "Use the same features for both sets."
        got = f"{len(one.mean)} and {len(other.mean)} columns"
        raise ParameterError("b", "of as many columns as a", got, hint)
    # tr (S T)^(1/2) = tr (S^(1/2) T S^(1/2))^(1/2), the sum of the singular values of
    # S^(1/2) T^(1/2): two symmetric roots and no eigenvalue of a product that is not symmetric
    s, t = one.covariance, other.covariance
    if np.array_equal(s, t):  # also exact where n <= d, and rounding would be all there is
        return float(np.square(one.mean - other.mean).sum())
    cross = np.linalg.svd(_root(s) @ _root(t), compute_uv=False).sum()
    spread = np.trace(s) + np.trace(t) - 2.0 * cross
    return float(np.square(one.mean - other.mean).sum() + max(spread, 0.0))


def _moments(X: Any, name: str) -> Moments:
    if isinstance(X, Moments):
        moments = X
    else:
        rows = as_rows(X, name)
        moments = Moments(rows.shape[1]).update(rows)
    if not moments.n:
        raise ParameterError(name, "at least one row", "none", "Give some instances.")
    d = len(moments.mean)
    if moments.n <= d:
        warn(
            f"frechet_distance: {name} has {moments.n} rows for {d} columns; the distance is "
            f"biased upwards, use more than {d} rows or fewer features"
        )
    return moments


def _root(covariance: Floats) -> Floats:
    values, vectors = np.linalg.eigh(covariance)
    # the root of a rounding error of size eps would be of size sqrt(eps)
    noise = len(values) * np.finfo(np.float64).eps * values[-1]
    root: Floats = (vectors * np.sqrt(np.where(values > noise, values, 0.0))) @ vectors.T
    return root
