"""Farthest-first traversal: the engine of k_center and of k_dispersion."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from pxgen_plugins.selection._blocked_table import Points
from pxgen_plugins.selection.base import Array, Floats, Indices
from pxgen_plugins.utils.large_arrays import blocks, copy, full, true_rows

__all__ = ["Coverage", "Traversal", "cover", "farthest_first"]

_CHUNK = 32
_FRONT = 4096
_FIELD = 24
_ALL_IN_FRONT = 1 << 17
_EPS = 2.0**-53


class Traversal(NamedTuple):
    """Result of :func:`farthest_first`.

    Attributes:
        indices: Rows in the order picked, (k,) int64.
        radii: Distance of the (skip + 1)-th farthest row to the picks, once for the starts and
            once after each pick that follows; (k,) float64 for one start.
        beyond: The ``skip`` rows farther than the last radius, farthest first, int64.
    """

    indices: Indices
    radii: Floats
    beyond: Indices


class Coverage(NamedTuple):
    """Result of :func:`cover`.

    Attributes:
        radius: Distance of the (skip + 1)-th farthest row to its nearest pick.
        row: That row.
        beyond: The ``skip`` rows that are farther, farthest first, int64.
        far: Some thousand rows among the farthest, sorted, int64.
    """

    radius: float
    row: int
    beyond: Indices
    far: Indices


def cover(points: Points, picks: Indices, *, skip: int = 0) -> Coverage:
    """Return how well ``picks`` cover the table; exact, as in :func:`farthest_first`."""
    search = _Search(points, len(picks), picks.tolist(), skip)
    traversal = search.run()
    far = np.empty(0, dtype=np.int64) if search.front is None else search.front.rows
    return Coverage(float(traversal.radii[-1]), search.row, traversal.beyond, far)


def farthest_first(
    points: Points, k: int, start: int | Sequence[int], *, skip: int = 0
) -> Traversal:
    """Pick rows one by one, each the (skip + 1)-th farthest from those before (Gonzalez 1985).

    The picks are exactly those of the plain loop that keeps every row's float64 squared distance
    to its nearest pick, computed by differences, and takes the largest, the lowest index first.
    They are found without that loop. Distances only shrink as picks are added, so a float32 upper
    bound from an earlier pass stays one. Three nested sets are kept: all rows, the *field* (rows
    whose bound is among the largest few per cent) and the *front* (some thousand rows, in
    float64). As long as the front's best row lies above every bound outside, it is the farthest of
    all; when it does not, the field, and only then all rows, are brought up to date with all
    pending picks in one blocked matrix product. Ties that overflow the front fall back to the
    plain loop.

    Args:
        points: The table, n rows of d features.
        k: Number of picks, at most n.
        start: The first pick, or several.
        skip: How many of the farthest rows are passed over at each step.

    Returns:
        The picks and the radius after each of them. Once no row has a positive distance, the
        lowest rows not picked yet follow.

    Cost: O(n k d) operations at worst, usually in a few passes over the table instead of k; about
    8 bytes a row, in files when large.
    """
    picks = [start] if isinstance(start, int) else list(start)
    return _Search(points, k, picks, skip).run()


class _Search:
    """The state of one traversal: picks, radii, and bounds outside the front."""

    def __init__(self, points: Points, k: int, picks: list[int], skip: int) -> None:
        self.points = points
        self.k = k
        self.skip = skip
        self.picks = picks
        self.row = picks[0]
        self.squares: list[float] = []
        self.bounds = torch.from_numpy(full(points.n, np.inf, np.float32))
        self.applied = 0
        self.field = np.empty(0, dtype=np.int64)
        self.field_applied = 0
        self.outside_field = -np.inf
        self.outside = -np.inf
        self.front: _Front | None = None

    def run(self) -> Traversal:
        n, d = self.points.n, self.points.d
        if n <= _FRONT + self.skip or n * d <= _ALL_IN_FRONT:
            self.front = _Front(self.points, np.arange(n), self.picks)
        while True:
            farthest = self._farthest()
            if farthest is None:
                return _plain(self)
            square, position, beyond = farthest
            self.squares.append(square)
            assert self.front is not None
            self.row = int(self.front.rows[position])
            if len(self.picks) == self.k:
                radii = np.sqrt(np.asarray(self.squares)) * self.points.scale
                return Traversal(np.asarray(self.picks, dtype=np.int64), radii, beyond)
            self.picks.append(self.row)
            self.front.add(self.row)

    def _farthest(self) -> tuple[float, int, Indices] | None:
        """Return (square, position in the front, rows beyond) of the next pick, or None."""
        # The front knows its squares to a float64 rounding error, every row outside has an upper
        # bound. If the front's (skip + 1)-th largest square, rounded down, exceeds all bounds
        # outside, no row outside can be farther: the pick is certain, and `resolve` settles ties
        # inside. If not, the bounds are stale. Each stage lowers more of them and costs more:
        # keep the front, update the field and take a new front from it, update all rows and take
        # a new field, take in every row whose bound reaches the front's best.
        for stage in (self._keep, self._refill, self._refresh, self._widen):
            if not stage() or self.front is None:
                continue
            low, high = self.front.rank(self.skip)
            if low > self.outside:
                square, position, beyond = self.front.resolve(self.skip, low, high)
                return (square, position, beyond) if square > 0 else None
        return None

    def _keep(self) -> bool:
        return True

    def _refill(self) -> bool:
        if len(self.field) == 0 or self.field_applied == len(self.picks):
            return False
        rows = _block_rows(self.points.d)
        lower = _Lowering(self.points, np.asarray(self.picks[self.field_applied :]), rows)
        for first in range(0, len(self.field), rows):
            span = slice(first, first + rows)
            lower(self.field_fast[span], self.field_norms[span], self.field_bounds[span])
        self.field_applied = len(self.picks)
        self._choose_front()
        return True

    def _refresh(self) -> bool:
        points = self.points
        if points.n == (0 if self.front is None else len(self.front.rows)):
            return False
        if self.applied < len(self.picks):
            rows = _block_rows(points.d)
            lower = _Lowering(points, np.asarray(self.picks[self.applied :]), rows)
            for first, block in points.blocks(rows):
                span = slice(first, first + len(block))
                lower(block, points.norms[span], self.bounds[span])
            self.applied = len(self.picks)
        size = max(points.n // _FIELD, 4 * (_FRONT + self.skip))
        self.field, self.outside_field = _largest(self.bounds.numpy(), size)
        self.field_fast = points.gather(self.field)
        index = torch.from_numpy(self.field)
        self.field_norms, self.field_bounds = points.norms[index], self.bounds[index]
        self.field_applied = len(self.picks)
        self._choose_front()
        return True

    def _choose_front(self) -> None:
        size = max(_FRONT, self.points.n // 512 if self.points.d <= 16 else 0) + self.skip
        inside, outside = _largest(self.field_bounds.numpy(), size)
        self.outside = max(outside, self.outside_field)
        self.front = _Front(self.points, self.field[inside], self.picks)

    def _widen(self) -> bool:
        """Put every row into the front whose bound reaches the front's best: a tie at the edge."""
        if self.front is None or len(self.front.rows) == self.points.n:
            return False
        low, _ = self.front.rank(self.skip)
        bounds = self.bounds.numpy()
        inside = true_rows(lambda rows: bounds[rows] >= low, len(bounds))
        if low <= 0 or len(inside) > max(8 * (_FRONT + self.skip), self.points.n // 8):
            return False
        self.outside = _most_below(bounds, low)
        self.front = _Front(self.points, inside, self.picks)
        return True


class _Front:
    """Some rows with float64 squared distances to the picks, and bounds of their rounding."""

    def __init__(self, points: Points, rows: Indices, picks: list[int]) -> None:
        self.points = points
        self.rows = rows
        self.picks = picks
        self.mean = points.mean / points.scale
        self.values = points.rows(rows) - self.mean
        self.norms = np.einsum("ij,ij->i", self.values, self.values)
        self.gamma = (2 * points.d + 16) * _EPS
        self.squares = np.full(len(rows), np.inf)
        self.exact = np.full(len(rows), np.inf)
        self.n_done = np.zeros(len(rows), dtype=np.int64)
        for first in range(0, len(picks), _CHUNK):
            self._apply(np.asarray(picks[first : first + _CHUNK]))

    def _apply(self, picks: Indices) -> None:
        centres = self.points.rows(picks) - self.mean
        lengths = np.einsum("ij,ij->i", centres, centres)
        step = max(1, (1 << 16) // len(picks))
        for first in range(0, len(self.rows), step):
            span = slice(first, first + step)
            product = (-2.0 * centres) @ self.values[span].T
            product += lengths[:, None]
            best = product.min(axis=0) + self.norms[span]
            np.minimum(self.squares[span], best, out=self.squares[span])

    def add(self, pick: int) -> None:
        self._apply(np.asarray([pick]))

    def _interval(self) -> tuple[Floats, Floats]:
        """Return lower and upper bounds of the exact squares."""
        error = self.gamma * (8 * self.norms + 2 * np.abs(self.squares))
        return self.squares - error, self.squares + error

    def rank(self, skip: int) -> tuple[float, float]:
        """Return bounds of the (skip + 1)-th largest square."""
        lower, upper = self._interval()
        return _rank(lower, skip), _rank(upper, skip)

    def resolve(self, skip: int, low: float, high: float) -> tuple[float, int, Indices]:
        """Return the exact (skip + 1)-th largest square, its position, and the rows above it."""
        lower, upper = self._interval()
        above = np.flatnonzero(lower > high)
        open_ = np.flatnonzero((upper >= low) & (lower <= high))
        exact = self._settle(open_)
        order = np.lexsort((self.rows[open_], -exact))
        place = skip - len(above)
        beyond = np.concatenate([above, open_[order[:place]]])
        return float(exact[order[place]]), int(open_[order[place]]), self.rows[beyond]

    def _settle(self, positions: Indices) -> Floats:
        """Return exact squares of some rows; what was computed for a row before is not repeated."""
        done = self.n_done[positions]
        for start in np.unique(done):
            part = positions[done == start]
            if start < len(self.picks):
                new = self.points.exact(self.rows[part], np.asarray(self.picks[start:]))
                self.exact[part] = np.minimum(self.exact[part], new)
        self.n_done[positions] = len(self.picks)
        return self.exact[positions]


def _plain(search: _Search) -> Traversal:
    """Finish with the plain loop, in float64 over all rows: for ties and for repeated rows."""
    points, picks, squares = search.points, search.picks, search.squares
    step = max(1, (1 << 18) // points.d)
    spans = [np.arange(a, min(a + step, points.n)) for a in range(0, points.n, step)]
    distances = np.concatenate([points.exact(span, np.asarray(picks)) for span in spans])
    is_pick = np.zeros(points.n, dtype=bool)
    is_pick[picks] = True
    while True:
        threshold = _rank(distances, search.skip)
        # Rows that are left at zero are repeats; before one is picked twice, a skipped row is.
        rank = min(search.skip, max(int(np.count_nonzero(distances > 0)) - 1, 0))
        edge = _rank(distances, rank)
        above = np.flatnonzero(distances > edge)
        tied = np.flatnonzero(distances == edge)
        pick = int(tied[rank - len(above)]) if edge > 0 else int(np.argmin(is_pick))
        squares.append(threshold)
        search.row = pick
        if len(picks) == search.k:
            above = np.flatnonzero(distances > threshold)
            tied = np.flatnonzero(distances == threshold)
            beyond = np.concatenate([above, tied[: search.skip - len(above)]])
            radii = np.sqrt(np.asarray(squares)) * points.scale
            return Traversal(np.asarray(picks, dtype=np.int64), radii, beyond.astype(np.int64))
        picks.append(pick)
        is_pick[pick] = True
        for span in spans if edge > 0 else ():
            new = points.exact(span, np.asarray([pick]))
            distances[span] = np.minimum(distances[span], new)


class _Lowering:
    """Lowers bounds of squared distances to what some new picks allow, block by block."""

    def __init__(self, points: Points, picks: Indices, rows: int) -> None:
        self.points = points
        whole = points.coefficients(picks)
        self.coefficients = [whole[a : a + _CHUNK] for a in range(0, len(whole), _CHUNK)]
        # Fresh megabytes for each block would cost more in page faults than the product itself.
        self.buffer = torch.empty(min(_CHUNK, len(picks)) * rows, dtype=torch.float32)

    def __call__(self, block: Tensor, norms: Tensor, bounds: Tensor) -> None:
        """Lower ``bounds`` in place, given the block's fast rows and their norms."""
        for part in self.coefficients:
            products = self.buffer[: len(part) * len(block)].view(len(part), len(block))
            torch.mm(part, block.t(), out=products)
            squares = torch.amin(products, 0).add_(norms)
            self.points.raise_by_error(squares, norms)
            torch.minimum(bounds, squares, out=bounds)


def _block_rows(d: int) -> int:
    """Return how many rows keep a block and its products inside the second-level cache."""
    return max(512, min(16384, (1 << 18) // (d + 1)))


def _rank(values: Floats, rank: int) -> float:
    """Return the (rank + 1)-th largest value."""
    if rank == 0:
        return float(values.max())
    return float(np.partition(values, len(values) - 1 - rank)[len(values) - 1 - rank])


def _largest(values: Array, size: int) -> tuple[Indices, float]:
    """Return sorted positions of about ``size`` largest values, and the largest value outside."""
    if size >= len(values):
        return np.arange(len(values)), -np.inf
    # A sample places the edge well enough, at a tenth of the time of an exact one.
    sample = values[:: max(1, min(16, size // 256))]
    place = max(0, len(sample) - 1 - size * len(sample) // len(values))
    edge = np.partition(sample, place)[place]
    n = len(values)
    inside = true_rows(lambda rows: values[rows] >= edge, n)
    if size // 2 <= len(inside) <= 2 * size:
        return inside, _most_below(values, edge)
    ordered = copy(values)
    ordered.partition(n - size)
    edge = ordered[n - size]
    inside = true_rows(lambda rows: values[rows] >= edge, n)
    if len(inside) <= 2 * size:
        return inside, _most_below(values, edge)
    # Ties at the edge would swell the set; the widest stage deals with them.
    inside = true_rows(lambda rows: values[rows] > edge, n)
    ties = true_rows(lambda rows: values[rows] == edge, n)[: size - len(inside)]
    return np.sort(np.concatenate([inside, ties])), float(edge)


def _most_below(values: Array, edge: float) -> float:
    """Return the largest value below an edge, minus infinity where there is none."""
    parts = (values[rows] for rows in blocks(len(values)))
    return max(float(part[part < edge].max(initial=-np.inf)) for part in parts)
