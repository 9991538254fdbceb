"""How shares differ between two runs over the same anchors, and what part of it is calibration."""

from __future__ import annotations

from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from pxgen_plugins.audit.group_pairs import SIZE, count_pairs
from pxgen_plugins.audit.intervals import paired_interval
from pxgen_plugins.groups import (
    DrawnCodes,
    codes_of,
    joint_interval,
    mid_p_interval,
    percentiles,
    threshold_draws,
)
from pxgen_plugins.result import CalibrationSummary, Result
from pxgen_plugins.utils.large_arrays import blocks, full, take

__all__ = [
    "PairedShares",
    "change_interval",
    "common_random_numbers",
    "move_intervals",
]

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
Mask = NDArray[np.bool_]

_DRAWS = 400


def common_random_numbers(before: Result, after: Result) -> bool:
    """Return whether two runs were calibrated by one rule on samples of the same seeds.

    Then their repeats come in pairs, and what the samples do to both thresholds cancels in a
    difference.
    """
    one, other = before.calibration, after.calibration
    if one is None or other is None or len(one.repeats) != len(other.repeats):
        return False
    return _origin(one) == _origin(other)


def _origin(calibration: CalibrationSummary) -> tuple[object, ...]:
    return (
        calibration.method,
        calibration.params,
        calibration.source,
        calibration.n_samples,
        calibration.seed,
    )


class PairedShares:
    """Shares of the same anchors in two runs under draws of both runs' expected thresholds.

    Args:
        before: Result of the first run.
        after: Result of the second.
        index_before: Positions of the n anchors in the first run, (n,).
        index_after: Their positions in the second.

    Cost: that of :class:`~pxgen_plugins.groups.DrawnCodes`, for at most 400 draws.
    """

    def __init__(
        self, before: Result, after: Result, index_before: Integers, index_after: Integers
    ) -> None:
        draws = _threshold_draws(before, after)
        self._runs = [
            _codes(run, index, cut)
            for run, index, cut in zip(
                (before, after), (index_before, index_after), draws, strict=True
            )
        ]
        self._n_draws = min(len(run.drawn) for run in self._runs)

    @property
    def by_calibration(self) -> float:
        """Expected share of anchors in another group if the second model is calibrated again."""
        run = self._runs[1]
        same = sum(
            ((run.drawn[:, rows] == state).mean(axis=0) ** 2).sum()
            for rows in run.open_blocks()
            for state in range(SIZE)
        )
        return float(len(run.open) - same) / max(len(run.closed), 1)

    def change(self, state: int, among: Mask | None = None) -> Floats:
        """Return the change of a group's share under each draw, (d,).

        Args:
            state: Place of the group in ``(*GROUPS, INVALID)``.
            among: Of these anchors only, bool (n,).
        """
        first, second = (run.counts(among)[: self._n_draws, state] for run in self._runs)
        n = len(self._runs[0].closed) if among is None else int(among.sum())
        change: Floats = (second - first) / max(n, 1)
        return change

    @cached_property
    def moves(self) -> Floats:
        """Shares that went from each group to each under each draw, (d, 5, 5)."""
        n, d = len(self._runs[0].closed), self._n_draws
        first, second = self._runs
        some = np.union1d(first.open, second.open)
        rest = full(n, True, bool)
        rest[some] = False
        counts = np.repeat(
            count_pairs(first.closed, second.closed, lambda rows: rest[rows])[None], d, axis=0
        )
        for rows in blocks(len(some), d):
            starts, ends = (run.at(some[rows])[:d] for run in self._runs)
            counts += [count_pairs(*pair) for pair in zip(starts, ends, strict=True)]
        shares: Floats = counts / max(n, 1)
        return shares

    @property
    def moved(self) -> Floats:
        """Share that went from any group to another under each draw, (d,)."""
        moves = self.moves
        moved: Floats = moves.sum(axis=(1, 2)) - np.trace(moves, axis1=1, axis2=2)
        return moved


def change_interval(
    both: int, first: int, second: int, neither: int, draws: Floats, confidence: float
) -> tuple[float, float] | None:
    """Return an interval of a change of a share, for other anchors and other calibrations.

    Args:
        both: Anchors counted in both runs.
        first: In the first run only.
        second: In the second only.
        neither: In neither.
        draws: The change under draws of both runs' thresholds, (d,).
        confidence: In (0, 1).
    """
    anchors = paired_interval(both, first, second, neither, confidence)
    if anchors is None:
        return None
    change = np.array([(second - first) / (both + first + second + neither)])
    by_draws = percentiles(draws[:, None], confidence)
    low, high = joint_interval(change, np.array([anchors]), by_draws)[0]
    return max(float(low), -1.0), min(float(high), 1.0)


def move_intervals(count: Integers, n: int, draws: Floats, confidence: float) -> Floats:
    """Return intervals of the shares of anchors that moved, for other anchors and calibrations.

    Noise can only move anchors, so draws of thresholds overstate how many moved: under the same
    model none did. The low end therefore goes down to the least under any of the draws.

    Args:
        count: How many moved, (k,).
        n: Of how many anchors.
        draws: The shares under draws of both runs' thresholds, (d, k).
        confidence: In (0, 1).

    Returns:
        Array (k, 2); NaN without anchors.
    """
    if not n:
        return np.full((len(count), 2), np.nan)
    by_draws = percentiles(draws, confidence)
    by_draws[:, 0] = draws.min(axis=0)
    ends = joint_interval(count / n, mid_p_interval(count, n, confidence), by_draws)
    clipped: Floats = np.clip(ends, 0.0, 1.0)
    return clipped


def _codes(run: Result, index: Integers, draws: Floats | None) -> DrawnCodes:
    if draws is None or run.calibration is None:
        return DrawnCodes.fixed(take(codes_of(run.group), index), _DRAWS)
    return DrawnCodes(take(run.values, index), draws, run.kinds, run.rule, run.calibration.scale)


def _threshold_draws(before: Result, after: Result) -> tuple[Floats | None, Floats | None]:
    """Return draws of both runs' expected thresholds, (b, m) each; joint where they are paired."""
    one, other = before.calibration, after.calibration
    if one is None or other is None or not common_random_numbers(before, after):
        return _draws_of(one, 0), _draws_of(other, 1)
    if len(one.repeats) < 2:
        return None, None
    m = len(before.criteria)
    floors = [_floor(one), _floor(other)]
    both = np.hstack([one.repeats, other.repeats])
    draws = threshold_draws(both, np.concatenate(floors), _DRAWS, resampled=one.resampled)
    return draws[:, :m], draws[:, m:]


def _draws_of(calibration: CalibrationSummary | None, seed: int) -> Floats | None:
    if calibration is None or len(calibration.repeats) < 2:
        return None
    repeats, floor = calibration.repeats, calibration.floor
    return threshold_draws(repeats, floor, _DRAWS, seed, calibration.resampled)


def _floor(calibration: CalibrationSummary) -> Floats:
    """Return the medians of the model's own values, infinite where they are not known."""
    floor = calibration.floor
    return np.full(calibration.repeats.shape[1], np.inf) if floor is None else floor
