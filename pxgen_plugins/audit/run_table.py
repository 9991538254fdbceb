"""The table of a run's anchors, which is decoded only when it fits the memory that it may take."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from pxgen_plugins.utils.large_arrays import empty, give_back
from pxgen_plugins.utils.limits import RUN_TABLE

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["RunTable"]

_RATIO = 64  # decoded bytes per byte of a file, far more than real values are packed by
_NUMBER = 8
_CHARACTER = 4  # bytes in an array of texts, where each has the room of the longest
_ROWS = 1 << 16  # decoded at once


class RunTable:
    """The columns in the bytes of a Parquet file but for lists, each decoded when it is asked for.

    Its footer says how many rows and columns there are, and how long their pages; a few bytes may
    stand for 10^9 equal rows. It may take the limit ``RUN_TABLE``, or 64 times the file's size
    where that is more, so that a real run of any size is read.

    Args:
        content: The file.

    Attributes:
        names: Of the columns.
        n: Number of rows.

    Raises:
        ValueError: When it would take more, or holds a column that no run has; pyarrow's errors of
            damaged files are ValueErrors too.
        OSError: When it is none.
    """

    def __init__(self, content: bytes | NDArray[np.uint8]) -> None:
        import pyarrow as pa
        from pyarrow import types

        self._buffer = pa.py_buffer(content)
        with self._open([]) as file:
            schema, metadata = file.schema_arrow, file.metadata
            groups = [metadata.row_group(place) for place in range(metadata.num_row_groups)]
        flat = [field for field in schema if not types.is_nested(field.type)]
        self.names = [field.name for field in flat]
        self._types = {field.name: field.type for field in flat}
        self.n = int(metadata.num_rows)
        pages = sum(group.total_byte_size for group in groups)
        self._check(max(_NUMBER * self.n * len(flat), pages))
        if len(set(schema.names)) < len(schema.names):
            raise ValueError("two columns have the same name")
        # "a.b" is the name of a column, and of the part b of a column a, which would be decoded too
        lists = tuple(f"{field.name}." for field in schema if types.is_nested(field.type))
        for name in self.names:
            if name.startswith(lists):
                raise ValueError(f"column {name[:40]!r} is called as a part of another is")

    def numbers(self, names: Sequence[str], dtype: DTypeLike = np.float64) -> NDArray[Any]:
        """Return columns of numbers as one array, (n, len(names)); what is null is NaN.

        Raises:
            ValueError: When one holds something else, or is not there.
        """
        from pyarrow import types

        numeric = (types.is_boolean, types.is_integer, types.is_floating)
        self._check_types(names, numeric, "numbers")
        array = empty((self.n, len(names)), dtype)
        for rows, batch in self._batches(names):
            for column, name in enumerate(names):
                array[rows, column] = batch[name].to_numpy(zero_copy_only=False)
        return array

    def texts(self, name: str) -> NDArray[np.str_] | None:
        """Return a column of texts, (n,); None where there is none.

        A text that many rows repeat is there once, and its length is known before it is copied.

        Raises:
            ValueError: When it holds something else, or a row has no text.
        """
        if name not in self.names:
            return None
        from pyarrow import types

        self._check_types([name], (types.is_string, types.is_large_string), "texts")
        longest = max((_longest(batch[name]) for _, batch in self._batches([name])), default=0)
        self._check(_CHARACTER * self.n * longest)
        array = empty(self.n, f"U{max(longest, 1)}")
        for rows, batch in self._batches([name]):
            if batch[name].null_count:
                raise ValueError(f"column {name!r} has rows without a text")
            array[rows] = batch[name].to_pylist()
        return array

    def _check_types(
        self, names: Sequence[str], allowed: Sequence[Callable[[Any], bool]], what: str
    ) -> None:
        """Raise unless columns hold what they must; nothing of them is decoded before."""
        for name in names:
            if name not in self._types:
                raise ValueError(f"there is no column {name!r}")
            type_ = self._types[name]
            if not any(is_one(type_) for is_one in allowed):
                raise ValueError(f"column {name!r} holds {str(type_)[:40]} and no {what}")

    def _batches(self, names: Sequence[str]) -> Iterator[tuple[slice, pa.RecordBatch]]:
        low = 0
        with self._open(names) as file:
            for batch in file.iter_batches(_ROWS, columns=list(names)):
                yield slice(low, low + len(batch)), batch
                low += len(batch)
                give_back()
        if low != self.n:
            raise ValueError(f"there are {low} rows, and {self.n} by the footer")

    def _open(self, names: Sequence[str]) -> Any:
        """Return the file, of which texts in these columns are decoded as dictionaries."""
        import pyarrow as pa
        from pyarrow import parquet

        return parquet.ParquetFile(pa.BufferReader(self._buffer), read_dictionary=names)

    def _check(self, amount: int) -> None:
        if amount > _RATIO * self._buffer.size:
            RUN_TABLE.check(amount)


def _longest(column: Any) -> int:
    import pyarrow.compute as pc

    values = getattr(column, "dictionary", column)
    return int(pc.max(pc.binary_length(values)).as_py() or 0) if len(values) else 0
