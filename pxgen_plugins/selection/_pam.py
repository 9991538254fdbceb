"""Partitioning around medoids on a table of distances."""

from __future__ import annotations

import numpy as np

from pxgen_plugins.selection.base import Floats, Indices

__all__ = ["initial_medoids", "partition_around_medoids"]

_CELLS = 1 << 20


def initial_medoids(table: Floats, weights: Floats, k: int, rng: np.random.Generator) -> Indices:
    """Draw different medoids, each with a chance that grows with its distance from those before.

    This is the seeding of k-means++ (Arthur & Vassilvitskii 2007) for plain distances.

    Args:
        table: Distances of m different rows, shape (m, m).
        weights: How often each row counts, shape (m,).
        k: Number of medoids.
        rng: Source of the draws.

    Returns:
        min(k, m) positions, sorted, int64.
    """
    picks = [int(rng.choice(len(table), p=weights / weights.sum()))]
    nearest = table[picks[0]].copy()
    while len(picks) < min(k, len(table)):
        chance = nearest * weights
        chance[picks] = 0.0
        picks.append(int(rng.choice(len(table), p=chance / chance.sum())))
        np.minimum(nearest, table[picks[-1]], out=nearest)
    return np.sort(np.asarray(picks, dtype=np.int64))


def partition_around_medoids(table: Floats, weights: Floats, picks: Indices) -> Indices:
    """Exchange medoids while the weighted sum of distances to the nearest one falls.

    For a row i that comes and a medoid j that goes, the sum changes by what all rows gain from i
    plus what the rows of j lose on top (Schubert & Rousseeuw 2019); the second part is one matrix
    product for all j. The best exchange of each slice of rows is made at once.

    Args:
        table: Distances of m rows, shape (m, m).
        weights: How often each row counts, shape (m,).
        picks: Positions of the first medoids.

    Returns:
        Positions of the medoids, int64; no single exchange improves them, unless 20 k + 50
        exchanges did not suffice to get there.
    """
    picks = picks.copy()
    m, k = len(table), len(picks)
    if k == m:
        return picks
    slice_rows = max(1, _CELLS // m)
    budget = 20 * k + 50
    first_row, quiet = 0, 0
    owner, near, next_ = _two_nearest(table, picks)
    while quiet < m and budget:
        new = table[first_row : first_row + slice_rows]
        nearer = np.minimum(new, near)
        gain = (nearer - near) @ weights
        loss = ((np.minimum(new, next_) - nearer) * weights) @ np.eye(k)[owner]
        change = loss + gain[:, None]
        row, out = np.unravel_index(int(change.argmin()), change.shape)
        quiet += len(new)
        if change[row, out] < -1e-12 * float(near @ weights):
            picks[out] = first_row + row
            owner, near, next_ = _two_nearest(table, picks)
            quiet, budget = 0, budget - 1
        first_row = 0 if first_row + slice_rows >= m else first_row + slice_rows
    for j in range(k):  # of members that serve their cluster equally well, the first
        members = np.flatnonzero(owner == j)
        cost = weights[members] @ table[np.ix_(members, members)]
        picks[j] = members[np.argmax(cost <= cost.min() * (1 + 1e-9))]
    return picks


def _two_nearest(table: Floats, picks: Indices) -> tuple[Indices, Floats, Floats]:
    """Return each row's medoid, the distance to it, and that to the second one."""
    part = table[:, picks]
    rows = np.arange(len(table))
    owner = part.argmin(axis=1)
    near = part[rows, owner]
    part[rows, owner] = np.inf
    return owner, near, part.min(axis=1)
