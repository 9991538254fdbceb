"""Comparing two runs: the same anchors under two models."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pxgen_plugins.audit import group_pairs
from pxgen_plugins.audit.changes import STATES, AnchorChanges, ShareChange, ThresholdShift, finite
from pxgen_plugins.audit.matching import AnchorPairs, match_anchors
from pxgen_plugins.audit.paired_shares import (
    PairedShares,
    change_interval,
    common_random_numbers,
    move_intervals,
)
from pxgen_plugins.audit.rule_changes import (
    at_kept_thresholds,
    calibrations_in_words,
    moved_note,
    rule_note,
)
from pxgen_plugins.groups import codes_of, percentiles
from pxgen_plugins.result import Result
from pxgen_plugins.utils.errors import ParameterError, caller, short_repr
from pxgen_plugins.utils.large_arrays import take, true_rows
from pxgen_plugins.utils.validation import boolean, integer, real

__all__ = ["compare_runs"]

_NEEDED = ("criteria", "kinds", "thresholds", "group")

Integers = NDArray[np.int64]


@caller("compare_runs")
def compare_runs(
    before: Any,
    after: Any,
    *,
    match: str | None = None,
    partial: bool = False,
    min_label: int = 10,
    confidence: float = 0.95,
) -> AnchorChanges:
    """Compare the groups of the same anchors under two models.

    Args:
        before: Result of the first run, its explanation, or the explanation's data.
        after: The same of the second.
        match: ``"ids"``, ``"position"``, or None: by ids when both runs have them, by position when
            neither has.
        partial: Compare the anchors in both runs when others are in one only; they are named in
            the result. Needs ids.
        min_label: Anchors that a label needs to be compared by itself.
        confidence: Of each interval.

    Raises:
        ParameterError: When the anchors differ (and ``partial`` is False) or cannot be matched, the
            criteria or the rule differ, or a run is none.

    Cost: O(n log n) time, O(n) memory.

    Example:
        >>> def run(groups):
        ...     return {
        ...         "criteria": ["kld", "mse"],
        ...         "kinds": ["intrinsic", "extrinsic"],
        ...         "thresholds": {"kld": 20.0, "mse": 0.1},
        ...         "values": np.zeros((3, 2)),
        ...         "group": groups,
        ...         "groups": {},
        ...         "ids": ["a", "b", "c"],
        ...     }
        >>> changes = compare_runs(run(["HIHE", "HIHE", "LILE"]), run(["HIHE", "HILE", "LILE"]))
        >>> changes.moved_between("HIHE", "HILE").tolist()
        [1]
    """
    boolean(partial, "partial")
    min_label = integer(min_label, "min_label", minimum=1)
    confidence = real(confidence, "confidence", above=0.0, below=1.0)
    first, second = _result("before", before), _result("after", after)
    _check_same_criteria(first, second)
    first = at_kept_thresholds(first, second)
    pairs = match_anchors(first, second, match, partial)
    start = take(_codes("before", first), pairs.before)
    end = take(_codes("after", second), pairs.after)
    matrix = group_pairs.count_pairs(start, end)
    shares = PairedShares(first, second, pairs.before, pairs.after)
    labels, n_small = _label_changes(pairs, start == 0, end == 0, shares, min_label, confidence)
    intervals, moved = _move_intervals(matrix, shares, confidence)
    thresholds = dict(
        zip(second.criteria, map(_shift, first.thresholds, second.thresholds), strict=True)
    )
    ratios = {name: shift.ratio for name, shift in thresholds.items()}
    return AnchorChanges(
        n=len(start),
        matched_by=pairs.by,
        confidence=confidence,
        matrix=matrix,
        intervals=intervals,
        moved_interval=moved,
        by_calibration=shares.by_calibration,
        paired=common_random_numbers(first, second),
        ways=_ways(matrix, start, end, pairs.after),
        index_before=pairs.before,
        index_after=pairs.after,
        code_before=start,
        code_after=end,
        shares=shares,
        groups={
            name: _share_change(name, *_pairs(matrix, k), shares.change(k), confidence)
            for k, name in enumerate(STATES)
        },
        labels=labels,
        min_label=min_label,
        n_small_labels=n_small,
        n_relabelled=pairs.n_relabelled,
        thresholds=thresholds,
        ids_only_before=pairs.only_before,
        ids_only_after=pairs.only_after,
        calibrations=calibrations_in_words(first, second),
        notes=tuple(filter(None, [rule_note(first, second), moved_note(ratios)])),
    )


def _ways(
    matrix: Integers, start: NDArray[np.int8], end: NDArray[np.int8], index: Integers
) -> dict[str, Integers]:
    """Return the positions of the anchors of each cell off the diagonal, the commonest first."""
    cells = [(i, j) for i, j in np.ndindex(matrix.shape) if i != j and matrix[i, j]]
    return {
        f"{STATES[i]}->{STATES[j]}": take(index, group_pairs.in_cell(start, end, i, j))
        for i, j in sorted(cells, key=lambda cell: -matrix[cell])
    }


def _result(name: str, source: Any) -> Result:
    """Return the result of a run; ``name`` is the parameter that gave it."""
    if isinstance(source, Result):
        return source
    data = getattr(source, "data", source)
    given = data if isinstance(data, Mapping) else {}
    missing = [repr(key) for key in _NEEDED if given.get(key) is None]
    if missing:
        got = f"{type(source).__name__} without {', '.join(missing)}"
        hint = "Pass an explanation of PXGen, or its data."
        raise ParameterError(name, "an explanation", got, hint)
    return Result.of(given)


def _check_same_criteria(before: Result, after: Result) -> None:
    """Raise unless groups mean the same in both runs."""
    for name in ("criteria", "kinds", "units", "rule"):
        first, second = getattr(before, name), getattr(after, name)
        if first != second:
            got = f"{short_repr(first)} before and {short_repr(second)} after"
            hint = "Audit both models with the same criteria and rule, or groups mean two things."
            raise ParameterError(name, "the same in both runs", got, hint)


def _codes(name: str, result: Result) -> NDArray[np.int8]:
    codes = codes_of(result.group)
    wrong = true_rows(lambda rows: codes[rows] < 0, len(codes))
    if len(wrong):
        allowed = "HIHE, HILE, LIHE, LILE or invalid for every anchor"
        got = f"{short_repr(str(result.group[wrong[0]]))} for anchor {wrong[0]}"
        raise ParameterError(f"{name}['group']", allowed, got, "Check the run's data.")
    return codes


def _move_intervals(
    matrix: Integers, shares: PairedShares, confidence: float
) -> tuple[NDArray[np.float64], tuple[float, float] | None]:
    """Return intervals of each cell's share, (5, 5, 2), and of the share of all that moved."""
    n, size = int(matrix.sum()), len(STATES)
    moves = shares.moves
    cells = move_intervals(matrix.ravel(), n, moves.reshape(len(moves), -1), confidence)
    count = np.array([n - int(np.trace(matrix))])
    low, high = move_intervals(count, n, shares.moved[:, None], confidence)[0]
    return cells.reshape(size, size, 2), (float(low), float(high)) if n else None


def _pairs(matrix: Integers, state: int) -> tuple[int, int, int, int]:
    """Return how many anchors are in a group in both runs, in one of them, and in none."""
    return group_pairs.paired_table(matrix, group_pairs.before(state), group_pairs.after(state))


def _share_change(
    name: str,
    both: int,
    first: int,
    second: int,
    neither: int,
    draws: NDArray[np.float64],
    confidence: float,
) -> ShareChange:
    n = both + first + second + neither
    interval = change_interval(both, first, second, neither, draws, confidence)
    if interval is None:
        return ShareChange(name, 0, None, None, None, None, None)
    shares = ((both + first) / n, (both + second) / n)
    ends = percentiles(draws[:, None], confidence)[0]
    alone = float(ends[1] - ends[0]) / 2
    return ShareChange(name, n, *shares, (second - first) / n, *interval, alone)


def _label_changes(
    pairs: AnchorPairs,
    before: NDArray[np.bool_],
    after: NDArray[np.bool_],
    shares: PairedShares,
    least: int,
    confidence: float,
) -> tuple[tuple[ShareChange, ...], int]:
    if pairs.labels is None:
        return (), 0
    names, code = np.unique(pairs.labels, return_inverse=True)
    code = code.reshape(-1)
    # columns: neither, first only, second only, both
    cell = 4 * code + before + 2 * after
    counts = np.bincount(cell, minlength=4 * len(names)).reshape(-1, 4)
    large = np.flatnonzero(counts.sum(axis=1) >= least)
    changes = []
    for k in large:
        neither, first, second, both = counts[k].tolist()
        draws = shares.change(0, code == k)
        changes.append(
            _share_change(str(names[k]), both, first, second, neither, draws, confidence)
        )
    changes.sort(key=lambda one: (-one.certainty, -abs(one.change or 0.0), one.name))
    return tuple(changes), len(names) - len(large)


def _shift(before: float, after: float) -> ThresholdShift:
    first, second = finite(before), finite(after)
    ratio = None if first is None or second is None or first == 0.0 else second / first
    return ThresholdShift(first, second, ratio)
