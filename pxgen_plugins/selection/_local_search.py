"""Local search: exchange one representative for another row while the objective improves."""

from __future__ import annotations

import numpy as np
import torch

from pxgen_plugins.selection._blocked_table import Points
from pxgen_plugins.selection._farthest_first import cover
from pxgen_plugins.selection.base import Floats, Indices

__all__ = ["distances", "gaps", "swap_centres", "swap_spread"]

_JUDGES = 4096
_ROUNDS = 4
_CELLS = 1 << 20


def distances(one: Floats, other: Floats) -> Floats:
    """Return Euclidean distances by differences, shape (len(one), len(other))."""
    result = torch.cdist(
        torch.from_numpy(np.ascontiguousarray(one)),
        torch.from_numpy(np.ascontiguousarray(other)),
        compute_mode="donot_use_mm_for_euclid_dist",
    )
    return result.numpy()


def swap_centres(
    points: Points, picks: Indices, radius: float, beyond: Indices, seed: int
) -> tuple[Indices, float, Indices]:
    """Exchange centres while the radius falls.

    The search runs over *judges*: up to 4,096 sampled rows and the rows farthest from the picks.
    Its result is then measured on all rows; the rows that it leaves far away become judges, and
    the search goes on, in at most four rounds.

    Args:
        points: The table.
        picks: The centres to start from.
        radius: Their radius, without the rows in ``beyond``.
        beyond: Rows that need not be covered.
        seed: Seed of the sample.

    Returns:
        The best centres found (``picks`` itself when none is better), their radius over all rows
        but the ``len(beyond)`` farthest, and these farthest.
    """
    best = (picks, radius, beyond)
    if len(picks) == points.n:
        return best
    rng = np.random.default_rng(seed)
    judges = np.arange(points.n)
    if points.n > _JUDGES:
        judges = rng.choice(points.n, _JUDGES, replace=False)
    far = cover(points, picks, skip=len(beyond)).far
    now = picks
    for _ in range(_ROUNDS):
        some = far if len(far) <= _JUDGES else rng.choice(far, _JUDGES, replace=False)
        judges = np.setdiff1d(np.concatenate([judges[:_JUDGES], now, some]), beyond)
        now, sample_radius = _exchange(points, judges, now, rng)
        coverage = cover(points, now, skip=len(beyond))
        if coverage.radius < best[1]:
            best = (now, coverage.radius, coverage.beyond)
        if coverage.radius <= sample_radius * (1 + 1e-9) or len(judges) == points.n:
            break
        far = coverage.far
    return best


def _exchange(
    points: Points, judges: Indices, picks: Indices, rng: np.random.Generator
) -> tuple[Indices, float]:
    """Return centres out of the judges, and their radius over the judges."""
    values = points.rows(judges)
    picks = picks.copy()
    table = distances(points.rows(picks), values)
    limit = max(1, _CELLS // len(judges))
    for _ in range(4 * len(picks)):
        owner = table.argmin(axis=0)
        first = table.min(axis=0)
        worst = int(first.argmax())
        if first[worst] == 0:
            break
        rest = table.copy()
        rest[owner, np.arange(len(judges))] = np.inf
        second = rest.min(axis=0)
        # Only a row that covers the worst one can bring the radius down.
        near = np.flatnonzero(distances(values[worst : worst + 1], values)[0] < first[worst])
        if len(near) > limit:
            near = np.sort(rng.choice(near, limit, replace=False))
        new = distances(values[near], values)
        radius, row, out = _best_exchange(new, owner, first, second)
        if radius >= first[worst]:
            break
        picks[out] = judges[near[row]]
        table[out] = new[row]
    return picks, float(table.min(axis=0).max()) * points.scale


def _best_exchange(
    new: Floats, owner: Indices, first: Floats, second: Floats
) -> tuple[float, int, int]:
    """Return the least radius of one exchange, the row of ``new`` that comes and who goes."""
    order = np.argsort(owner, kind="stable")
    owners, starts = np.unique(owner[order], return_index=True)
    # Radius of each old cluster with the new row, while its centre stays and when it leaves.
    with_centre = np.maximum.reduceat(np.minimum(new, first)[:, order], starts, axis=1)
    without = np.maximum.reduceat(np.minimum(new, second)[:, order], starts, axis=1)
    # The radius without centre j: its own rows fall back to the second, all others stay.
    if len(owners) == 1:
        others = np.zeros_like(with_centre)
    else:
        top = np.partition(with_centre, -2, axis=1)
        others = np.where(with_centre == top[:, -1:], top[:, -2:-1], top[:, -1:])
        tied = (with_centre == top[:, -1:]).sum(axis=1) > 1
        others[tied] = top[tied, -1:]
    radii = np.maximum(others, without)
    row, column = np.unravel_index(int(radii.argmin()), radii.shape)
    return float(radii[row, column]), int(row), int(owners[column])


def gaps(rows: Floats) -> Floats:
    """Return the least distance of the rows of each prefix, infinite for the first, shape (k,)."""
    least = np.full(len(rows), np.inf)
    for last in range(1, len(rows)):
        difference = rows[:last] - rows[last]
        least[last] = np.sqrt((difference * difference).sum(axis=1).min())
    return np.minimum.accumulate(least)


def swap_spread(points: Points, picks: Indices, skip: int) -> Indices:
    """Exchange picks while the least distance between two of them grows, at most k times.

    Args:
        points: The table.
        picks: The rows to start from.
        skip: How many of the farthest rows are passed over.

    Returns:
        The picks, of which one end of the closest pair is replaced by the row farthest from the
        others as long as that helps.

    Cost: two coverings of the table, O(n k d), for each exchange.
    """
    picks = picks.copy()
    if len(picks) < 3 or len(picks) == points.n:
        return picks
    for _ in range(len(picks)):
        values = points.rows(picks)
        table = distances(values, values)
        np.fill_diagonal(table, np.inf)
        least = table.min()
        ends = np.unravel_index(int(table.argmin()), table.shape)
        exchanges = []
        for end in map(int, ends):
            others = np.delete(picks, end)
            coverage = cover(points, others, skip=skip)
            rest = np.delete(np.delete(table, end, axis=0), end, axis=1).min()
            exchanges.append((min(coverage.radius / points.scale, rest), end, coverage.row))
        gap, end, row = max(exchanges, key=lambda entry: entry[0])
        if gap <= least * (1 + 1e-12):
            break
        picks[end] = row
    return picks
