"""Intervals of group shares that hold for other anchors and another calibration."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from pxgen_plugins.groups.assignment import GROUPS, codes, codes_of
from pxgen_plugins.groups.binomial import mid_p_interval
from pxgen_plugins.groups.drawn_codes import DrawnCodes
from pxgen_plugins.groups.threshold_draws import threshold_draws
from pxgen_plugins.utils.large_arrays import blocks, from_blocks

__all__ = ["Combine", "GroupShares", "joint_interval", "percentiles", "share_intervals"]

Floats = NDArray[np.float64]
Combine = Callable[[Floats], Floats]


class GroupShares:
    """Counts of the groups, with intervals for other anchors *and* another calibration.

    An interval is one of the share that the rule's expected thresholds give among all instances
    like the anchors. Two intervals are put together (:func:`joint_interval`): that of other anchors
    is the mid-P interval of the count (:func:`~pxgen_plugins.groups.mid_p_interval`), that of
    another calibration the percentiles of the shares under draws of the expected thresholds
    (:func:`~pxgen_plugins.groups.threshold_draws`). With fewer than two repeats nothing is known of
    the calibration, and the interval covers the anchors only.

    Args:
        values: Array (n, m) of criterion values.
        thresholds: The reported thresholds, (m,).
        repeats: Thresholds of each calibration repeat, (r, m).
        kinds: As for :func:`pxgen_plugins.groups.assign`, like ``rule`` and ``scale``.
        rule: See there.
        scale: See there.
        floor: Medians of the values on the model's own samples, (m,), for heavy tails.
        seed: Seed of the draws.
        resampled: Whether the repeats are resamples around the first, as of reference data.
        group: The anchors' groups by name, (n,), where they are known already.

    Attributes:
        thresholds: Draws of the expected thresholds, (b, m); one row where they are not known.

    Cost: that of 1,000 draws and of :class:`~pxgen_plugins.groups.DrawnCodes`.
    """

    def __init__(
        self,
        values: Floats,
        thresholds: Floats,
        repeats: Floats,
        kinds: Sequence[str],
        rule: str = "all",
        scale: Floats | None = None,
        *,
        floor: Floats | None = None,
        seed: int = 0,
        resampled: bool = False,
        group: NDArray[np.str_] | None = None,
    ) -> None:
        settings = (kinds, rule, scale)
        reported = codes(values, thresholds, *settings) if group is None else codes_of(group)
        self._reported = self._drawn = DrawnCodes.fixed(reported)
        self.thresholds = thresholds[None]
        if len(repeats) > 1:
            self.thresholds = threshold_draws(repeats, floor, seed=seed, resampled=resampled)
            self._drawn = DrawnCodes(values, self.thresholds, *settings)

    def intervals(
        self, among: NDArray[np.bool_] | None = None, confidence: float = 0.95, unknown: int = 0
    ) -> Floats:
        """Return the interval of each group's share and of the invalid anchors', (5, 2).

        Args:
            among: Shares of these anchors only, bool (n,); None for all.
            confidence: Share of such intervals that hold the true share.
            unknown: Anchors that may be in any group: each high end is as if all were in its group.

        Returns:
            Rows in the order of ``(*GROUPS, "invalid")``; NaN without anchors.
        """
        count = self._reported.counts(among)[0]
        n = int(count.sum())
        if not n:
            return np.full((len(count), 2), np.nan)
        shares = percentiles(self._drawn.counts(among) / n, confidence)
        ends = joint_interval(count / n, mid_p_interval(count, n, confidence), shares)
        if unknown:
            most = np.minimum(count + unknown, n)
            high = np.minimum(shares + unknown / n, 1.0)
            ends[:, 1] = joint_interval(most / n, mid_p_interval(most, n, confidence), high)[:, 1]
        clipped: Floats = np.clip(ends, 0.0, 1.0)
        return clipped

    def calibration_intervals(self, confidence: float = 0.95) -> Floats:
        """Return the intervals for another calibration alone, (5, 2); see :meth:`intervals`."""
        counts = self._drawn.counts()
        return percentiles(counts / np.maximum(counts.sum(axis=1, keepdims=True), 1), confidence)

    def stability(self) -> Floats:
        """Return how surely each anchor is in its group, (n,).

        It is the share of the draws of the expected thresholds under which the anchor is in the
        group that the reported thresholds give; NaN for invalid anchors.

        Example:
            >>> values = np.array([[1.0, 1.0], [5.0, 1.0], [9.0, 1.0]])
            >>> repeats = np.array([[4.0, 5.0], [6.0, 5.0], [5.0, 5.0], [5.4, 5.0]])
            >>> shares = GroupShares(values, repeats.mean(0), repeats, ["intrinsic", "extrinsic"])
            >>> shares.stability().round(1).tolist()
            [1.0, 0.6, 1.0]
        """
        reported, drawn = self._reported.closed, self._drawn
        sure: Floats = from_blocks(
            lambda rows: drawn.closed[rows] == reported[rows], len(reported), np.float64
        )
        for rows in drawn.open_blocks():
            index = drawn.open[rows]
            sure[index] = (drawn.drawn[:, rows] == reported[index]).mean(axis=0)
        for rows in blocks(len(reported)):
            sure[rows][reported[rows] == len(GROUPS)] = np.nan
        return sure


def share_intervals(
    values: Floats,
    repeats: Floats,
    combine: Combine,
    kinds: Sequence[str],
    rule: str = "all",
    scale: Floats | None = None,
    *,
    floor: Floats | None = None,
    seed: int = 0,
    confidence: float = 0.95,
) -> dict[str, list[float] | None]:
    """Return ``[low, high]`` of each group's share, None without anchors; see :class:`GroupShares`.

    Args:
        values: Array (n, m) of criterion values.
        repeats: Thresholds of each calibration repeat, (r, m).
        combine: How the thresholds of repeats (r, m) become the reported ones (m,).
        kinds: As for :func:`pxgen_plugins.groups.assign`, like ``rule`` and ``scale``.
        rule: See there.
        scale: See there.
        floor: Medians of the values on the model's own samples, (m,).
        seed: Seed of the draws.
        confidence: Share of such intervals that hold the true share.

    Example:
        >>> values = np.array([[1.0, 1.0]] * 30 + [[9.0, 9.0]] * 70)
        >>> intervals = share_intervals(
        ...     values, np.array([[5.0, 5.0]]), lambda r: r.mean(0), ["intrinsic", "extrinsic"]
        ... )
        >>> [round(end, 2) for end in intervals["HIHE"]], [round(e, 2) for e in intervals["HILE"]]
        ([0.22, 0.4], [0.0, 0.03])
    """
    if not len(values):
        return dict.fromkeys(GROUPS)
    shares = GroupShares(
        values, combine(repeats), repeats, kinds, rule, scale, floor=floor, seed=seed
    )
    return dict(zip(GROUPS, shares.intervals(confidence=confidence).tolist(), strict=False))


def percentiles(draws: Floats, confidence: float = 0.95) -> Floats:
    """Return the central interval of draws (b, k), (k, 2); its ends are draws, maybe infinite."""
    tail = (1.0 - confidence) / 2.0
    low = np.quantile(draws, tail, axis=0, method="lower")
    high = np.quantile(draws, 1.0 - tail, axis=0, method="higher")
    return np.stack([low, high], axis=-1)


def joint_interval(estimate: Floats, one: Floats, other: Floats) -> Floats:
    """Return intervals for two independent sources of chance from one interval for each.

    Each end lies as far from the estimate as the root of the two squared distances of the separate
    intervals' ends: the method of variance estimates recovery (Zou and Donner 2008), which is
    Newcombe's (1998) for two shares.

    Args:
        estimate: Estimates, (k,).
        one: Low and high ends by one source alone, (k, 2).
        other: The same by the other.

    Returns:
        Array (k, 2).

    Example:
        >>> joint_interval(np.array([0.25]), np.array([[0.22, 0.28]]), np.array([[0.21, 0.29]]))
        array([[0.2, 0.3]])
    """
    # an interval of the expectation may leave out an estimate that is one of the repeats
    below = [np.maximum(estimate - ends[:, 0], 0.0) for ends in (one, other)]
    above = [np.maximum(ends[:, 1] - estimate, 0.0) for ends in (one, other)]
    return np.stack([estimate - np.hypot(*below), estimate + np.hypot(*above)], axis=-1)
