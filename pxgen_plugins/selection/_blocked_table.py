"""A table read in blocks, centred at its mean, in float32 with error bounds and in float64."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from pxgen_plugins.selection.base import Array, Floats, Indices, check_finite, matrix
from pxgen_plugins.utils import large_arrays

__all__ = ["Points"]

_SURVEY_ROWS = 8192
_UNDERFLOW = 1e-36
_NATIVE = {np.dtype(name) for name in ("f2", "f4", "f8", "u1", "i1", "i2", "i4", "i8")}


class Points:
    """A table read in blocks, in two precisions.

    The *fast* form of a row is float32, about the mean of all rows, with a last column of ones, so
    that one matrix product gives squared distances; its error is bounded by ``gamma``. The
    *exact* form is the float64 difference of the raw values. Blocks are converted at each reading:
    that costs less than to allocate a second table, and tables on disk stay there.

    Args:
        X: Array or tensor of shape (n, d), never changed.

    Attributes:
        raw: The table as a numpy array.
        n: Number of rows.
        d: Number of columns.
        mean: Mean row, float64, shape (d,).
        norms: Squared length of each fast row, float32, shape (n,), in units of ``scale ** 2``.
        scale: A power of two that all values are divided by; 1 unless squares would overflow.
        gamma: ``abs(fast - exact) <= gamma * (abs(x) + abs(c)) ** 2`` for a squared distance of
            rows x and c about the mean.
    """

    def __init__(self, X: object) -> None:
        self.raw: Array = matrix(X)
        self.n, self.d = self.raw.shape
        # Errors of a sum of d products grow like d at worst and like its root in practice
        # (Higham & Mary 2019); eight roots are never reached, and d is the bound for small d.
        self.gamma = (16 + 2 * min(self.d, 8 * self.d**0.5)) * 2.0**-24
        self._survey()
        norms = torch.from_numpy(large_arrays.empty(self.n, np.float32))
        ones = torch.ones(self.d + 1, dtype=torch.float32)
        ones[self.d] = 0.0
        squares = torch.empty(min(self.n, _SURVEY_ROWS), self.d + 1, dtype=torch.float32)
        for first, block in self.blocks(_SURVEY_ROWS):
            square = squares[: len(block)]
            torch.mul(block, block, out=square)
            torch.mv(square, ones, out=norms[first : first + len(block)])
        self.norms = norms

    def _survey(self) -> None:
        total = torch.zeros(self.d, dtype=torch.float64)
        ones = torch.ones(_SURVEY_ROWS, dtype=torch.float64)
        low, high = np.inf, -np.inf
        for first in range(0, self.n, _SURVEY_ROWS):
            block = _tensor(self.raw[first : first + _SURVEY_ROWS])
            total += ones[: len(block)] @ block.double()
            least, most = torch.aminmax(block)
            # Written so that NaN is kept.
            low = low if low <= float(least) else float(least)
            high = high if high >= float(most) else float(most)
        if not (abs(low) <= 1e150 and abs(high) <= 1e150):
            check_finite(self.raw)
        spread = high - low
        extreme = spread > 0 and not 1e-12 < spread < 1e12
        self.scale = 2.0 ** np.ceil(np.log2(spread)) if extreme else 1.0
        # One value everywhere is its own mean; a sum would round, by 1e18 at 1e34.
        self.mean: Floats = (total / self.n).numpy() if spread else np.full(self.d, float(low))

    def _fill(self, block: Tensor, raw: Array) -> None:
        values = _tensor(raw)
        mean = torch.from_numpy(self.mean)
        if self.scale != 1.0:
            # Divide before rounding to float32, which could overflow.
            block[:, : self.d] = (values.double() - mean) / self.scale
        elif values.dtype == torch.float32:
            torch.sub(values, mean.float(), out=block[:, : self.d])
        else:
            block[:, : self.d] = values - mean

    def blocks(self, rows: int) -> Iterator[tuple[int, Tensor]]:
        """Yield (first row, fast block of shape (at most ``rows``, d + 1)) over the whole table.

        A block is valid until the next one is asked for.
        """
        buffer = torch.ones(min(rows, self.n), self.d + 1, dtype=torch.float32)
        for first in range(0, self.n, rows):
            raw = self.raw[first : first + rows]
            block = buffer[: len(raw)]
            self._fill(block, raw)
            yield first, block

    def gather(self, rows: Indices) -> Tensor:
        """Return the fast form of some rows, shape (len(rows), d + 1)."""
        block = torch.ones(len(rows), self.d + 1, dtype=torch.float32)
        self._fill(block, self.raw[rows])
        return block

    def coefficients(self, centres: Indices) -> Tensor:
        """Return a matrix C of shape (p, d + 1) with C @ block.T = squared distances - norms."""
        # |x - c|^2 = |x|^2 - 2 x.c + |c|^2: the row (-2 c, |c|^2) times (x, 1) gives all but |x|^2,
        # which is the same for all centres and added later. About the mean the terms, and so their
        # rounding errors, are of the size of the spread, however far the table is from zero.
        rows = self.gather(centres)
        features = rows[:, : self.d].double()
        rows[:, self.d] = (features * features).sum(1).float()
        rows[:, : self.d] *= -2.0
        return rows

    def raise_by_error(self, squares: Tensor, norms: Tensor) -> Tensor:
        """Return upper bounds of exact squared distances from fast ones, in place.

        With t the exact square, abs(c) <= abs(x) + sqrt(t), so the error is at most
        gamma * (8 abs(x)^2 + 2 t): only x and the result enter, and a far centre costs nothing.
        """
        gamma = self.gamma
        raised = squares.add_(norms, alpha=8 * gamma).mul_((1 + 1e-6) / (1 - 2 * gamma))
        return raised.add_(_UNDERFLOW)

    def reach(self) -> tuple[float, float]:
        """Return (a, b): a centre whose product exceeds (1 + a) least + b norm is not nearest.

        The products are those of :meth:`coefficients` and a row, "least" is their smallest. Each
        is off by at most the error above, so twice that error separates what can be the nearest.
        """
        gamma = 2.1 * self.gamma / (1 - 2 * self.gamma)
        return 2 * gamma, 10 * gamma

    def rows(self, rows: Indices) -> Floats:
        """Return raw rows as float64 in units of ``scale``, shape (len(rows), d)."""
        values = np.asarray(self.raw[rows], dtype=np.float64)
        return values if self.scale == 1.0 else values / self.scale

    def exact(self, rows: Indices, centres: Indices) -> Floats:
        """Return squared distances of rows to their nearest centre by differences, float64."""
        values, targets = self.rows(rows), self.rows(centres)
        best = np.full(len(rows), np.inf)
        if len(targets) > len(values):
            for position, value in enumerate(values):
                difference = targets - value
                difference *= difference
                best[position] = difference.sum(axis=1).min()
            return best
        for target in targets:
            difference = values - target
            difference *= difference
            np.minimum(best, difference.sum(axis=1), out=best)
        return best

    def nearest_to(self, target: Floats) -> int:
        """Return the row nearest to a point, the lowest one of those equal up to rounding."""
        # The fast rows stand about the rounded mean: its error moves the target as well.
        rounding = 2e-7 * float(np.linalg.norm(self.mean))
        shift = (float(np.linalg.norm(target - self.mean)) + rounding) / self.scale
        norms = self.norms.numpy()

        def bounds(rows: slice) -> tuple[Floats, Floats]:
            length = np.sqrt(norms[rows].astype(np.float64))  # their sum may leave float32
            return length * (1.0 - self.gamma), length * (1.0 + self.gamma)

        least = min(float(bounds(rows)[1].min()) for rows in large_arrays.blocks(self.n))
        close = large_arrays.true_rows(lambda rows: bounds(rows)[0] <= least + 2 * shift, self.n)
        best, winner = np.inf, 0
        tiny = 1e-14 * float(self.norms.max())
        goal = target / self.scale
        for first in range(0, len(close), _SURVEY_ROWS):
            rows = close[first : first + _SURVEY_ROWS]
            difference = self.rows(rows) - goal
            squares = (difference * difference).sum(axis=1)
            place = int(np.flatnonzero(squares <= squares.min() + tiny)[0])
            if squares[place] < best - tiny:
                best, winner = float(squares[place]), int(rows[place])
        return winner


def _tensor(block: Array) -> Tensor:
    """Return a block as a float32 or float64 tensor, converted only where its type needs it."""
    if block.dtype not in _NATIVE:
        block = block.astype(np.uint8 if block.dtype == bool else np.float64)
    elif block.dtype.itemsize <= 2:
        block = block.astype(np.float32)
    elif block.dtype.kind != "f":
        block = block.astype(np.float64)
    block = np.ascontiguousarray(block)
    # torch warns about read-only memory, and the block is small.
    tensor = torch.from_numpy(block if block.flags.writeable else block.copy())
    return tensor if tensor.dtype.is_floating_point else tensor.float()
