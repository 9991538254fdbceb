"""Texts as anchors, held as rows of code points like any other anchor."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pxgen_plugins.anchors.base import Anchors, path_of, positions
from pxgen_plugins.anchors.frames import column_of, index_names
from pxgen_plugins.anchors.records import BadRecord, FileColumns, file_columns
from pxgen_plugins.anchors.tables import BY_NAME, Columns, origins, set_labels
from pxgen_plugins.utils.errors import AnchorError, short_repr

__all__ = ["Texts", "from_rows", "open_texts", "to_rows"]

_HINT = (
    "Give a list of strings, a Series, a DataFrame or mapping with a column 'text', or the path of "
    "a .txt file (one text per line), or of a .csv, .jsonl or .parquet file with such a column."
)


class Texts(Anchors):
    """Texts of at most ``width`` characters, each a row of code points with zeros behind.

    A text that is empty, too long or no text at all is one bad row with a reason; none is cut.

    Args:
        texts: The texts; items of other types are bad rows.
        width: Most characters of a text.

    Example:
        >>> rows, failed = Texts(["ab", "abcd", ""], width=3).read(slice(None))
        >>> rows.tolist(), failed
        ([[97.0, 98.0, 0.0], [0.0, 0.0, 0.0], [0.0, 0.0, 0.0]], {1: 'a text of 4 characters, \
more than 3', 2: 'an empty text'})
    """

    def __init__(self, texts: Iterable[Any], width: int) -> None:
        self._texts = list(texts)
        self.width = width

    def __len__(self) -> int:
        return len(self._texts)

    def read(self, index: slice | NDArray[np.int64]) -> tuple[NDArray[Any], dict[int, str]]:
        """Return the rows of some texts, float32 (b, width), and why others are bad."""
        wanted = [self._texts[i] for i in positions(index, len(self))]
        faults = [_fault(text, self.width) for text in wanted]
        failed = {at: fault for at, fault in enumerate(faults) if fault}
        kept = ["" if at in failed else text for at, text in enumerate(wanted)]
        return to_rows(kept, self.width), failed


def to_rows(texts: Sequence[str], width: int) -> NDArray[np.float32]:
    """Return the code points of texts, float32 (n, width), zeros behind; what is longer is cut.

    float32 holds every code point exactly.
    """
    rows = np.zeros((len(texts), width), dtype=np.float32)
    for row, text in zip(rows, texts, strict=True):
        points = np.frombuffer(
            text[:width].encode("utf-32-le", "surrogatepass"), dtype=np.dtype("<u4")
        )
        row[: len(points)] = points
    return rows


def from_rows(rows: NDArray[Any]) -> list[str]:
    """Return the texts behind rows of code points.

    Example:
        >>> from_rows(to_rows(["naïve", "𝄞"], 6))
        ['naïve', '𝄞']
    """
    whole = np.asarray(rows).round().clip(0, 0x10FFFF).astype("<u4")
    # Zeros behind a text are no part of it; a null character within one is.
    ends = [int(np.flatnonzero(row)[-1]) + 1 if row.any() else 0 for row in whole]
    return [
        row[:end].tobytes().decode("utf-32-le", "surrogatepass")
        for row, end in zip(whole, ends, strict=True)
    ]


def open_texts(X: Any, width: int, named: Columns = BY_NAME) -> Any:
    """Return the texts that ``X`` holds as anchors; arrays of numbers are given back as they are.

    Args:
        X: A list or array of strings, a Series, a DataFrame or mapping with a column ``text`` (and
            perhaps labels and ids), or the path of a ``.txt``, ``.csv``, ``.jsonl`` or
            ``.parquet`` file (see :func:`~pxgen_plugins.anchors.records.file_columns`).
        width: Most characters of a text.
        named: The columns that the user named.

    Raises:
        AnchorError: When it holds no texts, or a file cannot be read.
    """
    if isinstance(X, Anchors):
        return X
    columns = _columns(X, named)
    if columns is None:
        return X
    texts = Texts(columns.cells["text"], width)
    words = origins([columns.names["text"]], columns.names)
    set_labels(texts, columns.cells, words, named)
    return texts


def _columns(X: Any, named: Columns) -> FileColumns | None:
    """Return texts, labels and ids, by role; None for numbers."""
    path = path_of(X)
    if path is not None:
        columns = file_columns(path, named)
        if "text" not in columns.cells:
            got = f"{short_repr(str(path))} without one"
            raise AnchorError("X", "a file of texts, or one with a column 'text'", got, _HINT)
        return columns
    if isinstance(X, Mapping) or hasattr(X, "columns"):
        return _table_columns(X, named)
    if isinstance(X, np.ndarray) and X.dtype.kind not in "UO":
        return None
    if not isinstance(X, Iterable) or isinstance(X, (bytes, set, frozenset)):  # no order
        raise AnchorError("X", "texts", short_repr(X), _HINT)
    if hasattr(X, "dtype") and not isinstance(X, np.ndarray) and not hasattr(X, "to_list"):
        return None  # a tensor
    to_frame = getattr(X, "to_frame", None)
    if to_frame is not None and hasattr(X, "index"):  # a Series, whose index may hold ids
        return _table_columns(to_frame("text"), named)
    cells = {"text": [str(text) if isinstance(text, str) else text for text in X]}
    return FileColumns(cells, named.places(["text"], "text", ("text",)))


def _table_columns(X: Any, named: Columns) -> FileColumns:
    """Return the columns of a DataFrame, with the levels of its index, or of a mapping."""
    if hasattr(X, "to_arrow") or hasattr(X, "column_names"):  # tables of polars and pyarrow
        X = X.to_arrow() if hasattr(X, "to_arrow") else X
        X = {name: X[name].to_pylist() for name in X.column_names}
    pandas = hasattr(X, "columns") and hasattr(X, "index")
    known = [*X, *(index_names(X) if pandas else ())]
    names = named.places(known, "text", ("text",))
    if "text" not in names:
        raise AnchorError("X", "with a column 'text'", short_repr(X), _HINT)
    if any(known.count(name) > 1 for name in names.values()):
        raise AnchorError("X", "a table with distinct column names", short_repr(known), _HINT)
    cells = {role: list(column_of(X, name) if pandas else X[name]) for role, name in names.items()}
    return FileColumns(cells, names)


def _fault(text: Any, width: int) -> str:
    """Return why this is no text to explain; empty when it is one."""
    if isinstance(text, BadRecord):
        return text.why
    if not isinstance(text, str):
        return f"no text but {short_repr(text)}"
    if not text:
        return "an empty text"
    if len(text) > width:
        return f"a text of {len(text)} characters, more than {width}"
    if "\0" in text or any(0xD800 <= ord(c) <= 0xDFFF for c in text):
        return "a text with a null character or half a surrogate pair"
    return ""
