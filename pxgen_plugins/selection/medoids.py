"""k-medoids: representatives with a small sum of distances to all rows."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from pxgen_plugins.selection._blocked_table import Points
from pxgen_plugins.selection._farthest_first import farthest_first
from pxgen_plugins.selection._pam import initial_medoids, partition_around_medoids
from pxgen_plugins.selection.base import Floats, Indices, Selection, count, register, row
from pxgen_plugins.utils.validation import choice, integer

__all__ = ["k_medoids"]

_WHOLE = 3000
_SAMPLE = 2000
_SAMPLES = 5
_JUDGES = 50_000
_CELLS = 1 << 20


@register("k_medoids", order_matters=True)
def k_medoids(
    X: Any, k: int, *, start: int | None = None, seed: int = 0, metric: str = "l1"
) -> Selection:
    """Pick k rows so that the sum of the distances of all rows to their nearest pick is small.

    Partitioning around medoids (Kaufman & Rousseeuw 1987): exchange a pick for another row as long
    as the sum falls, with all k exchanges of a row judged at once (Schubert & Rousseeuw 2019). Up
    to 3,000 rows it works on all of them; above, on five samples, of which the result that is best
    on up to 50,000 rows is taken (CLARA: Kaufman & Rousseeuw 1990). The code of PXGen's authors
    that they call k-center is k-medoids with ``metric="l1"``.

    Args:
        X: Table of shape (n, d), array or tensor.
        k: Number of rows to pick; more than n picks all and warns.
        start: By default the first picks are drawn with chances that grow with the distance from
            those before; a row index places them by farthest-first traversal from that row.
        seed: Seed of draws and samples.
        metric: ``"l1"`` (sum of absolute differences) or ``"l2"`` (Euclidean).

    Returns:
        ``indices`` by falling cluster size; ``assignment`` to the nearest pick, of equal ones the
        first; ``objective`` is the sum of the distances, in the units of ``X``.

    Raises:
        ParameterError: On NaN or infinity in ``X``, k < 1, a start outside [0, n), or a metric
            that does not exist.

    Cost: about O(m^2 k) operations and m^2 values for m = min(n, 3000) or a sample of
    max(2000, 5 k) rows, and O(n k d) operations; never a table of n by n.

    Example:
        >>> k_medoids([0.0, 1.0, 2.0, 10.0, 11.0, 30.0], 2)
        Selection(k=2, objective=20, indices=[2, 5])
    """
    points = Points(X)
    k = count(k, points.n)
    metric = choice(metric, "metric", ("l1", "l2"))
    first = row(start, points.n)
    rng = np.random.default_rng(integer(seed, "seed", minimum=0))
    power = 1.0 if metric == "l1" else 2.0
    initial = None
    if first is not None:
        initial = farthest_first(points, k, first).indices
    if points.n <= _WHOLE:
        picks = _search(points, np.arange(points.n), k, initial, power, rng)
    else:
        picks = _search_samples(points, k, initial, power, rng)
    if len(picks) < k:
        picks = farthest_first(points, k, picks.tolist()).indices
    assignment, total = _assign(points, np.arange(points.n), picks, power)
    order = np.lexsort((picks, -np.bincount(assignment, minlength=k)))
    back = np.empty(k, dtype=np.int64)
    back[order] = np.arange(k)
    return Selection(picks[order], total * points.scale, back[assignment])


def _search_samples(
    points: Points, k: int, initial: Indices | None, power: float, rng: np.random.Generator
) -> Indices:
    size = min(points.n, max(_SAMPLE, 5 * k))
    judges = np.arange(points.n)
    if points.n > _JUDGES:
        judges = np.sort(rng.choice(points.n, _JUDGES, replace=False))
    best, least = np.empty(0, dtype=np.int64), np.inf
    for _ in range(_SAMPLES):
        rows = np.sort(rng.choice(points.n, size, replace=False))
        if initial is not None:
            rows = np.union1d(rows, initial)
        picks = _search(points, rows, k, initial, power, rng)
        _, total = _assign(points, judges, picks, power)
        if total < least:
            best, least = picks, total
    return best


def _search(
    points: Points,
    rows: Indices,
    k: int,
    initial: Indices | None,
    power: float,
    rng: np.random.Generator,
) -> Indices:
    """Return at most k medoids out of some rows; fewer when these hold fewer different ones."""
    values, places, counts = np.unique(
        points.rows(rows), axis=0, return_index=True, return_counts=True
    )
    order = np.argsort(places, kind="stable")
    distinct, weights = rows[places[order]], counts[order].astype(np.float64)
    table = _distances(values[order], values[order], power)
    first = initial_medoids(table, weights, k, rng)
    if initial is not None:
        # A repeat may have been placed for want of other rows; its first row stands for it.
        positions = np.flatnonzero(np.isin(distinct, initial))
        if len(positions) == len(first):
            first = positions
    medoids: Indices = distinct[partition_around_medoids(table, weights, first)]
    return medoids


def _assign(points: Points, rows: Indices, picks: Indices, power: float) -> tuple[Indices, float]:
    centres = points.rows(picks)
    assignment = np.empty(len(rows), dtype=np.int64)
    total = 0.0
    step = max(1, _CELLS // (len(picks) + points.d))
    for first in range(0, len(rows), step):
        table = _distances(points.rows(rows[first : first + step]), centres, power)
        owner = table.argmin(axis=1)
        assignment[first : first + step] = owner
        total += float(np.take_along_axis(table, owner[:, None], axis=1).sum())
    return assignment, total


def _distances(one: Floats, other: Floats, power: float) -> Floats:
    result = torch.cdist(
        torch.from_numpy(np.ascontiguousarray(one)),
        torch.from_numpy(np.ascontiguousarray(other)),
        p=power,
        compute_mode="donot_use_mm_for_euclid_dist",
    )
    return result.numpy()
