"""Contents of regular files, of which no more is read than a limit says."""

from __future__ import annotations

import io
import json
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from pxgen_plugins.utils.limits import JSON_FILE, JSON_MEMORY, LINE, TEXT_FILE, Limit

__all__ = ["lines", "open_regular", "parse_json", "read_bytes", "read_json"]

_OPEN = os.O_RDONLY
for _flag in ("O_NONBLOCK", "O_CLOEXEC", "O_BINARY"):  # a pipe without a writer must not wait
    _OPEN |= getattr(os, _flag, 0)
# Bytes of Python objects behind each of these characters of JSON, at most: a list, an element of
# one, a mapping, an entry of one.
_OBJECTS = {b"[": 64, b",": 64, b"{": 128, b":": 128}


def open_regular(path: str | os.PathLike[str], limit: Limit) -> IO[bytes]:
    """Return a file that was opened to read.

    Args:
        path: A regular file, or a link to one.
        limit: Most bytes of it.

    Raises:
        ValueError: When it is no regular file, or larger.
        OSError: When it cannot be opened.
    """
    descriptor = os.open(path, _OPEN)
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise ValueError(f"{os.path.basename(path)} is no regular file")
        limit.check(status.st_size)
        return os.fdopen(descriptor, "rb")
    except BaseException:
        os.close(descriptor)
        raise


def read_bytes(path: str | os.PathLike[str], limit: Limit) -> bytes:
    """Return the content of a file; see :func:`open_regular`."""
    most = limit.value
    with open_regular(path, limit) as file:
        content = file.read(most + 1)  # it may have grown by now
    limit.check(len(content))
    return content


def read_json(path: str | os.PathLike[str]) -> Any:
    """Return the content of a JSON file in UTF-8.

    Raises:
        ValueError: When it is no JSON, or more than fits the limits.
        OSError: When it cannot be opened.
        RecursionError: When it is nested too deeply.
    """
    return parse_json(read_bytes(path, JSON_FILE))


def parse_json(content: bytes) -> Any:
    """Return what JSON stands for, unless its objects could take more memory than allowed.

    Raises:
        ValueError: When it is no JSON, or more than fits the limit.
        RecursionError: When it is nested too deeply.

    Example:
        >>> parse_json(b'{"a": [1, 2]}')
        {'a': [1, 2]}
    """
    # Text that is not ASCII may take 4 bytes a character, once as a whole and once in pieces.
    memory = len(content) * (2 if content.isascii() else 8)
    JSON_MEMORY.check(memory + sum(content.count(sign) * size for sign, size in _OBJECTS.items()))
    return json.loads(content.decode("utf-8"))


def lines(path: str | os.PathLike[str], file: IO[bytes] | None = None) -> Iterator[str]:
    r"""Yield the lines of a text file with their ends, which may be ``\n``, ``\r\n`` or ``\r``.

    Args:
        path: A file in UTF-8, with or without a byte order mark.
        file: The same, where it is open already; it is closed.

    Raises:
        ValueError: When the file or a line is too long, or it is no text.
        OSError: When it cannot be opened.
    """
    with file or open_regular(Path(path), TEXT_FILE) as binary:
        TEXT_FILE.check(os.fstat(binary.fileno()).st_size)
        text = io.TextIOWrapper(binary, encoding="utf-8-sig", newline="")
        most = LINE.value
        while line := text.readline(most + 1):
            if len(line) > most:
                raise ValueError(LINE.refusal(f"a line of {len(line):,} characters or more"))
            yield line
