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


def blur(counts: NDArray[np.int64], widths: tuple[float, float]) -> Floats:
    """Smooth counts with a Gaussian that is reflected at the edges of the grid.

    So no mass leaves the grid, and the density does not fall off towards an edge where the values
    end (Silverman 1986, section 2.10).

    Args:
        counts: Counts, (b, b), rows along y.
        widths: Standard deviation along x and along y, in cells.

    Example:
        >>> import numpy as np
        >>> even = blur(np.ones((9, 9), dtype=np.int64), (2.0, 1.0))
        >>> bool(np.allclose(even, 1.0))
        True
    """
    across, upward = (_kernel(counts.shape[0], width) for width in widths)
    smooth: Floats = upward @ counts.astype(np.float64) @ across.T
    return smooth


def _kernel(bins: int, width: float) -> Floats:
    """Return where the mass of each cell (columns) goes, (bins, bins)."""
    cells = np.arange(bins)
    apart = cells[:, None] - cells[None, :]
    mirrored = cells[:, None] + cells[None, :] + 1  # to the image beyond the lower edge
    places = (apart, mirrored, 2 * bins - mirrored)
    kernel = sum(np.exp(-0.5 * (place / width) ** 2) for place in places)
    return np.asarray(kernel / kernel.sum(axis=0, keepdims=True))


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
