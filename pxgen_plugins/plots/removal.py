"""How far a model moves when training samples are removed, by ranking and amount."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from numpy.typing import NDArray

from pxgen_plugins.plots import _layout as layout
from pxgen_plugins.plots._layout import AnyFigure
from pxgen_plugins.plots._protocols import Removal
from pxgen_plugins.plots._text import clean
from pxgen_plugins.plots.style import BASE, BLOCK, INK, MUTED, SMALL, TINY
from pxgen_plugins.utils.errors import caller
from pxgen_plugins.utils.sequences import even_positions

__all__ = ["plot_removal"]

_WIDTH, _HEIGHT = 3.6, 2.9  # of one panel
_TICKS = 6  # amounts named on the x axis, at most
# Okabe and Ito (2008); grey is the floor's. Markers tell them apart in black and white.
_LOOKS = (
    ("#D55E00", "^"),
    ("#004F80", "o"),
    ("#009E73", "s"),
    ("#CC79A7", "D"),
    ("#56B4E9", "v"),
    ("#E69F00", "P"),
    ("#1A1A1A", "X"),
)
_TITLES = {
    "epochs": "Equal epochs: less data, fewer steps",
    "steps": "Equal steps: less data, as many steps",
}


@caller("plot_removal")
@layout.panels_only
def plot_removal(
    result: Removal, distance: str | None = None, *, figure: AnyFigure | None = None
) -> NDArray[np.object_]:
    """Draw the distance to the original by the number of samples removed, a line per ranking.

    Lines are means over seeds, bands their 95% t intervals. The grey band is the floor: the 95% t
    interval of the distance between models of all samples that differ by seed alone. The dotted
    line is the distance of the original to itself, other samples drawn.

    Args:
        result: What ``RemovalExperiment.run`` returned, or ``RemovalResult.from_json`` read.
        distance: One of ``result.distances``; the first by default.
        figure: An empty figure or subfigure to draw in; a new figure by default.

    Returns:
        One Axes per schedule, in the order of ``result.schedules``; they share the y axis.

    Raises:
        ParameterError: ``distance`` is unknown.

    Example:
        >>> from pxgen_plugins.evaluation import RemovalResult
        >>> from pxgen_plugins.plots import plot_removal
        >>> plan = {
        ...     "rankings": [["largest", ""]], "amounts": {"epochs": [10]}, "whole": 10,
        ...     "seeds": [1], "measures": ["Frechet distance (pixels)"],
        ... }
        >>> point = {"schedule": "both", "ranking": "none", "amount": 0, "seed": 1}
        >>> points = [
        ...     {**point, "distances": {"Frechet distance (pixels)": 0.1}},
        ...     {**point, "schedule": "epochs", "ranking": "largest", "amount": 10,
        ...      "distances": {"Frechet distance (pixels)": 0.4}},
        ... ]
        >>> result = RemovalResult(plan, {"Frechet distance (pixels)": [0.01]}, points)
        >>> [ax.get_ylabel() for ax in plot_removal(result)]
        ['Frechet distance (pixels) to the original']
    """
    name = result.distances[0] if distance is None else distance
    floor = result.floor(name)
    schedules = list(result.schedules)
    figure = layout.figure_or_new(figure, _WIDTH * len(schedules), _HEIGHT + 0.9)
    panels = list(figure.subplots(1, len(schedules), sharey=True, squeeze=False)[0])
    for panel, schedule in zip(panels, schedules, strict=True):
        curves = [result.curve(ranking, schedule, name) for ranking in result.rankings]
        _draw_floor(panel, floor)
        for place, curve in enumerate(curves):
            _draw_curve(panel, curve, place)
        layout.tidy(panel)
        _label_amounts(panel, curves[0])
        panel.set_title(_TITLES[schedule], loc="left", fontsize=SMALL, color=INK)
    panels[0].set_ylabel(f"{clean(name, 60)} to the original", fontsize=BASE, color=INK)
    _draw_key(figure, result.rankings, floor)
    n = floor["seed_to_seed"].n
    seeds = f"Lines: means over {n} seeds; bands: 95 % t intervals." if n > 1 else "One seed."
    layout.footnote(figure, [seeds])
    return layout.array_of(*panels)


def _draw_floor(ax: Axes, floor: Any) -> None:
    seeds = floor["seed_to_seed"]
    if seeds.low is not None:
        ax.axhspan(seeds.low, seeds.high, color=BLOCK, zorder=0, linewidth=0).set_gid("floor")
    ax.axhline(seeds.mean, color=MUTED, linewidth=0.8, zorder=1).set_gid("floor mean")
    same = ax.axhline(floor["same_model"].mean, color=MUTED, linewidth=0.8, zorder=1)
    same.set(linestyle=":", gid="same model")


def _draw_curve(ax: Axes, curve: Any, place: int) -> None:
    colour, marker = _LOOKS[place % len(_LOOKS)]
    x = 100 * curve.fraction
    band = curve.band
    look: dict[str, Any] = {"color": colour, "gid": f"band:{place}", "linewidth": 0}
    if np.isfinite(band).all():  # one seed has no interval
        ax.fill_between(x, band[:, 0], band[:, 1], alpha=0.14, zorder=2, **look)
    look = {"color": colour, "gid": f"curve:{place}", "linewidth": 1.1}
    ax.plot(x, curve.mean, marker=marker, markersize=3.2, zorder=3, **look)


def _label_amounts(ax: Axes, curve: Any) -> None:
    some = even_positions(len(curve.amount), _TICKS)
    labels = [f"{100 * curve.fraction[i]:.0f} %\n{curve.amount[i]:,}" for i in some]
    ax.set_xticks(100 * curve.fraction[some], labels)
    ax.set_xlabel("training samples removed", fontsize=BASE, color=INK)


def _draw_key(figure: AnyFigure, rankings: Any, floor: Any) -> None:
    handles: list[Artist] = []
    for place, ranking in enumerate(rankings):
        colour, marker = _LOOKS[place % len(_LOOKS)]
        look: dict[str, Any] = {"color": colour, "marker": marker, "markersize": 3.2}
        handles.append(Line2D([], [], linewidth=1.1, label=clean(ranking, 60), **look))
    if floor["seed_to_seed"].low is not None:
        handles.append(Patch(facecolor=BLOCK, label="nothing removed, another seed"))
    same = "the original, other samples of it"
    handles.append(Line2D([], [], color=MUTED, linewidth=0.8, linestyle=":", label=same))
    look = {"frameon": False, "fontsize": TINY, "handlelength": 1.8, "columnspacing": 1.4}
    figure.legend(handles=handles, loc="outside upper left", ncols=2, **look)
