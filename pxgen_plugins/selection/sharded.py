"""k-center over shards of a table that does not fit one process."""

from __future__ import annotations

import builtins
from bisect import bisect_right
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from pxgen_plugins.selection._shards import (
    Front,
    Loader,
    Map,
    ShardSource,
    State,
    Table,
    advance,
    fetch,
    nearest_row,
    on_all,
    rows_of,
    survey,
)
from pxgen_plugins.selection.base import Floats, Indices, Selection, count, row
from pxgen_plugins.selection.center import outlier_count, robust_start
from pxgen_plugins.selection.farthest import farthest_first
from pxgen_plugins.selection.nearest import nearest
from pxgen_plugins.selection.points import Points
from pxgen_plugins.validation import integer

__all__ = ["coreset_k_center", "sharded_k_center"]

_CLOSE = 1.01
_HALVINGS = 64


def sharded_k_center(
    shards: Sequence[Callable[[], Any]] | ShardSource,
    k: int,
    *,
    start: int | None = None,
    seed: int = 0,
    candidates: int = 1024,
    map: Map = builtins.map,
) -> Selection:
    """Pick what :func:`k_center` picks, from shards that are each read by whoever works on them.

    Farthest-first traversal (Gonzalez 1985) in few passes instead of k. In a pass each worker
    brings its rows' squared distances up to date with the new picks and returns its farthest rows
    (candidates) and the farthest row outside them. Distances only shrink, so as long as the best
    candidate comes before every such outside row (larger distance, or the same and a lower index)
    it is the farthest row of all; the driver picks it and lowers the candidates alone. When it no
    longer is, the new picks are sent out for the next pass. This is the lazy evaluation of
    Minoux (1978), with one bound for each shard. For the same start, the picks, radii and bound
    are those of :func:`k_center` over all rows in the order of the shards, whatever the number of
    shards, workers or candidates.

    Args:
        shards: Functions without arguments, or an object with ``len()`` and ``load(i)``, that
            return the rows of a shard, (n_i, d), the same at each call; n_i may be 0. With
            processes they are pickled by the executor, so they must be importable and small.
        k: Number of rows to pick; more than n picks all and warns.
        start: The first pick, counted over all shards; by default the row nearest the mean, which
            is that of :func:`k_center` but for rows equally near up to rounding.
        seed: Has no effect; all selectors take it.
        candidates: Number of rows that each worker returns in a pass; more need fewer passes.
        map: ``map`` or that of an executor, called with a function and one or two sequences.
            Results may come in any order.

    Returns:
        ``indices`` count rows over all shards; ``objective``, ``lower_bound``, ``radii`` and
        ``assignment`` are as in :func:`k_center`.

    Raises:
        ParameterError: On NaN or infinity, shards of unequal width or that change, no rows at all,
            k < 1, candidates < 1 or a start outside [0, n).

    Cost: O(n k d) operations; at most k + 2 passes, usually k/10 and fewer, and one row read by
    itself. The driver holds 12 bytes a row (24 in a pass), which travel to the worker and back in
    each pass, and ``candidates`` rows a shard.

    Example:
        >>> import numpy as np
        >>> shards = [lambda: np.array([[0.0], [1.0]]), lambda: np.array([[10.0], [11.0]])]
        >>> sharded_k_center(shards, 2, start=0)
        Selection(k=2, objective=1, indices=[0, 3])
    """
    where = "sharded_k_center"
    size = integer(candidates, "candidates", where, minimum=1)
    integer(seed, "seed", where, minimum=0)
    table = survey(shards, map, where)
    k = count(k, table.n, where)
    first = row(start, table.n, where)
    picks = [nearest_row(table, map) if first is None else first]
    driver = _Driver(table, map, size)
    driver.values = [_row(table, picks[0], map)]
    squares: list[float] = []
    driver.send()
    while True:
        best = driver.best()
        if best is None:
            driver.send()
            continue
        square, farthest, values = best
        squares.append(square)
        if len(picks) == k or square == 0:
            break
        picks.append(farthest)
        driver.pick(values)
    driver.send()
    squares += [0.0] * (k - len(squares))
    taken = set(picks)
    rest = (index for index in range(table.n) if index not in taken)
    while len(picks) < k:
        picks.append(next(rest))
    radii = np.sqrt(np.asarray(squares)) * table.scale
    return Selection(
        indices=np.asarray(picks, dtype=np.int64),
        objective=float(radii[-1]),
        assignment=driver.assignment(),
        lower_bound=float(radii[-1]) / 2,
        radii=radii,
    )


def _row(table: Table, index: int, map: Map) -> Floats:
    """Return one row of the table, read by a worker."""
    shard = bisect_right(table.offsets, index) - 1
    local = np.asarray([index - table.offsets[shard]])
    reader = partial(fetch, rows=local, scale=table.scale)
    values: Floats = next(iter(map(reader, [table.loaders[shard]])))[0]
    return values


class _Driver:
    """What the driver keeps between passes: picks, candidates, and the state of each shard."""

    def __init__(self, table: Table, map: Map, size: int) -> None:
        self.table = table
        self.map = map
        self.size = size
        self.values: list[Floats] = []
        self.sent = 0
        self.fronts: list[Front] = []

    def send(self) -> None:
        """Make one pass with the picks that the workers do not know; none is needed for none."""
        new = self.values[self.sent :]
        if not new:
            return
        table = self.table
        known: Sequence[Front | None] = self.fronts or [None] * len(table.loaders)
        states = [
            State(loader, None, None) if one is None else State(loader, one.squares, one.owners)
            for loader, one in zip(table.loaders, known, strict=True)
        ]
        step = partial(
            advance,
            picks=np.stack(new),
            first=self.sent,
            mean=table.mean / table.scale,
            scale=table.scale,
            size=self.size,
        )
        self.fronts = on_all(self.map, step, states)
        self.sent = len(self.values)
        self.rows = np.concatenate([one.rows + table.offsets[one.shard] for one in self.fronts])
        self.candidates = np.concatenate([one.values for one in self.fronts])
        self.squares = np.concatenate([one.squares[one.rows] for one in self.fronts])
        outside = [
            (one.outside[0], one.outside[1] + table.offsets[one.shard])
            for one in self.fronts
            if one.outside is not None
        ]
        self.outside = min(outside, default=(np.inf, table.n))

    def best(self) -> tuple[float, int, Floats] | None:
        """Return (square, row, values) of the farthest row, or None when it may be outside."""
        square = float(self.squares.max())
        tied = np.flatnonzero(self.squares == square)
        position = tied[np.argmin(self.rows[tied])]
        farthest = int(self.rows[position])
        if (-square, farthest) >= self.outside:
            return None
        return square, farthest, self.candidates[position]

    def pick(self, values: Floats) -> None:
        """Add a pick and lower the candidates by it."""
        self.values.append(values)
        difference = self.candidates - values
        difference *= difference
        np.minimum(self.squares, difference.sum(axis=1), out=self.squares)

    def assignment(self) -> Indices:
        return np.concatenate([one.owners for one in self.fronts]).astype(np.int64)


class _Core(NamedTuple):
    """The weighted centres of one shard.

    Attributes:
        shard: Its number.
        rows: The centres, rows of the shard, in the order picked.
        values: Their features in units of the scale.
        weights: How many rows are nearest to each.
        reach: Largest distance of a row to its centre, in units of the scale.
        bound: Half the radius of the first k + z centres, in units of the scale.
    """

    shard: int
    rows: Indices
    values: Floats
    weights: Floats
    reach: float
    bound: float


def coreset_k_center(
    shards: Sequence[Callable[[], Any]] | ShardSource,
    k: int,
    outliers: int,
    *,
    size: int | None = None,
    map: Map = builtins.map,
) -> Selection:
    """Pick k rows that cover all but z rows, with a guarantee, from a weighted core-set of shards.

    Two rounds (Malkomes, Kusner, Chen, Weinberger & Moseley 2015). Each worker picks ``size``
    rows farthest first and weighs each by the number of rows nearest to it; no row is farther than
    a reach e from its centre. The driver then solves the weighted problem greedily, after Charikar,
    Khuller, Mount & Narasimhan (2001) with the discs of Ceccarello, Pietracaprina & Pucci (2019):
    k times the disc of radius r + 2 e that holds the most uncovered weight, and out to 3 r + 4 e
    all is covered. It searches for the least r, to 1%, that leaves at most z uncovered. A last pass
    assigns all rows.

    With R the least radius of any k rows that cover all but z, every r >= R succeeds, so the
    radius is at most 3.03 R + 5 e. Each shard's first k + z centres have e <= 2 R, since of
    k + z + 1 rows that far apart k + 1 are no outliers: a factor of 13 (Malkomes et al.;
    13.03 with the 1%) at ``size`` k + z, and close to 3 as e falls with a larger size (Ceccarello
    et al.).

    Args:
        shards: As in :func:`sharded_k_center`.
        k: Number of rows to pick; more than n picks all and warns.
        outliers: Number z of rows that need not be covered, in all shards together.
        size: Number of rows that each worker returns, at least k + z, which is the default.
        map: As in :func:`sharded_k_center`.

    Returns:
        ``indices`` count rows over all shards; ``objective`` is the distance of the farthest row
        but z to its nearest pick, exact; ``lower_bound``: no k rows that leave z out do better
        (the largest r that failed, or half the radius of a shard's k + z centres); ``outliers``:
        the z rows farthest from the picks, the lowest first of equal ones, sorted.

    Raises:
        ParameterError: As :func:`sharded_k_center`; on z outside [0, n) or size < k + z.

    Cost: O(n d (k + size)) operations for the workers; with m = size times the number of shards,
    the driver takes O(m^2 d) operations once, O(m^2) some twenty times, and 18 m^2 bytes.

    Example:
        >>> import numpy as np
        >>> shards = [lambda: np.array([[0.0], [1.0]]), lambda: np.array([[10.0], [99.0]])]
        >>> coreset_k_center(shards, 2, 1).outliers
        array([3])
    """
    where = "coreset_k_center"
    table = survey(shards, map, where)
    k = count(k, table.n, where)
    skip = outlier_count(outliers, table.n, where)
    least = k + skip
    do = f"Pass at least k + outliers = {least}."
    size = least if size is None else integer(size, "size", where, minimum=least, do=do)
    task = partial(_core, least=least, size=size, scale=table.scale)
    found: list[_Core] = on_all(map, task, table.loaders)
    full = [one for one in found if len(one.rows)]
    values = np.concatenate([one.values for one in full])
    rows = np.concatenate([one.rows + table.offsets[one.shard] for one in full])
    weights = np.concatenate([one.weights for one in full])
    reach, bound = max(one.reach for one in full), max(one.bound for one in full)
    chosen, bound = _solve(values, weights, k, skip, reach, bound)
    driver = _Driver(table, map, skip + 1)
    driver.values = list(values[chosen])
    driver.send()
    order = np.lexsort((driver.rows, -driver.squares))
    return Selection(
        indices=rows[chosen],
        objective=float(np.sqrt(driver.squares[order[skip]])) * table.scale,
        assignment=driver.assignment(),
        lower_bound=bound * table.scale,
        outliers=np.sort(driver.rows[order[:skip]]) if skip else None,
    )


def _core(loader: Loader, least: int, size: int, scale: float) -> _Core:
    X = loader.read()
    if len(X) == 0:
        nothing = np.empty(0)
        return _Core(loader.shard, nothing.astype(np.int64), nothing, nothing, 0.0, 0.0)
    points = Points(X, loader.name)
    picks, radii, _ = farthest_first(points, min(size, points.n), robust_start(points))
    weights = np.bincount(nearest(points, picks), minlength=len(picks)).astype(np.float64)
    # With every row a centre there is nothing left to be far from one.
    bound = float(radii[least - 1]) / 2 if least <= len(radii) else 0.0
    values = rows_of(X, picks, scale)
    return _Core(loader.shard, picks, values, weights, float(radii[-1]) / scale, bound / scale)


def _solve(
    values: Floats, weights: Floats, k: int, skip: int, reach: float, bound: float
) -> tuple[Indices, float]:
    """Return k rows of the core-set and a proved lower bound of the best radius."""
    apart = np.empty((len(values), len(values)))
    for position, one in enumerate(values):
        difference = values - one
        difference *= difference
        apart[position] = np.sqrt(difference.sum(axis=1))
    low, high = bound, float(apart.max())
    best = _discs(apart, weights, k, skip, low, reach)
    if best is not None:
        return best, bound
    best = _discs(apart, weights, k, skip, high, reach)
    assert best is not None, "one disc as wide as the core-set covers it"
    for _ in range(_HALVINGS):
        if high <= _CLOSE * low:
            break
        middle = (low * high) ** 0.5 if low > 0 else high / 2
        found = _discs(apart, weights, k, skip, middle, reach)
        if found is None:
            low = middle
        else:
            best, high = found, middle
    return best, low


def _discs(
    apart: Floats, weights: Floats, k: int, skip: int, radius: float, reach: float
) -> Indices | None:
    """Return k rows whose wide discs leave at most ``skip`` of the weight, or None.

    With discs of radius R about the best k rows, the centres that stand for the rows of one disc
    are at most e + R + e from the centre of its middle, and 2 R + 2 e from each other. So the
    inner disc about that centre holds them all, and the outer disc about any centre covers all of
    those whose disc its inner one meets.
    """
    # Distances are rounded: a disc that is a hair too wide only makes a success likelier.
    inner, outer = (radius + 2 * reach) * (1 + 1e-12), (3 * radius + 4 * reach) * (1 + 1e-12)
    inside = apart <= inner
    held = inside @ weights
    left = weights.copy()
    nearest_pick = np.full(len(weights), np.inf)
    picks: list[int] = []
    for _ in range(k):
        # When all is covered, what is left over goes to the farthest rows.
        pick = int(np.argmax(held if left.any() else nearest_pick))
        picks.append(pick)
        np.minimum(nearest_pick, apart[pick], out=nearest_pick)
        nearest_pick[picks] = -1.0
        covered = np.flatnonzero((apart[pick] <= outer) & (left > 0))
        held -= inside[:, covered] @ left[covered]
        left[covered] = 0.0
    return np.asarray(picks, dtype=np.int64) if left.sum() <= skip else None
