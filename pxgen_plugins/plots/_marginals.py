"""Histograms along the edges of the scatter."""

from __future__ import annotations

from typing import Literal

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, MaxNLocator
from numpy.typing import NDArray

from pxgen_plugins.groups import GROUPS
from pxgen_plugins.plots._layout import inches, text_width, tidy
from pxgen_plugins.plots._scales import Scale
from pxgen_plugins.plots.style import FAINT, INK, MUTED, STYLES, TINY

__all__ = ["draw_marginals", "histogram"]

BINS = 48

Floats = NDArray[np.float64]


def histogram(values: Floats, scale: Scale, edges: Floats) -> NDArray[np.int64]:
    """Count values between edges; a value on an edge belongs to the bin above it.

    So the values strictly below a threshold that is an edge are exactly those of the bins below.
    Values that a logarithmic axis cannot show are counted in the first bin.
    """
    place = np.searchsorted(edges, scale.clip(values), side="right") - 1
    bins = len(edges) - 1
    return np.bincount(place[(place >= 0) & (place < bins)], minlength=bins)


def draw_marginals(
    axes: tuple[Axes, Axes],
    points: Floats,
    group: NDArray[np.str_],
    scales: tuple[Scale, Scale],
    marks: Floats,
    reference: Floats | None,
) -> None:
    """Draw both histograms: anchors stacked by group, the samples of the model as an outline.

    Args:
        axes: The upper and the right panel.
        points: Values of the anchors, shape (n, 2).
        group: Their groups, shape (n,).
        scales: Scales of the two criteria.
        marks: Thresholds of the two criteria, edges of bins where they are finite.
        reference: Values of the model's samples, shape (s, 2), or None; only their shape is drawn,
            at the height of the anchors, as their number says nothing here.
    """
    for axis, panel in enumerate(axes):
        orientation: Literal["vertical", "horizontal"] = "horizontal" if axis else "vertical"
        edges = scales[axis].edges(BINS, float(marks[axis]))
        base = np.zeros(len(edges) - 1)
        for name in GROUPS:
            counts = histogram(points[group == name, axis], scales[axis], edges)
            steps = panel.stairs(
                base + counts,
                edges,
                baseline=base,
                fill=True,
                orientation=orientation,
                color=STYLES[name].colour,
                linewidth=0,
            )
            steps.set_gid(f"margin:{name}")
            base = base + counts
        most = float(base.max())
        if reference is not None:
            scores = histogram(reference[:, axis], scales[axis], edges).astype(np.float64)
            scores *= (most or 1.0) / max(float(scores.max()), 1.0)
            panel.stairs(
                scores, edges, orientation=orientation, color=INK, linewidth=0.7, linestyle="--"
            ).set_gid("margin:samples")
        _finish(panel, axis == 0, max(most, 1.0))


def _finish(panel: Axes, upright: bool, most: float) -> None:
    tidy(panel)
    for side in panel.spines:
        panel.spines[side].set_visible(side == ("bottom" if upright else "left"))
    counted = panel.yaxis if upright else panel.xaxis
    (panel.set_ylim if upright else panel.set_xlim)(0.0, 1.05 * most)
    counted.set_major_locator(MaxNLocator(2, integer=True, prune="lower"))
    counted.set_major_formatter(FuncFormatter(_short))
    if upright:
        panel.tick_params(axis="x", which="both", labelbottom=False, length=0)
        if inches(panel)[1] > text_width("anchors"):
            panel.set_ylabel("anchors", fontsize=TINY, color=MUTED, labelpad=2)
    else:
        panel.tick_params(axis="y", which="both", labelleft=False, length=0)
        panel.tick_params(axis="x", labelrotation=90)
        panel.set_xlabel("anchors", fontsize=TINY, color=MUTED, labelpad=2)
    counted.set_tick_params(colors=MUTED, color=FAINT, labelsize=TINY - 0.5)


def _short(value: float, _position: int | None = None) -> str:
    for size, letter in ((1e6, "M"), (1e3, "k")):
        if abs(value) >= size:
            return f"{value / size:g}{letter}"
    return f"{value:g}"
