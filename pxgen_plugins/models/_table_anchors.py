"""Rows of a table as anchors: a data frame, a mapping of columns, or a file of them."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pxgen_plugins.anchors.base import path_of
from pxgen_plugins.anchors.tables import ID_NAMES, LABEL_NAMES, find_columns, set_labels
from pxgen_plugins.anchors.text_columns import check_table
from pxgen_plugins.models._table_columns import Column, Rows
from pxgen_plugins.utils.errors import AnchorError, short_repr

__all__ = ["open_table"]

_SUFFIXES = (".csv", ".parquet")


def open_table(X: Any, columns: tuple[Column, ...]) -> Any:
    """Return the anchors in a table, or ``X`` as it is if it is none.

    Args:
        X: A DataFrame, a mapping of columns, or the path of a ``.csv`` or ``.parquet`` file.
        columns: What the model's rows consist of; columns of labels and ids may stand beside them.

    Raises:
        AnchorError: When columns are missing or unknown, or the file cannot be read.
    """
    import pandas as pd

    frame = _as_frame(X, columns)
    if not isinstance(frame, pd.DataFrame):
        return X
    texts = _text_columns(frame, [column.name for column in columns])
    anchors = Rows(frame, columns)
    set_labels(anchors, {role: frame[name] for role, name in texts.items()})
    return anchors


def _as_frame(X: Any, columns: tuple[Column, ...]) -> Any:
    """Return the columns of a file or a mapping as a DataFrame, and anything else as it is."""
    import pandas as pd

    path = path_of(X)
    if path is not None and path.suffix.lower() in _SUFFIXES:
        return _read(path, columns)
    if not isinstance(X, Mapping):
        return X
    try:
        return pd.DataFrame(X)
    except (TypeError, ValueError) as error:
        hint = "Give columns of one length, by name."
        raise AnchorError("X", "a table", short_repr(X), hint) from error


def _text_columns(frame: Any, names: list[str]) -> dict[str, str]:
    """Return the columns of labels and ids, by role, after a check of the others."""
    if not frame.columns.is_unique:
        got = short_repr(list(frame.columns))
        raise AnchorError("X", "a table with distinct column names", got, "Rename them.")
    allowed = "a table with the columns " + ", ".join(map(repr, names))
    missing = [name for name in names if name not in frame.columns]
    if missing:
        hint = "Add it, or build the model with a like that lacks it."
        raise AnchorError("X", allowed, f"one without {short_repr(missing)}", hint)
    rest = [name for name in frame.columns if name not in names]
    texts = find_columns(rest)
    extra = [name for name in rest if name not in texts.values()]
    if extra:
        hint = f"Leave out {extra[0]!r}, as by X.drop(columns=...)."
        allowed += ", perhaps with 'label' and 'id'"
        raise AnchorError("X", allowed, f"{short_repr(extra)} besides", hint)
    return texts


def _read(path: Path, columns: tuple[Column, ...]) -> Any:
    import pandas as pd

    numbers = {column.name for column in columns if not column.categorical}
    texts = {column.name for column in columns if column.categorical}
    texts |= {*LABEL_NAMES, *ID_NAMES} - numbers
    try:
        check_table(path)
        if path.suffix.lower() == ".parquet":
            return pd.read_parquet(path)
        # only an empty field is a missing value: "NA" and "None" may be categories
        types = dict.fromkeys(texts, str)
        return pd.read_csv(
            path, dtype=types, keep_default_na=False, na_values=[""],
            float_precision="round_trip",  # a constant column must equal itself
        )  # fmt: skip
    except Exception as error:  # of the many that pandas and pyarrow raise
        hint = "Check that the file is there and can be read by pandas."
        got = f"{os.fspath(path)!r} ({type(error).__name__}: {str(error)[:200]})"
        raise AnchorError("X", "the path of a readable table", got, hint) from error
