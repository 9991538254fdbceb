"""The table of a run's anchors, which is decoded only when it fits the memory that it may take."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pxgen_plugins.utils.limits import RUN_TABLE

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["read_table"]

_RATIO = 64  # decoded bytes per byte of a file, far more than real values are packed by
_NUMBER = 8
_CHARACTER = 4  # bytes in an array of texts, where each has the room of the longest


def read_table(content: bytes) -> pa.Table:
    """Return the table in the bytes of a Parquet file: no columns of lists, texts as dictionaries.

    Its footer says how many rows and columns there are, and how long their pages; a few bytes may
    stand for 10^9 equal rows. It may take the limit ``RUN_TABLE``, or 64 times the file's size
    where that is more, so that a real run of any size is read.

    Raises:
        ValueError: When it would take more, or holds a column that no run has; pyarrow's errors of
            damaged files are ValueErrors too.
        OSError: When it is none.
    """
    import pyarrow as pa
    from pyarrow import parquet, types

    size = len(content)
    with parquet.ParquetFile(pa.BufferReader(content)) as file:
        schema, metadata = file.schema_arrow, file.metadata
        groups = [metadata.row_group(place) for place in range(metadata.num_row_groups)]
    n = metadata.num_rows
    flat = [field for field in schema if not types.is_nested(field.type)]
    pages = sum(group.total_byte_size for group in groups)
    _check(max(_NUMBER * n * len(flat), pages), size)
    for field in flat:
        if types.is_fixed_size_binary(field.type):
            raise ValueError(f"column {field.name!r} is of type {str(field.type)[:40]}")
    texts = [one.name for one in flat if not types.is_primitive(one.type)]
    # A text that many rows repeat is there once, and its length is known before it is copied.
    names = [one.name for one in flat]
    table = parquet.read_table(pa.BufferReader(content), columns=names, read_dictionary=texts)
    longest = max((_longest(table[name]) for name in texts), default=0)
    _check(_CHARACTER * n * longest, size)
    return table


def _check(amount: int, size: int) -> None:
    if amount > _RATIO * size:
        RUN_TABLE.check(amount)


def _longest(column: Any) -> int:
    import pyarrow.compute as pc

    values = (getattr(chunk, "dictionary", chunk) for chunk in column.chunks)
    lengths = [pc.max(pc.binary_length(one)).as_py() for one in values if len(one)]
    return max((length or 0 for length in lengths), default=0)
