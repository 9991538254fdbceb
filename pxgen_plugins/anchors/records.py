"""Records of files: lines of text, JSON Lines, CSV, and columns of Parquet files."""

from __future__ import annotations

import codecs
import csv
import io
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import IO, Any

from pxgen_plugins.anchors._blocks import parquet
from pxgen_plugins.anchors.base import reason
from pxgen_plugins.anchors.tables import BY_NAME, Columns
from pxgen_plugins.anchors.text_columns import size_of, text_column
from pxgen_plugins.utils.errors import AnchorError, short_repr, warn
from pxgen_plugins.utils.files import open_regular
from pxgen_plugins.utils.json_files import parse_json
from pxgen_plugins.utils.limits import LINE, TEXT_FILE, TEXTS, LimitError, Room

__all__ = [
    "SUFFIXES",
    "BadRecord",
    "FileColumns",
    "csv_columns",
    "csv_rows",
    "file_columns",
]

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
    order mark, within the limits ``TEXT_FILE``, ``LINE`` and ``TEXTS``. A line that is no UTF-8, no
    JSON object, or lacks the text is a :class:`BadRecord` in its place; a key that some lines lack
    is None there.

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
        hint = "Give one such file, or a list of texts; those of a folder can be put into one."
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
        path: The file, UTF-8; its first line names the columns.
        places: From the names of its columns to those that play a part, by role.

    Raises:
        AnchorError: When it cannot be read, is no CSV file, names such a column twice, or a line
            is shorter or longer than the first.
    """
    try:
        with open_regular(path, TEXT_FILE) as file:
            rows = csv_rows(file)
            own = [name.strip() for name in next(rows, [])]
            names = places(own)
            at = {role: _place(own, name) for role, name in names.items()}
            cells: Cells = {role: [] for role in at}
            room = Room(TEXTS)
            for row in rows:
                for role, place in at.items():
                    room.add(size_of(row[place]))
                    cells[role].append(row[place])
    except AnchorError:
        raise
    except Exception as error:  # a file may be broken in any way
        allowed = "a readable CSV file in UTF-8"
        raise _unreadable(path, allowed, error, _HINTS[".csv"]) from error
    return FileColumns(cells, names)


def csv_rows(file: IO[bytes]) -> Iterator[list[str]]:
    """Yield the rows of a CSV file, the names of columns first; empty lines are none.

    Raises:
        ValueError: When it is no UTF-8, a line is too long, quotes do not match, or a row is
            shorter or longer than the first; the message names the line.
    """
    reader = csv.reader(_csv_lines(file), strict=True)
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


def _csv_lines(file: IO[bytes]) -> Iterator[str]:
    for number, line in enumerate(_lines(file), 1):
        try:
            text = line.decode()
        except UnicodeDecodeError as error:
            raise ValueError(f"line {number} is no UTF-8") from error
        # A carriage return alone ends a line too, here; within quotes it stays what it is.
        yield from io.StringIO(text, newline="") if "\r" in text[:-2] else (text,)


def _lines(file: IO[bytes]) -> Iterator[bytes]:
    r"""Yield the lines of a file, from its start, with their ends; without its byte order mark.

    Raises:
        ValueError: When the mark is that of another encoding, or a line is too long.

    Example:
        >>> list(_lines(io.BytesIO(b"\xef\xbb\xbfa\rb\r\nc")))
        [b'a\rb\r\n', b'c']
    """
    file.seek(0)
    head = file.read(4)
    for mark, name in _OTHER_MARKS.items():
        if head.startswith(mark):
            raise ValueError(f"it is {name} by its byte order mark; save it as UTF-8")
    file.seek(len(codecs.BOM_UTF8) if head.startswith(codecs.BOM_UTF8) else 0)
    most = LINE.value
    while line := file.readline(most + 1):
        if len(line) > most:
            raise ValueError(LINE.refusal(f"a line of {len(line):,} bytes or more"))
        yield line


def _txt(path: Path, places: Places) -> FileColumns:
    names = places(["text"])
    texts: list[str | BadRecord] = []
    room = Room(TEXTS)
    with open_regular(path, TEXT_FILE) as file:
        for number, line in enumerate(_lines(file), 1):
            # \n and \r\n end a line; other separators are characters of a text
            whole = line[:-1].removesuffix(b"\r") if line.endswith(b"\n") else line
            text = _decode(whole, number)
            room.add(_size_of(text))
            texts.append(text)
    if len(texts) == 1 and "\r" in str(texts[0]):
        warn(
            f"anchors: {short_repr(path.name)} is read as one text, as lines end in \\n or "
            "\\r\\n, and it has \\r alone."
        )
    return FileColumns({"text": texts}, names)


def _decode(line: bytes, number: int) -> str | BadRecord:
    try:
        return line.decode()
    except UnicodeDecodeError as error:
        return BadRecord(f"line {number} is no UTF-8: byte 0x{line[error.start]:02x}")


def _json_lines(path: Path, places: Places) -> FileColumns:
    room = Room(TEXTS)
    with open_regular(path, TEXT_FILE) as file:
        # Twice, as the keys tell which values are kept, and the last line may have one more.
        keys: dict[str, None] = {}
        for _, _, record in _records(file):
            new = [key for key in record if key not in keys] if isinstance(record, dict) else []
            room.add(sum(map(_size_of, new)))
            keys |= dict.fromkeys(new)
        # a file without a record holds no text, and is not in need of a key
        names = places(list(keys)) if keys else {"text": "text"}
        cells: Cells = {role: [] for role in names}
        for number, length, record in _records(file):
            for role, name in names.items():
                if isinstance(record, dict) and keys:
                    missing = BadRecord(f"line {number} has no key {short_repr(name)}")
                    value = record.get(name, missing if role == "text" else None)
                else:  # where nobody can read an id, one says where it should be
                    value = {"text": record, "id": f"line {number}"}.get(role)
                room.add(_size_of(value, length))
                cells[role].append(value)
    return FileColumns(cells, names)


def _records(file: IO[bytes]) -> Iterator[tuple[int, int, Any]]:
    """Yield (number, length, record) of the lines that are not empty."""
    for number, line in enumerate(_lines(file), 1):
        if text := line.strip(b" \t\r\n"):
            yield number, len(text), _record(text, number)


def _size_of(value: Any, longest: int = 0) -> int:
    return size_of(value.why if isinstance(value, BadRecord) else value, longest)


def _record(line: bytes, number: int) -> Any:
    try:
        record = parse_json(line, _distinct)
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
    if not path.is_file():
        raise ValueError("it is no regular file")
    with parquet().ParquetFile(path) as file:
        own = file.schema_arrow.names
    names = places(own)
    for name in names.values():
        _place(own, name)
    room = Room(TEXTS)
    cells: Cells = {role: text_column(path, name, room) for role, name in names.items()}
    if "text" in cells:
        cells["text"] = _texts(cells["text"])
    return FileColumns(cells, names)


def _texts(values: list[Any]) -> list[Any]:
    """Return the texts of a column that its writer did not mark as text; rows share them."""
    known: dict[int, Any] = {}
    for value in values:
        if isinstance(value, bytes) and id(value) not in known:
            try:
                known[id(value)] = value.decode()
            except UnicodeDecodeError:
                known[id(value)] = value
    return [known.get(id(value), value) for value in values]


def _place(names: Sequence[str], name: str) -> int:
    if names.count(name) > 1:
        raise ValueError(f"two columns are called {name!r}")
    return names.index(name)


def _unreadable(path: Path, allowed: str, error: Exception, hint: str) -> AnchorError:
    if isinstance(error, ImportError):
        raise error
    plain = type(error) in (ValueError, LimitError)  # of ours: the text says it all
    got = f"{short_repr(str(path))}: {reason(str(error) if plain else error)}"
    return AnchorError("X", allowed, got, hint)


_SYNONYMS = {".ndjson": ".jsonl", ".pq": ".parquet"}
SUFFIXES: dict[str, Callable[[Path, Places], FileColumns]] = {
    ".txt": _txt, ".csv": csv_columns, ".jsonl": _json_lines, ".parquet": _parquet,
}  # fmt: skip
"""Readers of files of texts, by suffix in small letters."""
