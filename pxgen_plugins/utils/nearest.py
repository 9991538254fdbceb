"""Nearest neighbours of one set in another, exact, in bounded memory."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from pxgen_plugins.utils.neighbours import blocks, squared_distances

__all__ = ["len_of", "nearest", "nearest_few", "shares_in_common"]

Floats = NDArray[np.float64]
Indices = NDArray[np.int64]
_ROWS = 2**14  # rows that are compared with a block at a time
_FEW = 4  # candidates whose distance is computed again, from differences


def nearest(rows: Any, others: Any, itself: Indices | None = None) -> tuple[Floats, Indices]:
    """Return the distance of each row to the nearest of ``others``, and which that is.

    Euclidean, for arrays; of sparse 0/1 matrices, which stand for sets, that of Jaccard (1912): 1
    less the share of the union that both have.

    Args:
        rows: Array or sparse matrix (n, d); a memory map is read part by part.
        others: Likewise, (m, d).
        itself: Position in ``others`` that is no neighbour of each row, -1 where there is none,
            int64 (n,).

    Returns:
        Distances (n,), infinite where nothing is left, and positions in ``others``, (n,).

    Cost: O(n m d); memory two blocks of distances.

    Example:
        >>> distance, index = nearest(np.eye(2), np.array([[1.0, 0.0], [0.0, 4.0]]))
        >>> distance.tolist(), index.tolist()
        ([0.0, 1.41421...], [0, 0])
    """
    distance, index = nearest_few(rows, others, 1, itself)
    return distance[:, 0], index[:, 0]


def nearest_few(
    rows: Any, others: Any, k: int, itself: Indices | None = None
) -> tuple[Floats, Indices]:
    """Return distances and positions of the ``k`` nearest of ``others``, the nearest first.

    As :func:`nearest`, (n, k) each; a distance is infinite where fewer are left.

    Example:
        >>> nearest_few(np.zeros((1, 1)), np.array([[3.0], [1.0], [2.0]]), 2)[1].tolist()
        [[1, 2]]
    """
    n = len_of(rows)
    distance, index = np.full((n, k), np.inf), np.zeros((n, k), dtype=np.int64)
    dense = isinstance(rows, np.ndarray)
    pairs = _euclidean if dense else _jaccard
    for start in range(0, len_of(others), _ROWS):
        part = others[start : start + _ROWS]
        part = np.asarray(part, dtype=np.float64) if dense else part  # read and converted once
        for some in blocks(n, len_of(part)):
            skip = None if itself is None else itself[some] - start
            found, place = pairs(rows[some], part, skip, k, distance[some, -1])
            both = np.concatenate([distance[some], found], axis=1)
            places = np.concatenate([index[some], place + start], axis=1)
            order = np.argsort(both, axis=1, kind="stable")[:, :k]  # of equal ones the first
            distance[some] = np.take_along_axis(both, order, axis=1)
            index[some] = np.take_along_axis(places, order, axis=1)
    return distance, index


def len_of(rows: Any) -> int:
    """Return the number of rows of an array or a sparse matrix."""
    return int(rows.shape[0])


def _euclidean(
    rows: Any, others: Any, skip: Indices | None, k: int, known: Floats
) -> tuple[Floats, Indices]:
    """Return the nearest of a block; infinite where none can be nearer than is known already."""
    x = torch.from_numpy(np.asarray(rows, dtype=np.float64))
    y = torch.from_numpy(np.asarray(others, dtype=np.float64))
    squares, slack = squared_distances(x, y, y.mean(0))
    _leave_out(squares.numpy(), skip)
    distance = np.full((len(x), k), np.inf)
    index = np.zeros((len(x), k), dtype=np.int64)
    least = (squares.amin(1) - slack.amax(1)).numpy()
    near = np.flatnonzero(least <= known**2)
    # a product is off by rounding; the few that are least are measured by their differences
    few = squares[near].topk(min(_FEW + k - 1, len(y)), largest=False)
    exact = torch.linalg.vector_norm(x[near][:, None] - y[few.indices], dim=2)
    exact = exact.where(few.values.isfinite(), torch.inf)
    best = exact.topk(min(k, exact.shape[1]), largest=False)
    width = best.indices.shape[1]
    distance[near, :width] = best.values.numpy()
    index[near, :width] = few.indices.gather(1, best.indices).numpy()
    return distance, index


def _jaccard(
    rows: Any, others: Any, skip: Indices | None, k: int, known: Floats
) -> tuple[Floats, Indices]:
    distance = 1.0 - shares_in_common(rows, others)
    _leave_out(distance, skip)
    index = np.argsort(distance, axis=1, kind="stable")[:, :k].astype(np.int64)
    return np.take_along_axis(distance, index, axis=1), index


def shares_in_common(rows: Any, others: Any) -> Floats:
    """Return which share of its union each pair of sets has in common, (n, m), as Jaccard (1912).

    Args:
        rows: Sparse 0/1 matrix (n, d), a set a row.
        others: Likewise, (m, d).
    """
    both = np.asarray((rows @ others.T).todense(), dtype=np.float64)
    union = np.asarray(rows.sum(1)).reshape(-1, 1) + np.asarray(others.sum(1)).reshape(1, -1) - both
    return np.divide(both, union, out=np.ones_like(both), where=union > 0)


def _leave_out(distance: Floats, skip: Indices | None) -> None:
    if skip is not None:
        there = np.flatnonzero((skip >= 0) & (skip < distance.shape[1]))
        distance[there, skip[there]] = np.inf
