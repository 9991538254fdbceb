"""Pictures side by side with lines of text under them, broken into blocks where space ends."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from matplotlib.axes import Axes

from pxgen_plugins.plots import _layout as layout
from pxgen_plugins.plots._pictures import Gallery, draw_picture
from pxgen_plugins.plots._style import INK, MUTED, TINY

__all__ = ["Column", "Sheet", "draw_rows"]

_PICTURE = 0.62  # inches: width of a picture where there is room for it
_SMALLEST = 0.2
_MARGIN = 0.08
_BETWEEN = 0.14  # between blocks
_FINEST = 4.5  # points; below this text is left out of reach in print


@dataclass(frozen=True)
class Column:
    """One anchor: its group, and the lines under its pictures."""

    title: str
    colour: str
    cells: list[str]


@dataclass(frozen=True)
class Sheet:
    """Measures of a sheet of pictures, in inches.

    Attributes:
        width: Whole width.
        height: Whole height.
        head: Width of the words at the left.
        pitch: Distance of two columns.
        picture: Width of a picture.
        line: Height of a line of text.
        size: Font size in points.
        per_block: Columns in a block.
        heads: Words at the left of the lines of text that are written.
    """

    width: float
    height: float
    head: float
    pitch: float
    picture: float
    line: float
    size: float
    per_block: int
    heads: list[str]


def draw_rows(
    ax: Axes | None,
    width: float,
    columns: list[Column],
    gallery: Gallery,
    heads: list[str],
    notes: list[str],
    empty: str,
    where: str,
) -> Axes:
    """Draw the originals, the reconstructions below, and the lines of text below these.

    Args:
        ax: The caller's Axes, or None for a new figure.
        width: Width of a new figure in inches.
        columns: One for each anchor.
        gallery: Their pictures.
        heads: Words at the left of the lines of text.
        notes: Sentences below everything.
        empty: What is written when there are no columns.
        where: The function that asks.

    Returns:
        The Axes, in inches, y downwards.
    """
    layout.check(ax, where)
    box = None if ax is None else layout.inches(ax)
    if not columns:
        sheet = layout.sheet(ax, *(box or (width, 0.6)), where)
        size = box or (width, 0.6)
        layout.write(sheet, size[0] / 2, size[1] / 2, empty, color=MUTED).set_gid("empty")
        return sheet
    note = " ".join(part for part in notes if part)
    plan = _plan(columns, gallery, heads, note, width if box is None else box[0], box)
    sheet = layout.sheet(ax, plan.width, plan.height, where)
    block = _block_height(plan, gallery)
    for at, column in enumerate(columns):
        line, place = divmod(at, plan.per_block)
        top = _MARGIN + line * (block + _BETWEEN)
        if place == 0:
            _draw_heads(sheet, plan, gallery, top)
        centre = plan.head + plan.pitch * (place + 0.5)
        _draw_column(sheet, plan, gallery, column, at, centre, top)
    if note and layout.text_width(note, plan.size) <= plan.width:
        foot = plan.height - _MARGIN - plan.line / 2
        text = layout.write(sheet, plan.width / 2, foot, note, plan.size, color=MUTED)
        text.set_gid("caption")
    return sheet


def _plan(
    columns: list[Column],
    gallery: Gallery,
    heads: list[str],
    note: str,
    width: float,
    box: tuple[float, float] | None,
) -> Sheet:
    """Choose a layout: all lines at full size if they fit, else smaller text, then fewer."""
    found: Sheet | None = None
    sizes = (TINY,) if box is None else (TINY, 5.5, _FINEST)
    for lines in range(len(heads), -1, -1):
        for size in sizes:
            found = found or _fitted(columns, gallery, heads[:lines], size, note, width, box)
    if found is None:  # no room for anything: the pictures alone, as small as they must be
        found = _fitted(columns, gallery, [], _FINEST, note, width, box, smallest=0.0)
    assert found is not None  # without text and without a smallest size everything fits
    blocks = math.ceil(len(columns) / found.per_block)
    height = blocks * _block_height(found, gallery) + (blocks - 1) * _BETWEEN + 2 * _MARGIN
    height += 1.4 * found.line if note else 0.0
    used = found.head + found.pitch * found.per_block + _MARGIN
    fits = box is None or layout.text_width(note, found.size) + 2 * _MARGIN <= width
    wide = layout.text_width(note, found.size) + 2 * _MARGIN if fits else 0.0
    return replace(found, width=max(used, wide), height=height)


def _fitted(
    columns: list[Column],
    gallery: Gallery,
    heads: list[str],
    size: float,
    note: str,
    width: float,
    box: tuple[float, float] | None,
    smallest: float = _SMALLEST,
) -> Sheet | None:
    """Return the layout with the largest pictures, or None when the text does not fit."""
    texts = [text for one in columns for text in (one.title, *one.cells)[: len(heads)]]
    widest = max((layout.text_width(text, size, "bold") for text in texts), default=0.0) + 0.05
    best: Sheet | None = None
    for blocks in range(1, len(columns) + 1):
        per_block = math.ceil(len(columns) / blocks)
        plan = _measured(columns, gallery, heads, size, width, box, per_block, bool(note))
        if plan.pitch >= widest and plan.picture >= smallest:
            pitch = min(plan.pitch, max(1.35 * plan.picture, widest))
            if best is None or plan.picture > 1.15 * best.picture:
                best = replace(plan, pitch=pitch)
            if box is None:
                break
    return best


def _measured(
    columns: list[Column],
    gallery: Gallery,
    heads: list[str],
    size: float,
    width: float,
    box: tuple[float, float] | None,
    per_block: int,
    note: bool = False,
) -> Sheet:
    line = size * layout.LINE / 72.0
    words = [*_picture_heads(gallery), *heads]
    head = max(layout.text_width(text, size) for text in words) + 2 * _MARGIN
    pitch = max((width - head - _MARGIN) / per_block, 0.05)
    picture = min(pitch - 0.04, _PICTURE)
    if box is not None:
        blocks = math.ceil(len(columns) / per_block)
        fixed = blocks * (len(heads) * line + 0.02 + gallery.rows * 0.03)
        fixed += (blocks - 1) * _BETWEEN + 2 * _MARGIN + (1.4 * line if note else 0.0)
        tall = (box[1] - fixed) / (blocks * gallery.rows)
        picture = min(pitch - 0.04, 2 * _PICTURE, tall / gallery.aspect)
    return Sheet(width, 0.0, head, pitch, max(picture, 0.04), line, size, per_block, heads)


def _picture_heads(gallery: Gallery) -> list[str]:
    return ["original", "reconstruction"][: gallery.rows]


def _block_height(plan: Sheet, gallery: Gallery) -> float:
    pictures = gallery.rows * (plan.picture * gallery.aspect + 0.03)
    return pictures + 0.02 + len(plan.heads) * plan.line


def _draw_heads(sheet: Axes, plan: Sheet, gallery: Gallery, top: float) -> None:
    tall = plan.picture * gallery.aspect
    right = plan.head - _MARGIN
    for row, text in enumerate(_picture_heads(gallery)):
        at = top + row * (tall + 0.03) + tall / 2
        layout.write(sheet, right, at, text, plan.size, ha="right", color=MUTED)
    below = top + gallery.rows * (tall + 0.03) + 0.02
    for row, text in enumerate(plan.heads):
        at = below + (row + 0.5) * plan.line
        layout.write(sheet, right, at, text, plan.size, ha="right", color=MUTED)


def _draw_column(
    sheet: Axes,
    plan: Sheet,
    gallery: Gallery,
    column: Column,
    at: int,
    centre: float,
    top: float,
) -> None:
    tall, left = plan.picture * gallery.aspect, centre - plan.picture / 2
    stacks = [gallery.originals, gallery.reconstructions]
    for row, stack in enumerate(stacks[: gallery.rows]):
        if stack is not None:
            box = (left, top + row * (tall + 0.03), plan.picture, tall)
            draw_picture(sheet, stack[at], gallery, box)
    below = top + gallery.rows * (tall + 0.03) + 0.02
    for row, text in enumerate((column.title, *column.cells)[: len(plan.heads)]):
        look = {"color": column.colour, "fontweight": "bold"} if row == 0 else {"color": INK}
        layout.write(sheet, centre, below + (row + 0.5) * plan.line, text, plan.size, **look)
