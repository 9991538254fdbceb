"""Instances in a row, each on the scale of all."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import NDArray

from pxgen_plugins.plots.style import FAINT, INK, MUTED, TINY

__all__ = ["draw_strip", "picture_of"]

_GAP = 0.06  # of a picture


def picture_of(values: NDArray[np.float64]) -> NDArray[np.float64] | None:
    """Return an instance as a picture, (h, w) or (h, w, 3); None where it is none."""
    if values.ndim == 3 and values.shape[0] in (1, 3):
        values = np.moveaxis(values, 0, -1)
    if values.ndim == 3 and values.shape[-1] == 1:
        values = values[..., 0]
    return values if values.ndim == 2 or (values.ndim == 3 and values.shape[-1] == 3) else None


def draw_strip(
    ax: Axes, instances: NDArray[np.float64], heads: Sequence[str] | None = None
) -> None:
    """Draw s instances beside each other: pictures, or curves for anything flat.

    Args:
        ax: Where to draw.
        instances: (s, *sample_shape).
        heads: A few letters above each.
    """
    low, high = float(np.nanmin(instances)), float(np.nanmax(instances))
    span = (high - low) or 1.0
    first = picture_of(instances[0])
    aspect = 1.0 if first is None else first.shape[0] / first.shape[1]
    for at, values in enumerate(instances):
        left = at * (1.0 + _GAP)
        picture = picture_of(values)
        if picture is None:
            flat = (values.ravel() - low) / span
            ax.plot(left + np.linspace(0, 1, len(flat)), aspect * (1 - flat), color=INK, lw=0.7)
        else:
            shown = (picture - low) / span
            box = (left, left + 1.0, aspect, 0.0)
            ax.imshow(shown, cmap="gray", vmin=0.0, vmax=1.0, extent=box, aspect="equal")
        if heads is not None:
            ax.text(left + 0.5, -0.06, heads[at], fontsize=TINY, color=MUTED, ha="center")
    ax.set(xlim=(0.0, len(instances) * (1.0 + _GAP) - _GAP), ylim=(aspect, 0.0))
    ax.set(xticks=[], yticks=[])
    ax.set_aspect("equal", anchor="E")
    ax.spines[:].set_color(FAINT)
    ax.spines[:].set_visible(False)
