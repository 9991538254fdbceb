"""The mean of maxima (Huang, Weng and Yang 2025)."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import ClassVar

import numpy as np

from pxgen_plugins.thresholds.base import Rule, check_names, register
from pxgen_plugins.thresholds.calibration import Floats
from pxgen_plugins.utils import validation
from pxgen_plugins.utils.errors import caller

__all__ = ["MeanMax"]

_FEWEST_REPEATS = 5  # fewer give no usable standard error


@register("MeanMax")
class MeanMax(Rule):
    """The mean over repeats of the samples' largest value (Huang, Weng and Yang 2025).

    A maximum grows with ``n_samples``: compare thresholds only at the same number. It is noisy, and
    the noisier the more samples it is taken of, while the mean over repeats makes it firmer: at
    equal cost, fewer samples in more repeats give groups that hardly depend on the seed
    (``docs/calibration.md``). :meth:`authors` is the authors' setting.

    From reference data, repeats are disjoint parts of it in random order, as many as give each
    ``n_samples`` instances, but 5 at least and ``n_repeats`` at most: resamples would hardly ever
    hold less than the largest values, and tell nothing of their spread.

    Args:
        n_samples: Samples per repeat.
        n_repeats: Repeats; with a tolerance, at most so many.
        tolerance: Stop once the standard error of the mean of maxima is below it for every
            criterion (after 5 repeats at least): a number in the criteria's units, or a mapping
            from criterion to number, where one left out does not hold up the stop. Reference data
            is used up whatever the tolerance.
        source: ``"samples"`` or ``"reference"`` (see :class:`~pxgen_plugins.thresholds.Rule`).

    Example:
        >>> MeanMax(n_samples=3).threshold(np.array([[1.0], [3.0], [2.0]]))
        array([3.])
    """

    resamples: ClassVar[bool] = False

    @caller("MeanMax")
    def __init__(
        self,
        n_samples: int = 1_000,
        n_repeats: int = 100,
        tolerance: float | Mapping[str, float] | None = None,
        source: str = "samples",
    ) -> None:
        super().__init__(n_samples, n_repeats, source)
        self.tolerance: float | dict[str, float] | None
        if isinstance(tolerance, Mapping):
            self.tolerance = {
                name: validation.real(value, f"tolerance[{name!r}]", above=0.0)
                for name, value in tolerance.items()
            }
        else:
            self.tolerance = tolerance
            if tolerance is not None:
                self.tolerance = validation.real(tolerance, "tolerance", above=0.0)

    @classmethod
    def authors(cls) -> MeanMax:
        """Return the rule with the authors' 60,000 samples and 100 repeats.

        Cost: 6,000,000 samples, 60 times the default's.
        """
        return cls(n_samples=60_000, n_repeats=100)

    @caller("MeanMax")
    def check(self, names: Sequence[str]) -> None:
        """Raise ParameterError when a tolerance names no criterion."""
        super().check(names)
        if isinstance(self.tolerance, dict):
            check_names(self.tolerance, names, "tolerance")

    def threshold(self, values: Floats) -> Floats:
        """Return the largest values, (m,)."""
        largest: Floats = values.max(axis=0)
        return largest

    def combine(self, repeats: Floats) -> Floats:
        """Return the means (m,) over the repeats (r, m)."""
        mean: Floats = repeats.mean(axis=0).clip(repeats.min(axis=0), repeats.max(axis=0))
        return mean

    def repeats_of(self, values: Floats, names: Sequence[str], rng: np.random.Generator) -> Floats:
        """Return the largest values (r, m) of disjoint parts of the values (n, m)."""
        n = len(values)
        r = min(self.n_repeats, max(_FEWEST_REPEATS, n // self.n_samples), n)
        parts = np.array_split(rng.permutation(n), r)
        return np.array([self.threshold(values[part]) for part in parts])

    @property
    def may_stop(self) -> bool:
        """Whether there is a tolerance."""
        return self.tolerance is not None

    def enough(self, repeats: Floats, names: Sequence[str]) -> bool:
        """Return whether the tolerance is reached."""
        if self.tolerance is None or len(repeats) < _FEWEST_REPEATS:
            return False
        error = repeats.std(axis=0, ddof=1) / math.sqrt(len(repeats))
        if isinstance(self.tolerance, dict):
            limits = [self.tolerance.get(name, math.inf) for name in names]
            return bool((error < np.array(limits)).all())
        return bool((error < self.tolerance).all())
