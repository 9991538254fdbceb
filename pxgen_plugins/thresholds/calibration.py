"""The result of calibration: thresholds, and how firmly they stand."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pxgen_plugins.utils.large_arrays import from_blocks

__all__ = ["Calibration", "Floats"]

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Calibration:
    """Thresholds and how firmly they stand.

    Attributes:
        method: Class name of the rule.
        params: Its parameters.
        names: The m criteria.
        thresholds: Array (m,), in the criteria's units.
        repeats: Thresholds of each of the r repeats, (r, m); their spread is the rule's noise.
        reference: Values that the thresholds come from, (s, m): of the model's own samples in the
            first repeat, and in further ones until there are 10,000 (under ``Conformal`` in the
            first alone), or of the reference data; None for fixed thresholds.
        n_samples: Samples per repeat, or instances of reference data.
        n_invalid: How many were left out because a value was not finite, over all repeats.
        seed: Seed of the samples, or of the resamples of reference data.
        source: ``"samples"`` or ``"reference"``.
        n_learning: Instances of reference data that criteria learned from; thresholds come from
            others.
        resampled: Whether the repeats are resamples around the first, which is the reported one:
            their spread is the threshold's error, and not that of one repeat.
    """

    method: str
    params: dict[str, Any]
    names: list[str]
    thresholds: Floats
    repeats: Floats
    reference: Floats | None
    n_samples: int
    n_invalid: int
    seed: int
    source: str = "samples"
    n_learning: int = 0
    resampled: bool = False

    @property
    def n_repeats(self) -> int:
        """Number of repeats done."""
        return len(self.repeats)

    @property
    def std(self) -> Floats:
        """Standard deviation of the repeats' thresholds, (m,); NaN for fewer than two repeats."""
        if self.n_repeats < 2:
            return np.full(len(self.names), np.nan)
        deviation: Floats = self.repeats.std(axis=0, ddof=1)
        return deviation

    @property
    def scale(self) -> Floats:
        """Standard deviation of the reference values, (m,); NaN when there are none."""
        if self.reference is None:
            return np.full(len(self.names), np.nan)
        spread: Floats = self.reference.std(axis=0)
        return spread

    def distance(self, values: Floats) -> Floats:
        """Return (value - threshold) in standard deviations of the threshold, (n, m).

        Negative is below the threshold; NaN where the deviation is zero or unknown.
        """
        std = np.where(self.std > 0, self.std, np.nan)
        return from_blocks(
            lambda rows: (values[rows] - self.thresholds) / std, len(values), np.float64, len(std)
        )

    def p_values(self, values: Floats) -> Floats:
        """Return split-conformal p-values of anchors against the s reference values, (n, m).

        (1 + number of reference values at or above the anchor's) / (s + 1): for an anchor
        exchangeable with what they belong to (the model's own samples, or the reference data),
        P(p <= a) <= a for every a (Vovk, Gammerman and Shafer 2005; Bates et al. 2023). NaN where
        the value is not finite or there is no reference. Cost: O((n + s) m log s).
        """
        known = None if self.reference is None else np.sort(self.reference, axis=0)

        def p(rows: slice) -> Floats:
            some = np.full(values[rows].shape, np.nan)
            if known is None:
                return some
            s = len(known)
            for j in range(values.shape[1]):
                below = np.searchsorted(known[:, j], values[rows, j], side="left")
                some[:, j] = (1 + s - below) / (s + 1)
            some[~np.isfinite(values[rows])] = np.nan
            return some

        return from_blocks(p, len(values), np.float64, values.shape[1])
