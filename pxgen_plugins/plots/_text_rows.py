"""Anchors that are texts, written in lines where others are drawn as pictures."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass

from matplotlib.axes import Axes

from pxgen_plugins.plots import _layout as layout
from pxgen_plugins.plots._layout import AnyFigure
from pxgen_plugins.plots._text import clean
from pxgen_plugins.plots.style import INK, MUTED, SMALL, TINY
from pxgen_plugins.result import Result

__all__ = ["Section", "draw_sections", "example_texts"]

_WIDTH = 7.0  # inches of a new figure
_LINE = TINY * layout.LINE / 72.0  # inches
_BETWEEN = 0.4  # of a line, between two texts
_LINES = 3  # of one text; what is longer is cut
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


def example_texts(result: Result) -> dict[int, str] | None:
    """Return the texts of an explanation's examples by anchor index; None when they are none.

    Behind an arrow stands what the model made of each, where it reconstructs.
    """
    examples = result.examples
    if examples is None or examples.texts is None:
        return None
    texts, again = examples.texts, examples.reconstructed_texts
    if again is not None:
        texts = [f"{text}  →  {other}" for text, other in zip(texts, again, strict=True)]
    return dict(zip(examples.indices.tolist(), map(str, texts), strict=True))


def draw_sections(figure: AnyFigure | None, sections: Sequence[Section]) -> list[Axes]:
    """Write sections of texts one below the other.

    Args:
        figure: The caller's figure, or None for a new one, as high as needed.
        sections: What to write. Texts are untrusted: control characters are replaced, and nothing
            in them is read as mathematics.

    Returns:
        One Axes for each section; its y axis counts lines downwards.
    """
    width = layout.figure_width(figure, _WIDTH)
    blocks = [_lines(section, width - 0.3) for section in sections]
    heights = [sum(len(lines) + _BETWEEN for lines in block) or 1.0 for block in blocks]
    tall = sum(heights) * _LINE + len(sections) * 0.28 + 0.1
    figure = layout.figure_or_new(figure, width, tall)
    grid = figure.subplots(len(sections), 1, squeeze=False, gridspec_kw={"height_ratios": heights})
    axes: list[Axes] = list(grid[:, 0])
    for ax, section, block, height in zip(axes, sections, blocks, heights, strict=True):
        ax.set(xlim=(0.0, 1.0), ylim=(height, 0.0), xticks=[], yticks=[])
        ax.spines[["top", "right", "bottom"]].set_visible(False)
        ax.spines["left"].set(color=section.colour, linewidth=3.5, gid=f"bar:{section.name}")
        ax.set_title(section.heading, loc="left", fontsize=SMALL, color=INK, weight="bold", pad=3)
        top = 0.0
        for line in (line for lines in block for line in (*lines, "")):
            if line:
                _write(ax, top, line, INK, "text")
            top += 1.0 if line else _BETWEEN
        if not block:
            _write(ax, 0.0, section.empty, MUTED, f"empty:{section.name}")
    return axes


def _write(ax: Axes, top: float, text: str, colour: str, gid: str) -> None:
    ax.text(0.008, top, text, va="top", fontsize=TINY, color=colour).set_gid(gid)


def _lines(section: Section, room: float) -> list[list[str]]:
    """Return the lines of each entry, broken to ``room`` inches, at most three of one text."""
    sample = "the quick brown fox jumps over the lazy dog "
    chars = max(10, int(0.95 * room / layout.text_width(sample) * len(sample)))
    return [
        textwrap.wrap(f"{head}  {clean(text, _CHARS)}", chars, max_lines=_LINES, placeholder=" ...")
        for head, text in section.entries
    ]
