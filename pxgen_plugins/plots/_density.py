"""Many points as a picture: counts per cell, sparse cells and contours; nothing here is random."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["blur", "cell_counts", "mass_levels", "shade", "sparse"]

Floats = NDArray[np.float64]


def cell_counts(x: Floats, y: Floats, bins: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Count points in the cells of a square grid over the unit square; O(n + bins^2).

    Args:
        x: Positions in [0, 1], shape (n,); positions outside are counted in the cells of the edge.
        y: Likewise.
        bins: Cells along each side.

    Returns:
        Counts, shape (bins, bins), rows along y; and the flat cell of each point, shape (n,).

    Example:
        >>> import numpy as np
        >>> counts, cell = cell_counts(np.array([0.1, 0.9, 0.9]), np.array([0.1, 0.2, 0.2]), 2)
        >>> counts.tolist(), cell.tolist()
        ([[1, 2], [0, 0]], [0, 1, 1])
    """
    column = np.clip((x * bins).astype(np.int64), 0, bins - 1)
    row = np.clip((y * bins).astype(np.int64), 0, bins - 1)
    cell = row * bins + column
    return np.bincount(cell, minlength=bins * bins).reshape(bins, bins), cell


def sparse(counts: NDArray[np.int64], cell: NDArray[np.int64], most: int) -> NDArray[np.bool_]:
    """Return which points lie in cells of at most ``most`` points, shape (n,)."""
    thin: NDArray[np.bool_] = (counts.reshape(-1) <= most)[cell]
    return thin


def shade(counts: NDArray[np.int64], colour: str, faintest: float, top: int) -> Floats:
    """Return RGBA of each cell: the colour, the more opaque the more points, on a log scale.

    Args:
        counts: Points per cell, shape (b, b).
        colour: Colour as "#RRGGBB".
        faintest: Opacity of a cell with one point; an empty cell is transparent.
        top: Count that is fully opaque.
    """
    rgb = [int(colour[i : i + 2], 16) / 255.0 for i in (1, 3, 5)]
    depth = np.log1p(counts) / np.log1p(max(top, 2))
    rgba = np.empty((*counts.shape, 4))
    rgba[..., :3] = rgb
    rgba[..., 3] = np.where(counts > 0, faintest + (1.0 - faintest) * np.minimum(depth, 1.0), 0.0)
    return rgba


def blur(counts: NDArray[np.int64], width: float) -> Floats:
    """Smooth counts with a Gaussian whose standard deviation is ``width`` cells."""
    reach = np.arange(counts.shape[0])
    kernel = np.exp(-0.5 * ((reach[:, None] - reach[None, :]) / width) ** 2)
    kernel /= kernel.sum(axis=0, keepdims=True)
    smooth: Floats = kernel @ counts.astype(np.float64) @ kernel.T
    return smooth


def mass_levels(density: Floats, shares: tuple[float, ...]) -> list[float]:
    """Return the heights whose contours enclose these shares of the mass, rising.

    This is the highest-density region (Hyndman, 1996) of the smoothed counts.

    Example:
        >>> import numpy as np
        >>> mass_levels(np.array([[1.0, 2.0], [3.0, 4.0]]), (0.5, 0.9))
        [2.0, 3.0]
    """
    falling = np.sort(density.reshape(-1))[::-1]
    total = np.cumsum(falling)
    levels = [
        float(falling[min(int(np.searchsorted(total, share * total[-1])), falling.size - 1)])
        for share in shares
    ]
    return sorted(set(levels))
