"""The groups of anchors under many thresholds at once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from pxgen_plugins.groups.assignment import GROUPS, codes
from pxgen_plugins.utils.large_arrays import blocks, empty, true_rows

__all__ = ["DrawnCodes"]

Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]
Codes = NDArray[np.int8]

_WORK = 20_000_000  # assignments of anchors to groups; with more open anchors fewer thresholds
_FEWEST = 100  # thresholds, whatever the number of anchors


class DrawnCodes:
    """The groups of n anchors under each of b thresholds.

    An anchor that has the same group under the lowest and the highest thresholds has it under all
    (a group's letters change in one direction only), so only those in between, the open ones, are
    assigned again.

    Args:
        values: Array (n, m) of criterion values.
        draws: Thresholds, (b, m).
        kinds: As for :func:`pxgen_plugins.groups.assign`, like ``rule`` and ``scale``.
        rule: See there.
        scale: See there.

    Attributes:
        closed: Group of each anchor as its place in ``(*GROUPS, INVALID)``, (n,); of the open ones
            under the lowest thresholds.
        open: Indices of the open anchors, (o,).
        drawn: Groups of the open anchors under each of the thresholds, (d, o), where d is b, or
            fewer (at least 100) once d o exceeds 20 million.

    Cost: O(n m + d o m) time, O(n + d o) memory, of which large parts lie in files.
    """

    def __init__(
        self,
        values: Floats,
        draws: Floats,
        kinds: Sequence[str],
        rule: str = "all",
        scale: Floats | None = None,
    ) -> None:
        lowest, highest = draws.min(axis=0), draws.max(axis=0)
        self.closed: Codes = codes(values, lowest, kinds, rule, scale)
        other = codes(values, highest, kinds, rule, scale)
        self.open = true_rows(lambda rows: self.closed[rows] != other[rows], len(values))
        size = len(self.open)
        draws = draws[: max(_FEWEST, _WORK // max(size, 1)), None]
        self.drawn: Codes = empty((len(draws), size), np.int8)
        for rows in self.open_blocks():
            some = values[self.open[rows]]
            self.drawn[:, rows] = codes(some, draws, kinds, rule, scale)

    @classmethod
    def fixed(cls, codes: Codes, n_draws: int = 1) -> DrawnCodes:
        """Return the groups under thresholds that are not drawn: always ``codes``, (n,)."""
        same = cls.__new__(cls)
        same.closed = codes
        same.open = np.empty(0, dtype=np.int64)
        same.drawn = np.empty((n_draws, 0), dtype=np.int8)
        return same

    def counts(self, among: Mask | None = None) -> NDArray[np.int64]:
        """Return how many anchors each group has under each of the thresholds, (d, 5).

        Args:
            among: Count these anchors only, bool (n,); None for all.
        """
        size = len(GROUPS) + 1
        counts = np.zeros((len(self.drawn), size), dtype=np.int64)
        for rows in blocks(len(self.closed)):
            closed = self.closed[rows] if among is None else self.closed[rows][among[rows]]
            counts += np.bincount(closed[closed >= 0], minlength=size)
        for rows in self.open_blocks():
            index, drawn = self.open[rows], self.drawn[:, rows]
            if among is not None:
                inside = among[index]
                index, drawn = index[inside], drawn[:, inside]
            counts -= np.bincount(self.closed[index], minlength=size)
            counts += np.stack([(drawn == k).sum(axis=1) for k in range(size)], axis=1)
        return counts

    def open_blocks(self) -> Iterator[slice]:
        """Yield places in ``open`` in blocks, so that memory for all thresholds is bounded."""
        return blocks(len(self.open), len(self.drawn))

    def at(self, index: NDArray[np.int64]) -> Codes:
        """Return the groups of some anchors under each of the thresholds, (d, len(index)).

        Args:
            index: The anchors; all open ones among them or not.

        Cost: O(k (d + log o)) for k anchors.
        """
        groups = np.repeat(self.closed[None, index], len(self.drawn), axis=0)
        place = np.searchsorted(self.open, index)
        here = np.flatnonzero(place < len(self.open))
        here = here[self.open[place[here]] == index[here]]
        groups[:, here] = self.drawn[:, place[here]]
        return groups
