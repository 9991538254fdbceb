"""A temporary file of rows, for sources that can be read only once."""

from __future__ import annotations

import contextlib
import os
import tempfile
import weakref
from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pxgen_plugins.anchors.memmaps import MemmapAnchors
from pxgen_plugins.utils.errors import AnchorError

__all__ = ["Spool", "SpoolAnchors"]


class Spool:
    """A file in the temporary directory that is deleted when this object goes, or at exit.

    Raises:
        AnchorError: When there is no room for one.
    """

    def __init__(self) -> None:
        try:
            descriptor, self.path = tempfile.mkstemp(prefix="pxgen-", suffix=".rows")
        except OSError as error:
            raise self._full(error) from error
        self._file = os.fdopen(descriptor, "wb")
        self._finalizer = weakref.finalize(self, _remove, self.path)

    def write(self, data: NDArray[Any]) -> None:
        """Append the elements of an array, in C order.

        Raises:
            AnchorError: When the disk is full.
        """
        try:
            self._file.write(np.ascontiguousarray(data).data)
        except OSError as error:
            raise self._full(error) from error

    def rows(self, dtype: np.dtype[Any], shape: tuple[int, ...], order: str = "C") -> NDArray[Any]:
        """Return what was written as a read-only array, mapped from the file; ends the writing.

        The array does not keep the file: hold on to this object as well.
        """
        try:
            self._file.close()
        except OSError as error:
            raise self._full(error) from error
        if 0 in shape or os.path.getsize(self.path) == 0:
            return np.zeros(shape, dtype)
        mapped: NDArray[Any] = np.memmap(
            self.path, dtype, "r", shape=shape, order="F" if order == "F" else "C"
        )
        return mapped

    def discard(self) -> None:
        """Delete the file now: an exception in flight would keep this object, and so the file."""
        self._file.close()
        self._finalizer()

    def _full(self, error: OSError) -> AnchorError:
        hint = "Free disk space, or point TMPDIR to a larger disk."
        allowed = "small enough for the temporary directory"
        return AnchorError("X", allowed, f"{error.strerror}", hint)


class SpoolAnchors(MemmapAnchors):
    """Anchors in a spool, some of which may have failed when they were written.

    Args:
        spool: The file, kept as long as this object.
        array: The spool's rows.
        failed: Reason for each row that could not be read.
        sample_shape: Shape of one anchor, None to take the rows as they are.
    """

    def __init__(
        self,
        spool: Spool,
        array: NDArray[Any],
        failed: dict[int, str],
        sample_shape: tuple[int, ...] | None,
    ) -> None:
        super().__init__(array, sample_shape)
        self._spool = spool
        self._failed = failed

    @classmethod
    def matches(cls, X: Any) -> bool:
        """Return False: a spool is written, not given."""
        return False

    def read(self, index: slice | NDArray[np.int64]) -> tuple[NDArray[Any], dict[int, str]]:
        """Return copies of the rows, and which had failed."""
        rows, _ = super().read(index)
        if not self._failed:
            return rows, {}
        chosen: Iterable[int]
        chosen = range(len(self))[index] if isinstance(index, slice) else np.asarray(index).tolist()
        at = [(place, position % len(self)) for place, position in enumerate(chosen)]
        return rows, {place: self._failed[p] for place, p in at if p in self._failed}


def _remove(path: str) -> None:
    with contextlib.suppress(OSError):
        os.remove(path)
