"""The names of the four groups, written into the corners of the scatter."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from matplotlib.axes import Axes
from matplotlib.transforms import offset_copy

from pxgen_plugins.groups import GROUPS
from pxgen_plugins.plots._layout import LINE, text_width
from pxgen_plugins.plots.style import INK, STYLES, TINY, share_text
from pxgen_plugins.result import Group, Result
from pxgen_plugins.utils.text import percent, percent_interval

__all__ = ["Room", "corners", "draw_regions", "region_room"]

_WIDE = 4.6  # inches of panel from which a name takes two lines
_NARROW = 1.7  # below, only name and share
_MARK = 9.0  # points that the marker before a name takes
_EDGE = 4.0  # points between the text and the edge of the panel


@dataclass(frozen=True)
class Room:
    """What the names need.

    Attributes:
        sides: Shares of the panel's width at the left and at the right.
        band: Share of its height, below and above.
        lines: What is written for each group; the first line is its name.
        intervals: Whether the intervals of the shares are among it.
    """

    sides: tuple[float, float]
    band: float
    lines: dict[str, list[str]]
    intervals: bool = False


def corners(result: Result, columns: list[int]) -> dict[str, tuple[int, int]]:
    """Return the corner of each group: (0 or 1) from the left, (0 or 1) from below.

    When both axes show criteria of one kind no corner belongs to one group, and the names only
    serve as a legend.
    """
    kinds = [result.kinds[column] for column in columns]
    if kinds == ["extrinsic", "intrinsic"]:
        return {"HIHE": (0, 0), "LIHE": (0, 1), "HILE": (1, 0), "LILE": (1, 1)}
    return {"HIHE": (0, 0), "HILE": (0, 1), "LIHE": (1, 0), "LILE": (1, 1)}


def region_room(
    result: Result,
    places: dict[str, tuple[int, int]],
    extra: dict[str, str],
    width: float,
    height: float,
) -> Room:
    """Choose what is written, and return how much of a panel of this size, in inches, it takes.

    Args:
        result: The explanation.
        places: Corner of each group.
        extra: A further line for a group, by its name.
        width: Width of the panel in inches.
        height: Height of the panel in inches.
    """
    form = "wide" if width >= _WIDE else "middle" if width >= _NARROW else "narrow"
    lines = {name: _lines(name, result.groups[name], form) for name in places}
    if form != "narrow":
        for name, line in extra.items():
            lines[name].append(line)
    across = [0.0, 0.0]
    for name, (right, _) in places.items():
        first, *rest = lines[name]
        widths = [text_width(first, weight="bold") + _MARK / 72.0, *map(text_width, rest)]
        across[right] = max(across[right], max(widths) + 2.0 * _EDGE / 72.0)
    most = max(map(len, lines.values()))
    upward = (most * TINY * LINE + 2.0 * _EDGE) / 72.0
    left, right_side = (min(one / max(width, 0.1), 0.48) for one in across)
    known = any(
        group.share_interval[0] == group.share_interval[0] for group in result.groups.values()
    )
    intervals = known and form != "narrow"
    return Room((left, right_side), min(upward / max(height, 0.1), 0.3), lines, intervals)


def draw_regions(ax: Axes, places: dict[str, tuple[int, int]], room: Room) -> None:
    """Write the lines of each group into its corner, the name after the group's marker."""
    step = TINY * LINE
    for name in GROUPS:
        right, top = places[name]
        style, lines = STYLES[name], room.lines[name]
        inward = -1.0 if right else 1.0
        start = -_EDGE if top else _EDGE + step * (len(lines) - 1)
        for row, line in enumerate(lines):
            indent = inward * (_EDGE + (_MARK if row == 0 else 0.0))
            text = ax.text(
                right,
                top,
                line,
                transform=_offset(ax, indent, start - row * step),
                ha="right" if right else "left",
                va="top" if top else "bottom",
                fontsize=TINY,
                fontweight="bold" if row == 0 else "normal",
                color=style.dark if row == 0 else INK,
                zorder=7,
            )
            text.set_gid(f"region:{name}" if row == 0 else f"region:{name}:{row}")
        (mark,) = ax.plot(
            [right],
            [top],
            marker=style.marker,
            markersize=4.2,
            color=style.colour,
            markeredgecolor=style.dark,
            markeredgewidth=0.6,
            linestyle="",
            transform=_offset(ax, inward * (_EDGE + 3.0), start + (-0.5 if top else 0.5) * TINY),
            clip_on=False,
            zorder=7,
            scalex=False,
            scaley=False,
        )
        mark.set_gid(f"key:{name}")


def _offset(ax: Axes, x: float, y: float) -> Any:
    """Return the transform of axes fractions, moved by so many points."""
    figure: Any = ax.get_figure(root=True)
    return offset_copy(ax.transAxes, fig=figure, x=x, y=y, units="points")


def _lines(name: str, group: Group, form: str) -> list[str]:
    words = STYLES[name].words
    if form == "narrow":
        return [name, percent(group.fraction)]
    interval = "" if group.fraction is None else percent_interval(*group.share_interval)
    if form == "wide":
        inside = f"{percent(group.fraction)}" + (f", {interval}" if interval else "")
        return [f"{name} {words}", f"{group.count:,} ({inside})"]
    return [name, words, share_text(group.count, group.fraction), interval]
