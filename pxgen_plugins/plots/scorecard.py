"""A scorecard: every measured number against the range it should lie in."""

from __future__ import annotations

from typing import Any

from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patches import Patch, Rectangle
from matplotlib.transforms import blended_transform_factory
from numpy.typing import NDArray

from pxgen_plugins.plots import _layout as layout
from pxgen_plugins.plots._style import BASE, FAINT, INK, MUTED, SMALL, TINY
from pxgen_plugins.plots._text import clean

__all__ = ["plot_scorecard"]

_WHERE = "plot_scorecard"
_WIDTH, _ROW, _TOP = 8.0, 0.158, 1.1  # inches
_GAP = 0.12  # inches between columns
_LEAST = 0.34  # of the width is left for the marks
_LONGEST = 60  # characters of a case
# Okabe and Ito (2008); the shapes tell states apart in black and white.
_LOOKS: dict[str, dict[str, Any]] = {
    "passed": {"color": "#009E73", "marker": "o"},
    "failed": {"color": "#D55E00", "marker": "X"},
    "reported": {"color": "#767676", "marker": "D", "markerfacecolor": "white"},
}
_DARK = {"failed": "#A84A00", "reported": MUTED}
_RANGE = "#CDEADF"


def plot_scorecard(scorecard: Any, *, ax: Axes | None = None) -> NDArray[Any]:
    """Draw each row's value as a mark, its interval as a line, and where it should lie as a band.

    A row says what was tried, what was measured, and at the right the number and what it should be.
    What could not be checked stands there with its reason.

    Args:
        scorecard: What :func:`pxgen_plugins.evaluation.evaluate` returned, or the same from JSON.
        ax: Axes to draw in; they become the frame. A new figure by default.

    Returns:
        One Axes, that of the marks.
    """
    rows = list(scorecard.rows)
    checks = list(dict.fromkeys(row.check for row in rows))
    height = _TOP + _ROW * (len(rows) + 1.7 * len(checks))
    frame = layout.canvas(ax, _WIDTH, height, _WHERE)
    frame.set_axis_off()
    panel, cases, left, right = _columns(frame, rows)
    place = 0.0
    for check in checks:
        title = _write(frame, panel, 0.0, place, clean(check.replace("_", " "), _LONGEST), SMALL)
        title.set(weight="bold")
        before = None
        for row in (row for row in rows if row.check == check):
            place += 1.0
            if row.case != before:
                shown = layout.shortened(clean(row.case, _LONGEST), TINY, cases)
                _write(frame, panel, 0.0, place, shown)
            before = row.case
            _draw(frame, panel, row, place, left, right)
        place += 1.7
    _finish(panel, scorecard, place - 0.9)
    return layout.array_of(panel)


def _columns(frame: Axes, rows: list[Any]) -> tuple[Axes, float, float, float]:
    """Return the panel of the marks, the inches for cases, and where the columns beside it end.

    The latter two are the right end of the measures and the left end of the numbers, in fractions
    of the frame's width.
    """
    width = layout.inches(frame)[0]

    def widest(texts: list[str]) -> float:
        return max((layout.text_width(text) for text in texts), default=0.0) + _GAP

    measured = [row for row in rows if row.value is not None]
    cases = widest([clean(row.case, _LONGEST) for row in rows])
    measures = widest([clean(row.measure, _LONGEST) for row in measured])
    numbers = widest([_number(row) for row in measured])
    room = (1.0 - _LEAST) * width
    if cases + measures + numbers > room:
        numbers = 0.0 if measures + numbers > 0.8 * room else numbers
        cases = max(room - measures - numbers, 0.2 * room)
    left = min((cases + measures) / width, 1.0 - _LEAST)
    panel = frame.inset_axes((left, 0.0, 1.0 - left - numbers / width, 1.0))
    values = [row.value for row in measured]
    values += [end for row in measured for end in row.interval or ()]
    low, high = min([0.0, *values]), max([1.0, *values])
    margin = 0.03 * (high - low)
    panel.set_xlim(low - margin, high + margin)
    return panel, cases - _GAP, left - 0.5 * _GAP / width, 1.0 - (numbers - _GAP) / width


def _number(row: Any) -> str:
    wanted = f", {row.expected}" if row.expected else ""
    return f"{row.value:.3f}{wanted}"


def _write(
    frame: Axes, panel: Axes, x: float, place: float, text: str, size: float = TINY, **look: Any
) -> Any:
    """Write text at a fraction of the frame's width, in the panel's row ``place``."""
    across = blended_transform_factory(frame.transAxes, panel.transData)
    look = {"ha": "left", "transform": across, **look}
    return layout.write(panel, x, place, text, size, **look)


def _draw(frame: Axes, panel: Axes, row: Any, place: float, left: float, right: float) -> None:
    low, high = panel.get_xlim()
    if row.value is None:
        room = layout.inches(frame)[0] * (1.0 - left)
        text = layout.shortened(clean(f"{row.state}: {row.note}", 160), TINY, room)
        _write(frame, panel, left, place, text, color=MUTED, style="italic")
        return
    panel.axhline(place, color=FAINT, linewidth=0.3, zorder=0)
    if row.low is not None or row.high is not None:
        start = low if row.low is None else row.low
        end = high if row.high is None else row.high
        # a single value that is expected must be seen too
        start, end = (start - 0.006, end + 0.006) if start == end else (start, end)
        band = Rectangle((start, place - 0.4), end - start, 0.8, color=_RANGE, zorder=1)
        band.set(linewidth=0.0, gid=f"expected:{place:g}")
        panel.add_patch(band)
    look = _LOOKS[row.state]
    if row.interval is not None:
        line = panel.hlines(place, *row.interval, color=look["color"], linewidth=1.1, zorder=2)
        line.set_gid("interval")
    (mark,) = panel.plot([row.value], [place], markersize=4.0, zorder=3, clip_on=False, **look)
    mark.set_gid(f"value:{row.state}")
    colour = _DARK.get(row.state, INK)
    _write(frame, panel, left, place, clean(row.measure, _LONGEST), color=MUTED, ha="right")
    if right < 1.0:
        weight = "bold" if row.state == "failed" else "normal"
        _write(frame, panel, right, place, _number(row), color=colour, weight=weight)


def _finish(panel: Axes, scorecard: Any, last: float) -> None:
    layout.tidy(panel)
    panel.spines["left"].set_visible(False)
    panel.set_ylim(max(last, 1.0), -0.9)
    panel.set_yticks([])
    panel.axvline(0.0, color=FAINT, linewidth=0.7, zorder=0)
    panel.set_xlabel("share, or adjusted Rand index", fontsize=BASE, color=INK)
    counts = {state: count for state, count in scorecard.counts().items() if count}
    said = ", ".join(f"{count} {state}" for state, count in counts.items())
    panel.set_title(said or "nothing was checked", loc="left", fontsize=BASE, color=INK, pad=18)
    marks: list[Artist] = [
        Line2D([], [], linestyle="", markersize=4.0, label=state, **look)
        for state, look in _LOOKS.items()
    ]
    panel.legend(
        handles=[*marks, Patch(facecolor=_RANGE, label="expected")],
        loc="lower left",
        bbox_to_anchor=(0.0, 1.0),
        bbox_transform=layout.shifted(panel, 0.0, 3.0),
        fontsize=TINY,
        frameon=False,
        ncols=4,
        handletextpad=0.3,
        columnspacing=1.0,
        borderpad=0.0,
        borderaxespad=0.0,
        labelcolor=MUTED,
    )
