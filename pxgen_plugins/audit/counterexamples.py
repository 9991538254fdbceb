"""Anchors that speak against a condition."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from pxgen_plugins.utils.large_arrays import blocks

__all__ = ["Counterexamples", "counterexamples"]

Indices = NDArray[np.int64]
Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]

_MOST = 50


@dataclass(frozen=True, eq=False)
class Counterexamples:
    """The anchors that speak against a condition.

    Attributes:
        indices: Up to 50 of them, the strongest first.
        count: How many there are in all.
    """

    indices: Indices = field(default_factory=lambda: np.empty(0, np.int64))
    count: int = 0


def counterexamples(
    mask: Callable[[slice], Mask], strength: Callable[[Indices], Floats], n: int
) -> Counterexamples:
    """Return the strongest of n anchors among those that speak against a condition.

    Args:
        mask: Which do, given for rows of a block.
        strength: How strongly each of some anchors does; of equal ones the first come first, those
            with NaN last.
        n: Number of anchors.

    Example:
        >>> values = np.array([3.0, 9.0, 1.0, 5.0])
        >>> found = counterexamples(lambda rows: values[rows] > 2.0, lambda i: values[i], 4)
        >>> found.indices.tolist(), found.count
        ([1, 3, 0], 3)
    """
    strongest, count = np.empty(0, np.int64), 0
    for rows in blocks(n):
        here = np.flatnonzero(mask(rows)) + rows.start
        count += len(here)
        some = np.concatenate([strongest, here])
        order = np.argsort(-np.nan_to_num(strength(some), nan=-np.inf), kind="stable")
        strongest = some[order[:_MOST]]
    return Counterexamples(strongest, count)
