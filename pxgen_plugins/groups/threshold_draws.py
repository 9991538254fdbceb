"""Thresholds that another calibration of the same size might have been about."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["threshold_draws"]

Floats = NDArray[np.float64]

_MANY = 200  # repeats from which the mean of any distribution with a variance is near normal


def threshold_draws(
    repeats: Floats,
    floor: Floats | None = None,
    n_draws: int = 1_000,
    seed: int = 0,
    resampled: bool = False,
) -> Floats:
    """Return draws of the expected thresholds, as far as the calibration repeats determine them.

    The repeats of a rule are independent, and what they estimate is their expectation. Repeats of a
    maximum are skewed and, for heavy tails, vary by multiples, so that Student's interval of their
    mean misses it too often. Where all repeats lie above ``floor`` the logarithm of the excess is
    taken as Gumbel distributed, which it is for the maximum of values with a Pareto tail (Frechet
    distribution; Gnedenko 1943) and nearly for lighter tails. Location and scale are then drawn by
    their pivots, whatever the number of repeats: with the mean and deviation (a, s) of standard
    draws and (A, S) of the repeats, scale = S / s and location = A - a scale (generalized pivotal
    quantities, Weerahandi 1993); the expectation is floor + exp(location) Gamma(1 - scale). A scale
    of 1 or more has no finite expectation, and gives infinity. Other columns are taken as normal,
    where the same pivot is Student's t. The criteria are drawn together, by a Gaussian copula with
    the correlations of the repeats, shrunk by (r - 1) / (r + 1).

    Args:
        repeats: Thresholds of each repeat, (r, m), in the criteria's units.
        floor: A value below each threshold, (m,): the median of the model's own samples.
        n_draws: Number of draws b.
        seed: Seed of the draws.
        resampled: The repeats are no independent calibrations but resamples around the first, which
            is the reported one: the draws are as far from it, normal, as the resamples are.

    Returns:
        Array (b, m); with fewer than two repeats their mean as the only row, (1, m).

    Cost: O(b r m) time and memory; for more than 200 repeats O(b m), by the central limit theorem.

    Example:
        >>> draws = threshold_draws(np.array([[1.0], [2.0], [3.0], [2.0]]), n_draws=4_000)
        >>> [round(float(end), 1) for end in np.quantile(draws, [0.025, 0.975])]  # 2 +- 3.18 * 0.41
        [0.7, 3.3]
    """
    r = len(repeats)
    if r < 2 or not np.isfinite(repeats).all():
        centre: Floats = repeats.mean(axis=0, keepdims=True)
        return centre
    if resampled:
        floor = None
        repeats = repeats[0] + (repeats - repeats.mean(axis=0)) * np.sqrt(r)
    # equal columns (one model calibrated twice with one seed) must stay equal in every draw
    columns, place = np.unique(repeats, axis=1, return_inverse=True)
    place = place.reshape(-1)
    first = np.array([int(np.flatnonzero(place == k)[0]) for k in range(columns.shape[1])])
    above = np.zeros(len(first), dtype=bool)
    low = np.zeros(len(first))
    if floor is not None:
        low = np.where(np.isfinite(floor), floor, np.inf)[first]
        above = (columns > low).all(axis=0)
    scaled = columns.copy()
    scaled[:, above] = np.log(columns[:, above] - low[above])
    draws = _means(columns, n_draws, seed)
    if r <= _MANY:
        location, scale = _pivots(scaled, above, n_draws, seed)
        draws = location
        draws[:, above] = low[above] + _frechet_mean(location[:, above], scale[:, above])
    result: Floats = draws[:, place]
    return result


def _pivots(repeats: Floats, above: NDArray[np.bool_], n: int, seed: int) -> tuple[Floats, Floats]:
    """Return draws of location and scale, each (n, m)."""
    r, m = repeats.shape
    rng = np.random.default_rng(seed)
    standard = rng.standard_normal((n, r, m)) @ np.linalg.cholesky(_correlation(repeats)).T
    standard[..., above] = _gumbel(standard[..., above])
    scale = repeats.std(axis=0, ddof=1) / standard.std(axis=1, ddof=1)
    return repeats.mean(axis=0) - standard.mean(axis=1) * scale, scale


def _means(repeats: Floats, n: int, seed: int) -> Floats:
    """Return draws of the mean by the central limit theorem, (n, m)."""
    r, m = repeats.shape
    rng = np.random.default_rng(seed)
    standard = rng.standard_normal((n, m)) @ np.linalg.cholesky(_correlation(repeats)).T
    means: Floats = repeats.mean(axis=0) + standard * repeats.std(axis=0, ddof=1) / np.sqrt(r)
    return means


def _correlation(repeats: Floats) -> Floats:
    """Return the correlations between the columns, shrunk towards none, (m, m)."""
    r, m = repeats.shape
    centred = repeats - repeats.mean(axis=0)
    length = np.sqrt((centred**2).sum(axis=0))
    unit = centred / np.where(length > 0, length, 1.0)
    matrix: Floats = (r - 1) / (r + 1) * (unit.T @ unit)
    matrix[np.diag_indices(m)] = 1.0
    return matrix


def _gumbel(normal: Floats) -> Floats:
    """Return standard Gumbel draws at the same quantiles as standard normal ones."""
    from scipy.special import log_ndtr

    gumbel: Floats = -np.log(-log_ndtr(normal))
    return gumbel


def _frechet_mean(location: Floats, scale: Floats) -> Floats:
    """Return E exp(location + scale G) for a standard Gumbel G; infinite for a scale >= 1."""
    from scipy.special import gammaln

    finite = scale < 1.0
    with np.errstate(over="ignore"):
        mean: Floats = np.exp(location + gammaln(1.0 - np.where(finite, scale, 0.0)))
    mean[~finite] = np.inf
    return mean
