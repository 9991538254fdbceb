"""Split-conformal thresholds."""

from __future__ import annotations

import math
from typing import ClassVar

import numpy as np

from pxgen_plugins.thresholds.base import Rule, register
from pxgen_plugins.thresholds.calibration import Floats
from pxgen_plugins.utils import validation
from pxgen_plugins.utils.errors import ModelError, ParameterError, caller

__all__ = ["Conformal"]


@register("Conformal")
class Conformal(Rule):
    """The split-conformal threshold at level ``alpha`` (Vovk, Gammerman and Shafer 2005).

    An anchor is below it exactly when its p-value against the first repeat's samples exceeds
    ``alpha``, so each criterion calls at most a share ``alpha`` of the model's own output low in
    affinity, in expectation and for any sample size. The reported threshold is the first repeat's:
    averaging would lose the guarantee. The other repeats only show how far it moves, so that more
    samples in fewer repeats make it firmer at equal cost; five are left to show it.

    Args:
        alpha: The level, in (0, 1).
        n_samples: Samples per repeat, >= 1 / alpha - 1.
        n_repeats: Repeats.

    Example:
        >>> rule = Conformal(alpha=0.25, n_samples=3)
        >>> float(rule.threshold(np.array([[1.0], [3.0], [2.0]]))[0]) > 3.0
        True
    """

    n_reference: ClassVar[int] = 0  # the guarantee is about the first repeat's samples alone

    @caller("Conformal")
    def __init__(self, alpha: float = 0.01, n_samples: int = 20_000, n_repeats: int = 5) -> None:
        super().__init__(n_samples, n_repeats)
        self.alpha = validation.real(alpha, "alpha", above=0.0, below=1.0)
        if self._rank(self.n_samples) < 1:
            least = math.ceil(1 / self.alpha) - 1
            allowed = f"at least 1 / alpha - 1 = {least}, else no p-value reaches alpha"
            hint = f"Use n_samples={least} or more, or a larger alpha."
            raise ParameterError("n_samples", allowed, str(self.n_samples), hint)

    def _rank(self, s: int) -> int:
        return math.floor(self.alpha * (s + 1) * (1 + 1e-12))  # 0.1 * 10 must not fall below 1

    @caller("Conformal")
    def threshold(self, values: Floats) -> Floats:
        """Return a value just above the rank-th largest sample, (m,)."""
        rank = self._rank(len(values))
        if rank < 1:
            raise ModelError(
                "the model's samples",
                f"finite for at least {math.ceil(1 / self.alpha) - 1} of {self.n_samples}",
                f"{len(values)} with finite values",
                "Use more samples, or find out why the model's samples have no finite values.",
            )
        kth_largest = np.sort(values, axis=0)[-rank]
        # p <= alpha exactly when the value exceeds this sample's; affinity is strict below
        above: Floats = np.nextafter(kth_largest, np.inf)
        return above

    def combine(self, repeats: Floats) -> Floats:
        """Return the thresholds of the first repeat, (m,)."""
        first: Floats = repeats[0]
        return first
