"""How far the shares of the groups move when only the calibration is made anew."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from pxgen_plugins.groups.assignment import GROUPS, codes
from pxgen_plugins.utils.sequences import even_positions

__all__ = ["calibration_noise"]

Floats = NDArray[np.float64]

_ANCHORS = 20_000  # the share of so many moves as that of all


def calibration_noise(
    values: Floats,
    repeats: Floats,
    combine: Callable[[Floats], Floats],
    kinds: Sequence[str],
    rule: str = "all",
    scale: Floats | None = None,
    *,
    seed: int = 0,
    n_resamples: int = 100,
    resampled: bool = False,
) -> dict[str, float | None]:
    """Return the standard deviation of each group's share over other calibrations of the same size.

    The anchors stay; repeats are drawn with replacement and combined again, and the deviation of
    the shares is widened by sqrt(r / (r - 1)), because r repeats spread less around their own mean
    than around the true one. From few repeats the estimate is rough: of a normal threshold's it has
    a relative error of about 1 / sqrt(2 (r - 1)), and maxima are more skewed than that.

    Args:
        values: Array (n, m) of criterion values.
        repeats: Thresholds of each calibration repeat, (r, m).
        combine: How the thresholds of repeats (r, m) become the reported ones (m,).
        kinds: As for :func:`pxgen_plugins.groups.assign`, like ``rule`` and ``scale``.
        rule: See there.
        scale: See there.
        seed: Seed of the resamples.
        n_resamples: How many.
        resampled: The repeats are resamples around the first already, as of reference data.

    Returns:
        The deviation by group; None without anchors, or with fewer than two repeats.

    Cost: at most O(20,000 m) for each resample, whatever the number of anchors.

    Example:
        >>> values = np.c_[np.linspace(0.0, 1.0, 1001), np.zeros(1001)]
        >>> repeats = np.array([[0.4, 1.0], [0.6, 1.0]])
        >>> noise = calibration_noise(
        ...     values, repeats, lambda r: r.mean(0), ["intrinsic", "extrinsic"], n_resamples=2000
        ... )
        >>> abs(noise["HIHE"] - 0.1) < 0.01  # sd of the repeats 0.141, over the root of 2
        True
    """
    r = len(repeats)
    if not len(values) or r < 2:
        return dict.fromkeys(GROUPS)
    some = values[even_positions(len(values), _ANCHORS)]
    drawn = np.random.default_rng(seed).integers(r, size=(n_resamples, r))
    cuts = repeats if resampled else [combine(repeats[rows]) for rows in drawn]
    counts = [np.bincount(codes(some, cut, kinds, rule, scale), minlength=5)[:4] for cut in cuts]
    spread = np.std(np.array(counts) / len(some), axis=0, ddof=1)
    if not resampled:
        spread *= math.sqrt(r / (r - 1))
    return dict(zip(GROUPS, spread.tolist(), strict=True))
