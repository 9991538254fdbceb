"""A study: the shares of the four groups, setting by setting."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import NDArray

from pxgen_plugins.plots._layout import array_of, axes_or_new, tidy
from pxgen_plugins.plots._protocols import Study, require
from pxgen_plugins.plots._text import clean, wrap
from pxgen_plugins.plots.style import BASE, FAINT, INK, SMALL, STYLES, TINY
from pxgen_plugins.utils.errors import caller

__all__ = ["plot_study"]

_ROW = 0.42  # inches
_OFFSET = 0.18
_INTERVALS = {
    "thresholds": "95% interval for other anchors and another calibration",
    "anchors": "middle 95% of the draws; for compositions the 95% Wilson interval",
}


@caller("plot_study")
def plot_study(study: Study, *, ax: Axes | None = None) -> NDArray[np.object_]:
    """Draw each group's share with its 95% interval, which is named, a row for each setting.

    Args:
        study: What :func:`~pxgen_plugins.evaluation.threshold_study` or
            :func:`~pxgen_plugins.evaluation.anchor_study` returned.
        ax: Axes to draw in; a new figure by default.

    Returns:
        One Axes.
    """
    require(
        study,
        "study",
        ("rows", "name"),
        "a study",
        "Pass what threshold_study or anchor_study returned.",
    )
    rows = study.rows
    axes = axes_or_new(ax, 7.5, 1.1 + _ROW * len(rows))
    for place, row in enumerate(rows):
        axes.axhline(place + 0.5, color=FAINT, linewidth=0.4, zorder=0)
        for k, (name, look) in enumerate(STYLES.items()):
            if name not in row["fractions"]:
                continue
            y = place + (k - 1.5) * _OFFSET
            interval = row["intervals"][name]
            if interval is not None:
                axes.plot(interval, [y, y], color=look.dark, linewidth=1.4, zorder=2)
            label = f"{name}, {look.words}" if place == 0 else None
            axes.plot(
                [row["fractions"][name]], [y], marker=look.marker, color=look.colour,
                markeredgecolor=look.dark, markersize=5, linestyle="", label=label, zorder=3,
            )  # fmt: skip
    names = [wrap([clean(str(row["case"]), 120)], 40) for row in rows]
    axes.set_yticks(range(len(rows)), names, fontsize=TINY, color=INK)
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.set_xlim(-0.02, 1.02)
    tidy(axes)
    axes.tick_params(axis="y", length=0)
    named = _INTERVALS.get(study.name, "95% interval")
    axes.set_xlabel(f"share of the anchors\nlines: {named}", fontsize=BASE, color=INK)
    if rows:
        axes.legend(
            fontsize=SMALL, frameon=False, ncols=2, loc="lower left", bbox_to_anchor=(0.0, 1.0)
        )
    return array_of(axes)
