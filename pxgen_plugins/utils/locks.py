"""Folders that one process works in at a time: a lock that ends with its process."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

__all__ = ["BusyError", "locked"]

_TAKEN = frozenset({errno.EWOULDBLOCK, errno.EAGAIN, errno.EACCES})

_held: dict[str, int] = {}  # of this process, by real path: how often


class BusyError(Exception):
    """Another process works in the folder."""


@contextmanager
def locked(folder: Path, *, shared: bool = False) -> Iterator[None]:
    """Keep other processes out of a folder meanwhile; within one process it may be nested.

    The lock is the kernel's (``flock``) on the folder itself: it leaves no file, and ends when the
    process does, however that is. Where the system or the file system has none, as on Windows,
    nobody is kept out.

    Args:
        folder: The folder, which is there.
        shared: Let others in that share it too.

    Raises:
        BusyError: When another process holds it.
        OSError: When the folder cannot be opened.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as name, locked(Path(name)), locked(Path(name)):
        ...     pass
    """
    place = os.path.realpath(folder)
    descriptor = None if _held.get(place) else _lock(place, shared)
    _held[place] = _held.get(place, 0) + 1
    try:
        yield
    finally:
        _held[place] -= 1
        if not _held[place]:
            del _held[place]
        if descriptor is not None:
            os.close(descriptor)  # which unlocks it


def _lock(place: str, shared: bool) -> int | None:
    """Return a descriptor that holds the lock; None where there are no locks."""
    try:
        import fcntl
    except ImportError:  # Windows
        return None
    descriptor = os.open(place, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
    except OSError as error:
        os.close(descriptor)
        if error.errno in _TAKEN:
            raise BusyError(place) from error
        return None  # a file system without locks
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor
