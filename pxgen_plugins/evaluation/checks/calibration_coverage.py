"""Share of fresh instances that a threshold rule should leave in HIHE, by its own promise."""

from __future__ import annotations

from typing import Any

from scipy.stats import betabinom

from pxgen_plugins.thresholds import Conformal, MeanMax, Quantile
from pxgen_plugins.thresholds.calibration import Calibration

__all__ = ["coverage_bounds"]

_ALARM = 0.001  # chance that a correct explainer is outside


def coverage_bounds(
    rule: Any, calibration: Calibration, k: int, *, several: bool = False
) -> tuple[float | None, float | None] | None:
    """Return the share of ``k`` fresh instances that HIHE must hold, lowest and highest.

    They are of the kind that thresholds come from: the model's own samples, or the reference data.
    The share of all such instances at or above a criterion's threshold is a random number, because
    the threshold comes from some of them; how many of k fresh ones are there is then beta-binomial:

    - ``Conformal``: the threshold is the j-th largest of s samples, so the share is Beta(j, s - j +
      1) (order statistics; Vovk, Gammerman and Shafer 2005). Exact for values without ties. With
      ``joint``, the share outside of all thresholds together is Beta(j, s - j + 1) for j cuts
      (Tukey 1947), and no sum over criteria is needed.
    - ``Quantile``: the same for the interpolated rank of q, with the samples of all repeats.
    - ``MeanMax``, which promises no share: for one repeat of s values order statistics still give
      Beta(1, s), of mean 1 / (s + 1). The mean of several maxima is
      exceeded no more often where the tail of the distribution is convex (Jensen), as tails are:
      for an exponential tail by exp(-0.577) / s. So fewer misses are never held against it.
    - any other rule that samples: by the share of the kept samples there, under Jeffreys' prior.

    Over m criteria the bound on misses is the sum of the single ones, for any dependence between
    criteria; misses are at least those of one criterion.

    Args:
        rule: The threshold rule.
        calibration: Its result.
        k: Fresh instances, >= 1.
        several: Whether a kind has several criteria, of which one may make up for another; then no
            share is too high.

    Returns:
        (lowest, highest) share, highest None where nothing is too high; None without samples. An
        correctly calibrated explainer leaves them with a chance of 0.1%.

    Example:
        >>> import numpy as np
        >>> values = np.arange(1000.0)[:, None]
        >>> rule, threshold = Quantile(0.9, 1000, 1), np.array([900.0])
        >>> calibration = Calibration("Quantile", {}, ["kld"], threshold, threshold[None],
        ...                           values, 1000, 0, 0)
        >>> [round(share, 3) for share in coverage_bounds(rule, calibration, 500)]
        [0.84, 0.948]
    """
    reference = calibration.reference
    if reference is None:
        return None
    m = len(calibration.names)
    most, fewest = 0, 0
    if isinstance(rule, Conformal) and rule.joint and m > 1:
        s, cuts = len(reference), rule.n_cuts(len(reference))
        out = int((reference >= calibration.thresholds).any(axis=1).sum())  # fewer where values tie
        worst = int(betabinom.ppf(1 - _ALARM / 2, k, cuts, s + 1.0 - cuts))
        best = int(betabinom.ppf(_ALARM / 2, k, out + 1.0, float(s - out)))
        return max(0.0, 1.0 - worst / k), None if several else 1.0 - best / k
    for column, threshold in enumerate(calibration.thresholds):
        at_or_above = int((reference[:, column] >= threshold).sum())
        a, b = _beta(rule, *_sizes(rule, calibration, len(reference)), at_or_above)
        fewer, more = betabinom.ppf([_ALARM / (2 * m), 1 - _ALARM / (2 * m)], k, a, b)
        most, fewest = most + int(more), max(fewest, int(fewer))
    high = None if several or isinstance(rule, MeanMax) else 1.0 - fewest / k
    return max(0.0, 1.0 - most / k), high


def _sizes(rule: Any, calibration: Calibration, s: int) -> tuple[int, int]:
    """Return how many values a repeat has, and how many repeats are of different values."""
    if calibration.source == "samples":
        # the reference may hold several repeats; maxima and quantiles are of one
        one = min(s, calibration.n_samples) if isinstance(rule, MeanMax | Quantile) else s
        return one, calibration.n_repeats
    # of reference data the maxima are those of disjoint parts, and other repeats are resamples
    r = calibration.n_repeats if isinstance(rule, MeanMax) else 1
    return s // r, r


def _beta(rule: Any, s: int, r: int, at_or_above: int) -> tuple[float, float]:
    """Return the parameters of the share of all samples at or above a threshold."""
    if isinstance(rule, MeanMax):
        return 1.0, float(s)
    if isinstance(rule, Quantile):
        # numpy interpolates between order statistics at the place q (s - 1), counted from 0
        rank = rule.q * (s - 1) + 1.0
        return (s + 1.0 - rank) * r, rank * r
    if isinstance(rule, Conformal):  # the threshold lies just above the next largest sample
        return at_or_above + 1.0, float(s - at_or_above)
    return at_or_above + 0.5, s - at_or_above + 0.5
