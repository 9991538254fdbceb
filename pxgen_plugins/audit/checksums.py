"""Checksums of a run's results: written last of all, and compared wherever a result is read."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pxgen_plugins.utils.files import checksum, file_checksum, write_atomic
from pxgen_plugins.utils.json_files import parse_json
from pxgen_plugins.utils.limits import JSON_FILE, Limit, LimitError
from pxgen_plugins.utils.storage import Place, storage_of

__all__ = ["CHECKSUMS", "Results", "write_checksums"]

CHECKSUMS = "checksums.json"


def write_checksums(folder: Path, names: Iterable[str]) -> None:
    """Write the SHA-256 of those of the files that are there, and one of the list itself.

    Raises:
        OSError: When a file cannot be read, or the list not written.
    """
    found = (name for name in sorted(names) if os.path.lexists(folder / name))
    files = {name: file_checksum(folder / name) for name in found}
    content = {"files": files, "checksum": _of_list(files)}
    write_atomic(folder / CHECKSUMS, (json.dumps(content, indent=1) + "\n").encode(), root=folder)


class Results:
    """The files of a finished run, each compared with its checksum before anything is made of it.

    The checksums protect from damage and from edits by hand, not from somebody who computes them
    anew.

    Args:
        folder: The run folder.

    Raises:
        ValueError: When the list is none, or was changed.
        OSError: When there is none, as in a run that has not finished.
    """

    def __init__(self, folder: Place) -> None:
        self._storage = storage_of(folder)
        try:
            content: Any = parse_json(self._storage.read(CHECKSUMS, JSON_FILE))
            files, checksum = content["files"], content["checksum"]
        except LimitError:
            raise
        except (KeyError, TypeError, ValueError) as error:  # its name first: paths are long
            raise ValueError(f"{CHECKSUMS} was changed") from error
        if checksum != _of_list(files):
            raise ValueError(f"{CHECKSUMS} was changed")
        self._files: dict[str, str] = files

    def read(self, name: str, limit: Limit) -> bytes:
        """Return the content of a file.

        Raises:
            ValueError: When it is larger than the limit, or another than was written.
            OSError: When it is not there, or no regular file.
        """
        content = self._storage.read(name, limit)
        self._check(name, content)
        return content

    def read_large(self, name: str, limit: Limit) -> NDArray[np.uint8]:
        """Return the content of a file as a large array; raises as :meth:`read` does."""
        content = self._storage.read_large(name, limit)
        self._check(name, content.data)
        return content

    def find(self, name: str, limit: Limit) -> bytes | None:
        """Return the content of a file that may be left out of a copy; None where it is not there.

        Raises:
            ValueError: When it is larger than the limit, another than was written, or none was.
            OSError: When it is no regular file.
        """
        return self.read(name, limit) if self._storage.exists(name) else None

    def _check(self, name: str, content: bytes | memoryview) -> None:
        if self._files.get(name) != checksum(content):
            raise ValueError(f"{name} was changed: its checksum differs")


def _of_list(files: Any) -> str:
    return checksum(json.dumps(files, sort_keys=True).encode())
