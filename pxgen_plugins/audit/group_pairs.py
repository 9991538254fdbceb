"""The groups of the same anchors in two runs, counted pair by pair.

A table has a row for each group before and a column for each after, in the order of
``(*GROUPS, "invalid")``; a set of its cells is a mask of the same shape, (5, 5).
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from pxgen_plugins.groups import GROUPS
from pxgen_plugins.utils.large_arrays import blocks, true_rows

__all__ = ["SIZE", "after", "before", "count_pairs", "in_cell", "paired_table"]

SIZE = len(GROUPS) + 1
"""Groups, and the invalid ones."""

Codes = NDArray[np.int8]
Integers = NDArray[np.int64]
Mask = NDArray[np.bool_]


def before(state: int) -> Mask:
    """Return the cells of the anchors that were in a group before."""
    cells = np.zeros((SIZE, SIZE), dtype=bool)
    cells[state] = True
    return cells


def after(state: int) -> Mask:
    """Return the cells of the anchors that are in a group after."""
    return before(state).T


def count_pairs(
    first: Codes, second: Codes, among: Callable[[slice], Mask] | None = None
) -> Integers:
    """Return how many anchors there are in each cell, (5, 5).

    Args:
        first: Places of the n anchors' groups before.
        second: Places after.
        among: Which are counted, given for rows of a block; None for all.

    Example:
        >>> count_pairs(np.array([0, 0, 3], np.int8), np.array([0, 1, 3], np.int8))[0].tolist()
        [1, 1, 0, 0, 0]
    """
    table = np.zeros(SIZE * SIZE, dtype=np.int64)
    for rows in blocks(len(first)):
        cell = SIZE * first[rows].astype(np.int64) + second[rows]
        cell = cell if among is None else cell[among(rows)]
        table += np.bincount(cell, minlength=SIZE * SIZE)
    return table.reshape(SIZE, SIZE)


def in_cell(first: Codes, second: Codes, start: int, end: int) -> Integers:
    """Return the places of the anchors that went from one group to another, rising.

    Example:
        >>> in_cell(np.array([0, 0, 3], np.int8), np.array([0, 1, 3], np.int8), 0, 1)
        array([1])
    """
    return true_rows(lambda rows: (first[rows] == start) & (second[rows] == end), len(first))


def paired_table(table: Integers, one: Mask, other: Mask) -> tuple[int, int, int, int]:
    """Return how many anchors are in both sets of cells, the first only, the second only, neither.

    Example:
        >>> table = count_pairs(np.array([0, 0, 3], np.int8), np.array([0, 1, 3], np.int8))
        >>> paired_table(table, before(0), after(0))
        (1, 1, 0, 1)
    """
    sets = (one & other, one & ~other, ~one & other, ~one & ~other)
    both, first, second, neither = (int(table[cells].sum()) for cells in sets)
    return both, first, second, neither
