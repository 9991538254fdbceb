"""The scale of one axis: linear or logarithmic, its limits and its bins."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from pxgen_plugins.utils.errors import ParameterError
from pxgen_plugins.utils.scales import asks_for_logarithm
from pxgen_plugins.utils.validation import choice

__all__ = ["SCALES", "Scale", "choose", "span"]

SCALES = ("auto", "linear", "log")
_HUGE = 1e300  # beyond, sums of limits are no longer finite, and matplotlib cannot draw them
_DECADES = 305.0
_FAR = 1e6

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Scale:
    """A scale and its limits; positions are linear along the axis.

    Attributes:
        name: "linear" or "log".
        low: Lower limit of the axis, in the unit of the values.
        high: Upper limit.
    """

    name: str
    low: float
    high: float

    def position(self, values: Floats | float) -> Floats:
        """Return where values lie along the axis, 0 at the lower limit and 1 at the upper.

        On a logarithmic axis, values at or below 0 lie at the lower limit.
        """
        with np.errstate(over="ignore"):
            place = (
                self._forward(np.asarray(values, dtype=np.float64)) - self._start
            ) / self._length
        return np.asarray(np.clip(place, -_FAR, _FAR))

    def value(self, positions: Floats | float) -> Floats:
        """Return the values at positions along the axis: the inverse of :meth:`position`."""
        values = self._start + np.asarray(positions, dtype=np.float64) * self._length
        if self.name == "log":
            values = np.power(10.0, np.clip(values, -_DECADES, _DECADES))
        return np.asarray(values)

    def edges(self, bins: int, through: float = math.nan) -> Floats:
        """Return the edges of bins that look equally wide on this axis, shape (bins + 1,).

        With a finite ``through`` inside the limits, that value is one of the edges, so no bin
        holds values of both sides of a threshold; one more bin is then returned.
        """
        if not (math.isfinite(through) and self.low < through < self.high):
            return self.value(np.linspace(0.0, 1.0, bins + 1))
        place = float(self.position(through)) * bins
        first = math.ceil(place)
        edges = self.value((np.arange(bins + 2) - first + place) / bins)
        edges[first] = through
        return edges

    def clip(self, values: Floats) -> Floats:
        """Return values with those that the axis cannot show moved to the lower limit."""
        return np.maximum(values, self.low) if self.name == "log" else values

    def pad(self, before: float, after: float) -> Scale:
        """Return the scale with these shares of the new length added at both ends."""
        inside = 1.0 - before - after
        low = float(self.value(-before / inside))
        return replace(self, low=low, high=float(self.value(1.0 + after / inside)))

    def with_room(self, value: float, before: float, after: float) -> Scale:
        """Return the scale stretched so that these shares of the axis lie around ``value``."""
        if not math.isfinite(value):
            return self
        here = float(self.position(value))
        if here < before:
            scale = replace(self, low=float(self.value((here - before) / (1.0 - before))))
        elif here > 1.0 - after:
            scale = replace(self, high=float(self.value(here / (1.0 - after))))
        else:
            return self
        return scale

    def _forward(self, values: Floats) -> Floats:
        return values if self.name == "linear" else np.asarray(np.log10(self.clip(values)))

    @property
    def _start(self) -> float:
        return math.log10(self.low) if self.name == "log" else self.low

    @property
    def _length(self) -> float:
        return (math.log10(self.high) if self.name == "log" else self.high) - self._start


def choose(values: Floats, marks: Floats, scale: str) -> Scale:
    """Choose the scale of an axis and its limits.

    ``"auto"`` is logarithmic when every threshold is above 0 and the values ask for it
    (:func:`~pxgen_plugins.utils.scales.asks_for_logarithm`). Otherwise it is linear.

    Args:
        values: Values to be shown, shape (n,); those that are not finite, or beyond 1e300, are
            left out.
        marks: Thresholds and ends of their bands, which must be inside the limits too.
        scale: "auto", "linear" or "log".

    Raises:
        ParameterError: When ``scale`` is unknown, or "log" has nothing above 0 to show.
    """
    choice(scale, "scale", SCALES)
    values, marks = values[np.abs(values) < _HUGE], marks[np.abs(marks) < _HUGE]
    positive = values[values > 0]
    possible = bool(np.all(marks[:1] > 0)) and (positive.size > 0 or marks[:1].size > 0)
    if scale == "log" and not possible:
        hint = "Leave scale='auto', or pass scale='linear'."
        raise ParameterError("scale", "linear where values are not positive", "'log'", hint)
    if scale == "log" or (scale == "auto" and possible and asks_for_logarithm(values)):
        return span("log", np.append(positive, marks[marks > 0]))
    return span("linear", np.append(values, marks))


def span(name: str, values: Floats) -> Scale:
    """Return the scale from the smallest to the largest value; never of zero width."""
    if values.size == 0:
        return Scale(name, 0.1, 1.0) if name == "log" else Scale(name, 0.0, 1.0)
    low, high = float(values.min()), float(values.max())
    if name == "log":
        low = max(low, 1.0 / _HUGE)
        if high <= low * (1.0 + 1e-6):
            low, high = low / 2.0, low * 2.0
    elif high - low <= 1e-9 * max(abs(low), abs(high)):
        half = 0.5 * abs(low) or 0.5
        low, high = low - half, low + half
    return Scale(name, low, high)
