"""Anchors in a memory-mapped array, of which no more than a batch stays in memory."""

from __future__ import annotations

import mmap
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from pxgen_plugins.anchors.arrays import ArrayAnchors
from pxgen_plugins.anchors.base import REGISTRY
from pxgen_plugins.utils.errors import AnchorError

__all__ = ["MemmapAnchors"]

_STEP = 1 << 21  # the kernel maps neighbours along with a page, at most a huge page of them


@REGISTRY.register("memmap")
class MemmapAnchors(ArrayAnchors):
    """Anchors in a read-only memory map, or in a view of one.

    After each read the pages that were touched are given back, so resident memory stays the size of
    a batch. They remain in the system's page cache, and reading them again is cheap. Only maps
    opened with mode "r" are treated so: giving back a page of a copy-on-write map would undo the
    user's changes. An array in Fortran order touches the whole file for each batch.

    Args:
        array: As for :class:`ArrayAnchors`.
        sample_shape: Shape of one anchor, None to take the array as it is.
    """

    order: ClassVar[int] = 10

    def __init__(
        self,
        array: NDArray[Any],
        sample_shape: tuple[int, ...] | None,
    ) -> None:
        super().__init__(array, sample_shape)
        self._map = _map_of(array)
        self._length = 0 if self._map is None else len(self._map)

    @classmethod
    def matches(cls, X: Any) -> bool:
        """Return whether ``X`` is an array whose memory is a read-only map."""
        return isinstance(X, np.ndarray) and X.dtype != object and _map_of(X) is not None

    def read(self, index: slice | NDArray[np.int64]) -> tuple[NDArray[Any], dict[int, str]]:
        """Return copies of the rows, and let go of the pages they came from.

        Raises:
            AnchorError: When the file is shorter than when it was opened.
        """
        # before, as the system ends a process that reads behind the end of a file; afterwards,
        # as the rest of the last page reads as zeros
        self._check_length()
        result = super().read(index)
        self._check_length()
        if self._map is not None and len(result[0]):
            if isinstance(index, slice):
                span = range(*index.indices(len(self)))
                low, high = min(span[0], span[-1]), max(span[0], span[-1])
            else:
                wrapped = np.where(np.asarray(index) < 0, np.asarray(index) + len(self), index)
                low, high = int(wrapped.min()), int(wrapped.max())
            _give_back(self._map, self._array[low : high + 1])
        return result

    def _check_length(self) -> None:
        if self._map is not None and self._map.size() < self._length:
            hint = "Let nothing write to it while it is read, and open it again."
            got = f"{self._map.size()} bytes instead of {self._length}"
            raise AnchorError("X", "a file that keeps its length", got, hint)


def _map_of(array: NDArray[Any]) -> mmap.mmap | None:
    """Return the map under ``array`` if it is a read-only one of numpy's."""
    owner: Any = array
    while isinstance(owner, np.ndarray):
        memory = getattr(owner, "_mmap", None)
        if isinstance(owner, np.memmap) and isinstance(memory, mmap.mmap):
            return memory if owner.mode == "r" else None
        owner = owner.base
    return None


def _give_back(memory: mmap.mmap, rows: NDArray[Any]) -> None:
    """Tell the system that the pages under ``rows`` are not needed for now."""
    if not hasattr(memory, "madvise") or not hasattr(mmap, "MADV_DONTNEED") or rows.size == 0:
        return
    # The lowest and highest address of the rows, whatever the signs of their strides, as offsets
    # into the map, widened to whole steps.
    start = np.frombuffer(memory, np.uint8).ctypes.data
    reach = [(size - 1) * stride for size, stride in zip(rows.shape, rows.strides, strict=True)]
    first = rows.ctypes.data + sum(step for step in reach if step < 0) - start
    last = rows.ctypes.data + sum(step for step in reach if step > 0) + rows.itemsize - start
    if first < 0 or last > len(memory):  # a copy: its memory is not the map's
        return
    begin = first // _STEP * _STEP
    end = min(-(-last // _STEP) * _STEP, len(memory))
    memory.madvise(mmap.MADV_DONTNEED, begin, end - begin)
