"""Records of files: lines of text, JSON Lines, CSV, and columns of Parquet files."""

from __future__ import annotations

import codecs
import csv
import io
import json
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from pxgen_plugins.anchors.base import library, reason
from pxgen_plugins.anchors.tables import BY_NAME, Columns
from pxgen_plugins.utils.errors import AnchorError, short_repr, warn
from pxgen_plugins.utils.files import open_inside

__all__ = [
    "SUFFIXES",
    "BadRecord",
    "FileColumns",
    "csv_columns",
    "csv_rows",
    "file_columns",
    "file_content",
]

_MOST_BYTES = 1 << 30
# UTF-32 comes first: its mark begins with that of UTF-16.
_OTHER_MARKS = {
    codecs.BOM_UTF32_LE: "UTF-32", codecs.BOM_UTF32_BE: "UTF-32",
    codecs.BOM_UTF16_LE: "UTF-16", codecs.BOM_UTF16_BE: "UTF-16",
}  # fmt: skip
_HINTS = {
    ".txt": "Write one text on each line, in UTF-8.",
    ".csv": "Write a line of column names, then one line for each anchor.",
    ".jsonl": "Write one JSON object on each line.",
    ".parquet": "Check the file with pyarrow.parquet.read_table.",
}


@dataclass(frozen=True)
class BadRecord:
    """Stands where a file holds no anchor.

    Attributes:
        why: The reason, which names the line.
    """

    why: str


Cells = dict[str, list[Any]]
Places = Callable[[Sequence[str]], dict[str, str]]
"""From the names of a file's columns to those that play a part, by role."""


@dataclass(frozen=True)
class FileColumns:
    """Columns of a file.

    Attributes:
        cells: Their values, by role: that of the anchors, ``"label"`` and ``"id"``.
        names: Their names, by role.
    """

    cells: dict[str, list[Any]]
    names: dict[str, str]


def file_columns(path: Path, named: Columns = BY_NAME) -> FileColumns:
    r"""Return the columns of a file of texts, the anchors under ``text``; others are not read.

    Lines end in ``\n`` or ``\r\n`` and in nothing else. Files are UTF-8, with or without a byte
    order mark, of at most 1 GiB. A line that is no UTF-8, no JSON object, or lacks the text is a
    :class:`BadRecord` in its place; a key that some lines lack is None there.

    Args:
        path: A ``.txt`` file (its lines are the column ``text``), or a ``.csv``, ``.jsonl`` (or
            ``.ndjson``) or ``.parquet`` (or ``.pq``) file.
        named: The columns that the user named.

    Raises:
        AnchorError: When the file as a whole cannot be read, or no record of it is good.
    """
    suffix = path.suffix.lower()
    kind = _SYNONYMS.get(suffix, suffix)
    if kind not in SUFFIXES or path.is_dir():
        allowed = "the path of a file that ends in " + ", ".join(SUFFIXES)
        got = f"the folder {short_repr(str(path))}" if path.is_dir() else short_repr(str(path))
        hint = "Give one such file; the texts of a folder can be put into one."
        raise AnchorError("X", allowed, got, hint)
    places = partial(named.places, role="text", usual=("text",))
    if kind == ".csv":
        return csv_columns(path, places)
    try:
        columns = SUFFIXES[kind](path, places)
        texts = columns.cells.get("text", [])
        if texts and all(isinstance(text, BadRecord) for text in texts):
            raise ValueError(f"no record is good: {texts[0].why}")
    except AnchorError:
        raise
    except Exception as error:  # a file may be broken in any way
        raise _unreadable(path, f"a readable {kind} file", error, _HINTS[kind]) from error
    return columns


def csv_columns(path: Path, places: Places) -> FileColumns:
    """Return the columns of a CSV file that play some part, as texts; others are not read.

    Args:
        path: The file, UTF-8, of at most 1 GiB; its first line names the columns.
        places: From the names of its columns to those that play a part, by role.

    Raises:
        AnchorError: When it cannot be read, is no CSV file, names such a column twice, or a line
            is shorter or longer than the first.
    """
    try:
        rows = csv_rows(file_content(path))
        own = [name.strip() for name in next(rows, [])]
        names = places(own)
        at = {role: _place(own, name) for role, name in names.items()}
        cells: Cells = {role: [] for role in at}
        for row in rows:
            for role, place in at.items():
                cells[role].append(row[place])
    except AnchorError:
        raise
    except Exception as error:  # a file may be broken in any way
        allowed = "a readable CSV file in UTF-8"
        raise _unreadable(path, allowed, error, _HINTS[".csv"]) from error
    return FileColumns(cells, names)


def csv_rows(content: bytes) -> Iterator[list[str]]:
    """Yield the rows of a CSV file, the names of columns first; empty lines are none.

    Raises:
        ValueError: When it is no UTF-8, quotes do not match, or a row is shorter or longer than the
            first; the message names the line.
    """
    try:
        text = _utf8(content).decode()
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        raise ValueError(f"line {line} is no UTF-8") from error
    # Without newline="" the line ends inside quotes would be altered.
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    width = -1
    while True:
        try:
            row = next(reader, None)
        except csv.Error as error:
            raise ValueError(f"line {reader.line_num}: {error}") from error
        if row is None:
            return
        if row:
            width = len(row) if width < 0 else width
            if len(row) != width:
                line = reader.line_num
                raise ValueError(f"line {line} has {len(row)} values for {width} columns")
            yield row


def _utf8(content: bytes) -> bytes:
    r"""Return the content of a text file without its byte order mark.

    Raises:
        ValueError: When the mark is that of another encoding.

    Example:
        >>> _utf8(b"\xef\xbb\xbfab")
        b'ab'
    """
    for mark, name in _OTHER_MARKS.items():
        if content.startswith(mark):
            raise ValueError(f"it is {name} by its byte order mark; save it as UTF-8")
    return content.removeprefix(codecs.BOM_UTF8)


def file_content(path: Path) -> bytes:
    """Return the bytes of a regular file of at most 1 GiB.

    Raises:
        ValueError: When it is none, or larger.
        OSError: When it cannot be opened.
    """
    with os.fdopen(open_inside(*os.path.split(os.path.realpath(path))), "rb") as file:
        content = file.read(_MOST_BYTES + 1)
    if len(content) > _MOST_BYTES:
        raise ValueError(f"more than {_MOST_BYTES} bytes")
    return content


def _lines(path: Path) -> list[bytes]:
    r"""Return the lines of a file: ``\n`` and ``\r\n`` end one, other separators are characters."""
    lines = _utf8(file_content(path)).replace(b"\r\n", b"\n").split(b"\n")
    if not lines[-1]:
        lines.pop()
    return lines


def _txt(path: Path, places: Places) -> FileColumns:
    lines = _lines(path)
    if len(lines) == 1 and b"\r" in lines[0]:
        warn(
            f"anchors: {short_repr(path.name)} is read as one text, as lines end in \\n or "
            "\\r\\n, and it has \\r alone."
        )
    names = places(["text"])
    texts = [_decode(line, number) for number, line in enumerate(lines, 1)]
    return FileColumns({"text": texts}, names)


def _decode(line: bytes, number: int) -> str | BadRecord:
    try:
        return line.decode()
    except UnicodeDecodeError as error:
        return BadRecord(f"line {number} is no UTF-8: byte 0x{line[error.start]:02x}")


def _json_lines(path: Path, places: Places) -> FileColumns:
    lines = [(number, line.strip(b" \t\r")) for number, line in enumerate(_lines(path), 1)]
    records = [(number, _record(line, number)) for number, line in lines if line]
    keys = dict.fromkeys(key for _, record in records if isinstance(record, dict) for key in record)
    if not keys:  # a file without a record holds no text, and is not in need of a key
        return FileColumns({"text": [record for _, record in records]}, {"text": "text"})
    names = places(list(keys))
    cells: Cells = {role: [] for role in names}
    for number, record in records:
        for role, name in names.items():
            if isinstance(record, dict):
                missing = BadRecord(f"line {number} has no key {short_repr(name)}")
                value = record.get(name, missing if role == "text" else None)
            else:  # where nobody can read an id, one says where it should be
                value = {"text": record, "id": f"line {number}"}.get(role)
            cells[role].append(value)
    return FileColumns(cells, names)


def _record(line: bytes, number: int) -> Any:
    try:
        record = json.loads(line.decode(), object_pairs_hook=_distinct)
    except UnicodeDecodeError as error:
        return BadRecord(f"line {number} is no UTF-8: byte 0x{line[error.start]:02x}")
    except (ValueError, RecursionError) as error:
        return BadRecord(reason(f"line {number} is no JSON: {error}"))
    return record if isinstance(record, dict) else BadRecord(f"line {number} is no JSON object")


def _distinct(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    record = dict(pairs)
    if len(record) < len(pairs):
        raise ValueError("a key stands in it twice")
    return record


def _parquet(path: Path, places: Places) -> FileColumns:
    parquet = library("pyarrow.parquet", "pyarrow>=15,<26")
    if not path.is_file():
        raise ValueError("it is no regular file")
    own = parquet.read_schema(path).names
    names = places(own)
    for name in names.values():
        _place(own, name)
    table = parquet.read_table(path, columns=list(names.values()))
    cells: Cells = {role: table[name].to_pylist() for role, name in names.items()}
    if "text" in cells:
        cells["text"] = [_text(value) for value in cells["text"]]
    return FileColumns(cells, names)


def _text(value: Any) -> Any:
    """Return the text in a cell of a column that its writer did not mark as text."""
    try:
        return value.decode() if isinstance(value, bytes) else value
    except UnicodeDecodeError:
        return value


def _place(names: Sequence[str], name: str) -> int:
    if names.count(name) > 1:
        raise ValueError(f"two columns are called {name!r}")
    return names.index(name)


def _unreadable(path: Path, allowed: str, error: Exception, hint: str) -> AnchorError:
    if isinstance(error, ImportError):
        raise error
    plain = type(error) is ValueError  # of this module: the text says it all
    got = f"{short_repr(str(path))}: {reason(str(error) if plain else error)}"
    return AnchorError("X", allowed, got, hint)


_SYNONYMS = {".ndjson": ".jsonl", ".pq": ".parquet"}
SUFFIXES: dict[str, Callable[[Path, Places], FileColumns]] = {
    ".txt": _txt, ".csv": csv_columns, ".jsonl": _json_lines, ".parquet": _parquet,
}  # fmt: skip
"""Readers of files of texts, by suffix in small letters."""
