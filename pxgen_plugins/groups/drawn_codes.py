"""The groups of anchors under many thresholds at once."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from pxgen_plugins.groups.assignment import GROUPS, codes

__all__ = ["DrawnCodes"]

Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]
Codes = NDArray[np.int8]

_WORK = 20_000_000  # assignments of anchors to groups; with more open anchors fewer thresholds
_FEWEST = 100  # thresholds, whatever the number of anchors
_BLOCK = 4_000_000  # assignments at a time, which bounds the memory


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

    Cost: O(n m + d o m) time, O(n + d o) memory.
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
        changes = self.closed != codes(values, highest, kinds, rule, scale)
        self.open: NDArray[np.int64] = np.flatnonzero(changes)
        size = len(self.open)
        draws = draws[: max(_FEWEST, _WORK // max(size, 1))]
        self.drawn: Codes = np.empty((len(draws), size), dtype=np.int8)
        step = max(1, _BLOCK // max(size, 1))
        for start in range(0, len(draws), step):
            block = draws[start : start + step, None]
            self.drawn[start : start + step] = codes(values[self.open], block, kinds, rule, scale)

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
        closed, drawn = self.closed.copy(), self.drawn
        closed[self.open] = -1
        if among is not None:
            closed, drawn = closed[among], drawn[:, among[self.open]]
        size = len(GROUPS) + 1
        fixed = np.bincount(closed[closed >= 0], minlength=size)
        counts: NDArray[np.int64] = fixed + np.stack(
            [(drawn == k).sum(axis=1) for k in range(size)], axis=1
        )
        return counts

    def at(self, index: NDArray[np.int64]) -> Codes:
        """Return the groups of some anchors under each of the thresholds, (d, len(index)).

        Args:
            index: The anchors, rising; all open ones among them or not.
        """
        groups = np.repeat(self.closed[None, index], len(self.drawn), axis=0)
        _, here, there = np.intersect1d(index, self.open, return_indices=True)
        groups[:, here] = self.drawn[:, there]
        return groups
