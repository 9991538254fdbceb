"""Columns of tables, found by their names: the anchors, and the label and id of each."""

from __future__ import annotations

import csv
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pxgen_plugins.anchors.base import Anchors, reason
from pxgen_plugins.anchors.folder import open_inside
from pxgen_plugins.anchors.label_text import as_labels
from pxgen_plugins.anchors.text_columns import size_of, text_columns
from pxgen_plugins.utils.contents import lines, parse_json
from pxgen_plugins.utils.errors import AnchorError, short_repr, warn
from pxgen_plugins.utils.limits import TEXTS, Room

__all__ = [
    "ANCHOR_NAMES",
    "ID_NAMES",
    "LABEL_NAMES",
    "Choice",
    "Kind",
    "choose",
    "csv_columns",
    "file_columns",
    "find_columns",
    "set_labels",
]

ANCHOR_NAMES = ("anchor", "anchors", "image", "images", "x", "pixels")
LABEL_NAMES = ("label", "labels", "y")
ID_NAMES = ("id", "ids")
Kind = Literal["number", "list", "image", "other"]
_HINT = "Name the column of anchors 'anchor', or keep only numeric columns."


def find_columns(
    names: Iterable[str], roles: Mapping[str, Sequence[str]] | None = None
) -> dict[str, str]:
    """Return which column of a table plays which role; roles that none plays are left out.

    Args:
        names: The table's columns.
        roles: Each with the names that its column may have, of which the first counts. None takes
            ``"label"`` (label, labels or y) and ``"id"`` (id or ids).

    Example:
        >>> find_columns(["a", "y", "id"])
        {'label': 'y', 'id': 'id'}
    """
    known = set(names)
    roles = {"label": LABEL_NAMES, "id": ID_NAMES} if roles is None else roles
    columns = {role: [name for name in options if name in known] for role, options in roles.items()}
    return {role: synonyms[0] for role, synonyms in columns.items() if synonyms}


def file_columns(path: Path, names: Sequence[str]) -> dict[str, list[Any]]:
    """Return columns of a ``.csv``, ``.jsonl`` or ``.parquet`` file, those of ``names`` it has.

    Args:
        path: The file. Texts are UTF-8; a column of a ``.jsonl`` file is a key that all lines have.
        names: The columns; others are not read.

    Raises:
        AnchorError: When a ``.csv`` file cannot be read, see :func:`csv_columns`.
        Exception: Whatever the readers of the other formats raise on a damaged file, or one that
            is larger than the limits.
    """
    if path.suffix.lower() == ".csv":
        return dict(csv_columns(path, {name: (name,) for name in names}))
    if path.suffix == ".jsonl":
        return _json_lines(path, names)
    if path.suffix == ".parquet":
        return text_columns(path, names)
    return {}


def _json_lines(path: Path, names: Sequence[str]) -> dict[str, list[Any]]:
    columns: dict[str, list[Any]] = {name: [] for name in names}
    room, n = Room(TEXTS), 0
    for line in lines(path):
        if line.strip():
            row = parse_json(line.encode("utf-8", "surrogatepass"))
            n += 1
            for name in [name for name in columns if name in row]:
                room.add(size_of(row[name], len(line)))
                columns[name].append(row[name])
    return {name: values for name, values in columns.items() if len(values) == n}


def csv_columns(path: Path, roles: Mapping[str, Sequence[str]]) -> dict[str, list[str]]:
    """Return the columns of a CSV file that play some role, as texts; others are not read.

    Args:
        path: The file, UTF-8, within the limits ``TEXT_FILE``, ``LINE`` and ``TEXTS``; its first
            line names the columns.
        roles: As for :func:`find_columns`.

    Raises:
        AnchorError: When it cannot be read, is no CSV file, names such a column twice, or a line
            is shorter or longer than the first.
    """
    try:
        file = os.fdopen(open_inside(*os.path.split(os.path.realpath(path))), "rb")
        rows = (row for row in csv.reader(lines(path, file), strict=True) if row)
        names = [name.strip() for name in next(rows, [])]
        places = {role: _place(names, n) for role, n in find_columns(names, roles).items()}
        columns: dict[str, list[str]] = {role: [] for role in places}
        room = Room(TEXTS)
        for number, row in enumerate(rows, 2):
            if len(row) != len(names):
                raise ValueError(f"row {number} has {len(row)} values for {len(names)} columns")
            for role, at in places.items():
                room.add(size_of(row[at]))
                columns[role].append(row[at])
    except Exception as error:  # a file may be broken in any way
        why = reason(str(error) if type(error) is ValueError else error)
        allowed, got = "a readable CSV file in UTF-8", f"{short_repr(str(path))}: {why}"
        hint = "Write a line of column names, then one line for each anchor."
        raise AnchorError("X", allowed, got, hint) from error
    return columns


def set_labels(anchors: Anchors, columns: Mapping[str, Any]) -> None:
    """Give anchors the labels and ids among the columns of a table, where it has any.

    Args:
        anchors: n anchors. Whether ids are distinct is checked when the set is complete, as the
            user may give others.
        columns: n values each under ``"label"`` and ``"id"``, or less.

    Raises:
        AnchorError: See :func:`~pxgen_plugins.anchors.label_text.as_labels`.
    """
    label, identity = columns.get("label"), columns.get("id")
    if label is not None:
        anchors.labels = as_labels(label, len(anchors))
    if identity is not None:
        anchors.ids = as_labels(identity, len(anchors))


@dataclass(frozen=True)
class Choice:
    """The parts of a table.

    Attributes:
        kind: What holds the anchors: one column of lists or of images, or columns of numbers.
        names: That column, or those columns in the table's order.
        texts: The columns of labels and ids, by ``"label"`` and ``"id"``, where there are any.
    """

    kind: Kind
    names: tuple[str, ...]
    texts: Mapping[str, str]


def choose(columns: Iterable[tuple[str, Kind]]) -> Choice:
    """Return what each column is for.

    ``label``, ``labels`` or ``y`` holds the labels, ``id`` or ``ids`` the ids. Of the others, a
    column of lists or images named anchor, anchors, image, images, x or pixels holds the anchors,
    or else the only such column, or else all columns of numbers, one feature each.

    Args:
        columns: Name and kind of each column, in the table's order.

    Raises:
        AnchorError: When names repeat, several columns could hold the anchors, or none could.

    Example:
        >>> choose([("a", "number"), ("y", "number"), ("b", "number")]).names
        ('a', 'b')
    """
    table = list(columns)
    kinds = dict(table)
    if len(kinds) < len(table):
        got = short_repr(sorted(name for name, _ in table))
        raise AnchorError("X", "a table with distinct column names", got, "Rename them.")
    texts = find_columns(kinds)
    rest = {name: kind for name, kind in table if name not in texts.values()}
    whole = [name for name, kind in rest.items() if kind in ("list", "image")]
    named = next((name for name in ANCHOR_NAMES if name in whole), None)
    if named is None and len(whole) > 1:
        got = f"columns {short_repr(whole)}"
        allowed = "a table with one column of lists or images, or with one named 'anchor'"
        raise AnchorError("X", allowed, got, _HINT)
    if named or whole:
        name = named or whole[0]
        return Choice(rest[name], (name,), texts)
    numbers = tuple(name for name, kind in rest.items() if kind == "number")
    if not numbers:
        got = f"columns {short_repr([name for name, _ in table])}"
        raise AnchorError("X", "a table with columns of numbers, lists or images", got, _HINT)
    others = [name for name in rest if name not in numbers]
    if others:
        text = f"anchors: columns {short_repr(others)} hold no numbers and were left out."
        warn(text)
    return Choice("number", numbers, texts)


def _place(names: Sequence[str], name: str) -> int:
    if names.count(name) > 1:
        raise ValueError(f"two columns are called {name!r}")
    return names.index(name)
