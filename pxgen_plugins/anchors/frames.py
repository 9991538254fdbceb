"""Anchors in a pandas data frame."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from pxgen_plugins.anchors._images import is_image
from pxgen_plugins.anchors._shapes import as_batch
from pxgen_plugins.anchors.base import (
    REGISTRY,
    Anchors,
    library,
    module_in_use,
    positions,
    reason,
    row_dtype,
    warn_of_rounding,
)
from pxgen_plugins.anchors.datasets import DatasetAnchors
from pxgen_plugins.anchors.label_text import is_missing
from pxgen_plugins.anchors.tables import (
    BY_NAME,
    Columns,
    Kind,
    choose,
    set_labels,
)
from pxgen_plugins.utils.errors import AnchorError, short_repr

__all__ = ["FrameAnchors", "column_of", "index_names"]


@REGISTRY.register("frame")
class FrameAnchors(Anchors):
    """The columns of numbers of a data frame, one feature each.

    Columns play the same parts as in a Parquet file; a level of the index may hold labels or ids,
    by the same names. A missing value in a nullable column fails its
    row; a NaN in a plain floating column is handed over as it is.

    Args:
        frame: The data frame, not changed; only the rows asked for are converted.
        names: The columns of features.
        sample_shape: Shape of one anchor, None to take (number of columns,).

    Raises:
        AnchorError: When the columns do not fit the model.
    """

    order: ClassVar[int] = 10

    def __init__(
        self,
        frame: Any,
        names: tuple[str, ...],
        sample_shape: tuple[int, ...] | None,
    ) -> None:
        self._frame = frame
        self._names = names
        types = [_numpy_dtype(self._frame[name]) for name in names]
        self._dtype = np.result_type(*[row_dtype(one) or np.float64 for one in types])
        self._nullable = [i for i, name in enumerate(names) if _nullable(self._frame[name])]
        for name, kind in zip(names, types, strict=True):
            if kind.kind in "iu" and kind.itemsize == 8:
                values = self._frame[name].dropna().to_numpy(kind)
                warn_of_rounding(values, f"column {name!r}")
        outline = np.broadcast_to(np.zeros((), self._dtype), (len(frame), len(names)))
        self._layout = as_batch(outline, sample_shape)[1]

    @classmethod
    def matches(cls, X: Any) -> bool:
        """Return whether ``X`` is a pandas data frame, or a table of pyarrow or polars."""
        pandas = module_in_use("pandas")
        return (pandas is not None and isinstance(X, pandas.DataFrame)) or _is_arrow(X)

    @classmethod
    def open(cls, X: Any, sample_shape: tuple[int, ...] | None) -> Anchors:
        """Return the anchors in the data frame ``X``.

        Raises:
            AnchorError: When column names repeat, or it cannot be told which hold the anchors.
        """
        return cls.open_columns(X, sample_shape, BY_NAME)

    @classmethod
    def open_columns(cls, X: Any, sample_shape: tuple[int, ...] | None, named: Columns) -> Anchors:
        """Return the anchors in the data frame ``X``, of which the user named columns."""
        if _is_arrow(X):
            pandas = library("pandas", "pandas")
            X = _without_views(X.to_arrow() if hasattr(X, "to_arrow") else X)
            X = X.to_pandas(types_mapper=pandas.ArrowDtype)
        X = X.copy(deep=False)
        X.columns = [str(name) for name in X.columns]
        if not X.columns.is_unique:
            got = short_repr(X.columns.tolist())
            raise AnchorError("X", "a table with distinct column names", got, "Rename them.")
        kinds = [(name, _kind(X[name])) for name in X.columns]
        choice = choose(kinds, sample_shape, named, index_names(X))
        anchors: Anchors
        if choice.kind == "number":
            anchors = cls(X, choice.names, sample_shape)
        else:
            anchors = DatasetAnchors(X[choice.names[0]].array, sample_shape)
            anchors.labels = None  # a cell holds an anchor and no label
        texts = {role: column_of(X, name) for role, name in choice.texts.items()}
        set_labels(anchors, texts, choice.origins, named)
        return anchors

    def __len__(self) -> int:
        return len(self._frame)

    def read(self, index: slice | NDArray[np.int64]) -> tuple[NDArray[Any], dict[int, str]]:
        """Return the rows; those with a missing value in a nullable column have failed."""
        part = self._frame.iloc[positions(index, len(self))][list(self._names)]
        rows = np.zeros((len(part), len(self._names)), self._dtype)
        failed: dict[int, str] = {}
        for place, name in enumerate(self._names):
            column = part[name]
            if place not in self._nullable:
                rows[:, place] = column.to_numpy()
                continue
            missing = column.isna().to_numpy()
            rows[~missing, place] = column[~missing].to_numpy(self._dtype)
            for position in np.flatnonzero(missing).tolist():
                failed.setdefault(position, reason(f"column {name!r} is null"))
        rows[list(failed)] = 0
        return self._layout.apply(rows), failed


def _is_arrow(X: Any) -> bool:
    arrow, polars = module_in_use("pyarrow"), module_in_use("polars")
    if arrow is not None and isinstance(X, arrow.Table):
        return True
    return polars is not None and isinstance(X, polars.DataFrame)


def _without_views(table: Any) -> Any:
    """Return a table of pyarrow without its view types, which polars gives and few kernels take."""
    import pyarrow as pa

    plain = {"string_view": pa.large_string(), "binary_view": pa.large_binary()}
    for at, field in enumerate(table.schema):
        kind, column = str(field.type), table.column(at)
        if kind in plain:
            table = table.set_column(at, field.name, column.cast(plain[kind]))
        elif kind.startswith(("list_view", "large_list_view")):
            # their cast loses the last row in pyarrow 25
            lists = pa.array(column.to_pylist(), pa.large_list(field.type.value_type))
            table = table.set_column(at, field.name, lists)
    return table


def index_names(table: Any) -> list[str]:
    """Return the names of the levels of a pandas index that no column of the table has."""
    columns = {str(name) for name in getattr(table, "columns", ())}
    names = [str(name) for name in table.index.names if name is not None]
    return [name for name in names if name not in columns]


def column_of(table: Any, name: str) -> Any:
    """Return a column of a data frame, or else the level of its index of that name."""
    if name in getattr(table, "columns", ()):
        return table[name]
    levels = [str(level) for level in table.index.names]
    return table.index.get_level_values(levels.index(name))


def _kind(column: Any) -> Kind:
    import pandas as pd

    types = pd.api.types
    stored = getattr(column.dtype, "pyarrow_dtype", None)
    if stored is not None:
        from pxgen_plugins.anchors._arrow import kind_of

        return kind_of(stored)
    if types.is_bool_dtype(column.dtype) or types.is_numeric_dtype(column.dtype):
        return "number" if not types.is_complex_dtype(column.dtype) else "other"
    if column.dtype == object:
        first = next((value for value in column if not is_missing(value)), None)
        if isinstance(first, bytes) or (isinstance(first, dict) and "bytes" in first):
            return "image"
        if isinstance(first, (list, tuple)) or getattr(first, "ndim", 0) > 0:
            return "list"
        if is_image(first):
            return "image"
    return "other"


def _nullable(column: Any) -> bool:
    return not isinstance(column.dtype, np.dtype)


def _numpy_dtype(column: Any) -> np.dtype[Any]:
    dtype = getattr(column.dtype, "numpy_dtype", getattr(column.dtype, "subtype", column.dtype))
    return dtype if isinstance(dtype, np.dtype) else np.dtype(np.float64)
