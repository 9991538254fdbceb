"""Arrays of one entry for each anchor: in temporary files where they are large, done in blocks.

A hundred million anchors have gigabytes of values, groups and distances. What lies in a file the
system can take out of memory whenever it needs the room, and puts back when it is read.
"""

from __future__ import annotations

import errno
import logging
import math
import mmap
import os
import sys
import tempfile
import weakref
from collections.abc import Callable, Iterator
from typing import IO, Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from pxgen_plugins.utils.limits import Limit

__all__ = [
    "blocks",
    "compress",
    "copy",
    "count",
    "empty",
    "from_blocks",
    "full",
    "give_back",
    "read",
    "std",
    "take",
    "true_rows",
]

logger = logging.getLogger(__name__)

_IN_MEMORY = 1 << 24  # bytes, up to which an array is no large one
_BLOCK = 1 << 19  # elements

Array = NDArray[Any]

_maps: weakref.WeakValueDictionary[int, mmap.mmap] = weakref.WeakValueDictionary()


def empty(shape: int | tuple[int, ...], dtype: DTypeLike) -> Array:
    """Return an array with any content; one of more than 16 MiB lies in a temporary file.

    The file has no name and goes with the array. It is in the directory for temporary files, which
    ``TMPDIR`` sets; where there is no room for it, the array is in memory.

    Args:
        shape: Of the array.
        dtype: Of its elements; none of Python's objects.
    """
    shape = (shape,) if isinstance(shape, int) else shape
    size = math.prod(shape) * np.dtype(dtype).itemsize
    if size <= _IN_MEMORY or not hasattr(os, "posix_fallocate"):
        return np.empty(shape, dtype)
    try:
        with tempfile.TemporaryFile(prefix="pxgen-") as file:
            # the whole of it at once: a page for which the disk has no room later ends the process
            os.posix_fallocate(file.fileno(), 0, size)
            memory = _map(file.fileno(), size)
    except OSError as error:
        logger.info("an array of %d bytes stays in memory: %s", size, error)
        return np.empty(shape, dtype)
    _maps[id(memory)] = memory
    return np.frombuffer(memory, dtype).reshape(shape)


def blocks(n: int, width: int = 1) -> Iterator[slice]:
    """Yield the rows of each block of n; what a block touched of files leaves memory after it.

    Of no rows there is one block, empty, so that what is wrong with other arguments is found.

    Args:
        n: Number of rows.
        width: Numbers that a row stands for; a block has half a million of them.

    Example:
        >>> list(blocks(5, 200_000))
        [slice(0, 2, None), slice(2, 4, None), slice(4, 5, None)]
    """
    size = max(1, _BLOCK // max(width, 1))
    for low in range(0, max(n, 1), size):
        yield slice(low, min(low + size, n))
        if n > size:
            give_back()


def from_blocks(function: Callable[[slice], Any], n: int, dtype: DTypeLike, *more: int) -> Array:
    """Return an array of n rows that a function computes block by block; ``more`` is their shape.

    Example:
        >>> from_blocks(lambda rows: np.arange(10)[rows] ** 2, 4, np.int64)
        array([0, 1, 4, 9])
    """
    array = empty((n, *more), dtype)
    for rows in blocks(n, math.prod(more)):
        array[rows] = function(rows)
    return array


def full(shape: int | tuple[int, ...], value: Any, dtype: DTypeLike) -> Array:
    """Return an array that holds one value everywhere.

    Example:
        >>> full(3, 0.0, np.float64)
        array([0., 0., 0.])
    """
    shape = (shape,) if isinstance(shape, int) else shape
    return from_blocks(lambda rows: value, shape[0], dtype, *shape[1:])


def copy(array: Array) -> Array:
    """Return a copy, as for what sorts in place.

    Example:
        >>> copy(np.array([3.0, 1.0]))
        array([3., 1.])
    """
    return from_blocks(lambda rows: array[rows], len(array), array.dtype, *array.shape[1:])


def take(array: Array, index: NDArray[np.int64]) -> Array:
    """Return ``array[index]``, a copy.

    Example:
        >>> take(np.array([5.0, 6.0, 7.0]), np.array([2, 0]))
        array([7., 5.])
    """
    return from_blocks(lambda rows: array[index[rows]], len(index), array.dtype, *array.shape[1:])


def true_rows(mask: Callable[[slice], NDArray[np.bool_]], n: int) -> NDArray[np.int64]:
    """Return the rows for which a mask, given for rows of a block, is true, (count,) int64.

    Args:
        mask: Is asked twice for each block, and says the same.
        n: Number of rows.

    Example:
        >>> true_rows(lambda rows: np.array([True, False, True])[rows], 3)
        array([0, 2])
    """
    found: NDArray[np.int64] = empty(count(mask, n), np.int64)
    end = 0
    for rows in blocks(n):
        here = np.flatnonzero(mask(rows))
        found[end : end + len(here)] = here + rows.start
        end += len(here)
    return found


def compress(array: Array, mask: Callable[[Array], NDArray[np.bool_]]) -> Array:
    """Return the rows of an array for which a mask, given for a block of them, is true.

    Example:
        >>> compress(np.array([1.0, np.nan, 3.0]), np.isfinite)
        array([1., 3.])
    """
    return take(array, true_rows(lambda rows: mask(array[rows]), len(array)))


def count(mask: Callable[[slice], NDArray[np.bool_]], n: int) -> int:
    """Return for how many of n rows a mask, given for rows of a block, is true.

    Example:
        >>> count(lambda rows: np.array([True, False, True])[rows], 3)
        2
    """
    return sum(int(np.count_nonzero(mask(rows))) for rows in blocks(n))


def read(file: IO[bytes], limit: Limit) -> NDArray[np.uint8]:
    """Return the bytes of a file that is open for reading and can be sought in.

    Raises:
        ValueError: When it is larger than the limit.
        OSError: When it cannot be read, or ends before its end.
    """
    size = file.seek(0, os.SEEK_END)
    limit.check(size)
    file.seek(0)
    content: NDArray[np.uint8] = empty(size, np.uint8)
    for rows in blocks(size):
        left = content[rows].data
        while len(left):
            part = file.read(len(left))
            if not part:
                raise OSError(errno.EIO, "the file ends before its end")
            left[: len(part)] = part
            left = left[len(part) :]
    return content


def std(array: Array, ddof: int = 0) -> NDArray[np.float64]:
    """Return the standard deviation along the first axis, as numpy's ``std`` in float64 does.

    Example:
        >>> float(std(np.array([1.0, 3.0])))
        1.0
    """
    n = len(array)
    mean = array.mean(axis=0, dtype=np.float64)
    squares = np.zeros(mean.shape)
    for rows in blocks(n, mean.size):
        squares += np.square(array[rows] - mean).sum(axis=0)
    deviation: NDArray[np.float64] = np.sqrt(squares / (n - ddof))
    return deviation


def _map(descriptor: int, size: int) -> mmap.mmap:
    """Return a map; it holds the file without a descriptor of its own, where Python can do that."""
    if sys.version_info >= (3, 13):
        return mmap.mmap(descriptor, size, trackfd=False)
    return mmap.mmap(descriptor, size)


def give_back() -> None:
    """Tell the system that no page of the files is needed for now; they keep what was written."""
    if hasattr(mmap, "MADV_DONTNEED"):
        for reference in _maps.valuerefs():  # a list, made at once: other threads add maps
            memory = reference()
            if memory is not None:
                memory.madvise(mmap.MADV_DONTNEED)
