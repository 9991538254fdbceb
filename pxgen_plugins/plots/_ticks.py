"""Ticks that stay readable on short logarithmic axes and below zero."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from matplotlib.axis import Axis
from matplotlib.ticker import AutoLocator, FuncFormatter, LogLocator, NullFormatter
from numpy.typing import NDArray

from pxgen_plugins.plots._scales import Scale

__all__ = ["FromZero", "set_ticks"]


class FromZero(AutoLocator):
    """Ticks from 0 upwards, for values that are never below 0 on an axis that starts below it."""

    def tick_values(self, vmin: float, vmax: float) -> Any:
        """Return the ticks between the limits that are not negative."""
        return super().tick_values(max(vmin, 0.0), vmax)


def set_ticks(axis: Axis, scale: Scale, values: NDArray[np.float64]) -> None:
    """Set the ticks of an axis that shows ``values``.

    A logarithmic axis of less than two decades gets plain numbers at 1, 2 and 5 (of less than half
    a decade, at round numbers), as powers of ten alone would leave it without labels. A linear axis
    of values that are never negative gets no ticks below 0.
    """
    if scale.name == "log":
        decades = math.log10(scale.high / scale.low)
        if decades < 2.0:
            axis.set_major_locator(AutoLocator() if decades < 0.5 else LogLocator(subs=(1, 2, 5)))
            axis.set_major_formatter(FuncFormatter(_plain))
        axis.set_minor_formatter(NullFormatter())
    elif np.all(values >= 0):
        axis.set_major_locator(FromZero())


def _plain(value: float, _position: int | None = None) -> str:
    return f"{value:.6g}"
