"""Mean and covariance of rows that come in batches."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pxgen_plugins.utils import validation
from pxgen_plugins.utils.errors import ParameterError, caller, short_repr

__all__ = ["Moments"]

Floats = NDArray[np.float64]
_LARGEST = 1e40  # float32 ends below; sixth powers, which the kernel distance takes, fit float64


class Moments:
    """Count, mean and covariance of rows, gathered batch by batch in float64.

    Batches are joined by the update of Chan, Golub and LeVeque (1983), which loses no digits
    however far the mean is from zero. Memory: O(d^2) for d columns, whatever the number of rows.

    Args:
        d: Number of columns, >= 0.

    Raises:
        ParameterError: When ``d`` is no such integer.

    Attributes:
        n: Number of rows so far.
        mean: Their mean, (d,); zeros before the first row.

    Example:
        >>> moments = Moments(2).update(np.array([[0.0, 0.0], [2.0, 4.0]]))
        >>> moments.n, moments.mean.tolist(), moments.covariance.tolist()
        (2, [1.0, 2.0], [[2.0, 4.0], [4.0, 8.0]])
    """

    @caller("Moments")
    def __init__(self, d: int) -> None:
        d = validation.integer(d, "d", minimum=0)
        self.n = 0
        self.mean: Floats = np.zeros(d)
        self._scatter: Floats = np.zeros((d, d))

    @classmethod
    @caller("Moments")
    def of(cls, X: Any) -> Moments:
        """Return the moments of the rows of ``X``, (n, ...); what follows the rows is flattened.

        Raises:
            ParameterError: As :func:`as_rows`.
        """
        rows = as_rows(X, "X")
        return cls(rows.shape[1]).update(rows)

    @caller("Moments")
    def update(self, X: Any) -> Moments:
        """Take in more rows, (n, d) or (n, ...); return self.

        Raises:
            ParameterError: When they have other columns, and as :func:`as_rows`.

        Cost: O(n d^2).
        """
        rows = as_rows(X, "X")
        if rows.shape[1] != len(self.mean):
            allowed = f"of {len(self.mean)} columns, like the rows before"
            hint = "Use the same features for all batches."
            raise ParameterError("X", allowed, short_repr(X), hint)
        if len(rows):
            mean = rows.mean(axis=0)
            centred = rows - mean
            self._join(len(rows), mean, centred.T @ centred)
        return self

    @property
    def covariance(self) -> Floats:
        """Unbiased covariance, (d, d); zeros for fewer than two rows."""
        scatter: Floats = self._scatter / max(self.n - 1, 1)
        return scatter

    def _join(self, n: int, mean: Floats, scatter: Floats) -> None:
        # Both scatters are about their own mean. Moving each to the common mean adds
        # n1 n2 / (n1 + n2) times the square of the gap between the means: no large squares are
        # subtracted from each other, as in sum(x^2) - n mean^2.
        total = self.n + n
        if not n:
            return
        gap = mean - self.mean
        self._scatter = self._scatter + scatter + np.outer(gap, gap) * (self.n * n / total)
        self.mean = self.mean + gap * (n / total)
        self.n = total


def as_rows(X: Any, parameter: str) -> Floats:
    """Return ``X`` as a finite float64 matrix (n, d); what follows the rows is flattened.

    Args:
        X: Array, tensor or nested lists of real numbers, (n, ...).
        parameter: Its name, for the message.

    Raises:
        ParameterError: When it is no array of real numbers, values are masked, rows have no
            columns, or a row holds NaN, infinity or a value beyond 1e40, whose powers overflow.
    """
    values = X
    if hasattr(X, "detach"):
        values = X.detach().cpu()
        if values.is_floating_point():
            values = values.double()  # numpy has no bfloat16
    try:
        array = np.asarray(values)
    except (TypeError, ValueError):  # ragged lists
        array = np.empty(())
    width = math.prod(array.shape[1:])
    masked = isinstance(X, np.ma.MaskedArray) and np.any(X.mask)
    if masked or array.dtype.kind not in "biuf" or array.ndim < 2 or (len(array) and not width):
        hint = "Give an array with one row per instance and no value missing."
        raise ParameterError(parameter, "real numbers of shape (n, d)", short_repr(X), hint)
    rows: Floats = array.reshape(len(array), width).astype(np.float64, copy=False)
    bad = ~(np.abs(rows) <= _LARGEST).all(axis=1)  # written so that NaN is found
    if bad.any():
        got = f"{int(bad.sum())} of {len(rows)} rows with NaN, infinity or a value beyond 1e40"
        raise ParameterError(parameter, "finite", got, "Leave those rows out.")
    return rows
