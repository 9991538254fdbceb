"""Columns of a table as numbers: values, category codes, and the way back."""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pxgen_plugins.anchors import Anchors
from pxgen_plugins.anchors.base import positions, reason
from pxgen_plugins.anchors.label_text import as_text
from pxgen_plugins.models._table_dates import parse_dates
from pxgen_plugins.utils.errors import ParameterError, short_repr, warn

__all__ = ["Column", "Rows", "columns_of", "matrix"]

Floats = NDArray[np.float64]
_DAY = 86_400_000_000  # microseconds
_MOST_DAYS = 106_000.0  # what pandas' dates reach to, in nanoseconds
_EXACT = 2.0**53  # float64 holds every integer below
_MOST = float(2**63 - 1024)  # the largest float below the largest integer of 64 bits
_TRUTH = {"True": 1.0, "true": 1.0, "False": 0.0, "false": 0.0}


@dataclass(frozen=True)
class Column:
    """One column of a reference table.

    Attributes:
        name: Its name.
        dtype: Its pandas type, in which rows are handed back.
        low: Lowest value, of a column of numbers; dates count in days since 1970 (UTC).
        high: Highest value.
        categories: The categories as they stand in the table, in the order of their codes; None
            for a column of numbers. A missing value is the last one, if the reference has any.
    """

    name: str
    dtype: Any
    low: float = 0.0
    high: float = 0.0
    categories: tuple[Any, ...] | None = None

    @property
    def categorical(self) -> bool:
        """Whether it holds categories."""
        return self.categories is not None

    @property
    def holds_dates(self) -> bool:
        """Whether it holds dates."""
        import pandas as pd

        return bool(pd.api.types.is_datetime64_any_dtype(self.dtype))

    @property
    def width(self) -> float:
        """The range of its numbers; 0 for categories and for a column that is constant."""
        return self.high - self.low

    def to_numbers(self, series: Any) -> tuple[Floats, dict[int, str]]:
        """Return the column of a table as numbers, and {row: reason} where there is none.

        Categories are matched by their text, so 3 and "3" are one.
        """
        return self._codes(series) if self.categorical else self._values(series)

    def to_series(self, values: Floats) -> Any:
        """Return the pandas Series behind finite ``values``; codes go to the nearest category."""
        import pandas as pd

        if self.categories is not None:
            codes = np.clip(np.rint(values), 0, len(self.categories) - 1).astype(np.int64)
            if isinstance(self.dtype, pd.CategoricalDtype):
                known = len(self.dtype.categories)
                codes[codes >= known] = -1
                return pd.Series(pd.Categorical.from_codes(codes, dtype=self.dtype))
            kinds = np.empty(len(self.categories), dtype=object)
            kinds[:] = self.categories
            return pd.Series(kinds[codes], dtype=self.dtype)
        if pd.api.types.is_datetime64_any_dtype(self.dtype):
            inside = np.clip(values, -_MOST_DAYS, _MOST_DAYS)
            moments = pd.Series(np.rint(inside * _DAY).astype("datetime64[us]"))
            zone = getattr(self.dtype, "tz", None)
            if zone is not None:
                moments = moments.dt.tz_localize("UTC").dt.tz_convert(zone)
            return moments.astype(self.dtype)
        if pd.api.types.is_bool_dtype(self.dtype):
            return pd.Series(values >= 0.5).astype(self.dtype)
        if pd.api.types.is_integer_dtype(self.dtype):
            limits = np.iinfo(getattr(self.dtype, "numpy_dtype", self.dtype))
            inside = np.clip(np.rint(values), float(limits.min), min(float(limits.max), _MOST))
            return pd.Series(inside).astype(self.dtype)
        return pd.Series(values).astype(self.dtype)

    def _codes(self, series: Any) -> tuple[Floats, dict[int, str]]:
        categories = self.categories or ()
        known = {_text(value): code for code, value in enumerate(categories)}
        texts = [_text(value) for value in series]
        codes = np.array([known.get(text, np.nan) for text in texts], dtype=np.float64)
        failed = {}
        for row in np.flatnonzero(np.isnan(codes)).tolist():
            what = f": {short_repr(texts[row])} is none of the {len(categories)} known categories"
            failed[row] = reason(f"column {self.name!r}{what if texts[row] else ' has no value'}")
        return codes, failed

    def _values(self, series: Any) -> tuple[Floats, dict[int, str]]:
        values = _numbers(series, self.dtype)
        failed = {}
        for row in np.flatnonzero(~np.isfinite(values)).tolist():
            what = short_repr(series.iloc[row])
            failed[row] = reason(f"column {self.name!r}: {what} is no finite value")
        return values, failed


class Rows(Anchors):
    """The rows of a table as anchors, each a row of numbers; see :class:`Column`.

    A row with a missing value, a number that is not finite or an unknown category is a bad one,
    with a reason that names the column.

    Args:
        table: A pandas DataFrame that has the columns.
        columns: The columns, in the order of the numbers.
    """

    def __init__(self, table: Any, columns: Sequence[Column]) -> None:
        self._table = table
        self._columns = columns

    def __len__(self) -> int:
        return len(self._table)

    def read(self, index: slice | NDArray[np.int64]) -> tuple[NDArray[Any], dict[int, str]]:
        """Return the rows, float64 (b, d), zeros where they are bad, and the reasons."""
        rows, failed = matrix(self._table.iloc[positions(index, len(self))], self._columns)
        rows[list(failed)] = 0.0
        return rows, failed


def matrix(table: Any, columns: Sequence[Column]) -> tuple[Floats, dict[int, str]]:
    """Return a table's columns as numbers, (n, d), and {row: reason} of those with a gap."""
    rows = np.empty((len(table), len(columns)))
    failed: dict[int, str] = {}
    for place, column in enumerate(columns):
        rows[:, place], wrong = column.to_numbers(table[column.name])
        for row, why in wrong.items():
            failed.setdefault(row, why)
    return rows, failed


def columns_of(like: Any) -> tuple[Column, ...]:
    """Return the columns of the reference table ``like``.

    Raises:
        ParameterError: When it is no table with rows and distinct names, or a column is of
            another type or has gaps among its numbers.
    """
    import pandas as pd

    if not isinstance(like, pd.DataFrame) or like.shape[0] < 1 or like.shape[1] < 1:
        hint = "Pass the table the synthesizer was trained on, without ids."
        raise ParameterError("like", "a DataFrame with rows", short_repr(like), hint)
    names = list(like.columns)
    if len(set(names)) < len(names) or not all(isinstance(name, str) for name in names):
        hint = "Rename them, as by like.columns = like.columns.astype(str)."
        allowed = "a DataFrame whose column names are distinct strings"
        raise ParameterError("like", allowed, f"columns {short_repr(names)}", hint)
    return tuple(_column(like[name]) for name in names)


def _column(series: Any) -> Column:
    import pandas as pd

    kind, name = pd.api.types, str(series.name)
    number = kind.is_numeric_dtype(series.dtype) and not kind.is_complex_dtype(series.dtype)
    if number or kind.is_datetime64_any_dtype(series.dtype):
        numbers = _numbers(series, series.dtype)
        bad = int((~np.isfinite(numbers)).sum())
        if bad:
            hint = (
                "Fill them in, or turn the column into categories (pandas.cut), of which a missing "
                "value may be one."
            )
            got = f"{bad} missing or infinite values in column {name!r}"
            raise ParameterError("like", "without gaps among numbers", got, hint)
        return Column(name, series.dtype, float(numbers.min()), float(numbers.max()))
    if isinstance(series.dtype, pd.CategoricalDtype):
        values = list(series.dtype.categories)
    elif kind.is_object_dtype(series.dtype) or kind.is_string_dtype(series.dtype):
        values = _distinct(series)
    else:
        hint = "Turn the column into numbers, dates or strings."
        got = f"column {name!r} of type {series.dtype}"
        raise ParameterError("like", "of numbers, dates and categories", got, hint)
    texts = [_text(value) for value in values]
    if len(set(texts)) < len(texts) or "" in texts:
        twice = next((text for text in texts if texts.count(text) > 1), "")
        hint = "Give every category a text of its own; an empty one stands for a missing value."
        got = f"{short_repr(twice)} in column {name!r}"
        raise ParameterError("like", "of categories with distinct texts", got, hint)
    missing = bool(series.isna().any() or (series.astype(object) == "").any())
    return Column(name, series.dtype, categories=(*values, None) if missing else tuple(values))


def _distinct(series: Any) -> list[Any]:
    """Return the values of a column but the missing ones, sorted by their texts."""
    try:
        values = [value for value in series.dropna().unique() if as_text(value) != ""]
    except TypeError as error:  # lists and the like
        hint = "Turn the column into numbers, dates or strings."
        got = f"column {series.name!r} with values such as {short_repr(series.iloc[0])}"
        raise ParameterError("like", "of single values", got, hint) from error
    return sorted(values, key=as_text)


def _text(value: Any) -> str:
    try:
        return as_text(value)
    except (TypeError, ValueError):
        return short_repr(value)


def _numbers(series: Any, dtype: Any) -> Floats:
    """Return values of a column whose reference is of type ``dtype``; NaN where there is none."""
    import pandas as pd

    kind = pd.api.types
    if kind.is_datetime64_any_dtype(dtype):
        if not kind.is_datetime64_any_dtype(series.dtype):
            series = parse_dates(series).map(_moment)
        moments = pd.to_datetime(series, utc=True)
        if moments.dt.nanosecond.any():
            warn(f"Tabular: parts of a microsecond in column {series.name!r} are lost.")
        times = np.asarray(moments.dt.tz_localize(None).astype("datetime64[us]"))
        days: Floats = times.astype(np.int64) / _DAY
        days[np.isnat(times)] = np.nan
        return days
    if not kind.is_numeric_dtype(series.dtype) or kind.is_complex_dtype(series.dtype):
        truth = _TRUTH if kind.is_bool_dtype(dtype) else {}
        series = series.map(lambda value: truth.get(_text(value), _number(value)), na_action=None)
    values = np.array(series.astype("Float64").to_numpy(dtype=np.float64, na_value=np.nan))
    if kind.is_integer_dtype(dtype) and (np.abs(values[np.isfinite(values)]) >= _EXACT).any():
        warn(f"Tabular: integers beyond 2**53 in column {series.name!r} are rounded.")
    return values


def _number(value: Any) -> float:
    try:
        return float(value)
    except (TypeError, ValueError):
        return np.nan


def _moment(value: Any) -> Any:
    import pandas as pd

    # pandas would take a number for nanoseconds; a text that is still one is of no format
    dated = isinstance(value, (datetime.date, np.datetime64))
    return pd.to_datetime(value, errors="coerce", utc=True) if dated else pd.NaT
