"""Folders of long runs, wherever they are: on this machine, or named by a URL.

A :class:`Local` folder is read and written by :mod:`pxgen_plugins.utils.files` alone. One by URL is
:class:`~pxgen_plugins.utils.remote.Remote`.
"""

from __future__ import annotations

import os
import secrets
import shutil
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import IO

import numpy as np
from numpy.typing import NDArray

from pxgen_plugins.utils import large_arrays, locks
from pxgen_plugins.utils.files import open_regular, read_regular, write_atomic
from pxgen_plugins.utils.limits import Limit

__all__ = ["Local", "Place", "Storage", "storage_of"]


class Storage(ABC):
    """A folder whose files appear whole or not at all; names in it are separated by ``/``."""

    @abstractmethod
    def __truediv__(self, name: str) -> Storage:
        """Return a folder or a file inside."""

    @abstractmethod
    def __str__(self) -> str:
        """Return its path or URL."""

    @abstractmethod
    def read(self, name: str, limit: Limit | None = None) -> bytes:
        """Return the bytes of a file.

        Raises:
            FileNotFoundError: When it is not there.
            OSError: When it cannot be read.
            ValueError: When it is larger than the limit.
        """

    @abstractmethod
    def read_large(self, name: str, limit: Limit) -> NDArray[np.uint8]:
        """Return the bytes of a file as a large array, uint8; raises as :meth:`read` does."""

    @abstractmethod
    def open(self, name: str) -> IO[bytes]:
        """Return a file, open to read a part of it.

        Raises:
            OSError: When it cannot be read.
        """

    @abstractmethod
    def write(self, name: str, content: bytes) -> None:
        """Write a file: a reader sees the old one or the whole new one.

        Raises:
            OSError: When it cannot be written; nothing is left behind then.
        """

    @abstractmethod
    def create(self, name: str, content: bytes) -> bool:
        """Write a file that is not there yet; return False when another process was faster."""

    @abstractmethod
    def exists(self, name: str) -> bool:
        """Return whether there is a file, or a link, of this name."""

    @abstractmethod
    def names(self, folder: str = "") -> list[str]:
        """Return the names of all that is in a folder inside, sorted; none where it is absent."""

    @abstractmethod
    def some(self, folder: str, names: Iterable[str]) -> set[str]:
        """Return those of the names that may be in a folder inside, as quickly as that is told."""

    @abstractmethod
    def remove(self, name: str) -> None:
        """Remove a file, or a folder with all that is in it, where it is there.

        Raises:
            OSError: When it cannot be removed.
        """

    @abstractmethod
    def alone(self, *, shared: bool = False) -> AbstractContextManager[None]:
        """Make the folder, and keep others out of it meanwhile.

        Args:
            shared: Let others in that share it too.

        Raises:
            BusyError: When another process works there.
            OSError: When it cannot be made.
        """

    @abstractmethod
    def draft(self, folder: str = "") -> AbstractContextManager[Path]:
        """Give a folder of this machine, whose files are put into one inside at the end.

        ``checksums.json`` is the last of them: with it they are whole.
        """

    @abstractmethod
    def copy(self, folder: str = "", limit: Limit | None = None) -> AbstractContextManager[Path]:
        """Give a folder of this machine with the files that are in one inside, meanwhile."""


Place = Path | Storage
"""A folder: the path of one of this machine, or any."""


class Local(Storage):
    """A folder of this machine.

    Args:
        path: Its path.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def __truediv__(self, name: str) -> Local:
        return Local(self.path / name)

    def __str__(self) -> str:
        return str(self.path)

    def read(self, name: str, limit: Limit | None = None) -> bytes:
        """Return the bytes of a regular file."""
        return read_regular(self.path / name, limit)

    def read_large(self, name: str, limit: Limit) -> NDArray[np.uint8]:
        """Return the bytes of a regular file as a large array."""
        with open_regular(self.path / name, limit) as file:
            return large_arrays.read(file, limit)

    def open(self, name: str) -> IO[bytes]:
        """Return a regular file, open."""
        return open_regular(self.path / name)

    def write(self, name: str, content: bytes) -> None:
        """Write a file, behind no link."""
        write_atomic(self.path / name, content, self.path)

    def create(self, name: str, content: bytes) -> bool:
        """Write a file that is not there yet; return False when another process was faster."""
        path = self.path / name
        draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
        write_atomic(draft, content)
        try:
            os.link(draft, path)  # unlike a rename, this fails where the name is taken
        except FileExistsError:
            return False
        except OSError:  # a file system without hard links, such as exFAT
            try:
                path.open("xb").close()
                os.replace(draft, path)  # whole, where the name is ours by now
            except FileExistsError:
                return False
        finally:
            draft.unlink(missing_ok=True)
        return True

    def exists(self, name: str) -> bool:
        """Return whether something has the name."""
        return os.path.lexists(self.path / name)

    def names(self, folder: str = "") -> list[str]:
        """Return the names in a folder."""
        place = self.path / folder
        return sorted(os.listdir(place)) if place.is_dir() else []

    def some(self, folder: str, names: Iterable[str]) -> set[str]:
        """Return all: to read a file tells it as quickly."""
        return set(names)

    def remove(self, name: str) -> None:
        """Remove a file, a link (what it leads to is not ours) or a folder."""
        place = self.path / name
        if place.is_dir() and not place.is_symlink():
            shutil.rmtree(place)
        else:
            place.unlink(missing_ok=True)

    @contextmanager
    def alone(self, *, shared: bool = False) -> Iterator[None]:
        """Make the folder, and hold the kernel's lock on it."""
        self.path.mkdir(parents=True, exist_ok=True)
        with locks.locked(self.path, shared=shared):
            yield

    @contextmanager
    def draft(self, folder: str = "") -> Iterator[Path]:
        """Give the folder itself."""
        yield self.path / folder

    @contextmanager
    def copy(self, folder: str = "", limit: Limit | None = None) -> Iterator[Path]:
        """Give the folder itself."""
        yield self.path / folder


def storage_of(place: Place) -> Storage:
    """Return the storage of a folder.

    Example:
        >>> str(storage_of(Path("runs")) / "first")
        'runs/first'
    """
    return Local(place) if isinstance(place, Path) else place
