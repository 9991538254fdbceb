"""Names of criteria and anchors as figures write them, safe to draw."""

from __future__ import annotations

from pxgen_plugins.groups import INVALID
from pxgen_plugins.plots._text import clean
from pxgen_plugins.plots.style import criterion_text
from pxgen_plugins.result import Result

__all__ = ["anchor_name", "anchor_text", "criterion_title", "invalid_note"]


def criterion_title(result: Result, column: int) -> str:
    """Return the name and unit of a criterion."""
    return criterion_text(clean(result.criteria[column]), clean(result.units[column]))


def anchor_name(result: Result, row: int) -> str:
    """Return the id of an anchor, or its index."""
    return clean(row if result.ids is None else result.ids[row], 10)


def anchor_text(result: Result, row: int) -> str:
    """Return the label of an anchor, or its name where anchors have no labels."""
    return anchor_name(result, row) if result.labels is None else clean(result.labels[row], 10)


def invalid_note(result: Result) -> str:
    """Return a sentence on the anchors that are in no group; empty when there is none."""
    n = result.counts[INVALID]
    return f"{n:,} anchor{'' if n == 1 else 's'} invalid, not shown." if n else ""
