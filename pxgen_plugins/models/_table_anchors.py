"""Rows of a table as anchors: a data frame, a mapping of columns, or a file of them."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from pxgen_plugins.anchors.base import path_of
from pxgen_plugins.anchors.frames import column_of, index_names
from pxgen_plugins.anchors.records import csv_rows
from pxgen_plugins.anchors.tables import (
    BY_NAME,
    ID_NAMES,
    LABEL_NAMES,
    Columns,
    origins,
    set_labels,
)
from pxgen_plugins.anchors.text_columns import check_table
from pxgen_plugins.models._table_columns import Column, Rows
from pxgen_plugins.models._table_dates import parse_dates
from pxgen_plugins.utils.errors import AnchorError, short_repr
from pxgen_plugins.utils.files import open_regular
from pxgen_plugins.utils.limits import TEXT_FILE

__all__ = ["open_table"]

_SUFFIXES = (".csv", ".parquet", ".pq")


def open_table(X: Any, columns: tuple[Column, ...], named: Columns = BY_NAME) -> Any:
    """Return the anchors in a table, or ``X`` as it is if it is none.

    Args:
        X: A DataFrame, a mapping of columns, or the path of a ``.csv`` or ``.parquet`` file.
        columns: What the model's rows consist of; columns of labels and ids may stand beside them.
        named: The columns that the user named.

    Raises:
        AnchorError: When columns are missing or unknown, dates in text are of no single format, or
            the file cannot be read.
    """
    import pandas as pd

    is_date = pd.api.types.is_datetime64_any_dtype
    frame = _as_frame(X, columns, named)
    if not isinstance(frame, pd.DataFrame):
        return X
    names = [column.name for column in columns]
    texts, others = _text_columns(frame, names, named)
    table = frame[names]
    # over all rows, because a batch of them may not tell the format
    dates = [c.name for c in columns if c.holds_dates and not is_date(table[c.name].dtype)]
    parsed = {name: parse_dates(table[name]) for name in dates}
    anchors = Rows(table.assign(**parsed) if parsed else table, columns)
    cells = {role: column_of(frame, name) for role, name in texts.items()}
    set_labels(anchors, cells, origins(names, texts, others), named)
    return anchors


def _as_frame(X: Any, columns: tuple[Column, ...], named: Columns) -> Any:
    """Return the columns of a file or a mapping as a DataFrame, and anything else as it is."""
    import pandas as pd

    path = path_of(X)
    if path is not None and path.suffix.lower() in _SUFFIXES:
        return _read(path, columns, named)
    if hasattr(X, "to_pandas"):  # a table of pyarrow or polars
        return X.to_pandas()
    if not isinstance(X, Mapping):
        return X
    try:
        return pd.DataFrame(X)
    except (TypeError, ValueError) as error:
        hint = "Give columns of one length, by name."
        raise AnchorError("X", "a table", short_repr(X), hint) from error


def _text_columns(frame: Any, names: list[str], named: Columns) -> tuple[dict[str, str], list[str]]:
    """Return the columns of labels and ids, by role, and those not used, after a check of all."""
    if not frame.columns.is_unique:
        got = short_repr(list(frame.columns))
        raise AnchorError("X", "a table with distinct column names", got, "Rename them.")
    allowed = "a table with the columns " + ", ".join(map(repr, names))
    missing = [name for name in names if name not in frame.columns]
    if missing:
        hint = "Add it, or build the model with a like that lacks it."
        raise AnchorError("X", allowed, f"one without {short_repr(missing)}", hint)
    if named.anchors is not None and set(named.anchors) != set(names):
        hint = "The model's like decides which columns are features: leave columns out."
        got = short_repr(list(named.anchors))
        raise AnchorError("columns", "the model's: " + short_repr(names), got, hint)
    # the model's own columns are features, whatever they are called, unless the user says more
    texts = replace(named, anchors=tuple(names)).find([*frame.columns, *index_names(frame)])
    extra = [name for name in frame.columns if name not in {*names, *texts.values()}]
    if extra and named.anchors is None:
        hint = f"Leave out {extra[0]!r}, as by X.drop(columns=...), or name columns=."
        allowed += ", perhaps with 'label' and 'id'"
        raise AnchorError("X", allowed, f"{short_repr(extra)} besides", hint)
    return texts, extra


def _read(path: Path, columns: tuple[Column, ...], named: Columns) -> Any:
    import pandas as pd

    # a constant column must equal itself; pandas 3.1 reads numbers exactly and warns if asked to
    exact: dict[str, Any] = {"float_precision": "round_trip"}
    if tuple(map(int, pd.__version__.split(".")[:2])) >= (3, 1):
        exact = {}
    numbers = {column.name for column in columns if not column.categorical}
    texts = {column.name for column in columns if column.categorical}
    texts |= {*LABEL_NAMES, *ID_NAMES, *filter(None, (named.labels, named.ids))} - numbers
    try:
        check_table(path)
        if path.suffix.lower() != ".csv":
            return pd.read_parquet(path)
        with open_regular(path, TEXT_FILE) as file:
            for _ in csv_rows(file):  # pandas fills short rows, and shifts long ones
                pass
            file.seek(0)
            # only an empty field is a missing value: "NA" and "None" may be categories
            return pd.read_csv(
                file, dtype=dict.fromkeys(texts, str), keep_default_na=False,
                na_values=[""], encoding="utf-8-sig", index_col=False, **exact,
            )  # fmt: skip
    except Exception as error:  # of the many that pandas and pyarrow raise
        hint = "Check that the file is there and can be read by pandas."
        got = f"{os.fspath(path)!r} ({type(error).__name__}: {str(error)[:200]})"
        raise AnchorError("X", "the path of a readable table", got, hint) from error
