"""Columns of texts, labels and ids of Parquet files, read in bounded memory."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from typing import Any

from pxgen_plugins.anchors._blocks import chunks_of, parquet
from pxgen_plugins.utils.files import open_regular
from pxgen_plugins.utils.limits import TABLE, TEXT_FILE, TEXTS, Room

__all__ = ["check_table", "size_of", "text_column"]

_ROWS = 1 << 16
_BUFFER = 1 << 12  # bytes
_NESTS = 64  # rows of lists or structures
_REPEATED = 1 << 27  # bytes of these rows, if each held all that its column chunk declares
_WIDEST = 4096  # bytes of a value of fixed width
_CELL = 64  # bytes that a cell of a CSV file takes as a text
_REFERENCE = 8  # bytes of a list's reference to a value


def size_of(value: Any, longest: int = 0) -> int:
    """Return how much memory a value of a column takes in a list, in bytes.

    Args:
        value: The value.
        longest: Characters of the text that it was read from, where it may be a nest of values.

    Example:
        >>> size_of("a text") > size_of("")
        True
    """
    nest = 64 * longest if isinstance(value, (list, dict)) else 0
    return sys.getsizeof(value) + nest + _REFERENCE


def text_column(path: str | os.PathLike[str], name: str, room: Room) -> list[Any]:
    """Return a column of a Parquet file as Python's values.

    Rows that repeat a value share it, as they do in the file.

    Args:
        path: The file.
        name: The column.
        room: What the values take of the limit ``TEXTS`` is counted here.

    Raises:
        ValueError: When they take more, or the file is damaged (a ValueError of pyarrow).
        OSError: When it cannot be read.

    Cost: one pass; memory of the distinct values of a column chunk beside the result.
    """
    if not os.path.isfile(path):
        raise ValueError("no regular file")
    return [value for column in _pieces(path, name) for value in _values(column, room)]


def check_table(path: str | os.PathLike[str]) -> None:
    """Raise ValueError when a CSV or Parquet file, loaded as a whole, would take too much memory.

    Cost: a pass over a CSV file, or over the texts of a Parquet file.
    """
    if os.fspath(path).lower().endswith(".csv"):
        cells = 0
        with open_regular(path, TEXT_FILE) as file:
            while block := file.read(1 << 20):
                cells += block.count(b",") + block.count(b"\n")
                TABLE.check(_CELL * cells)
        return
    with parquet().ParquetFile(path) as file:
        schema, n = file.schema_arrow, file.metadata.num_rows
    TABLE.check(_REFERENCE * n * len(schema))
    room = Room(TABLE)
    for field in schema:
        if not _is_flat(field.type):
            raise ValueError(f"column {field.name!r} holds lists or other nests")
        if _is_text(field.type):
            for piece in _pieces(path, field.name):
                room.add(_expanded(piece))


def _pieces(path: str | os.PathLike[str], name: str) -> Iterator[Any]:
    """Yield a column in pieces of bounded size.

    Texts are read as dictionaries, where a megabyte that a million rows repeat is there once. What
    pyarrow cannot read so (nests, and the encodings that cut prefixes off) is read a few rows at
    a time, as each of them may be as long as all bytes of its column chunk.

    Raises:
        ValueError: When a column chunk is larger than the limit ``TEXTS``.
    """
    with parquet().ParquetFile(path, buffer_size=_BUFFER, pre_buffer=False) as file:
        groups = range(file.metadata.num_row_groups)
        chunks = [one for group in groups for one in chunks_of(file, group, (name,))]
        kind = file.schema_arrow.field(name).type
    largest = max((one.total_uncompressed_size for one in chunks), default=0)
    TEXTS.check(largest)
    cut = any("DELTA" in encoding for one in chunks for encoding in one.encodings)
    whole = _is_flat(kind) and not (cut and _is_text(kind))
    rows = _ROWS if whole else max(1, min(_NESTS, _REPEATED // max(largest, 1)))
    with parquet().ParquetFile(path, read_dictionary=[name] if whole else None) as file:
        for batch in file.iter_batches(rows, columns=[name], use_threads=False):
            yield batch.column(0)


def _expanded(column: Any) -> int:
    """Return the bytes of a column of texts when each row holds its own."""
    import pyarrow.compute as pc

    if not hasattr(column, "indices"):
        return int(column.nbytes)
    lengths = pc.binary_length(column.dictionary).fill_null(0)
    return int(pc.sum(lengths.take(column.indices.drop_null()).cast("int64")).as_py() or 0)


def _is_text(kind: Any) -> bool:
    import pyarrow.types as types

    kinds = (types.is_string, types.is_large_string, types.is_binary, types.is_large_binary)
    return any(holds(kind) for holds in kinds) or types.is_dictionary(kind)


def _values(column: Any, room: Room) -> list[Any]:
    import pyarrow as pa
    import pyarrow.compute as pc

    room.add(_REFERENCE * len(column))
    if not isinstance(column, pa.DictionaryArray):
        room.add(column.nbytes)  # before they become Python's
        values: list[Any] = column.to_pylist()
        room.add(sum(size_of(value, column.nbytes // len(column)) for value in values))
        return values
    used = pc.unique(column.indices.drop_null())
    distinct = column.dictionary.take(used)
    room.add(distinct.nbytes)
    texts = distinct.to_numpy(zero_copy_only=False).tolist()
    room.add(sum(map(size_of, texts)))
    places = pc.index_in(column.indices, value_set=used).fill_null(len(texts))
    texts.append(None)  # for missing values
    return [texts[place] for place in places.to_numpy().tolist()]


def _is_flat(kind: Any) -> bool:
    """Return whether a value has a few bytes, or is read as a dictionary's."""
    import pyarrow.types as types

    if types.is_fixed_size_binary(kind):
        return bool(kind.byte_width <= _WIDEST)
    return not types.is_nested(kind)
