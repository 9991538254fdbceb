"""Files that appear whole or not at all, are regular ones when read, and stay inside a folder."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import math
import os
import secrets
import stat
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, Any

import numpy as np

from pxgen_plugins.utils.errors import short_repr
from pxgen_plugins.utils.limits import Limit

__all__ = [
    "checksum",
    "file_checksum",
    "open_atomic",
    "open_inside",
    "open_regular",
    "plain",
    "read_regular",
    "stream_checksum",
    "write_atomic",
]

_CHUNK = 2**20


def _flags(*names: str) -> int:
    """Return the flags of ``os.open`` that this system has."""
    return sum({getattr(os, name, 0) for name in names})


# without waiting: the open of a pipe that nobody writes to would never return
_READ = os.O_RDONLY | _flags("O_NONBLOCK", "O_NOCTTY", "O_CLOEXEC", "O_BINARY")
_NO_LINK = _flags("O_NOFOLLOW")
_FOLDER = _flags("O_DIRECTORY", "O_CLOEXEC") | getattr(os, "O_PATH", os.O_RDONLY)
_CAN_WALK = {os.open, os.mkdir, os.rename, os.unlink} <= os.supports_dir_fd and bool(_NO_LINK)


def checksum(content: bytes | memoryview) -> str:
    """Return the SHA-256 of some bytes, in hexadecimal."""
    return hashlib.sha256(content).hexdigest()


def stream_checksum(file: IO[bytes]) -> str:
    """Return the SHA-256 of what is left of an open file, which is read piece by piece."""
    digest = hashlib.sha256()
    while chunk := file.read(_CHUNK):
        digest.update(chunk)
    return digest.hexdigest()


def file_checksum(path: str | os.PathLike[str], limit: Limit | None = None) -> str:
    """Return the SHA-256 of a regular file of any size, which is never in memory as a whole.

    Args:
        path: The file.
        limit: How many bytes it may have; None for any number.

    Raises:
        OSError: As for :func:`open_regular`.
        ValueError: When it is larger than the limit.
    """
    with open_regular(path, limit) as file:
        return stream_checksum(file)


def open_regular(path: str | os.PathLike[str], limit: Limit | None = None) -> IO[bytes]:
    """Open a regular file to read bytes, at once: no pipe is waited for, no device is read.

    Args:
        path: The file.
        limit: How many bytes it may have; None for any number.

    Raises:
        OSError: When it cannot be opened, or is a folder, pipe, device or socket.
        ValueError: When it is larger than the limit.

    Example:
        >>> open_regular("/dev/zero")
        Traceback (most recent call last):
            ...
        OSError: [Errno 22] it is no regular file: '/dev/zero'
    """
    file = os.fdopen(_open_regular(os.fspath(path), _READ), "rb")
    try:
        if limit is not None:
            limit.check(os.fstat(file.fileno()).st_size)
    except BaseException:
        file.close()
        raise
    return file


def read_regular(path: str | os.PathLike[str], limit: Limit | None = None) -> bytes:
    """Return the bytes of a regular file.

    Args:
        path: The file.
        limit: How many bytes it may have; None for any number.

    Raises:
        OSError: As for :func:`open_regular`.
        ValueError: When it is larger than the limit.
    """
    with open_regular(path, limit) as file:
        if limit is None:
            return file.read()
        content = file.read(limit.value + 1)  # it may have grown by now
    limit.check(len(content))
    return content


def open_inside(root: str, name: str) -> int:
    """Return a descriptor of the regular file ``name`` under ``root``, which is a real path.

    Links are followed as long as they stay inside. Every folder on the way is opened from the one
    before, and no link among them is followed then: one that was put there meanwhile is an error.

    Raises:
        ValueError: When ``name`` or a link leads out of ``root``, or it is no regular file.
        OSError: When it cannot be opened.
    """
    named = os.path.normpath(os.path.join(root, name))
    if os.path.commonpath([root, named]) != root:
        raise ValueError("its path leaves the folder")
    real = os.path.realpath(named)
    if os.path.commonpath([root, real]) != root:
        raise ValueError("it is a symbolic link that leaves the folder")
    *folders, last = os.path.relpath(real, root).split(os.sep)
    try:
        with _walk(root, folders) as (folder, prefix):
            return _open_regular(prefix + last, _READ | _NO_LINK, folder)
    except OSError as error:
        if error.errno == errno.EINVAL:
            raise ValueError(error.strerror) from error
        raise


def write_atomic(
    path: str | os.PathLike[str],
    content: bytes,
    root: str | os.PathLike[str] | None = None,
) -> None:
    """Write ``content`` to ``path``: a reader sees the old file or the whole new one.

    Args:
        path: The file; folders on the way are made.
        content: Its bytes.
        root: A folder that is not left: below it no link is followed.

    Raises:
        OSError: When it cannot be written; nothing is left behind then.
    """
    if root is None:
        with open_atomic(path) as file:
            file.write(content)
        return
    Path(root).mkdir(parents=True, exist_ok=True)
    target = Path(path)
    folders = target.parent.relative_to(root).parts
    with (
        _walk(os.fspath(root), folders, make=True) as (folder, prefix),
        _draft(prefix, target.name, folder) as file,
    ):
        file.write(content)


@contextlib.contextmanager
def open_atomic(path: str | os.PathLike[str]) -> Iterator[IO[bytes]]:
    """Open a file to write it piece by piece; it appears whole when the block ends without error.

    Args:
        path: The file; folders on the way are made.

    Raises:
        OSError: When it cannot be written; nothing is left behind then.
    """
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    with _draft(os.path.join(target.parent, ""), target.name, None) as file:
        yield file


@contextlib.contextmanager
def _draft(prefix: str, name: str, folder: int | None) -> Iterator[IO[bytes]]:
    """Open a draft that is renamed at the end; both are in ``folder``, or paths without one."""
    draft, name = f"{prefix}.{name}.{secrets.token_hex(8)}", prefix + name
    flags = os.O_CREAT | os.O_EXCL | os.O_WRONLY | _flags("O_CLOEXEC", "O_BINARY")
    try:
        handle = os.open(draft, flags, 0o666, dir_fd=folder)  # the umask applies
    except OSError as error:
        error.filename = name  # which says more than that of the draft
        raise
    try:
        with os.fdopen(handle, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(draft, name, src_dir_fd=folder, dst_dir_fd=folder)
    except BaseException as error:
        with contextlib.suppress(OSError):
            os.unlink(draft, dir_fd=folder)
        if isinstance(error, OSError) and error.filename is None:  # a full disk names no file
            error.filename = name
        raise


def _open_regular(path: str, flags: int, folder: int | None = None) -> int:
    descriptor = os.open(path, flags, dir_fd=folder)
    if stat.S_ISREG(os.fstat(descriptor).st_mode):
        return descriptor
    os.close(descriptor)
    raise OSError(errno.EINVAL, "it is no regular file", path)


@contextlib.contextmanager
def _walk(
    root: str, folders: list[str] | tuple[str, ...], *, make: bool = False
) -> Iterator[tuple[int | None, str]]:
    """Yield a descriptor of the last folder, and what stands before names in it.

    Where the system cannot open a file in a folder that is open (Windows), there is no descriptor,
    and the names begin with the path of the folder, which was looked at for links.
    """
    if not _CAN_WALK:
        place = root
        for name in folders:
            place = os.path.join(place, name)
            if make:
                Path(place).mkdir(exist_ok=True)
            if os.path.islink(place):
                raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), place)
        yield None, os.path.join(place, "")
        return
    folder = os.open(root, _FOLDER | (0 if make else _NO_LINK))
    try:
        for name in folders:
            if name == os.curdir:
                continue
            if make:
                with contextlib.suppress(FileExistsError):
                    os.mkdir(name, dir_fd=folder)
            below = os.open(name, _FOLDER | _NO_LINK, dir_fd=folder)
            os.close(folder)
            folder = below
        yield folder, ""
    finally:
        os.close(folder)


def plain(value: Any) -> Any:
    """Return ``value`` as strict JSON holds it.

    Arrays become lists, what is not finite None, a function its name.

    Example:
        >>> plain({1: np.array([1.0, np.nan])})
        {'1': [1.0, None]}
    """
    if isinstance(value, Mapping):
        return {str(key): plain(inner) for key, inner in value.items()}
    if isinstance(value, (np.ndarray, np.generic)):
        return plain(value.tolist())
    if isinstance(value, (list, tuple)):
        return [plain(inner) for inner in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return short_repr(value) if callable(value) else value
