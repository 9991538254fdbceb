"""Which of k centres is nearest to each row."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from pxgen_plugins.selection._blocked_table import Points
from pxgen_plugins.selection.base import Indices
from pxgen_plugins.utils.large_arrays import empty, from_blocks, full, true_rows

__all__ = ["nearest"]

_CELLS = 1 << 18


def nearest(points: Points, centres: Indices) -> Indices:
    """Return for each row the position of its nearest centre; of equal ones, the first.

    A float32 matrix product settles the rows whose nearest centre is clear; the others, for which
    a second centre comes within the rounding error, are settled by float64 differences.

    Args:
        points: The table, n rows of d features.
        centres: k rows of the table.

    Returns:
        Positions in ``centres``, int64, shape (n,).

    Cost: O(n k d) operations, 12 bytes a row, in files when large.
    """
    k = len(centres)
    if k == 1:
        return full(points.n, 0, np.int64)
    coefficients = points.coefficients(centres)
    alpha, beta = points.reach()
    # One product tells the position when one centre is within reach of the best, and gives 2k or
    # more when several are.
    code = torch.arange(k, 2 * k, dtype=torch.float32)
    sums: NDArray[np.float32] = empty(points.n, np.float32)
    codes = torch.from_numpy(sums)
    rows = max(64, _CELLS // k)
    products, within = (torch.empty(k, rows, dtype=torch.float32) for _ in range(2))
    for first, block in points.blocks(rows):
        span = slice(first, first + len(block))
        if len(block) < rows:
            size = (k, len(block))
            products, within = (torch.empty(size, dtype=torch.float32) for _ in range(2))
        torch.mm(coefficients, block.t(), out=products)
        limit = torch.amin(products, 0).mul_(1 + alpha).add_(points.norms[span], alpha=beta)
        torch.le(products, limit, out=within)
        torch.mv(within.t(), code, out=codes[span])
    assignment = from_blocks(lambda rows: sums[rows] - k, points.n, np.int64)
    several = true_rows(lambda rows: sums[rows] >= 2 * k, points.n)
    assignment[several] = _by_differences(points, several, centres)
    return assignment


def _by_differences(points: Points, rows: Indices, centres: Indices) -> Indices:
    assignment = np.empty(len(rows), dtype=np.int64)
    step = max(1, (1 << 18) // points.d)
    for first in range(0, len(rows), step):
        values = points.rows(rows[first : first + step])
        best = np.full(len(values), np.inf)
        positions = np.zeros(len(values), dtype=np.int64)
        for position, centre in enumerate(points.rows(centres)):
            difference = values - centre
            squares = np.einsum("ij,ij->i", difference, difference)
            closer = squares < best
            positions[closer] = position
            best[closer] = squares[closer]
        assignment[first : first + step] = positions
    return assignment
