"""The set of units whose removal takes most of a concept, found one unit after the other."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from pxgen_plugins.utils.progress import bar_or_notice

__all__ = ["greedy_set"]

_SMALLEST_GAIN = 1e-6  # share of the concept that another unit must take away


def greedy_set(
    removal: Callable[[list[int]], float],
    single: NDArray[np.float64],
    most: int,
    verbose: bool,
) -> NDArray[np.int64]:
    """Return the units of the set, in the order in which they were taken, (k,).

    Args:
        removal: From units to the share of the concept that goes without them.
        single: That of every unit alone, (u,); twice as many as wanted are candidates.
        most: Most units in the set.
        verbose: Show a progress bar.

    Example:
        >>> single = np.array([0.2, 0.0, 0.5])
        >>> greedy_set(lambda units: float(single[units].sum()), single, 3, False).tolist()
        [2, 0]
    """
    ranked = np.argsort(-single, kind="stable")[: 2 * most]
    candidates = [int(unit) for unit in ranked if single[unit] > _SMALLEST_GAIN]
    chosen: list[int] = []
    gone = 0.0
    hint = "Take fewer units (n_units=) or codes (n_codes=)."
    with bar_or_notice(most, "UnitEffects: the set", "unit", verbose, hint) as move:
        while candidates and len(chosen) < most:
            totals = [removal([*chosen, unit]) for unit in candidates]
            best = int(np.argmax(totals))
            if totals[best] - gone <= _SMALLEST_GAIN:
                break
            gone = totals[best]
            chosen.append(candidates.pop(best))
            move(1)
    return np.array(chosen, dtype=np.int64)
