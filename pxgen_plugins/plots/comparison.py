"""One figure of a comparison: groups, views, evidence for a few anchors, prototypes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import NDArray

from pxgen_plugins.plots import _layout as layout
from pxgen_plugins.plots._cells import (
    PITCH,
    attributions_of,
    draw_attribution,
    draw_head,
    draw_instance,
    page,
    write,
)
from pxgen_plugins.plots._layout import AnyFigure
from pxgen_plugins.plots._names import anchor_text
from pxgen_plugins.plots._protocols import Comparison, Outcome
from pxgen_plugins.plots._text import break_name, clean, shorten
from pxgen_plugins.plots.scatter import plot_groups
from pxgen_plugins.plots.style import INK, MUTED, SMALL, STYLES
from pxgen_plugins.plots.views import plot_views
from pxgen_plugins.result import Result
from pxgen_plugins.utils.errors import caller

__all__ = ["plot_comparison"]

_CELL = 1.0  # inches of a picture
_TOP = 4.2  # inches of groups and views
_SIDE = 1.7  # inches for the names at the left


@caller("plot_comparison")
@layout.panels_only
def plot_comparison(
    comparison: Comparison, *, figure: AnyFigure | None = None
) -> NDArray[np.object_]:
    """Draw what several methods say of the same anchors.

    On top the groups and the views; then a row for each chosen anchor: original, reconstruction,
    and every attribution (red raises the target, blue lowers it, each on its own scale; bars are
    latent dimensions); below, a row for each of PXGen's selectors in HIHE and in HILE, and of the
    prototype methods, with the anchors they picked. Methods that cannot serve the model or failed
    are named at the end; the table says why in full.

    Args:
        comparison: What :func:`pxgen_plugins.compare` returned.
        figure: An empty figure or subfigure to draw in; a new figure by default.

    Returns:
        Axes of the groups, the views, the evidence and the picks, in this order. A picture takes
        one unit in the latter two, y runs downwards.
    """
    outcomes = [o for o in comparison.outcomes if o.explanation is not None]
    views = [o for o in outcomes if o.evidence == "embedding"]
    n = len(comparison.anchors)
    evidence = {o.label: maps for o in outcomes if (maps := attributions_of(o, n)) is not None}
    picks = comparison.pictures
    columns = max(2 + len(evidence), *(len(pictures) for pictures in picks.values()), 1)
    panels = 1 + len(views)
    heights = [_TOP, n * PITCH * _CELL + 0.4, len(picks) * PITCH * _CELL + 0.1]
    width = max(_SIDE + columns * PITCH * _CELL, _TOP * panels)
    figure = layout.figure_or_new(figure, width, sum(heights) + 0.3)
    grid = figure.add_gridspec(3, 1, height_ratios=heights)
    top = grid[0].subgridspec(1, panels)
    axes = [figure.add_subplot(top[place]) for place in range(panels)]
    result = Result.of(comparison.groups)
    plot_groups(comparison.groups, ax=axes[0])
    for ax, outcome in zip(axes[1:], views, strict=True):
        plot_views(_with_groups(outcome.explanation, result), ax=ax)
        ax.set_title(clean(outcome.label), fontsize=SMALL, color=INK, pad=16)
    axes += [page(figure, grid[1], columns, n), page(figure, grid[2], columns, len(picks))]
    _draw_evidence(axes[-2], comparison, result, evidence)
    _draw_picks(axes[-1], picks)
    layout.footnote(figure, _absences(comparison.outcomes))
    return layout.array_of(*axes)


def _absences(outcomes: Sequence[Outcome]) -> list[str]:
    """Return sentences on the methods that are not in the figure."""
    failed = [f"{o.label} failed: {o.error}" for o in outcomes if o.error]
    unable = ", ".join(shorten(o.label, 48) for o in outcomes if o.reason)
    sentences = [f"{shorten(text, 160).rstrip('.')}." for text in failed]
    return (
        [*sentences, f"Not possible here (the table says why): {unable}."] if unable else sentences
    )


def _with_groups(view: Any, result: Result) -> Any:
    """Return a view with PXGen's groups, where it carries none of its own."""
    known = view.data.get("group") is not None
    if known or len(view.data["coordinates"]) != result.n:
        return view
    return SimpleNamespace(data={**view.data, "group": result.group})


def _draw_evidence(
    ax: Axes, comparison: Comparison, result: Result, evidence: dict[str, NDArray[Any]]
) -> None:
    for column, name in enumerate(["original", "reconstruction", *evidence]):
        lines = break_name(name, 20)
        look: dict[str, Any] = {"ha": "center", "va": "bottom", "color": MUTED}
        write(ax, lines, (column * PITCH + 0.5, 0.0), (0.0, 3.0), **look)
    for row, index in enumerate(comparison.indices):
        group = str(result.group[index])
        kind = "anchor" if result.labels is None else "label"
        draw_head(ax, row, group, f"{kind} {anchor_text(result, index)}", STYLES[group].dark)
        draw_instance(ax, comparison.anchors[row], 0, row)
        if comparison.reconstructions is not None:
            draw_instance(ax, comparison.reconstructions[row], 1, row)
        for column, maps in enumerate(evidence.values(), start=2):
            draw_attribution(ax, maps[row], column, row)


def _draw_picks(ax: Axes, picks: Mapping[str, NDArray[np.float32]]) -> None:
    for row, (label, pictures) in enumerate(picks.items()):
        first, _, rest = shorten(label, 60).partition(", ")
        draw_head(ax, row, first, rest, INK)
        for column, picture in enumerate(pictures):
            draw_instance(ax, picture, column, row)
