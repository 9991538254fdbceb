"""Cells of a figure of evidence: instances, attributions and the words beside a row."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.gridspec import SubplotSpec
from matplotlib.patches import Rectangle
from numpy.typing import NDArray

from pxgen_plugins.plots._layout import AnyFigure
from pxgen_plugins.plots._pictures import unit_range
from pxgen_plugins.plots._protocols import Outcome
from pxgen_plugins.plots.style import FAINT, MUTED, TINY

__all__ = [
    "PITCH",
    "attributions_of",
    "draw_attribution",
    "draw_head",
    "draw_instance",
    "page",
    "write",
]

PITCH = 1.08
"""From picture to picture, in pictures."""

_KEYS = {"attribution": ("attributions",), "latent_attribution": ("weights", "attributions")}


def page(figure: AnyFigure, place: SubplotSpec, columns: int, rows: int) -> Axes:
    """Return Axes for so many columns and rows of pictures."""
    ax = figure.add_subplot(place)
    ax.set(xlim=(0.0, columns * PITCH), ylim=(max(rows, 0.2) * PITCH, 0.0), xticks=[], yticks=[])
    ax.set_aspect("equal", anchor="NW")
    ax.spines[:].set_visible(False)
    ax.set_autoscale_on(False)
    return ax


def attributions_of(outcome: Outcome, n: int) -> NDArray[Any] | None:
    """Return what an outcome attributes to n anchors, (n, ...); None when it is no attribution."""
    data = outcome.explanation.data
    keys = _KEYS.get(outcome.evidence or "", ())
    maps = next((data[key] for key in keys if data.get(key) is not None), None)
    return None if maps is None or len(maps) != n else np.asarray(maps, dtype=float)


def draw_head(ax: Axes, row: int, first: str, second: str, colour: str) -> None:
    """Write two lines at the left of a row of pictures."""
    at = (0.0, row * PITCH + 0.5)
    write(ax, first, at, (-8.0, 2.0), ha="right", va="bottom", color=colour, weight="bold")
    write(ax, second, at, (-8.0, -2.0), ha="right", va="top", color=MUTED)


def write(
    ax: Axes, text: str, at: tuple[float, float], offset: tuple[float, float], **look: Any
) -> None:
    """Write text at a place, moved by so many points."""
    look = {"fontsize": TINY, "textcoords": "offset points", "annotation_clip": False, **look}
    ax.annotate(text, at, xytext=offset, **look)


def draw_instance(ax: Axes, values: Any, column: float, row: float) -> None:
    """Draw an instance in its cell: an image, or bars for a row of numbers.

    An image within [0, 1] is drawn as it is; another range is stretched to it.
    """
    array = np.nan_to_num(np.asarray(values, dtype=float))
    if array.ndim == 1:
        _draw_bars(ax, array, column, row)
        return
    array = _channels_last(array)
    array = array.sum(axis=-1) if array.ndim == 3 and array.shape[-1] != 3 else array
    extent = _cell(column, row)
    inside = array.size and array.min() >= 0.0 and array.max() <= 1.0
    array = array if inside else unit_range(array)
    ax.imshow(array, cmap="gray", vmin=0, vmax=1, extent=extent, aspect="equal")
    left, right, bottom, top = extent  # a frame, so that a white image is seen on white
    frame = Rectangle((left, top), right - left, bottom - top, fill=False, edgecolor=FAINT)
    frame.set_linewidth(0.4)
    ax.add_patch(frame)


def draw_attribution(ax: Axes, values: NDArray[Any], column: float, row: float) -> None:
    """Draw an attribution in its cell: red raises the target, blue lowers it, on its own scale."""
    array = np.nan_to_num(values)
    if array.ndim == 1:
        _draw_bars(ax, array, column, row)
        return
    array = _channels_last(array)
    array = array.sum(axis=-1) if array.ndim == 3 else array  # attributions of channels add up
    most = float(np.abs(array).max()) or 1.0
    extent = _cell(column, row)
    ax.imshow(array, cmap="RdBu_r", vmin=-most, vmax=most, extent=extent, aspect="equal")


def _cell(column: float, row: float) -> tuple[float, float, float, float]:
    left, top = column * PITCH, row * PITCH
    return left, left + 1.0, top + 1.0, top


def _channels_last(array: NDArray[Any]) -> NDArray[Any]:
    if array.ndim == 3 and (array.shape[0] in (1, 3) or array.shape[-1] not in (1, 3)):
        return np.moveaxis(array, 0, -1)
    return array


def _draw_bars(ax: Axes, values: NDArray[Any], column: float, row: float) -> None:
    left, right, bottom, top = _cell(column, row)
    zero = (top + bottom) / 2.0
    step = 1.0 / len(values)
    middle = left + step * (np.arange(len(values)) + 0.5)
    height = values / (float(np.abs(values).max()) or 1.0) / 2.0
    colours = np.where(values > 0, "#b2182b", "#2166ac")
    ax.bar(middle, -height, bottom=zero, width=0.9 * step, color=colours)
    ax.plot([left, right], [zero, zero], color=FAINT, linewidth=0.5)
