"""Mean and covariance of rows that come in batches."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pxgen_plugins.errors import ParameterError, describe

__all__ = ["Moments"]

Floats = NDArray[np.float64]


class Moments:
    """Count, mean and covariance of rows, gathered batch by batch in float64.

    Batches are joined by the update of Chan, Golub and LeVeque (1983), which loses no digits
    however far the mean is from zero. Memory: O(d^2) for d columns, whatever the number of rows.

    Args:
        d: Number of columns.

    Attributes:
        n: Number of rows so far.
        mean: Their mean, (d,); zeros before the first row.

    Example:
        >>> moments = Moments(2).update(np.array([[0.0, 0.0], [2.0, 4.0]]))
        >>> moments.n, moments.mean.tolist(), moments.covariance.tolist()
        (2, [1.0, 2.0], [[2.0, 4.0], [4.0, 8.0]])
    """

    def __init__(self, d: int) -> None:
        self.n = 0
        self.mean: Floats = np.zeros(d)
        self._scatter: Floats = np.zeros((d, d))

    @classmethod
    def of(cls, X: Any, where: str = "Moments") -> Moments:
        """Return the moments of the rows of ``X``, (n, ...); what follows the rows is flattened.

        Raises:
            ParameterError: When ``X`` is no array of numbers, or a row is not finite.
        """
        rows = as_rows(X, "X", where)
        return cls(rows.shape[1]).update(rows)

    def update(self, X: Any) -> Moments:
        """Take in more rows, (n, d) or (n, ...); return self.

        Raises:
            ParameterError: When they have other columns, or one is not finite.

        Cost: O(n d^2).
        """
        rows = as_rows(X, "X", "Moments")
        if rows.shape[1] != len(self.mean):
            allowed = f"of {len(self.mean)} columns, like the rows before"
            do = "Use the same features for all batches."
            raise ParameterError("X", "Moments", allowed, describe(X), do)
        if len(rows):
            mean = rows.mean(axis=0)
            centred = rows - mean
            self._join(len(rows), mean, centred.T @ centred)
        return self

    def merge(self, other: Moments) -> Moments:
        """Take in the rows of ``other``; return self."""
        if len(other.mean) != len(self.mean):
            allowed = f"of {len(self.mean)} columns"
            do = "Use the same features for both."
            raise ParameterError("other", "Moments", allowed, f"{len(other.mean)} columns", do)
        self._join(other.n, other.mean, other._scatter)
        return self

    @property
    def covariance(self) -> Floats:
        """Unbiased covariance, (d, d); zeros for fewer than two rows."""
        scatter: Floats = self._scatter / max(self.n - 1, 1)
        return scatter

    def _join(self, n: int, mean: Floats, scatter: Floats) -> None:
        total = self.n + n
        if not n:
            return
        gap = mean - self.mean
        self._scatter = self._scatter + scatter + np.outer(gap, gap) * (self.n * n / total)
        self.mean = self.mean + gap * (n / total)
        self.n = total


def as_rows(X: Any, parameter: str, where: str) -> Floats:
    """Return ``X`` as a finite float64 matrix (n, d); what follows the rows is flattened.

    Raises:
        ParameterError: When it is no array of numbers, or a row is not finite.
    """
    if hasattr(X, "detach"):
        X = X.detach().cpu().numpy()
    try:
        rows = np.asarray(X, dtype=np.float64)
    except (TypeError, ValueError):
        rows = np.empty(())
    if rows.ndim < 2:
        do = "Give an array with one row per instance."
        raise ParameterError(parameter, where, "numbers of shape (n, d)", describe(X), do)
    rows = rows.reshape(len(rows), math.prod(rows.shape[1:]))
    bad = ~np.isfinite(rows).all(axis=1)
    if bad.any():
        came = f"{int(bad.sum())} of {len(rows)} rows with NaN or infinity"
        raise ParameterError(parameter, where, "finite", came, "Leave those rows out.")
    return rows
