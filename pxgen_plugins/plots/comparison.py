"""One figure of a comparison: groups, views, evidence for a few anchors, prototypes."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import NDArray

from pxgen_plugins.plots._layout import array_of, canvas, sheet, write
from pxgen_plugins.plots._style import FAINT, GROUPS, INK, MUTED, TINY
from pxgen_plugins.plots._text import clean, wrap
from pxgen_plugins.plots.scatter import plot_groups
from pxgen_plugins.plots.views import plot_views

__all__ = ["plot_comparison"]

_CELL = 1.0  # inches of a picture
_GAP = 0.08
_SIDE = 1.7  # inches for the names at the left
_KEYS = {"attribution": ("attributions",), "latent_attribution": ("weights", "attributions")}


def plot_comparison(comparison: Any, *, ax: Axes | None = None) -> NDArray[np.object_]:
    """Draw what several methods say of the same anchors.

    On top the groups and the views; then a row for each chosen anchor: original, reconstruction,
    and every attribution (red raises the target, blue lowers it, each on its own scale; bars are
    latent dimensions); below, strips of the anchors that PXGen's selectors and the prototype
    methods picked. Methods that failed are named at the end.

    Args:
        comparison: What :func:`pxgen_plugins.compare` returned.
        ax: Axes to draw in; None makes a figure.

    Returns:
        Axes of the groups, the views, the evidence and the strips, in this order.
    """
    done = [o for o in comparison.outcomes if o.explanation is not None]
    views = [o for o in done if o.evidence == "embedding"]
    local = [o for o in done if _pictures(o, len(comparison.anchors)) is not None]
    strips = comparison.pictures
    columns = max(2 + len(local), max((len(s) for s in strips.values()), default=0))
    width = max(_SIDE + columns * (_CELL + _GAP), 4.2 * (1 + len(views)))
    heights = [
        4.2,
        0.6 + len(comparison.anchors) * (_CELL + _GAP),
        0.3 + len(strips) * (_CELL + 0.25),
    ]
    total = sum(heights) + 0.3
    base = canvas(ax, width, total, "plot_comparison")
    base.set_axis_off()
    top = 1.0
    axes = []
    part = heights[0] / total
    panels = 1 + len(views)
    for place in range(panels):
        box = (place / panels + 0.06, top - part + 0.06, 1 / panels - 0.09, part - 0.09)
        panel = base.inset_axes(box)
        if place == 0:
            plot_groups(comparison.groups, ax=panel, marginals=False)
        else:
            outcome = views[place - 1]
            plot_views(_coloured(outcome.explanation, comparison.groups), ax=panel)
            panel.set_title(clean(outcome.label), fontsize=TINY + 1, color=INK, pad=16)
        axes.append(panel)
    top -= part
    for height, draw in ((heights[1], _evidence), (heights[2], _strips)):
        part = height / total
        inner = base.inset_axes((0.0, top - part, 1.0, part))
        page = sheet(inner, width, height, "plot_comparison")
        draw(page, comparison, local)
        axes.append(page)
        top -= part
    failed = [f"{o.label}: {o.error}" for o in comparison.outcomes if o.error]
    if failed:
        note = wrap([clean(f"Failed: {text}", 160) for text in failed], int(width * 14))
        base.text(0.0, 0.0, note, fontsize=TINY, color=MUTED, va="bottom")
    return array_of(*axes)


def _coloured(view: Any, groups: Any) -> Any:
    """Return a view with PXGen's groups, where it carries none of its own."""
    known = view.data.get("group") is not None
    if known or len(view.data["coordinates"]) != len(groups.group):
        return view
    return SimpleNamespace(data={**view.data, "group": groups.group})


def _evidence(page: Axes, comparison: Any, local: list[Any]) -> None:
    groups = np.asarray(comparison.groups.group)[comparison.indices]
    found = [_pictures(outcome, len(comparison.anchors)) for outcome in local]
    attributed = [pictures for pictures in found if pictures is not None]
    labels = comparison.groups.labels
    names = ["original", "reconstruction", *(clean(outcome.label) for outcome in local)]
    for column, name in enumerate(names):
        write(page, _left(column) + _CELL / 2, 0.35, name, color=MUTED)
    for row, index in enumerate(comparison.indices):
        top = 0.5 + row * (_CELL + _GAP)
        look = GROUPS[str(groups[row])]
        title: dict[str, Any] = {"ha": "left", "color": look.dark, "weight": "bold"}
        write(page, 0.1, top + 0.35, str(groups[row]), TINY + 1, **title)
        said = f"anchor {index}" if labels is None else f"label {clean(str(labels[index]))}"
        write(page, 0.1, top + 0.6, said, ha="left", color=MUTED)
        _picture(page, comparison.anchors[row], 0, top, grey=True)
        if comparison.reconstructions is not None:
            _picture(page, comparison.reconstructions[row], 1, top, grey=True)
        for column, pictures in enumerate(attributed, start=2):
            _picture(page, pictures[row], column, top)


def _strips(page: Axes, comparison: Any, local: list[Any]) -> None:
    for row, (label, pictures) in enumerate(comparison.pictures.items()):
        top = 0.2 + row * (_CELL + 0.25)
        first, _, rest = clean(label, 48).partition(", ")
        write(page, 0.1, top + 0.4, first, TINY + 1, ha="left", weight="bold")
        write(page, 0.1, top + 0.62, rest, ha="left", color=MUTED)
        for column, picture in enumerate(pictures):
            _picture(page, picture, column, top, grey=True)


def _left(column: int) -> float:
    return _SIDE + column * (_CELL + _GAP)


def _pictures(outcome: Any, n: int) -> Any | None:
    data = outcome.explanation.data
    keys = _KEYS.get(outcome.evidence or "", ())
    found = next((data[key] for key in keys if data.get(key) is not None), None)
    return None if found is None or len(found) != n else np.asarray(found, dtype=float)


def _picture(page: Axes, values: Any, column: int, top: float, *, grey: bool = False) -> None:
    """Draw one picture in its cell: an image, or bars for a row of numbers."""
    left = _left(column)
    array = np.nan_to_num(np.asarray(values, dtype=float))
    if array.ndim == 1:
        _bars(page, array, left, top)
        return
    if array.ndim == 3 and array.shape[0] in (1, 3):
        array = np.moveaxis(array, 0, -1)
    if array.ndim == 3 and array.shape[-1] not in (1, 3):
        array = np.moveaxis(array, 0, -1)
    if array.ndim == 3 and (array.shape[-1] != 3 or not grey):
        array = array.sum(axis=-1)  # attributions of the channels add up
    extent = (left, left + _CELL, top + _CELL, top)
    if grey:
        low, high = float(array.min()), float(array.max())
        shown = (array - low) / (high - low) if high > low else array * 0.0
        page.imshow(shown, cmap="gray", vmin=0, vmax=1, extent=extent, aspect="equal")
    else:
        most = float(np.abs(array).max()) or 1.0
        page.imshow(array, cmap="RdBu_r", vmin=-most, vmax=most, extent=extent, aspect="equal")


def _bars(page: Axes, values: NDArray[Any], left: float, top: float) -> None:
    most = float(np.abs(values).max()) or 1.0
    step = _CELL / len(values)
    middle = left + step * (np.arange(len(values)) + 0.5)
    height = values / most * _CELL / 2
    colours = np.where(values > 0, "#b2182b", "#2166ac")
    page.bar(middle, -height, bottom=top + _CELL / 2, width=0.9 * step, color=colours)
    page.plot([left, left + _CELL], [top + _CELL / 2] * 2, color=FAINT, linewidth=0.5)
