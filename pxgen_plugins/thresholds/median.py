"""Median plus median absolute deviations."""

from __future__ import annotations

import numpy as np

from pxgen_plugins.thresholds.base import Rule, register
from pxgen_plugins.thresholds.calibration import Floats
from pxgen_plugins.utils import validation
from pxgen_plugins.utils.errors import caller

__all__ = ["Median"]


@register("Median")
class Median(Rule):
    """Median plus ``k`` times the median absolute deviation, averaged over repeats of samples.

    The deviation is not scaled to a normal's standard deviation (that would be a factor of 1.4826).

    Args:
        k: How many deviations above the median, > 0.
        n_samples: Samples per repeat.
        n_repeats: Repeats.
        source: ``"samples"`` or ``"reference"`` (see :class:`~pxgen_plugins.thresholds.Rule`).

    Example:
        >>> Median(k=2).threshold(np.array([[1.0], [2.0], [4.0]]))
        array([4.])
    """

    @caller("Median")
    def __init__(
        self,
        k: float = 3.0,
        n_samples: int = 10_000,
        n_repeats: int = 10,
        source: str = "samples",
    ) -> None:
        super().__init__(n_samples, n_repeats, source)
        self.k = validation.real(k, "k", above=0.0)

    def threshold(self, values: Floats) -> Floats:
        """Return median plus k deviations, (m,)."""
        middle = np.median(values, axis=0)
        deviation = np.median(np.abs(values - middle), axis=0)
        result: Floats = middle + self.k * deviation
        return result
