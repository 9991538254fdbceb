"""Places in a sequence."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["even_positions"]


def even_positions(n: int, most: int) -> NDArray[np.int64]:
    """Return at most ``most`` positions out of ``n``, evenly spaced, both ends included.

    Example:
        >>> [even_positions(n, 4).tolist() for n in (10, 2, 0)]
        [[0, 3, 6, 9], [0, 1], []]
    """
    places: NDArray[np.int64] = np.linspace(0, n - 1, min(n, most)).round().astype(np.int64)
    return places
