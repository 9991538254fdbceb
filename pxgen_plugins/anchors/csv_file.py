"""Columns of a CSV file, by any of several names."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from pxgen_plugins.anchors.base import reason
from pxgen_plugins.anchors.folder import open_inside
from pxgen_plugins.utils.errors import AnchorError, short_repr

__all__ = ["csv_columns"]

_MOST_BYTES = 1 << 30


def csv_columns(
    path: Path, wanted: Mapping[str, Sequence[str]], where: str
) -> dict[str, list[str]]:
    """Return the wanted columns that a CSV file has, as texts; others are not read.

    Args:
        path: The file, UTF-8, of at most 1 GiB; its first line names the columns.
        wanted: Columns, each with the names that it may have in the file, the first found is taken.
        where: Who asks, for messages.

    Raises:
        AnchorError: When it cannot be read, is no CSV file, names a wanted column twice, or a line
            is shorter or longer than the first.
    """
    try:
        with os.fdopen(open_inside(*os.path.split(os.path.realpath(path))), "rb") as file:
            content = file.read(_MOST_BYTES + 1)
        if len(content) > _MOST_BYTES:
            raise ValueError(f"more than {_MOST_BYTES} bytes")
        text = io.StringIO(content.decode("utf-8-sig"), newline="")
        lines = [line for line in csv.reader(text, strict=True) if line]
        names = [name.strip() for name in lines[0]] if lines else []
        for number, line in enumerate(lines, 1):
            if len(line) != len(names):
                raise ValueError(f"row {number} has {len(line)} values for {len(names)} columns")
        found = {
            column: next((name for name in called if name in names), None)
            for column, called in wanted.items()
        }
        places = {column: _place(names, name) for column, name in found.items() if name is not None}
    except Exception as error:  # a file may be broken in any way
        why = reason(str(error) if type(error) is ValueError else error)
        allowed, got = "a readable CSV file in UTF-8", f"{short_repr(str(path))}: {why}"
        hint = "Write a line of column names, then one line for each anchor."
        raise AnchorError("X", where, allowed, got, hint) from error
    return {column: [line[at] for line in lines[1:]] for column, at in places.items()}


def _place(names: Sequence[str], name: str) -> int:
    if names.count(name) > 1:
        raise ValueError(f"two columns are called {name!r}")
    return names.index(name)
