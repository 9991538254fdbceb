"""Rows of small pictures with lines of text under them; long rows go on below."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

from matplotlib.axes import Axes

from pxgen_plugins.plots import _layout as layout
from pxgen_plugins.plots._layout import AnyFigure
from pxgen_plugins.plots._pictures import Gallery, draw_picture
from pxgen_plugins.plots.style import INK, MUTED, SMALL, TINY

__all__ = ["PICTURE_HEADS", "Column", "Row", "draw_rows"]

PICTURE_HEADS = ("original", "reconstruction")
_WIDTH = 7.0  # inches of a new figure, at most
_NARROWEST = 3.2  # room for the sentences below
_PITCH = 0.56  # inches from picture to picture where their texts are narrow
_GAP = 0.08  # between two pictures, in units of picture and gap
_LINE = TINY * layout.LINE  # points
_EMPTY = 0.3  # height of a row without pictures, of the pitch


@dataclass(frozen=True)
class Column:
    """The lines under the pictures of one anchor; a ``title`` stands first, in its own colour."""

    cells: Sequence[str] = ()
    title: str = ""
    colour: str = INK


@dataclass(frozen=True)
class Row:
    """Anchors side by side.

    Attributes:
        columns: One for each anchor.
        empty: What is written when there are none.
        name: Identifies the row, for ``gid``.
        heading: What stands above it; may be empty.
        colour: Colour of the bar at its left; empty for none.
        ink: Colour of the heading.
    """

    columns: Sequence[Column]
    empty: str
    name: str = ""
    heading: str = ""
    colour: str = ""
    ink: str = INK


@dataclass(frozen=True)
class _Block:
    """The part of a row that one Axes shows; ``first`` is its first picture in the gallery."""

    row: Row
    columns: Sequence[Column]
    first: int
    heading: str


def draw_rows(
    figure: AnyFigure | None,
    rows: Sequence[Row],
    gallery: Gallery,
    heads: Sequence[str],
    notes: list[str],
    picture_heads: Sequence[str] = PICTURE_HEADS,
) -> list[Axes]:
    """Draw the originals of each row, the reconstructions below, and the lines of text below these.

    Args:
        figure: The caller's figure, or None for a new one, as large as the pictures need.
        rows: The rows, from top to bottom.
        gallery: The pictures of all rows, one row after the other.
        heads: Words at the left of the lines of text.
        notes: Sentences below everything.
        picture_heads: Words at the left of the pictures.

    Returns:
        One Axes for each row, more for a row that is longer than the figure is wide. A picture and
        the gap beside it take one unit; y runs downwards.
    """
    width = layout.figure_width(figure, _WIDTH)
    picture_heads = picture_heads[: gallery.rows]
    side = max(map(layout.text_width, (*picture_heads, *heads)), default=0.0) + 0.3
    texts = [text for row in rows for one in row.columns for text in (one.title, *one.cells)]
    widest = max((layout.text_width(text, weight="bold") for text in texts), default=0.0)
    # as many columns as fit at full size; texts wider than a picture push the pictures apart
    step = max(1.0, (widest + 0.06) / _PITCH)  # units from picture to picture
    fits = max(1, int((width - side) / (step * _PITCH)))
    columns = max(1, min(fits, max(len(row.columns) for row in rows)))
    blocks = _blocks(rows, columns)
    tall = gallery.rows * ((1.0 - _GAP) * gallery.aspect + _GAP)
    ratios = [tall if block.columns else min(_EMPTY, tall) for block in blocks]
    # the inches only size a new figure: constrained layout makes room for the texts
    headings = [row.heading for row in rows if row.heading]
    wide = [columns * step * _PITCH, *(layout.text_width(text, SMALL, "bold") for text in headings)]
    words = len(blocks) * (len(heads) * _LINE + 8.0) + len(headings) * 1.6 * _LINE
    size = max(_NARROWEST, side + max(wide)), sum(ratios) * _PITCH + words / 72.0 + 0.3
    figure = layout.figure_or_new(figure, *size)
    grid = figure.subplots(len(blocks), 1, squeeze=False, gridspec_kw={"height_ratios": ratios})
    axes: list[Axes] = list(grid[:, 0])
    for ax, block, ratio in zip(axes, blocks, ratios, strict=True):
        ax.set(xlim=(0.0, columns * step), ylim=(ratio, 0.0), xticks=[], yticks=[])
        _draw_frame(ax, block)
        if block.columns:
            ax.set_aspect("equal", anchor="W")
            _draw_heads(ax, heads, picture_heads, tall / gallery.rows)
        for place, column in enumerate(block.columns):
            _draw_column(ax, gallery, column, (place + 0.5) * step, block.first + place)
    layout.footnote(figure, notes)
    return axes


def _blocks(rows: Sequence[Row], columns: int) -> list[_Block]:
    starts = accumulate((len(row.columns) for row in rows), initial=0)
    blocks = []
    for row, start in zip(rows, starts, strict=False):
        for first in range(0, max(len(row.columns), 1), columns):
            some = row.columns[first : first + columns]
            blocks.append(_Block(row, some, start + first, "" if first else row.heading))
    return blocks


def _draw_frame(ax: Axes, block: _Block) -> None:
    row = block.row
    ax.spines[["top", "right", "bottom"]].set_visible(False)
    bar = ax.spines["left"]
    bar.set(visible=bool(row.colour), linewidth=3.5, gid=f"bar:{row.name}")
    if row.colour:
        bar.set_color(row.colour)
        bar.set_position(("outward", 3.0))
    if block.heading:
        ax.set_title(block.heading, loc="left", fontsize=SMALL, color=row.ink, weight="bold", pad=3)
    if not block.columns:
        look: dict[str, Any] = {"fontsize": TINY, "color": MUTED, "va": "center"}
        note = ax.text(0.0, 0.5, row.empty, transform=ax.transAxes, **look)
        note.set_gid(f"empty:{row.name}" if row.name else "empty")


def _draw_heads(ax: Axes, heads: Sequence[str], picture_heads: Sequence[str], pitch: float) -> None:
    look: dict[str, Any] = {"ha": "right", "color": MUTED}
    for place, text in enumerate(picture_heads):
        at = (0.0, (place + 0.5) * pitch)
        _write(ax, text, at, (-8.0, 0.0), ("axes fraction", "data"), va="center", **look)
    for line, text in enumerate(heads):
        _write(ax, text, (0.0, 0.0), (-8.0, -2.0 - line * _LINE), "axes fraction", **look)


def _draw_column(ax: Axes, gallery: Gallery, column: Column, centre: float, picture: int) -> None:
    wide = 1.0 - _GAP
    tall = wide * gallery.aspect
    for level, stack in enumerate((gallery.originals, gallery.reconstructions)):
        if stack is not None:
            box = (centre - wide / 2.0, level * (tall + _GAP) + _GAP / 2.0, wide, tall)
            draw_picture(ax, stack[picture], gallery, box)
    lines: list[tuple[str, dict[str, Any]]] = [(text, {}) for text in column.cells]
    if column.title:
        lines.insert(0, (column.title, {"color": column.colour, "weight": "bold"}))
    for line, (text, look) in enumerate(lines):
        at = (centre, 0.0)
        _write(ax, text, at, (0.0, -2.0 - line * _LINE), ("data", "axes fraction"), **look)


def _write(
    ax: Axes,
    text: str,
    at: tuple[float, float],
    offset: tuple[float, float],
    unit: Any,
    **look: Any,
) -> None:
    """Write text at a place, moved by so many points."""
    look = {"ha": "center", "va": "top", "color": INK, "fontsize": TINY, **look}
    ax.annotate(
        text,
        at,
        xycoords=unit,
        xytext=offset,
        textcoords="offset points",
        annotation_clip=False,
        **look,
    )
