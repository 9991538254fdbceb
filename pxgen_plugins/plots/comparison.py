"""One figure of a comparison: groups, views, evidence for a few anchors, prototypes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.gridspec import SubplotSpec
from numpy.typing import NDArray

from pxgen_plugins.plots import _layout as layout
from pxgen_plugins.plots._layout import AnyFigure
from pxgen_plugins.plots._names import anchor_text
from pxgen_plugins.plots._pictures import unit_range
from pxgen_plugins.plots._protocols import Comparison, Outcome
from pxgen_plugins.plots._text import break_name, clean, shorten
from pxgen_plugins.plots.scatter import plot_groups
from pxgen_plugins.plots.style import FAINT, INK, MUTED, SMALL, STYLES, TINY
from pxgen_plugins.plots.views import plot_views
from pxgen_plugins.result import Result
from pxgen_plugins.utils.errors import caller

__all__ = ["plot_comparison"]

_CELL = 1.0  # inches of a picture
_PITCH = 1.08  # from picture to picture, in pictures
_TOP = 4.2  # inches of groups and views
_SIDE = 1.7  # inches for the names at the left
_KEYS = {"attribution": ("attributions",), "latent_attribution": ("weights", "attributions")}


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
    evidence = {o.label: maps for o in outcomes if (maps := _attributions(o, n)) is not None}
    picks = comparison.pictures
    columns = max(2 + len(evidence), *(len(pictures) for pictures in picks.values()), 1)
    panels = 1 + len(views)
    heights = [_TOP, n * _PITCH * _CELL + 0.4, len(picks) * _PITCH * _CELL + 0.1]
    width = max(_SIDE + columns * _PITCH * _CELL, _TOP * panels)
    figure = layout.figure_or_new(figure, width, sum(heights) + 0.3)
    grid = figure.add_gridspec(3, 1, height_ratios=heights)
    top = grid[0].subgridspec(1, panels)
    axes = [figure.add_subplot(top[place]) for place in range(panels)]
    result = Result.of(comparison.groups)
    plot_groups(comparison.groups, ax=axes[0])
    for ax, outcome in zip(axes[1:], views, strict=True):
        plot_views(_with_groups(outcome.explanation, result), ax=ax)
        ax.set_title(clean(outcome.label), fontsize=SMALL, color=INK, pad=16)
    axes += [_page(figure, grid[1], columns, n), _page(figure, grid[2], columns, len(picks))]
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


def _page(figure: AnyFigure, place: SubplotSpec, columns: int, rows: int) -> Axes:
    """Return Axes for so many columns and rows of pictures."""
    ax = figure.add_subplot(place)
    ax.set(xlim=(0.0, columns * _PITCH), ylim=(max(rows, 0.2) * _PITCH, 0.0), xticks=[], yticks=[])
    ax.set_aspect("equal", anchor="NW")
    ax.spines[:].set_visible(False)
    ax.set_autoscale_on(False)
    return ax


def _with_groups(view: Any, result: Result) -> Any:
    """Return a view with PXGen's groups, where it carries none of its own."""
    known = view.data.get("group") is not None
    if known or len(view.data["coordinates"]) != result.n:
        return view
    return SimpleNamespace(data={**view.data, "group": result.group})


def _attributions(outcome: Outcome, n: int) -> NDArray[Any] | None:
    data = outcome.explanation.data
    keys = _KEYS.get(outcome.evidence or "", ())
    maps = next((data[key] for key in keys if data.get(key) is not None), None)
    return None if maps is None or len(maps) != n else np.asarray(maps, dtype=float)


def _draw_evidence(
    ax: Axes, comparison: Comparison, result: Result, evidence: dict[str, NDArray[Any]]
) -> None:
    for column, name in enumerate(["original", "reconstruction", *evidence]):
        lines = break_name(name, 20)
        look: dict[str, Any] = {"ha": "center", "va": "bottom", "color": MUTED}
        _write(ax, lines, (column * _PITCH + 0.5, 0.0), (0.0, 3.0), **look)
    for row, index in enumerate(comparison.indices):
        group = str(result.group[index])
        kind = "anchor" if result.labels is None else "label"
        _draw_head(ax, row, group, f"{kind} {anchor_text(result, index)}", STYLES[group].dark)
        _draw_picture(ax, comparison.anchors[row], 0, row)
        if comparison.reconstructions is not None:
            _draw_picture(ax, comparison.reconstructions[row], 1, row)
        for column, maps in enumerate(evidence.values(), start=2):
            _draw_attribution(ax, maps[row], column, row)


def _draw_picks(ax: Axes, picks: Mapping[str, NDArray[np.float32]]) -> None:
    for row, (label, pictures) in enumerate(picks.items()):
        first, _, rest = shorten(label, 60).partition(", ")
        _draw_head(ax, row, first, rest, INK)
        for column, picture in enumerate(pictures):
            _draw_picture(ax, picture, column, row)


def _draw_head(ax: Axes, row: int, first: str, second: str, colour: str) -> None:
    at = (0.0, row * _PITCH + 0.5)
    _write(ax, first, at, (-8.0, 2.0), ha="right", va="bottom", color=colour, weight="bold")
    _write(ax, second, at, (-8.0, -2.0), ha="right", va="top", color=MUTED)


def _write(
    ax: Axes, text: str, at: tuple[float, float], offset: tuple[float, float], **look: Any
) -> None:
    """Write text at a place, moved by so many points."""
    look = {"fontsize": TINY, "textcoords": "offset points", "annotation_clip": False, **look}
    ax.annotate(text, at, xytext=offset, **look)


def _draw_picture(ax: Axes, values: Any, column: int, row: int) -> None:
    """Draw an instance in its cell: an image, or bars for a row of numbers."""
    array = np.nan_to_num(np.asarray(values, dtype=float))
    if array.ndim == 1:
        _draw_bars(ax, array, column, row)
        return
    array = _channels_last(array)
    array = array.sum(axis=-1) if array.ndim == 3 and array.shape[-1] != 3 else array
    extent = _cell(column, row)
    ax.imshow(unit_range(array), cmap="gray", vmin=0, vmax=1, extent=extent, aspect="equal")


def _draw_attribution(ax: Axes, values: NDArray[Any], column: int, row: int) -> None:
    array = np.nan_to_num(values)
    if array.ndim == 1:
        _draw_bars(ax, array, column, row)
        return
    array = _channels_last(array)
    array = array.sum(axis=-1) if array.ndim == 3 else array  # attributions of channels add up
    most = float(np.abs(array).max()) or 1.0
    extent = _cell(column, row)
    ax.imshow(array, cmap="RdBu_r", vmin=-most, vmax=most, extent=extent, aspect="equal")


def _cell(column: int, row: int) -> tuple[float, float, float, float]:
    left, top = column * _PITCH, row * _PITCH
    return left, left + 1.0, top + 1.0, top


def _channels_last(array: NDArray[Any]) -> NDArray[Any]:
    if array.ndim == 3 and (array.shape[0] in (1, 3) or array.shape[-1] not in (1, 3)):
        return np.moveaxis(array, 0, -1)
    return array


def _draw_bars(ax: Axes, values: NDArray[Any], column: int, row: int) -> None:
    left, right, bottom, top = _cell(column, row)
    zero = (top + bottom) / 2.0
    step = 1.0 / len(values)
    middle = left + step * (np.arange(len(values)) + 0.5)
    height = values / (float(np.abs(values).max()) or 1.0) / 2.0
    colours = np.where(values > 0, "#b2182b", "#2166ac")
    ax.bar(middle, -height, bottom=zero, width=0.9 * step, color=colours)
    ax.plot([left, right], [zero, zero], color=FAINT, linewidth=0.5)
