"""Anchors that are texts, written in lines where others are drawn as pictures."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from matplotlib.axes import Axes
from matplotlib.patches import Rectangle

from pxgen_plugins.plots import _layout as layout
from pxgen_plugins.plots._reading import Reading, indices
from pxgen_plugins.plots._style import INK, MUTED, TINY
from pxgen_plugins.plots._text import clean

__all__ = ["Section", "draw_lines", "texts_of"]

_MARGIN = 0.08
_BAR = 0.05
_LINES = 3  # of one text; what is longer is shortened
_CHARS = 400


@dataclass(frozen=True)
class Section:
    """A heading and the texts below it.

    Attributes:
        name: Identifies it, for ``gid``.
        heading: Its heading.
        colour: Colour of the bar beside it.
        entries: What stands in front of each text, and the text.
        empty: What is written when there are none.
    """

    name: str
    heading: str
    colour: str
    entries: Sequence[tuple[str, str]]
    empty: str


def texts_of(reading: Reading) -> dict[int, str] | None:
    """Return the texts of an explanation's examples by anchor index; None when they are none.

    Behind an arrow stands what the model made of each, where it reconstructs.
    """
    examples = reading.data.get("examples") or {}
    texts, again = examples.get("texts"), examples.get("reconstructed_texts")
    if texts is None:
        return None
    if again is not None:
        texts = [f"{text}  →  {other}" for text, other in zip(texts, again, strict=True)]
    return dict(zip(map(int, indices(examples.get("indices"))), map(str, texts), strict=True))


def draw_lines(ax: Axes | None, width: float, sections: Sequence[Section], where: str) -> Axes:
    """Write sections of texts one below the other and return the axes.

    Args:
        ax: Axes to write in; a new figure, as high as needed, by default.
        width: Width of a new figure, inches.
        sections: What to write. Texts are untrusted: control characters are replaced, and nothing
            in them is read as mathematics.
        where: Who asks, for errors.
    """
    box = None if ax is None else layout.inches(ax)
    width = width if box is None else box[0]
    size = TINY
    line = size * layout.LINE / 72.0
    room = width - 3 * _MARGIN - _BAR
    blocks = [(section, _wrapped(section, size, room)) for section in sections]
    lines = sum(1 + max(1, sum(len(part) for part in parts)) for _, parts in blocks)
    gaps = sum(max(1, len(parts)) for _, parts in blocks)
    height = lines * line + gaps * 0.4 * line + len(blocks) * line + 2 * _MARGIN
    sheet = layout.sheet(ax, width, height if box is None else box[1], where)
    top = _MARGIN
    for section, parts in blocks:
        start = top
        _write(sheet, top, line, section.heading, size + 1.0, fontweight="bold", color=INK)
        top += 1.2 * line
        if not parts:
            note = _write(sheet, top, line, section.empty, size, color=MUTED)
            note.set_gid(f"empty:{section.name}")
            top += 1.4 * line
        for part in parts:
            for text in part:
                _write(sheet, top, line, text, size, color=INK).set_gid("text")
                top += line
            top += 0.4 * line
        bar = Rectangle((_MARGIN, start), _BAR, top - start, facecolor=section.colour, linewidth=0)
        bar.set_gid(f"bar:{section.name}")
        sheet.add_patch(bar)
        top += 0.8 * line
    return sheet


def _write(sheet: Axes, top: float, line: float, text: str, size: float, **look: Any) -> Any:
    left = 2 * _MARGIN + _BAR
    return layout.write(sheet, left, top + 0.5 * line, text, size, ha="left", **look)


def _wrapped(section: Section, size: float, room: float) -> list[list[str]]:
    """Return the lines of each entry, at most so many as are shown of one text."""
    sample = "the quick brown fox jumps over the lazy dog "
    chars = max(10, int(0.95 * room / layout.text_width(sample, size) * len(sample)))
    return [
        textwrap.wrap(f"{head}  {clean(text, _CHARS)}", chars, max_lines=_LINES, placeholder=" ...")
        for head, text in section.entries
    ]
