"""The values that anchors hold, against the range of the model that takes them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["Span"]

_DARK = 32 / 255  # part of the range: a set without any value above this hardly spans it
_APART = 10.0  # ratio of the widths of two sets of values from which they may differ in scale
_FEW = 10  # anchors, which need not span what more of their kind do
_STATE = "state their range with anchors_range=(low, high)"


@dataclass
class Span:
    """Lowest and highest value of the anchors read so far, as they were given.

    A wrong scale is no error: dark pictures exist. So it is a sentence, and everything that reads
    anchors for a model asks here and says the same.

    Attributes:
        rows: Anchors behind it; those that could not be read do not count.
        low: Their lowest value.
        high: Their highest value.
        bytes: Whether they are uint8, of which 255 is taken for the highest value of the range.

    Example:
        >>> span = Span()
        >>> span.add(np.array([[0, 1]], np.uint8))
        >>> span.doubt((0.0, 1.0))[:60]
        'uint8 anchors are scaled as if 255 were the highest value, a'
    """

    rows: int = 0
    low: float = math.inf
    high: float = -math.inf
    bytes: bool = False

    @classmethod
    def of(cls, entry: Mapping[str, Any]) -> Span:
        """Return the span that :meth:`to_data` wrote."""
        low, high = entry["low"], entry["high"]
        return cls(
            int(entry["rows"]),
            math.inf if low is None else float(low),
            -math.inf if high is None else float(high),
            bool(entry["bytes"]),
        )

    def to_data(self) -> dict[str, Any]:
        """Return the attributes for strict JSON; None for the ends of no rows."""
        ends = {"low": self.low, "high": self.high} if self.rows else {"low": None, "high": None}
        return {"rows": self.rows, **ends, "bytes": self.bytes}

    def add(self, raw: NDArray[Any]) -> None:
        """Count rows, uint8 or finite floating values, (b, ...); O(size)."""
        if raw.size:
            self.merge(Span(len(raw), float(raw.min()), float(raw.max()), raw.dtype == np.uint8))

    def merge(self, other: Span) -> None:
        """Count the rows of another span as well."""
        self.rows += other.rows
        self.low, self.high = min(self.low, other.low), max(self.high, other.high)
        self.bytes |= other.bytes

    def doubt(
        self,
        bounds: tuple[float, float] | None,
        stated: tuple[float, float] | None = None,
        drawn: tuple[float, float] | None = None,
    ) -> str | None:
        """Return why the anchors may be of another scale than the model, in a sentence, or None.

        Args:
            bounds: Lowest and highest value that the model takes; None when unbounded.
            stated: What is stated of the anchors, by ``anchors_range``.
            drawn: Lowest and highest value of samples of a model without bounds.
        """
        if not self.low < self.high:  # constant values tell nothing
            return None
        if bounds is None:
            return None if drawn is None else self._apart(drawn)
        low, high = bounds
        if stated is not None:
            if self.high - self.low > _DARK * (stated[1] - stated[0]):
                return None
            return (
                f"anchors lie within [{self.low:.4g}, {self.high:.4g}], a small part of the stated "
                f"anchors_range [{stated[0]:g}, {stated[1]:g}]; correct it, unless all are dark"
            )
        if self.bytes:
            if self.high > 255 * _DARK:
                return None
            return (
                "uint8 anchors are scaled as if 255 were the highest value, and the highest here "
                f"is {self.high:g}; pass floats in the model's range, or {_STATE}"
            )
        wide = (self.high - low) > _DARK * (high - low)
        if wide and not (low < 0 < high and self.low >= 0):
            return None
        return (
            f"floating anchors lie within [{self.low:.4g}, {self.high:.4g}] and are taken as they "
            f"are, and the model's range is [{low:g}, {high:g}]; scale them as its training data "
            f"were, or {_STATE}"
        )

    def _apart(self, drawn: tuple[float, float]) -> str | None:
        ratio = (self.high - self.low) / max(drawn[1] - drawn[0], 1e-300)
        overlap = self.low <= drawn[1] and drawn[0] <= self.high
        if overlap and ratio < _APART and (ratio > 1 / _APART or self.rows < _FEW):
            return None
        return (
            f"anchors lie within [{self.low:.4g}, {self.high:.4g}] and the model's own samples "
            f"within [{drawn[0]:.4g}, {drawn[1]:.4g}]; scale them as its training data were"
        )
