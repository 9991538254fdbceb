"""Folders by URL, as ``s3://bucket/run``, through fsspec's and pyarrow's own file systems."""

from __future__ import annotations

import errno
import os
import re
import secrets
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from functools import lru_cache
from pathlib import Path
from typing import IO, Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from pxgen_plugins.utils import large_arrays, optional, tickets
from pxgen_plugins.utils.errors import ParameterError, short_repr
from pxgen_plugins.utils.limits import Limit, LimitError
from pxgen_plugins.utils.storage import Place, Storage

__all__ = ["PRIVATE", "Remote", "is_url", "place_of"]

PRIVATE = ("file", "memory")  # protocols that leave no machine
_PROTOCOLS = ("file", "gs", "memory", "s3")
_OBJECTS = ("gs", "memory", "s3")  # where a write puts a whole file, or none, in its place
_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.:-]+://")
_MARKER = "checksums.json"
_TRIES, _WAIT = 5, 0.1  # seconds before the second try; then twice as long each time
_NOT_AGAIN = (FileNotFoundError, FileExistsError, IsADirectoryError, NotADirectoryError,
              PermissionError, LimitError, ParameterError)  # fmt: skip
_FULL = (errno.ENOSPC, errno.EDQUOT)

T = TypeVar("T")


def is_url(text: str) -> bool:
    """Return whether a text is a URL and no path.

    Example:
        >>> is_url("s3://bucket/run"), is_url("runs/first"), is_url("C:/runs")
        (True, False, False)
    """
    return bool(_URL.match(text))


def place_of(text: str | os.PathLike[str]) -> Place:
    """Return the folder that a path or a URL names; no connection is opened.

    Raises:
        ParameterError: When it is the URL of another protocol, or holds credentials.
    """
    return Remote(text) if isinstance(text, str) and is_url(text) else Path(text)


class Remote(Storage):
    """A folder by URL. A connection is opened when something is first read or written.

    ``memory://`` is this process's; ``s3://`` and ``gs://`` are read by s3fs and gcsfs where these
    are installed, else by pyarrow; both take credentials from the environment, as their clouds say.
    Each request is tried five times. Where a store has no whole writes (``file://``), a file is
    written under another name and renamed.

    Args:
        url: The URL.

    Raises:
        ParameterError: When it is of another protocol, or holds credentials or a query.
    """

    def __init__(self, url: str) -> None:
        protocol, _, rest = url.partition("://")
        self.protocol = protocol.lower()
        if self.protocol not in _PROTOCOLS or "::" in url:
            allowed = "a path, or a URL of " + ", ".join(f"{name}://" for name in _PROTOCOLS)
            got = short_repr(url)
            raise ParameterError("the URL", allowed, got, "Copy it to one of these.")
        if re.search(r"[@?#\x00-\x1f]|(^|/)\.\.?(/|$)", rest) or not rest.strip("/"):
            hint = "Credentials are taken from the environment."
            allowed = "protocol://place/name, without credentials, query and dots as names"
            raise ParameterError("the URL", allowed, f"another of {self.protocol}://", hint)
        self.url = f"{self.protocol}://{rest.rstrip('/')}"

    def __truediv__(self, name: str) -> Remote:
        return Remote(f"{self.url}/{name}")

    def __str__(self) -> str:
        return self.url

    def __repr__(self) -> str:
        return f"Remote({self.url!r})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Remote) and other.url == self.url

    def __hash__(self) -> int:
        return hash(self.url)

    @property
    def name(self) -> str:
        """The last part of the URL."""
        return self.url.rpartition("/")[2]

    def read(self, name: str, limit: Limit | None = None) -> bytes:
        """Return the bytes of a file; no more of it is read than the limit and a byte."""
        most = () if limit is None else (limit.value + 1,)

        def read(fs: Any, path: str) -> bytes:
            with fs.open(path, "rb") as file:
                return bytes(file.read(*most))

        content = self._tried(read, name)
        if limit is not None:
            limit.check(len(content))
        return content

    def read_large(self, name: str, limit: Limit) -> NDArray[np.uint8]:
        """Return the bytes of a file as a large array."""

        def read(fs: Any, path: str) -> NDArray[np.uint8]:
            with fs.open(path, "rb") as file:
                return large_arrays.read(file, limit)

        return self._tried(read, name)

    def open(self, name: str) -> IO[bytes]:
        """Return a file, open."""
        file: IO[bytes] = self._tried(lambda fs, path: fs.open(path, "rb"), name)
        return file

    def write(self, name: str, content: bytes) -> None:
        """Write a file.

        Raises:
            BusyError: When another audit took the folder over.
            OSError: When it cannot be written.
        """
        tickets.check(self.url)
        self._tried(lambda fs, path: self._put(fs, path, content), name)

    def create(self, name: str, content: bytes) -> bool:
        """Write a file that is not there yet; of two that do so at once, one stands."""
        if self.exists(name):
            return False
        self.write(name, content)
        return self.read(name) == content

    def exists(self, name: str) -> bool:
        """Return whether there is a file or a folder of this name."""
        return bool(self._tried(lambda fs, path: fs.exists(path), name))

    def names(self, folder: str = "") -> list[str]:
        """Return the names in a folder."""
        try:
            found = self._tried(lambda fs, path: fs.ls(path, detail=False), folder)
        except (FileNotFoundError, NotADirectoryError):
            return []
        own = (self / folder if folder else self).name
        names = {str(path).rstrip("/").rpartition("/")[2] for path in found}
        return sorted(names - {own} if len(found) == 1 or own in names else names)

    def some(self, folder: str, names: Iterable[str]) -> set[str]:
        """Return the names that are there, by one list for many of them."""
        asked = set(names)
        return asked if len(asked) < 4 else asked & set(self.names(folder))

    def files(self) -> dict[str, str]:
        """Return the names of all files below, and for each a text that changes with its content.

        Of a URL that is a file these are ``""`` and its own.

        Raises:
            OSError: When there is nothing, or it cannot be read.
        """

        def walk(fs: Any, path: str) -> dict[str, str]:
            if not fs.isdir(path):
                return {"": str(fs.ukey(path))}
            root = str(fs._strip_protocol(path)).rstrip("/") + "/"
            return {str(one).removeprefix(root): str(fs.ukey(one)) for one in sorted(fs.find(path))}

        found: dict[str, str] = self._tried(walk, "")
        return found

    def download(self, name: str, path: Path) -> None:
        """Copy a file to this machine; it is never in memory as a whole.

        Raises:
            OSError: When it cannot be read or written.
        """
        path.parent.mkdir(parents=True, exist_ok=True)
        self._tried(lambda fs, source: fs.get_file(source, str(path)), name)

    def remove(self, name: str) -> None:
        """Remove a file or a folder."""
        with suppress(FileNotFoundError):
            self._tried(lambda fs, path: fs.rm(path, recursive=True), name)

    @contextmanager
    def alone(self, *, shared: bool = False) -> Iterator[None]:
        """Hold a ticket in the folder, whose number goes on while this process lives."""
        with tickets.held(self, self.url, shared=shared):
            yield

    @contextmanager
    def draft(self, folder: str = "") -> Iterator[Path]:
        """Give a temporary folder, and write its files when all is well."""
        with tempfile.TemporaryDirectory(prefix="pxgen-") as place:
            yield Path(place)
            names = sorted(os.listdir(place), key=lambda name: (name == _MARKER, name))
            for name in names:
                inner = f"{folder}/{name}" if folder else name
                self.write(inner, Path(place, name).read_bytes())

    @contextmanager
    def copy(self, folder: str = "", limit: Limit | None = None) -> Iterator[Path]:
        """Give a temporary folder with the files of one inside."""
        with tempfile.TemporaryDirectory(prefix="pxgen-") as place:
            for name in self.names(folder):
                inner = f"{folder}/{name}" if folder else name
                with suppress(FileNotFoundError, IsADirectoryError):  # a folder
                    Path(place, name).write_bytes(self.read(inner, limit))
            yield Path(place)

    def _put(self, fs: Any, path: str, content: bytes) -> None:
        if self.protocol in _OBJECTS:
            fs.pipe_file(path, content)
            return
        folder, _, name = path.rpartition("/")
        fs.makedirs(folder, exist_ok=True)
        draft = f"{folder}/.{name}.{secrets.token_hex(8)}"
        try:
            fs.pipe_file(draft, content)
            fs.mv(draft, path)
        except BaseException:
            with suppress(Exception):
                fs.rm(draft)
            raise

    def _tried(self, request: Callable[[Any, str], T], name: str) -> T:
        """Return what a request gives; one that fails is tried again, a few times.

        Raises:
            OSError: As the last try failed.
        """
        fs, root = _file_system(self.url)
        path = f"{root.rstrip('/')}/{name}" if name else root
        for left in range(_TRIES - 1, -1, -1):
            try:
                return request(fs, path)
            except _NOT_AGAIN:
                raise
            except Exception as error:  # each file system has errors of its own
                full = isinstance(error, OSError) and error.errno in _FULL
                if not left or full:
                    place = f"{self.url}/{name}" if name else self.url
                    number = getattr(error, "errno", None) or errno.EIO
                    why = getattr(error, "strerror", None) or f"{type(error).__name__}: {error}"
                    raise OSError(number, why[:200], place) from error
            time.sleep(_WAIT * 2 ** (_TRIES - 1 - left))
        raise AssertionError  # the last try returns or raises


@lru_cache(maxsize=64)
def _file_system(url: str) -> tuple[Any, str]:
    """Return the file system of a URL, and the path in it."""
    optional.load("fsspec", "cloud")
    import fsspec.core

    try:
        # what other machines wrote meanwhile is not in a list that was kept
        fs, path = fsspec.core.url_to_fs(url, use_listings_cache=False)
    except ImportError:  # neither s3fs nor gcsfs: pyarrow knows both
        from fsspec.implementations.arrow import ArrowFSWrapper
        from pyarrow.fs import FileSystem

        found, path = FileSystem.from_uri(url)
        fs = ArrowFSWrapper(found)
    return fs, str(path)
