"""Randomness that depends on a seed and a position, never on the batch size or on global state."""

from __future__ import annotations

import math
import zlib
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import torch

__all__ = ["derive", "normal_rows"]

_BLOCK = 64  # rows drawn at a time; part of the definition: another size gives other numbers


def derive(seed: int, *path: int | str) -> int:
    """Return a seed for one use of ``seed``, independent of those of all other paths.

    Args:
        seed: A non-negative integer.
        path: What the seed is for, as in ``("calibration", 3)``.

    Returns:
        An integer in [0, 2**63).

    Example:
        >>> derive(0, "calibration", 1) != derive(0, "calibration", 2)
        True
    """
    words = [zlib.crc32(part.encode()) if isinstance(part, str) else part for part in path]
    state = np.random.SeedSequence([seed, *words]).generate_state(1, np.uint64)
    return int(state[0] >> np.uint64(1))


def normal_rows(start: int, n: int, shape: tuple[int, ...], seed: int) -> torch.Tensor:
    """Return rows ``start`` to ``start + n`` of an endless table of standard normal draws.

    Row i is the same whichever rows it is drawn with, so noise does not depend on the batch size.

    Args:
        start: First row, >= 0.
        n: Number of rows.
        shape: Shape of one row.
        seed: Seed of the table.

    Returns:
        float32 tensor of shape (n, *shape), on the CPU. Cost: O(n d), and at most 126 rows drawn
        in vain.

    Example:
        >>> bool((normal_rows(70, 2, (3,), 0) == normal_rows(0, 100, (3,), 0)[70:72]).all())
        True
    """
    import torch

    first, last = start // _BLOCK, -(-(start + n) // _BLOCK)
    width = math.prod(shape)
    blocks = [torch.empty(0, width, dtype=torch.float32)]
    for block in range(first, last):
        generator = torch.Generator().manual_seed(derive(seed, "rows", block))
        blocks.append(torch.randn(_BLOCK, width, generator=generator, dtype=torch.float32))
    skip = start - first * _BLOCK
    return torch.cat(blocks)[skip : skip + n].reshape(n, *shape)
