"""How far a view can be believed: whether neighbours in the plane are neighbours outside it."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from pxgen_plugins.adapters._anchors import Floats

__all__ = ["view_quality"]


def _neighbours(rows: Floats, k: int) -> NDArray[np.int64]:
    """Return the k nearest other rows of each, (n, k), nearest first."""
    from sklearn.neighbors import NearestNeighbors

    index = NearestNeighbors(n_neighbors=k, algorithm="brute").fit(rows)
    neighbours: NDArray[np.int64] = index.kneighbors()[1]
    return neighbours


def view_quality(rows: Floats, coordinates: Floats, k: int, most: int, seed: int) -> dict[str, Any]:
    """Return trustworthiness, continuity and neighbour preservation of a view.

    Trustworthiness (Venna and Kaski 2001) falls with neighbours in the plane that are far apart in
    the features, continuity with neighbours in the features that the plane tears apart; both are 1
    at best. Neighbour preservation is the mean share of the k nearest that are the same in both.

    Args:
        rows: Features, (n, d).
        coordinates: The view, (n, c).
        k: Neighbours; fewer when n is small.
        most: Rows judged; of more, so many are drawn with ``seed``.
        seed: Seed of the draw.

    Returns:
        The keys of :data:`~pxgen_plugins.adapters.latent.view.DEFAULT_DATA_VIEW`; None for fewer
        than 4 rows.

    Cost: O(m^2 d) time and O(m^2) memory, m = min(n, most).
    """
    from sklearn.manifold import trustworthiness

    if len(rows) > most:
        chosen = np.sort(np.random.default_rng(seed).choice(len(rows), most, replace=False))
        rows, coordinates = rows[chosen], coordinates[chosen]
    k = min(k, (len(rows) - 1) // 2)
    if k < 1 or len(rows) < 4:
        return {"n_judged": len(rows)}
    before, after = _neighbours(rows, k), _neighbours(coordinates, k)
    shared = (before[:, :, None] == after[:, None, :]).any(axis=2).mean()
    return {
        "trustworthiness": float(trustworthiness(rows, coordinates, n_neighbors=k)),
        "continuity": float(trustworthiness(coordinates, rows, n_neighbors=k)),
        "neighbour_preservation": float(shared),
        "n_neighbors": k,
        "n_judged": len(rows),
    }
