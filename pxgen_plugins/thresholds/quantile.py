"""A quantile of the values."""

from __future__ import annotations

import numpy as np

from pxgen_plugins.thresholds.base import Rule, register
from pxgen_plugins.thresholds.calibration import Floats
from pxgen_plugins.utils import validation
from pxgen_plugins.utils.errors import caller

__all__ = ["Quantile"]


@register("Quantile")
class Quantile(Rule):
    """A quantile of the values, averaged over repeats of samples; linear interpolation.

    Args:
        q: The quantile, in (0, 1].
        n_samples: Samples per repeat.
        n_repeats: Repeats.
        source: ``"samples"`` or ``"reference"`` (see :class:`~pxgen_plugins.thresholds.Rule`).

    Example:
        >>> Quantile(0.5).threshold(np.array([[1.0], [3.0], [2.0]]))
        array([2.])
    """

    @caller("Quantile")
    def __init__(
        self,
        q: float = 0.99,
        n_samples: int = 10_000,
        n_repeats: int = 10,
        source: str = "samples",
    ) -> None:
        super().__init__(n_samples, n_repeats, source)
        self.q = validation.real(q, "q", above=0.0, maximum=1.0)

    def threshold(self, values: Floats) -> Floats:
        """Return the quantiles, (m,)."""
        quantile: Floats = np.quantile(values, self.q, axis=0)
        return quantile
