"""The greedy step and the weights of ProtoDash, for any kernel given by its columns."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pxgen_plugins.adapters._anchors import Floats

__all__ = ["Prototypes", "select"]

_SINGULAR = 1e-12  # smallest share of its norm by which a pick must leave the span of the others


@dataclass(frozen=True)
class Prototypes:
    """Prototypes in the order of picking.

    Attributes:
        indices: int64 (k,), into the candidates.
        weights: float64 (k,), the final weights.
        objective: float64 (k,), value after each pick.
    """

    indices: NDArray[np.int64]
    weights: Floats
    objective: Floats


def select(mean: Floats, norms: Floats, column: Callable[[int], Floats], k: int) -> Prototypes:
    """Pick ``k`` candidates greedily, with weights (Gurumoorthy et al. 2019, algorithm 1).

    The first is the one whose own best weight gains most, u^2 / (2 K_ii); each further one has the
    steepest gradient u_i - sum_j K_ij w_j. Ties go to the lower index. A pick that cannot gain has
    weight 0.

    Args:
        mean: Mean kernel u of each candidate with what is explained, (c,).
        norms: Kernel of each candidate with itself, (c,).
        column: Returns the kernel of all candidates with the i-th, (c,).
        k: Number of picks; at most c are made.

    Cost: k columns, O(c k) per pick and one non-negative least squares of size <= k per pick;
    memory O(c k).

    Example:
        >>> kernel = np.eye(3)
        >>> prototypes = select(np.array([0.2, 0.7, 0.1]), np.ones(3), lambda i: kernel[:, i], 2)
        >>> prototypes.indices.tolist(), prototypes.weights.tolist()
        ([1, 0], [0.7, 0.2])
    """
    k = min(k, len(mean))
    columns = np.empty((k, len(mean)))
    factor = np.zeros((k, k))  # lower Cholesky factor of the kernel between the picks
    weights, objective = np.empty(0), np.empty(k)
    indices = np.empty(k, dtype=np.int64)
    free = np.ones(len(mean), dtype=bool)
    with np.errstate(divide="ignore", invalid="ignore"):
        gain = np.where(norms > 0, np.maximum(mean, 0.0) ** 2 / (2.0 * norms), 0.0)
    for size in range(k):
        best = int(np.argmax(np.where(free, gain, -np.inf)))
        free[best], indices[size] = False, best
        columns[size] = column(best)
        _extend(factor, columns, indices, size, float(norms[best]))
        done = slice(0, size + 1)
        weights = _weights(factor[done, done], mean[indices[done]])
        fit = factor[done, done].T @ weights
        objective[size] = weights @ mean[indices[done]] - 0.5 * fit @ fit
        gain = mean - weights @ columns[done]
    return Prototypes(indices, weights, objective)


def _extend(
    factor: Floats, columns: Floats, indices: NDArray[np.int64], size: int, norm: float
) -> None:
    """Add the newest pick as row ``size`` of the Cholesky factor."""
    from scipy.linalg import solve_triangular

    if size:
        across = columns[:size, indices[size]]
        factor[size, :size] = solve_triangular(factor[:size, :size], across, lower=True)
    rest = norm - factor[size, :size] @ factor[size, :size]
    # a duplicate of an earlier pick leaves nothing: a tiny pivot keeps the system solvable
    factor[size, size] = max(float(rest), _SINGULAR * max(norm, _SINGULAR)) ** 0.5


def _weights(factor: Floats, mean: Floats) -> Floats:
    """Return the w >= 0 that maximise w' u - w' K w / 2, with K = factor factor'."""
    from scipy.linalg import solve_triangular
    from scipy.optimize import lsq_linear, nnls

    aim = solve_triangular(factor, mean, lower=True)
    try:
        weights: Floats = nnls(factor.T, aim, maxiter=max(300, 30 * len(mean)))[0]
    except RuntimeError:  # it cycles on nearly singular systems
        weights = lsq_linear(factor.T, aim, bounds=(0.0, np.inf)).x
    return weights
