"""An anchor set with a deterministic transformation of each row."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from pxgen_plugins.anchors import Anchors
from pxgen_plugins.anchors.conversion import convert

__all__ = ["Rows", "Transformation", "TransformedAnchors", "generators"]

Rows = NDArray[Any]
Transformation = Callable[[Rows], Rows]


class TransformedAnchors(Anchors):
    """Valid anchors of a model, transformed after they were brought into its range.

    Args:
        anchors: The set.
        model: The model they are for.
        transform: From rows (b, *sample_shape) to rows of the same shape, each on its own.
    """

    def __init__(self, anchors: Anchors, model: Any, transform: Transformation) -> None:
        self._anchors, self._model, self._transform = anchors, model, transform
        self.anchors_range = model.data_range  # read returns them so

    def __len__(self) -> int:
        return len(self._anchors)

    def read(self, index: slice | NDArray[np.int64]) -> tuple[Rows, dict[int, str]]:
        """Return the transformed rows; none fails."""
        raw, _ = self._anchors.read(index)
        x = torch.empty(raw.shape, dtype=self._model.dtype)
        convert(raw, x, self._model.data_range, 0, self._anchors)
        exact = x if x.dtype == torch.float64 else x.float()
        return self._transform(exact.numpy()), {}


def generators(rows: Rows, seed: int) -> Iterator[np.random.Generator]:
    """Yield a generator for each row, which its content and ``seed`` decide, not its place.

    So what is done to an anchor is the same in whatever order the anchors come.

    Example:
        >>> rows = np.arange(6.0).reshape(3, 2)
        >>> one = [g.random() for g in generators(rows, 0)]
        >>> one[::-1] == [g.random() for g in generators(rows[::-1], 0)]
        True
    """
    for row in rows:
        yield np.random.default_rng([seed, zlib.crc32(np.ascontiguousarray(row).tobytes())])
