"""Entries of an explanation's data, live or read back from JSON, as arrays."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "Floats",
    "Indices",
    "Texts",
    "as_float",
    "as_floats",
    "as_indices",
    "as_rows",
    "as_texts",
]

Floats = NDArray[np.float64]
Indices = NDArray[np.int64]
Texts = NDArray[np.str_]


def as_float(value: Any) -> float:
    """Return a finite number; NaN for None and for anything that is not finite."""
    number = math.nan if value is None else float(value)
    return number if math.isfinite(number) else math.nan


def as_floats(values: Any, shape: tuple[int, ...] = (-1,)) -> Floats:
    """Return floats with None as NaN; without values, NaN everywhere."""
    if values is None:
        return np.full([max(size, 0) for size in shape], math.nan)
    array: Floats = np.asarray(values, dtype=np.float64)
    return array if shape == (-1,) else array.reshape(shape)


def as_rows(values: Any, m: int) -> Floats:
    """Return a table of m columns; without values, one of no rows."""
    table = as_floats([] if values is None else values)
    return table.reshape(len(table), m)


def as_indices(values: Any) -> Indices:
    """Return integers, (n,); without values, none."""
    return np.asarray([] if values is None else values, dtype=np.int64).reshape(-1)


def as_texts(values: Any) -> Texts | None:
    """Return each value as text, (n,); None without values."""
    return None if values is None else np.asarray([str(value) for value in values], dtype=np.str_)
