"""Instances in a row, each on the scale of all."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import NDArray

from pxgen_plugins.plots._text import clean
from pxgen_plugins.plots.style import FAINT, INK, MUTED, SMALL, TINY
from pxgen_plugins.utils import validation
from pxgen_plugins.utils.errors import ParameterError, short_repr

__all__ = ["choose_rows", "draw_strip", "label_strip", "picture_of"]

_GAP = 0.06  # of a picture


def choose_rows(which: Any, n: int, most: int) -> list[int]:
    """Return the rows of a figure: those of ``which``, or for None the first ``most`` of n.

    Raises:
        ParameterError: When there is no such row.
    """
    if which is None:
        return list(range(min(most, n)))
    rows = [validation.integer(i, "which", minimum=0) for i in np.atleast_1d(which).tolist()]
    if not rows or max(rows) >= n:
        hint = f"Choose out of 0 to {n - 1}."
        raise ParameterError("which", f"below {n}", short_repr(which), hint)
    return rows


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


def label_strip(ax: Axes, label: Any) -> None:
    """Write the name of a strip at its left."""
    ax.set_ylabel(clean(label, 22), fontsize=SMALL, color=INK, rotation=0, ha="right")
    ax.yaxis.set_label_coords(-0.02, 0.4)
