"""k-means: the row nearest to each centroid."""

from __future__ import annotations

from typing import Any

import numpy as np

from pxgen_plugins.selection._assignment import nearest
from pxgen_plugins.selection._blocked_table import Points
from pxgen_plugins.selection._farthest_first import farthest_first
from pxgen_plugins.selection.base import Floats, Indices, Selection, count, register, row
from pxgen_plugins.utils.errors import MissingDependencyError
from pxgen_plugins.utils.validation import integer

__all__ = ["k_means"]

_ROWS = 8192


@register("k_means")
def k_means(X: Any, k: int, *, start: int | None = None, seed: int = 0) -> Selection:
    """Pick, for each of k centroids, the nearest row of its cluster.

    The centroids are scikit-learn's ``KMeans``: Lloyd's algorithm (Lloyd 1982) from k-means++
    (Arthur & Vassilvitskii 2007). When it finds fewer than k clusters, because rows repeat, the
    rows farthest from the picks fill up.

    Args:
        X: Table of shape (n, d), array or tensor; read into memory.
        k: Number of rows to pick; more than n picks all and warns.
        start: By default k-means++ places the first centroids; a row index places them by
            farthest-first traversal from that row, without chance.
        seed: Seed of k-means++.

    Returns:
        ``indices`` by falling cluster size; ``assignment`` to the clusters, or, when there are
        fewer than k, to the nearest pick; ``objective`` is the sum of squared distances to the
        centroids (not to the picks), in squared units of ``X``.

    Raises:
        ParameterError: On NaN or infinity in ``X``, k < 1, or a start outside [0, n).
        MissingDependencyError: When scikit-learn does not import.

    Cost: O(n k d) for each of at most 300 iterations; a copy of the table.

    Example:
        >>> k_means([0.0, 1.0, 2.0, 10.0, 11.0], 2).indices
        array([1, 3])
    """
    points = Points(X)
    k = count(k, points.n)
    first = row(start, points.n)
    seed = integer(seed, "seed", minimum=0)
    values = points.rows(np.arange(points.n)) - points.mean / points.scale
    spread = farthest_first(points, k, 0 if first is None else first)
    # scikit-learn warns when k clusters cannot be had, because rows repeat but for rounding.
    clusters = 1 + int(np.count_nonzero(spread.radii[:-1] > 1e-7 * spread.radii[0]))
    initial = "k-means++" if first is None else values[spread.indices[:clusters]]
    labels, centroids, inertia = _cluster(values, clusters, initial, seed)
    indices = _members(values, labels, centroids)
    if len(indices) < k:
        indices = farthest_first(points, k, indices.tolist()).indices
        assignment = nearest(points, indices)
    else:
        position = np.empty(k, dtype=np.int64)
        position[labels[indices]] = np.arange(k)
        assignment = position[labels]
    return Selection(indices, inertia * points.scale**2, assignment)


def _cluster(values: Floats, k: int, initial: Any, seed: int) -> tuple[Indices, Floats, float]:
    try:
        from sklearn.cluster import KMeans
    except Exception as error:
        hint = "Install it: pip install scikit-learn."
        got = f"{type(error).__name__}: {error}"
        raise MissingDependencyError("scikit-learn", "importable", got, hint) from error
    model = KMeans(n_clusters=k, init=initial, n_init=1, random_state=seed % 2**32).fit(values)
    return model.labels_.astype(np.int64), model.cluster_centers_, float(model.inertia_)


def _members(values: Floats, labels: Indices, centroids: Floats) -> Indices:
    """Return for each cluster its row nearest the centroid, largest cluster first."""
    squares = np.empty(len(values))
    for first in range(0, len(values), _ROWS):
        span = slice(first, first + _ROWS)
        difference = values[span] - centroids[labels[span]]
        squares[span] = np.einsum("ij,ij->i", difference, difference)
    least = np.full(len(centroids), np.inf)
    np.minimum.at(least, labels, squares)
    # The centroid of two rows is equally far from both: rounding must not choose between them.
    near = np.flatnonzero(squares <= least[labels] * (1 + 1e-9))
    _, places = np.unique(labels[near], return_index=True)
    rows = near[places]
    sizes = np.bincount(labels, minlength=len(centroids))[labels[rows]]
    members: Indices = rows[np.lexsort((rows, -sizes))].astype(np.int64)
    # Rounding can put equal rows into two clusters.
    _, places = np.unique(values[members], axis=0, return_index=True)
    distinct: Indices = members[np.sort(places)]
    return distinct
