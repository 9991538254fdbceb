"""Row groups of Parquet files, decoded in blocks of bounded size."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pxgen_plugins.anchors.base import library, reason

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = [
    "BLOCK_BYTES",
    "MOST_VALUES",
    "BlockReader",
    "Part",
    "Unreadable",
    "chunks_of",
    "parquet",
]

BLOCK_BYTES = 8 << 20  # decoded bytes
_BUFFER = 8 << 20  # bytes read ahead, over all columns
_ENCODED = 64  # rows with values of any length
_REPEATED = 128 << 20  # bytes of a block if every row held all that its column chunk declares
MOST_VALUES = 1 << 26  # numbers in a row, on the average of a row group
_WIDTH = {"BOOLEAN": 1, "INT32": 4, "FLOAT": 4, "INT64": 8, "DOUBLE": 8, "INT96": 12}


class Unreadable(Exception):
    """A row group cannot be decoded; the text is the reason."""


@dataclass(frozen=True)
class Part:
    """One row group: the file, its number there, and its number of rows."""

    path: str
    group: int
    rows: int


class BlockReader:
    """Reads row groups in blocks, and goes on from where it stands when it can.

    Args:
        names: The columns to decode.
    """

    def __init__(self, names: tuple[str, ...]) -> None:
        self._names = names
        self._part: Part | None = None
        self._file: Any = None
        self._rest: Iterator[pa.RecordBatch] = iter(())
        self._start = 0
        self._block: Any = None

    def blocks(self, part: Part, first: int, last: int) -> Iterator[tuple[int, Any]]:
        """Yield (position of its first row, block) for blocks with rows of ``first`` to ``last``.

        Raises:
            Unreadable: When the file is damaged, at the first block that is.
        """
        try:
            if self._part != part or first < self._start:
                self._enter(part)
            while True:
                stop = self._start + self._block.num_rows
                if first < stop:
                    yield self._start, self._block
                if last < stop:
                    return
                self._start, self._block = stop, next(self._rest)
        except StopIteration:
            self._part = None
            raise Unreadable(f"{_name(part)} ends early") from None
        except (OSError, ValueError, NotImplementedError, MemoryError) as error:
            self._part = None
            raise Unreadable(f"{_name(part)} cannot be read: {reason(error)}") from error

    def _enter(self, part: Part) -> None:
        if self._file is None or self._part is None or self._part.path != part.path:
            self._part = None
            if self._file is not None:
                self._file.close()
            self._file = parquet().ParquetFile(
                part.path,
                buffer_size=max(_BUFFER // len(self._names), 1 << 12),
                pre_buffer=False,
                page_checksum_verification=True,
            )
        self._part = None
        self._rest = self._file.iter_batches(
            batch_size=self._block_rows(part),
            row_groups=[part.group],
            columns=list(self._names),
            use_threads=False,
        )
        self._start, self._block = 0, next(self._rest)
        self._part = part

    def _block_rows(self, part: Part) -> int:
        """Return how many rows make a block, by the number of values that the file declares."""
        size, encoded = 1, 0
        for chunk in chunks_of(self._file, part.group, self._names):
            width = _WIDTH.get(chunk.physical_type)
            if chunk.num_values > part.rows * MOST_VALUES:
                raise ValueError(f"more than {MOST_VALUES:,} values a row")
            if width is None:  # a dictionary lets every row repeat the largest value
                encoded += chunk.total_uncompressed_size
            size += chunk.num_values * width if width else chunk.total_uncompressed_size
        most = min(_ENCODED, _REPEATED // encoded) if encoded else part.rows
        return max(1, min(most, BLOCK_BYTES * part.rows // size))


def chunks_of(file: Any, group: int, names: Collection[str]) -> list[Any]:
    """Return what a row group of a Parquet file says of its chunks of some columns.

    pyarrow (25, at least) asks for it outside of its handlers of C++ exceptions, so that damage to
    it would end the process. A reader of these chunks raises at the same damage, and is made first;
    of no rows it decodes nothing.

    Raises:
        OSError: When it is damaged.

    Cost: 20 microseconds a chunk.
    """
    schema = file.schema
    places = [i for i in range(len(schema)) if schema.column(i).path.partition(".")[0] in names]
    if places:
        rows = file.reader.iter_batches(
            0, row_groups=[group], column_indices=places, use_threads=False
        )
        next(rows, None)
    about = file.metadata.row_group(group)
    return [about.column(place) for place in places]


def parquet() -> Any:
    """Return the module ``pyarrow.parquet``.

    Raises:
        MissingDependencyError: When pyarrow does not import.
    """
    return library("pyarrow.parquet", "pyarrow>=15,<26")


def _name(part: Part) -> str:
    return reason(f"row group {part.group} of {os.path.basename(part.path)!r}")
