"""Some rows of an anchor set, as an anchor set."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from pxgen_plugins.anchors.base import Anchors, positions

__all__ = ["Subset"]


class Subset(Anchors):
    """Some anchors of another set, in any order; nothing is read or copied before it is asked for.

    Labels and ids are those that the other set has now.

    Args:
        anchors: The other set.
        index: A slice, or positions in any order, (k,), repeats allowed.

    Raises:
        IndexError: When a position is out of range.

    Example:
        >>> from pxgen_plugins.anchors import open_anchors
        >>> anchors = open_anchors(np.eye(3), sample_shape=(3,), labels=["a", "b", "c"])
        >>> last = Subset(anchors, np.array([2, 1]))
        >>> last.read(slice(0, 1))[0].tolist(), last.labels.tolist()
        ([[0.0, 0.0, 1.0]], ['c', 'b'])
        >>> len(Subset(anchors, slice(100)))
        3
    """

    def __init__(self, anchors: Anchors, index: slice | NDArray[np.int64]) -> None:
        self._anchors = anchors
        self._index = positions(index, len(anchors))
        self.origins = anchors.origins
        self.labels = None if anchors.labels is None else anchors.labels[self._index]
        self.ids = None if anchors.ids is None else anchors.ids[self._index]
        self.prompts = None if anchors.prompts is None else anchors.prompts[self._index]
        self.anchors_range, self.notes = anchors.anchors_range, anchors.notes
        self.rows_read = anchors.rows_read

    def __len__(self) -> int:
        return len(self._index)

    def read(self, index: slice | NDArray[np.int64]) -> tuple[NDArray[Any], dict[int, str]]:
        """Return rows of the other set, and why some could not be read."""
        rows = self._index[positions(index, len(self))]
        if len(rows) and np.all(np.diff(rows) == 1):  # files and maps read a slice at less cost
            return self._anchors.read(slice(int(rows[0]), int(rows[-1]) + 1))
        return self._anchors.read(rows)
