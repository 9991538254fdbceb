"""A scorecard: every measured number against the range it should lie in."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from numpy.typing import NDArray

from pxgen_plugins.plots.layout import array_of, canvas, tidy
from pxgen_plugins.plots.style import BASE, FAINT, INK, MUTED, SMALL, TINY
from pxgen_plugins.plots.text import clean

__all__ = ["plot_scorecard"]

_ROW = 0.2  # inches
# Okabe and Ito (2008); the shapes tell states apart in black and white
_LOOKS = {"passed": ("#009E73", "o"), "failed": ("#D55E00", "X"), "reported": ("#767676", "D")}
_RANGE = "#BFE5D8"


def plot_scorecard(scorecard: Any, *, ax: Axes | None = None) -> NDArray[np.object_]:
    """Draw each row's value as a mark, and the range it should lie in as a bar behind it.

    Args:
        scorecard: What :func:`pxgen_plugins.evaluation.evaluate` returned; rows without a value
            are left out and counted below.
        ax: Axes to draw in; a new figure by default.

    Returns:
        One Axes.
    """
    rows = [row for row in scorecard.rows if row.value is not None]
    gaps = len({row.check for row in rows})
    base = canvas(ax, 8.0, 1.2 + _ROW * (len(rows) + 1.4 * gaps), "plot_scorecard")
    values = [row.value for row in rows]
    low, high = min([0.0, *values]), max([1.0, *values])
    place, before, ticks, names = 0.0, None, [], []
    for row in rows:
        if row.check != before:
            place, before = place + 1.4, row.check
            base.text(
                0.0, place, clean(row.check.replace("_", " ")), fontsize=SMALL, color=INK,
                weight="bold", va="center", transform=base.get_yaxis_transform(),
            )  # fmt: skip
            place += 1.0
        _draw(base, row, place, low, high)
        ticks.append(place)
        names.append(clean(f"{row.case}: {row.measure}", 80))
        place += 1.0
    base.set_yticks(ticks, names, fontsize=TINY, color=INK)
    base.set_ylim(place + 0.4, 0.6)
    margin = 0.03 * (high - low)
    base.set_xlim(low - margin, high + margin)
    tidy(base)
    base.tick_params(axis="y", length=0)
    base.set_xlabel("share, or adjusted Rand index", fontsize=BASE, color=INK)
    counts = scorecard.counts()
    shown = ", ".join(f"{number} {state}" for state, number in counts.items() if number)
    base.set_title(shown or "nothing was checked", loc="left", fontsize=BASE, color=INK)
    marks = [
        Line2D([], [], color=colour, marker=marker, linestyle="", label=state)
        for state, (colour, marker) in _LOOKS.items()
    ]
    marks.append(Line2D([], [], color=_RANGE, linewidth=6, label="expected"))
    base.legend(
        handles=marks, fontsize=TINY, frameon=False, ncols=4, loc="lower right",
        bbox_to_anchor=(1.0, 1.0), labelcolor=MUTED,
    )  # fmt: skip
    return array_of(base)


def _draw(base: Axes, row: Any, place: float, low: float, high: float) -> None:
    base.axhline(place, color=FAINT, linewidth=0.4, zorder=0)
    if row.low is not None or row.high is not None:
        ends = (low if row.low is None else row.low, high if row.high is None else row.high)
        base.plot(ends, [place] * 2, color=_RANGE, linewidth=6, solid_capstyle="butt", zorder=1)
    colour, marker = _LOOKS[row.state]
    base.plot([row.value], [place], marker=marker, color=colour, markersize=5, zorder=3)
