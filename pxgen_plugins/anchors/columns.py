"""Which columns of a table hold the anchors, the labels and the ids."""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from pxgen_plugins.anchors.item_formats import ANCHOR_NAMES, ID_NAMES, LABEL_NAMES
from pxgen_plugins.utils.errors import AnchorError, PXGenWarning, short_repr

__all__ = ["Choice", "Kind", "choose"]

Kind = Literal["number", "list", "image", "other"]
_DO = "Name the column of anchors 'anchor', or keep only numeric columns."


@dataclass(frozen=True)
class Choice:
    """The parts of a table.

    Attributes:
        kind: What holds the anchors: one column of lists or of images, or columns of numbers.
        names: That column, or those columns in the table's order.
        label: The column of labels, or None.
        id: The column of ids, or None.
    """

    kind: Kind
    names: tuple[str, ...]
    label: str | None
    id: str | None


def choose(columns: Iterable[tuple[str, Kind]], where: str) -> Choice:
    """Return what each column is for.

    ``label``, ``labels`` or ``y`` holds the labels, ``id`` or ``ids`` the ids. Of the others, a
    column of lists or images named anchor, anchors, image, images, x or pixels holds the anchors,
    or else the only such column, or else all columns of numbers, one feature each.

    Args:
        columns: Name and kind of each column, in the table's order.
        where: Who asks, for messages.

    Raises:
        AnchorError: When names repeat, several columns could hold the anchors, or none could.

    Example:
        >>> choose([("a", "number"), ("y", "number"), ("b", "number")], "here").names
        ('a', 'b')
    """
    table = list(columns)
    kinds = dict(table)
    if len(kinds) < len(table):
        got = short_repr(sorted(name for name, _ in table))
        raise AnchorError("X", where, "a table with distinct column names", got, "Rename them.")
    label = next((name for name in LABEL_NAMES if name in kinds), None)
    identity = next((name for name in ID_NAMES if name in kinds), None)
    rest = {name: kind for name, kind in table if name not in (label, identity)}
    whole = [name for name, kind in rest.items() if kind in ("list", "image")]
    named = next((name for name in ANCHOR_NAMES if name in whole), None)
    if named is None and len(whole) > 1:
        got = f"columns {short_repr(whole)}"
        allowed = "a table with one column of lists or images, or with one named 'anchor'"
        raise AnchorError("X", where, allowed, got, _DO)
    if named or whole:
        chosen = named or whole[0]
        return Choice(rest[chosen], (chosen,), label, identity)
    numbers = tuple(name for name, kind in rest.items() if kind == "number")
    if not numbers:
        got = f"columns {short_repr([name for name, _ in table])}"
        raise AnchorError("X", where, "a table with columns of numbers, lists or images", got, _DO)
    others = [name for name in rest if name not in numbers]
    if others:
        text = f"{where}: columns {short_repr(others)} hold no numbers and were left out."
        warnings.warn(text, PXGenWarning, stacklevel=2)
    return Choice("number", numbers, label, identity)
