"""Anchors in memory: arrays, and whatever numpy turns into one."""

from __future__ import annotations

from collections.abc import Mapping, Set
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from pxgen_plugins.anchors._shapes import as_batch
from pxgen_plugins.anchors.base import (
    REGISTRY,
    Anchors,
    module_in_use,
    path_of,
    positions,
    reason,
    row_dtype,
    warn_of_rounding,
)
from pxgen_plugins.utils.errors import AnchorError, short_repr

__all__ = ["ArrayAnchors", "numbers_of"]


@REGISTRY.register("array")
class ArrayAnchors(Anchors):
    """Anchors in an array, which is neither copied as a whole nor changed.

    Args:
        array: Numbers of any type and layout, shape (n, *sample_shape) or another that
            :func:`~pxgen_plugins.anchors.fit_shape` understands.
        sample_shape: Shape of one anchor, None to take the array as it is.

    Raises:
        AnchorError: When the shape does not fit or the array holds no numbers.

    Example:
        >>> ArrayAnchors(np.eye(3), (3,)).read(np.array([2, 0]))[0].tolist()
        [[0.0, 0.0, 1.0], [1.0, 0.0, 0.0]]
    """

    order: ClassVar[int] = 100

    def __init__(
        self,
        array: NDArray[Any],
        sample_shape: tuple[int, ...] | None,
    ) -> None:
        dtype = row_dtype(array.dtype)
        if dtype is None:
            hint = "Convert it to uint8 or a floating type first."
            raise AnchorError("X", "real numbers", short_repr(array), hint)
        self._array, self._layout = as_batch(array, sample_shape)
        self._dtype = dtype

    @classmethod
    def matches(cls, X: Any) -> bool:
        """Return whether numpy may take ``X``: neither text, nor a path, nor a mapping or set."""
        others = (bytes, bytearray, Mapping, Set, type(None))
        return path_of(X) is None and not isinstance(X, others)

    @classmethod
    def open(cls, X: Any, sample_shape: tuple[int, ...] | None) -> Anchors:
        """Return the anchors in ``X``, converted to an array if it is none."""
        return cls(numbers_of(X), sample_shape)

    def __len__(self) -> int:
        return len(self._array)

    def read(self, index: slice | NDArray[np.int64]) -> tuple[NDArray[Any], dict[int, str]]:
        """Return copies of the rows; none ever fails."""
        if isinstance(index, slice):
            rows = self._layout.apply(self._array[index])
            warn_of_rounding(rows, "X")
            return np.array(rows, self._dtype, order="C"), {}
        rows = self._layout.apply(self._array[positions(index, len(self))])
        warn_of_rounding(rows, "X")
        return np.ascontiguousarray(rows, self._dtype), {}


def numbers_of(X: Any) -> NDArray[Any]:
    """Return ``X`` as an array of numbers.

    Raises:
        AnchorError: When it is ragged, masked, text, or raises on conversion.
    """
    hint = "Give numbers in an array of one shape, the anchors along the first axis."
    allowed = "an array of numbers"
    if isinstance(X, np.ma.MaskedArray) and np.any(X.mask):
        hint = "Fill the gaps with X.filled(value), or leave these anchors out."
        raise AnchorError("X", "an array without masked values", short_repr(X), hint)
    try:
        if isinstance(X, (list, tuple)) and X and _is_tensor(X[0]):
            X = np.stack([np.asarray(item.detach().cpu()) for item in X])
        array = np.asarray(X)
        if array.dtype == object:
            array = np.asarray(array.tolist())
        if array.dtype == object:
            array = array.astype(np.float64)
    except Exception as error:  # whatever a foreign __array__ raises
        got = f"{short_repr(X)} ({reason(error)})"
        raise AnchorError("X", allowed, got, hint) from error
    if row_dtype(array.dtype) is None:
        raise AnchorError("X", allowed, short_repr(X), hint)
    return array


def _is_tensor(value: Any) -> bool:
    torch = module_in_use("torch")
    return torch is not None and isinstance(value, torch.Tensor)
