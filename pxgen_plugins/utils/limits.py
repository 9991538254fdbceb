"""Limits of what is read from files, and how they are raised.

A limit is checked before what it bounds is decoded. The environment variable ``PXGEN_MAX_`` and its
name sets another one, in worker processes too; SECURITY.md has the table.
"""

from __future__ import annotations

import os
from dataclasses import dataclass

from pxgen_plugins.utils.errors import ParameterError, short_repr

__all__ = [
    "ARCHIVE_INDEX",
    "IMAGE_FILE",
    "IMAGE_TAGS",
    "JSON_FILE",
    "JSON_MEMORY",
    "LABELS",
    "LINE",
    "ONNX_FILE",
    "RUN_ARRAYS",
    "RUN_FILE",
    "RUN_TABLE",
    "TABLE",
    "TEXTS",
    "TEXT_FILE",
    "WEIGHTS",
    "Limit",
    "LimitError",
    "Room",
]


class LimitError(ValueError):
    """Something is larger than its limit; nothing else is wrong with it."""


@dataclass(frozen=True)
class Limit:
    """The most of something that is read.

    Args:
        name: Its name in the environment, behind ``PXGEN_MAX_``.
        default: The limit where the environment names none.
        what: What is counted, in words: ``"bytes of an image file"``.

    Example:
        >>> Limit("EXAMPLE", 8, "bytes of a note").refusal("9 bytes")
        '9 bytes, more than 8 (PXGEN_MAX_EXAMPLE raises this limit)'
    """

    name: str
    default: int
    what: str

    @property
    def value(self) -> int:
        """The limit in force.

        Raises:
            ParameterError: When the environment holds no positive integer.
        """
        text = os.environ.get(f"PXGEN_MAX_{self.name}")
        if text is None:
            return self.default
        if not text.isdecimal() or not 0 < len(text) < 19 or int(text) < 1:
            hint = f"Unset it, or write a number of {self.what}."
            raise ParameterError(
                f"PXGEN_MAX_{self.name}", "a positive integer", short_repr(text), hint
            )
        return int(text)

    def check(self, amount: int) -> None:
        """Raise LimitError when ``amount`` is more than the limit."""
        if amount > self.value:
            raise LimitError(self.refusal(f"{amount:,} {self.what}"))

    def refusal(self, got: str) -> str:
        """Return the reason why ``got`` is not read."""
        return f"{got}, more than {self.value:,} (PXGEN_MAX_{self.name} raises this limit)"


class Room:
    """Counts what is read piece by piece against a limit.

    Args:
        limit: The limit.
    """

    def __init__(self, limit: Limit) -> None:
        self._limit = limit
        self._most = limit.value
        self._amount = 0

    def add(self, amount: int) -> None:
        """Count ``amount`` more; raise LimitError when that is too much."""
        self._amount += amount
        if self._amount > self._most:
            raise LimitError(self._limit.refusal(f"more {self._limit.what} than are read"))


IMAGE_FILE = Limit("IMAGE_FILE", 1 << 28, "bytes of an image file")
IMAGE_TAGS = Limit("IMAGE_TAGS", 1 << 24, "bytes of a TIFF file's tags")
TEXT_FILE = Limit("TEXT_FILE", 1 << 30, "bytes of a file of texts")
LINE = Limit("LINE", 1 << 24, "bytes of a line")
TABLE = Limit("TABLE", 1 << 31, "bytes of memory for a table")
TEXTS = Limit("TEXTS", 1 << 30, "bytes of memory for a file's texts")
LABELS = Limit("LABELS", 1 << 30, "bytes of memory for labels or ids")
ARCHIVE_INDEX = Limit("ARCHIVE_INDEX", 1 << 20, "bytes of an archive's index")
JSON_FILE = Limit("JSON_FILE", 1 << 28, "bytes of a JSON file")
JSON_MEMORY = Limit("JSON_MEMORY", 1 << 30, "bytes of memory for a JSON file's content")
ONNX_FILE = Limit("ONNX_FILE", 1 << 31, "bytes of an ONNX file")
RUN_FILE = Limit("RUN_FILE", 1 << 32, "bytes of a run's table")
RUN_TABLE = Limit("RUN_TABLE", 1 << 30, "bytes of a run's table when decoded")
RUN_ARRAYS = Limit("RUN_ARRAYS", 1 << 31, "bytes of a file of arrays")
WEIGHTS = Limit("WEIGHTS", 1 << 34, "bytes of a file of weights")
