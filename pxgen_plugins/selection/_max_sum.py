"""The largest sum of pairwise distances: greedy by running sums, then exchanges."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from pxgen_plugins.selection._blocked_table import Points
from pxgen_plugins.selection._local_search import distances
from pxgen_plugins.selection.base import Floats, Indices

__all__ = ["largest_sum"]

_EXACT_VALUES = 1 << 20
_ROWS = 8192
_CLOSE = 256
_CANDIDATES = 1 << 14
_CHUNK = 1024
_GAIN = 1e-12
_WORTH_REPEATS = 1.15


def largest_sum(
    points: Points, k: int, starts: list[int], excluded: Indices
) -> tuple[Indices, float]:
    """Pick k rows with a large sum of pairwise distances.

    Greedy: add the row with the largest sum of distances to the picks. Then, as long as the sum
    grows, make the exchange of one pick that gains most, at most 10 k times; the 16,384 rows with
    the largest sums are tried. A row equal to a pick is passed over while others are left, unless
    repeats make the sum larger by more than 15%: with many repeats at the extremes, sets without
    them can be arbitrarily far from the largest sum.

    Args:
        points: The table.
        k: Number of picks.
        starts: First picks to try; the best result is kept, of equal ones the first.
        excluded: Rows not to pick, while others are left.

    Returns:
        The picks, and the sum of the distances of all their pairs.
    """
    picks, total, any_repeat = _best(points, k, starts, excluded, repeats=False)
    if any_repeat:
        other, other_total, _ = _best(points, k, starts, excluded, repeats=True)
        if other_total > _WORTH_REPEATS * total:
            return other, other_total
    return picks, total


def _best(
    points: Points, k: int, starts: list[int], excluded: Indices, *, repeats: bool
) -> tuple[Indices, float, bool]:
    """Return the best picks of all starts, their sum, and whether any repeat was passed over."""
    best: tuple[Indices, float] | None = None
    any_repeat = False
    for start in dict.fromkeys(starts):
        search = _Sums(points, excluded, repeats)
        search.add(start)
        while len(search.picks) < k:
            search.add(search.choose())
        for _ in range(10 * k):
            if not search.exchange():
                break
        total = search.total() * points.scale
        any_repeat |= int(np.count_nonzero(search.repeats)) > len(search.picks)
        if best is None or total > best[1] * (1 + _GAIN):
            best = (np.asarray(search.picks, dtype=np.int64), total)
    assert best is not None
    return *best, any_repeat


class _Sums:
    """The picks, and for each row the sum of its distances to them."""

    def __init__(self, points: Points, excluded: Indices, free: bool) -> None:
        self.points = points
        self.free = free
        self.picks: list[int] = []
        self.sums = np.zeros(points.n)
        self.excluded = excluded
        # How many picks each row equals: such a row is barred while others are left.
        self.repeats = np.zeros(points.n, dtype=np.int32)
        self.exact = points.n * points.d <= _EXACT_VALUES
        self.values = points.rows(np.arange(points.n)) if self.exact else None

    def total(self) -> float:
        values = self.points.rows(np.asarray(self.picks))
        return float(np.triu(distances(values, values)).sum())

    def add(self, pick: int) -> None:
        column, equal = self._column(pick)
        self.sums += column
        self.repeats[equal] += 1
        self.picks.append(pick)

    def _column(self, pick: int) -> tuple[Floats, Indices]:
        """Return the distances of all rows to one, and the rows that equal it."""
        points = self.points
        if self.values is not None:
            column = distances(self.values[pick : pick + 1], self.values)[0]
            return column, np.flatnonzero(column == 0)
        coefficients = points.coefficients(np.asarray([pick]))[0]
        squares = torch.empty(points.n, dtype=torch.float32)
        for first, block in points.blocks(_ROWS):
            torch.mv(block, coefficients, out=squares[first : first + len(block)])
        squares += points.norms
        close = np.flatnonzero((squares <= 9 * points.gamma * points.norms).numpy())
        equal = close[points.exact(close, np.asarray([pick])) == 0]
        return squares.clamp_(min=0).sqrt_().double().numpy(), equal

    def _candidates(self) -> NDArray[np.bool_]:
        """Return which rows may be picked: new ones, or else repeats, or else excluded ones."""
        for repeats, all_rows in ((self.free, False), (True, False), (True, True)):
            allowed = np.ones(self.points.n, dtype=bool) if repeats else self.repeats == 0
            allowed[self.picks] = False
            if not all_rows:
                allowed[self.excluded] = False
            if allowed.any():
                return allowed
        return allowed

    def choose(self) -> int:
        """Return the row with the largest sum, of equal ones the lowest."""
        allowed = self._candidates()
        sums = np.where(allowed, self.sums, -np.inf)
        if self.exact:
            return int(sums.argmax())
        close = np.flatnonzero(sums >= sums.max() * (1 - 1e-5))
        if len(close) > _CLOSE:
            close = np.sort(close[np.argsort(-sums[close], kind="stable")[:_CLOSE]])
        exact = distances(self.points.rows(close), self.points.rows(np.asarray(self.picks)))
        return int(close[exact.sum(axis=1).argmax()])

    def exchange(self) -> bool:
        """Make the exchange that gains most; return whether there was one."""
        picks = np.asarray(self.picks)
        values = self.points.rows(picks)
        own = distances(values, values).sum(axis=1)
        rows = np.flatnonzero(self._candidates() & (self.sums > own.min() * (1 - 1e-5)))
        rows = rows[np.argsort(-self.sums[rows], kind="stable")[:_CANDIDATES]]
        floor = _GAIN * float(own.sum())
        best, new, old = floor, -1, -1
        for first in range(0, len(rows), _CHUNK):
            part = rows[first : first + _CHUNK]
            if self.sums[part[0]] * (1 + 1e-5) - own.min() <= best:
                break
            table = distances(self.points.rows(part), values)
            gains = table.sum(axis=1, keepdims=True) - table - own
            if not self.free:
                # A repeat may only replace a repeat, or a row would be lost for it.
                lone = self.repeats[picks] == 1
                gains[np.ix_(self.repeats[part] > 0, lone)] = -np.inf
            row, column = np.unravel_index(int(gains.argmax()), gains.shape)
            if gains[row, column] > best:
                best, new, old = float(gains[row, column]), int(part[row]), int(column)
        if new < 0:
            return False
        column_out, equal_out = self._column(self.picks[old])
        self.sums -= column_out
        self.repeats[equal_out] -= 1
        del self.picks[old]
        self.add(new)
        return True
