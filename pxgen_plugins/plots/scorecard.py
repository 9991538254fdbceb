"""A scorecard: every measured number against the range it should lie in."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patches import Patch, Rectangle
from numpy.typing import NDArray

from pxgen_plugins.plots import _layout as layout
from pxgen_plugins.plots._protocols import Row, Scorecard, require
from pxgen_plugins.plots._text import clean
from pxgen_plugins.plots.style import BASE, FAINT, INK, MUTED, SMALL, TINY
from pxgen_plugins.utils.errors import caller

__all__ = ["plot_scorecard"]

_WIDTH, _ROW, _TOP = 8.0, 0.158, 1.1  # inches
_CASE, _MEASURE, _NOTE = 40, 30, 80  # characters, at most
# Okabe and Ito (2008); the shapes tell states apart in black and white.
_LOOKS: dict[str, dict[str, Any]] = {
    "passed": {"color": "#009E73", "marker": "o"},
    "failed": {"color": "#D55E00", "marker": "X"},
    "reported": {"color": "#767676", "marker": "D", "markerfacecolor": "white"},
}
_DARK = {"failed": "#A84A00", "reported": MUTED}
_RANGE = "#CDEADF"


@caller("plot_scorecard")
def plot_scorecard(scorecard: Scorecard, *, ax: Axes | None = None) -> NDArray[np.object_]:
    """Draw each row's value as a mark, its interval as a line, and where it should lie as a band.

    A row says what was tried, what was measured, and at the right the number and what it should be.
    What could not be checked stands there with its reason.

    Args:
        scorecard: What :func:`pxgen_plugins.evaluation.evaluate` returned, or the same from JSON.
        ax: Axes to draw in; a new figure by default.

    Returns:
        One Axes, that of the marks.
    """
    require(
        scorecard,
        "scorecard",
        ("rows", "counts"),
        "a scorecard",
        "Pass what evaluate(explainer, X) returned.",
    )
    rows = list(scorecard.rows)
    checks = list(dict.fromkeys(row.check for row in rows))
    height = _TOP + _ROW * (len(rows) + 1.7 * len(checks))
    axes = layout.axes_or_new(ax, _WIDTH, height)
    low, high = _limits(rows)
    axes.set_xlim(low, high)
    places: list[float] = []
    names: list[str] = []
    place = 0.0
    for check in checks:
        title = clean(check.replace("_", " "), _CASE)
        axes.text(low, place, title, va="center", fontsize=SMALL, weight="bold", color=INK)
        before = None
        for row in (row for row in rows if row.check == check):
            place += 1.0
            places.append(place)
            names.append(_name(row, row.case == before))
            _draw(axes, row, place, low, high)
            before = row.case
        place += 1.7
    axes.set_yticks(places, names, fontsize=TINY)
    _finish(axes, scorecard, place - 0.9)
    return layout.array_of(axes)


def _limits(rows: list[Row]) -> tuple[float, float]:
    values = [row.value for row in rows if row.value is not None]
    values += [end for row in rows if row.value is not None for end in row.interval or ()]
    low, high = min([0.0, *values]), max([1.0, *values])
    margin = 0.03 * (high - low)
    return low - margin, high + margin


def _name(row: Row, again: bool) -> str:
    """Return what stands at the left of a row; a case is named once."""
    measure = "" if row.value is None else clean(row.measure, _MEASURE)
    parts = [measure] if again else [clean(row.case, _CASE), measure]
    return ": ".join(part for part in parts if part)


def _draw(ax: Axes, row: Row, place: float, low: float, high: float) -> None:
    if row.value is None:
        note = clean(f"{row.state}: {row.note}", _NOTE)
        ax.text(low, place, note, va="center", fontsize=TINY, color=MUTED, style="italic")
        return
    ax.axhline(place, color=FAINT, linewidth=0.3, zorder=0)
    if row.low is not None or row.high is not None:
        start = low if row.low is None else row.low
        end = high if row.high is None else row.high
        # a single value that is expected must be seen too
        start, end = (start - 0.006, end + 0.006) if start == end else (start, end)
        band = Rectangle((start, place - 0.4), end - start, 0.8, color=_RANGE, zorder=1)
        band.set(linewidth=0.0, gid=f"expected:{place:g}")
        ax.add_patch(band)
    look = _LOOKS[row.state]
    if row.interval is not None:
        line = ax.hlines(place, *row.interval, color=look["color"], linewidth=1.1, zorder=2)
        line.set_gid("interval")
    (mark,) = ax.plot([row.value], [place], markersize=4.0, zorder=3, clip_on=False, **look)
    mark.set_gid(f"value:{row.state}")
    number = f"{row.value:.3f}, {row.expected}" if row.expected else f"{row.value:.3f}"
    style: dict[str, Any] = {"color": _DARK.get(row.state, INK), "fontsize": TINY, "va": "center"}
    weight = "bold" if row.state == "failed" else "normal"
    ax.text(1.01, place, number, transform=ax.get_yaxis_transform(), weight=weight, **style)


def _finish(ax: Axes, scorecard: Scorecard, last: float) -> None:
    layout.tidy(ax)
    ax.spines["left"].set_visible(False)
    ax.set_ylim(max(last, 1.0), -0.9)
    ax.tick_params(axis="y", length=0, pad=5)
    ax.axvline(0.0, color=FAINT, linewidth=0.7, zorder=0)
    ax.set_xlabel("share, or adjusted Rand index", fontsize=BASE, color=INK)
    counts = {state: count for state, count in scorecard.counts().items() if count}
    summary = ", ".join(f"{count} {state}" for state, count in counts.items())
    ax.set_title(summary or "nothing was checked", loc="left", fontsize=BASE, color=INK, pad=18)
    marks: list[Artist] = [
        Line2D([], [], linestyle="", markersize=4.0, label=state, **look)
        for state, look in _LOOKS.items()
    ]
    ax.legend(
        handles=[*marks, Patch(facecolor=_RANGE, label="expected")],
        loc="lower left",
        bbox_to_anchor=(0.0, 1.0),
        fontsize=TINY,
        frameon=False,
        ncols=4,
        handletextpad=0.3,
        columnspacing=1.0,
        borderpad=0.0,
        borderaxespad=0.5,
        labelcolor=MUTED,
    )
