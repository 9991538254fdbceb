"""Where the thresholds come from: the scores of the model's own samples, beside the anchors."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from numpy.typing import NDArray

from pxgen_plugins.plots import _layout as layout
from pxgen_plugins.plots._growth import draw_growth, grows
from pxgen_plugins.plots._layout import AnyFigure
from pxgen_plugins.plots._marginals import histogram
from pxgen_plugins.plots._names import criterion_title, invalid_note
from pxgen_plugins.plots._scales import SCALES, Scale, choose
from pxgen_plugins.plots._threshold_lines import draw_threshold, threshold_notes
from pxgen_plugins.plots._ticks import set_ticks
from pxgen_plugins.plots.style import BASE, INK, MUTED, SMALL, TINY
from pxgen_plugins.result import Result
from pxgen_plugins.utils.errors import caller
from pxgen_plugins.utils.text import number, percent
from pxgen_plugins.utils.validation import choice

__all__ = ["plot_calibration"]

_BINS = 60
_WIDTH, _HEIGHT = 3.5, 2.3  # of one panel
_ANCHORS = "#A6BDD0"

Floats = NDArray[np.float64]


@caller("plot_calibration")
@layout.panels_only
def plot_calibration(
    explanation: Any, *, scale: str = "auto", figure: AnyFigure | None = None
) -> NDArray[np.object_]:
    """Draw, for each criterion, the scores of the model's own samples, the anchors, the threshold.

    Both histograms are shares per bin, so that numbers of samples and anchors need not agree. The
    short strokes above the axis are the thresholds of the single repeats; the line is the threshold
    that was used, with a band: the 95% interval of the expected threshold, by the repeats.

    Under MeanMax a second panel for each criterion shows how the threshold grows with the number of
    samples: the expected maximum of k of the samples that were kept, whatever repeat they are from
    (see :func:`~pxgen_plugins.thresholds.expected_maxima.expected_maxima`; near its right end the
    curve rests on few samples), and beside it, as points, the maxima of the single repeats.

    Args:
        explanation: What ``PXGen.explain`` returned, or the same read from JSON.
        scale: ``"auto"``, ``"linear"`` or ``"log"``, as for ``plot_groups``.
        figure: An empty figure or subfigure to draw in; a new figure by default.

    Returns:
        One Axes per criterion, in the order of the criteria; then, under MeanMax, as many with the
        growth.

    Raises:
        ParameterError: ``scale`` is unknown.

    Cost: O(m (n + s)) time for m criteria, n anchors and s samples.

    Example:
        >>> from types import SimpleNamespace
        >>> from pxgen_plugins.plots import plot_calibration
        >>> data = {
        ...     "criteria": ["kld", "mse"],
        ...     "kinds": ["intrinsic", "extrinsic"],
        ...     "values": [[1.0, 0.1], [2.0, 0.3]],
        ...     "thresholds": {"kld": 3.0, "mse": 0.2},
        ...     "group": ["HIHE", "HILE"],
        ...     "groups": {"HIHE": {"count": 1, "fraction": 0.5}},
        ... }  # the least that an explanation of PXGen holds
        >>> explanation = SimpleNamespace(data=data)
        >>> axes = plot_calibration(explanation)
        >>> [ax.get_title(loc="left") for ax in axes]
        ['100 % of anchors below 3', '50.0 % of anchors below 0.2']
    """
    choice(scale, "scale", SCALES)
    result = Result.of(explanation)
    m = len(result.criteria)
    columns = min(m, 2)
    rows = math.ceil(m / columns)
    growing = grows(result)
    lines = 2 * rows if growing else rows
    figure = layout.figure_or_new(figure, _WIDTH * columns, _HEIGHT * lines + 0.3)
    grid = figure.add_gridspec(lines, columns)
    panels = [figure.add_subplot(grid[divmod(at, columns)]) for at in range(m)]
    growth = [
        figure.add_subplot(grid[rows + at // columns, at % columns])
        for at in range(m if growing else 0)
    ]
    source, none = result.calibration, np.empty((0, m))
    repeats = none if source is None else source.repeats
    reference = none if source is None or source.reference is None else source.reference
    for column, panel in enumerate(panels):
        _draw_panel(panel, result, column, reference[:, column], repeats[:, column], scale)
    for column, panel in enumerate(growth):
        draw_growth(panel, result, column)
    named = source.values_of if source is not None and len(reference) else None
    _draw_key(figure, not result.is_invalid.all(), named, len(repeats) > 0)
    notes = [*threshold_notes(result, list(range(m))), invalid_note(result)]
    if not len(reference):
        notes.append("The scores that the thresholds come from were not kept.")
    layout.footnote(figure, notes)
    return layout.array_of(*panels, *growth)


def _draw_key(figure: AnyFigure, anchors: bool, reference: str | None, repeats: bool) -> None:
    handles: list[Artist] = []
    if anchors:
        handles.append(Patch(facecolor=_ANCHORS, label="anchors"))
    if reference is not None:
        handles.append(Line2D([], [], color=INK, linewidth=0.9, label=reference))
    if repeats:
        mark = Line2D([], [], color=INK, marker="|", markersize=5, linestyle="", label="repeats")
        handles.append(mark)
    if handles:
        look: dict[str, Any] = {"frameon": False, "fontsize": TINY, "handlelength": 1.4}
        figure.legend(handles=handles, loc="outside upper left", ncols=len(handles), **look)


def _draw_panel(
    ax: Axes, result: Result, column: int, reference: Floats, repeats: Floats, scale: str
) -> None:
    anchors = result.values[~result.is_invalid, column]
    anchors, reference, repeats = (v[np.isfinite(v)] for v in (anchors, reference, repeats))
    marks = np.append(result.thresholds[column], repeats)
    spread = choose(np.concatenate([anchors, reference]), marks, scale).pad(0.02, 0.02)
    ax.set(xscale=spread.name, xlim=(spread.low, spread.high))
    threshold = float(result.thresholds[column])
    edges = spread.edges(_BINS, threshold)
    most = max(
        _draw_histogram(ax, anchors, edges, spread, "anchors"),
        _draw_histogram(ax, reference, edges, spread, "model's samples"),
    )
    ax.set_ylim(-0.07 * most, 1.08 * most)
    draw_threshold(ax, result, column, "x", spread)
    if len(repeats):
        rug = ax.vlines(repeats, -0.06 * most, -0.01 * most, color=INK, linewidth=0.6)
        rug.set_gid("repeats")
    _finish(ax, result, column, anchors, threshold, column % 2 == 0)
    set_ticks(ax.xaxis, spread, anchors)


def _draw_histogram(ax: Axes, values: Floats, edges: Floats, scale: Scale, name: str) -> float:
    """Draw the shares per bin and return the largest; nothing is drawn for no values."""
    if not len(values):
        return 0.0 if name == "anchors" else 1e-9
    shares = 100.0 * histogram(values, scale, edges) / len(values)
    filled = name == "anchors"
    steps = ax.stairs(
        shares,
        edges,
        fill=filled,
        color=_ANCHORS if filled else INK,
        linewidth=0.0 if filled else 0.9,
        zorder=2 if filled else 3,
    )
    steps.set_gid(f"histogram:{name}")
    return float(shares.max())


def _finish(
    ax: Axes, result: Result, column: int, anchors: Floats, threshold: float, first: bool
) -> None:
    layout.tidy(ax)
    width = layout.inches(ax)[0]
    text = layout.axis_text(result.kinds[column], criterion_title(result, column), width)
    ax.set_xlabel(text, fontsize=BASE)
    if first:
        ax.set_ylabel("share per bin (%)", fontsize=SMALL, color=MUTED)
    if math.isfinite(threshold) and len(anchors):
        share = percent(float(np.mean(anchors < threshold)))
        words = (f"{share} of anchors below {number(threshold, 3)}", f"{share} below", share)
        short = next((t for t in words if layout.text_width(t, SMALL) <= width), share)
        title = ax.set_title(short, fontsize=SMALL, color=INK, loc="left", pad=3)
        title.set_gid("below")
