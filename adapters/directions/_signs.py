"""The sign of directions that have none of their own."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["leading"]

Floats = NDArray[np.float64]


def leading(rows: Floats) -> Floats:
    """Return vectors (k, d) with the sign that makes the largest component positive.

    Signs of eigenvectors are arbitrary: fixed ones agree between seeds, machines and saves.

    Example:
        >>> leading(np.array([[0.6, -0.8]])).tolist()
        [[-0.6, 0.8]]
    """
    places = np.abs(rows).argmax(axis=1)
    signs = np.sign(rows[np.arange(len(rows)), places])
    turned: Floats = rows * np.where(signs == 0, 1.0, signs)[:, None]
    return turned
