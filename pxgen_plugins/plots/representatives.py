"""Representatives of the four groups."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle
from numpy.typing import NDArray

from pxgen_plugins.plots import _layout as layout
from pxgen_plugins.plots._pictures import Gallery, collect, draw_picture
from pxgen_plugins.plots._reading import Reading, read
from pxgen_plugins.plots._style import GROUPS, INK, MUTED, ORDER, TINY, share_text
from pxgen_plugins.plots._text import clean
from pxgen_plugins.plots._text_rows import Section, draw_lines, texts_of
from pxgen_plugins.utils.errors import ParameterError
from pxgen_plugins.utils.validation import choice, integer

__all__ = ["plot_representatives"]

_WHERE = "plot_representatives"
_WIDTH = 7.0
_LARGEST = 0.62
_GAP = 0.03
_MARGIN = 0.08
_BETWEEN = 0.14  # between groups
_BAR = 0.05  # width of the coloured bar beside a group


def plot_representatives(
    explanation: Any,
    selector: str | None = None,
    n: int | None = None,
    *,
    reconstructions: Any = True,
    images: Any = None,
    ax: Axes | None = None,
) -> NDArray[np.object_]:
    """Draw the representatives of the four groups, each original above its reconstruction.

    Anchors that are texts, or rows of a table, are written in lines.

    Args:
        explanation: What ``PXGen.explain`` returned, or the same read from JSON.
        selector: Whose representatives; the first selector of the explanation by default.
        n: At most so many per group, in the selector's order; all by default.
        reconstructions: False leaves the reconstructions out; anything indexable by anchor index
            is used in place of the examples.
        images: Anything that gives the anchor at an index into the anchor set; the examples of the
            explanation by default.
        ax: Axes to draw in; a new figure by default.

    Returns:
        One Axes; every picture in it is an image of its own, or a curve when anchors are flat. An
        empty group says so.

    Raises:
        ParameterError: Unknown selector; ``n`` is below 1; the anchors are neither in the
            explanation nor given.

    Cost: O(k) pictures for k representatives, however many anchors there are.

    Example:
        >>> import numpy as np
        >>> from types import SimpleNamespace
        >>> from pxgen_plugins.plots import plot_representatives
        >>> data = {
        ...     "criteria": ["kld", "mse"],
        ...     "kinds": ["intrinsic", "extrinsic"],
        ...     "values": [[1.0, 0.1], [2.0, 0.3]],
        ...     "thresholds": {"kld": 3.0, "mse": 0.2},
        ...     "group": ["HIHE", "HILE"],
        ...     "groups": {"HIHE": {"count": 1, "representatives": {"top": [0]}}},
        ... }  # the least that an explanation of PXGen holds
        >>> explanation = SimpleNamespace(data=data)
        >>> (ax,) = plot_representatives(explanation, images=np.zeros((2, 1, 8, 8)))
        >>> len(ax.images)
        1
    """
    layout.check(ax, _WHERE)
    reading = read(explanation, _WHERE)
    selector = _selector(reading, selector)
    most = None if n is None else integer(n, "n", _WHERE, minimum=1)
    both = reconstructions if isinstance(reconstructions, bool) else True
    given = None if isinstance(reconstructions, bool) else reconstructions
    picked = {
        name: reading.groups[name].representatives.get(selector, np.empty(0, np.int64))[:most]
        for name in ORDER
    }
    texts = texts_of(reading) if images is None else None
    if texts is not None:
        return layout.array_of(_lines(ax, reading, picked, texts))
    rows = np.concatenate(list(picked.values()))
    gallery = collect(reading, rows, images, given, _WHERE, both=both)
    counts = [len(found) for found in picked.values()]
    plan = _plan(None if ax is None else layout.inches(ax), gallery, max([*counts, 1]))
    sheet = layout.sheet(ax, plan.width, plan.height, _WHERE)
    start, top = 0, _MARGIN
    for name in ORDER:
        _draw_head(sheet, reading, name, top, plan)
        for place, row in enumerate(picked[name]):
            left = plan.head + (place + 0.5) * plan.pitch - plan.picture / 2
            _draw_one(sheet, reading, gallery, start + place, int(row), left, top, plan)
        if not len(picked[name]):
            some = reading.groups[name].count > 0
            text = "no representatives of this group" if some else "no anchors in this group"
            look = {"ha": "left", "color": MUTED}
            note = layout.write(sheet, plan.head, top + plan.block / 2, text, plan.size, **look)
            note.set_gid(f"empty:{name}")
        start += len(picked[name])
        top += plan.block + _BETWEEN
    under = "anchor" if reading.labels is None else "label"
    foot = f"Selector: {clean(selector)}. Under each: {under}. {gallery.note}".strip()
    if layout.text_width(foot, plan.size) <= plan.width:
        at = plan.height - _MARGIN
        note = layout.write(sheet, plan.width / 2, at, foot, plan.size, color=MUTED)
        note.set_gid("caption")
    return layout.array_of(sheet)


def _lines(
    ax: Axes | None, reading: Reading, picked: dict[str, NDArray[np.int64]], texts: dict[int, str]
) -> Axes:
    sections = []
    for name in ORDER:
        group = reading.groups[name]
        words = f"{name}, {GROUPS[name].words}: {share_text(group.count, group.fraction)}"
        entries = []
        for row in map(int, picked[name]):
            label = "" if reading.labels is None else f" [{clean(reading.labels[row], 20)}]"
            entries.append((reading.name(row) + label, texts.get(row, "(not kept)")))
        empty = "no representatives of this group" if group.count else "no anchors in this group"
        sections.append(Section(name, words, GROUPS[name].colour, entries, empty))
    return draw_lines(ax, _WIDTH, sections, _WHERE)


def _selector(reading: Reading, selector: str | None) -> str:
    known: list[str] = []
    for group in reading.groups.values():
        known += [name for name in group.representatives if name not in known]
    if not known:
        hint = "Explain with selectors=('k_center',), for instance."
        raise ParameterError("explanation", _WHERE, "one with representatives", "none", hint)
    return known[0] if selector is None else choice(selector, "selector", _WHERE, known)


@dataclass(frozen=True)
class _Plan:
    """Measures in inches, and the font size in points."""

    width: float
    height: float
    head: float
    pitch: float
    picture: float
    tall: float
    block: float
    line: float
    size: float
    words: bool


def _plan(box: tuple[float, float] | None, gallery: Gallery, columns: int) -> _Plan:
    """Lay the sheet out: the largest pictures that fit, and the sheet as large as they need."""
    width = _WIDTH if box is None else box[0]
    size = TINY if width >= 4.0 else 5.0
    words = width >= 2.2
    line = size * layout.LINE / 72.0
    longest = [style.words for style in GROUPS.values()] if words else []
    texts = [layout.text_width(text, size) for text in [*longest, "100,000 (100.0 %)"]]
    head = max(texts) + 2 * _MARGIN + _BAR + 0.1
    pitch = max((width - head - _MARGIN) / columns, 0.06)
    picture = min(pitch - 0.04, _LARGEST)
    floor = 3.4 * line
    if box is not None:
        room = (box[1] - 2 * _MARGIN - 1.6 * line - 3 * _BETWEEN) / len(ORDER)
        tall = (room - line) / gallery.rows - _GAP
        picture, floor = min(pitch - 0.04, 1.2, tall / gallery.aspect), min(floor, room)
    picture = max(picture, 0.04)
    pitch = min(pitch, max(1.3 * picture, 0.3))
    tall = picture * gallery.aspect
    block = max(gallery.rows * (tall + _GAP) + line, floor)
    height = len(ORDER) * block + 3 * _BETWEEN + 2 * _MARGIN + 1.6 * line
    least = 0.0 if box is None else min(width, head + 1.6)  # room for "no anchors in this group"
    whole = max(head + pitch * columns + _MARGIN, head + 2.0 if box is None else least)
    return _Plan(whole, height, head, pitch, picture, tall, block, line, size, words)


def _draw_head(sheet: Axes, reading: Reading, name: str, top: float, plan: _Plan) -> None:
    style, group = GROUPS[name], reading.groups[name]
    bar = Rectangle((_MARGIN, top), _BAR, plan.block, facecolor=style.colour, linewidth=0)
    bar.set_gid(f"bar:{name}")
    sheet.add_patch(bar)
    lines: list[tuple[str, dict[str, Any]]] = [
        (name, {"fontweight": "bold", "color": style.dark, "size": plan.size + 1.0}),
        (style.words, {"color": INK}),
        (share_text(group.count, group.fraction), {"color": MUTED}),
    ]
    if not plan.words:
        del lines[1]
    for row, (text, look) in enumerate(lines):
        at = top + (row + 0.5) * 1.05 * plan.line
        left = _MARGIN + _BAR + 0.06
        layout.write(sheet, left, at, text, look.pop("size", plan.size), ha="left", **look)


def _draw_one(
    sheet: Axes,
    reading: Reading,
    gallery: Gallery,
    at: int,
    row: int,
    left: float,
    top: float,
    plan: _Plan,
) -> None:
    for level, stack in enumerate((gallery.originals, gallery.reconstructions)[: gallery.rows]):
        if stack is not None:
            box = (left, top + level * (plan.tall + _GAP), plan.picture, plan.tall)
            draw_picture(sheet, stack[at], gallery, box)
    text = reading.name(row) if reading.labels is None else clean(reading.labels[row], 10)
    text = layout.shortened(text, plan.size, 0.94 * plan.pitch)
    below = top + gallery.rows * (plan.tall + _GAP) + 0.45 * plan.line
    layout.write(sheet, left + plan.picture / 2, below, text, plan.size)
