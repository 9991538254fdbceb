"""What conditions are about, measured on a run: values, their intervals, the anchors behind."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from pxgen_plugins.audit import group_pairs
from pxgen_plugins.audit.changes import AnchorChanges
from pxgen_plugins.audit.conditions import Comparison
from pxgen_plugins.audit.counterexamples import Counterexamples, counterexamples
from pxgen_plugins.audit.intervals import (
    Interval,
    Threshold,
    difference,
    of_mean,
    of_median,
)
from pxgen_plugins.audit.paired_shares import (
    change_interval,
    common_random_numbers,
    move_intervals,
)
from pxgen_plugins.evaluation.memorisation.ranks import auc_interval
from pxgen_plugins.groups import GROUPS, INVALID
from pxgen_plugins.result import Result
from pxgen_plugins.utils.large_arrays import blocks, compress, from_blocks, full, take, true_rows
from pxgen_plugins.utils.large_arrays import count as count_rows

if TYPE_CHECKING:
    from pxgen_plugins.evaluation import Copies

__all__ = ["NOTHING", "Measurement", "UnknownError", "measure"]

Indices = NDArray[np.int64]
Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Measurement:
    """The value that a condition is about.

    Attributes:
        observed: The value.
        interval: Its interval, None where there is none.
        n: Anchors behind it; None for a threshold.
        against: The anchors that speak against the condition.
    """

    observed: float
    interval: Interval
    n: int | None
    against: Counterexamples = field(default_factory=Counterexamples)


NOTHING = Measurement(math.nan, None, None)
"""Where a condition cannot be measured."""


class UnknownError(Exception):
    """A condition names what the run does not have."""


def measure(
    condition: Comparison,
    confidence: float,
    result: Result,
    baseline: Result | None,
    changes: AnchorChanges | None,
    copies: Copies | None = None,
) -> Measurement:
    """Return the value that a condition is about.

    Args:
        condition: The condition.
        confidence: Of the interval.
        result: Of the run.
        baseline: That of the run compared with, for a condition on a change.
        changes: From the baseline to this run.
        copies: What the search for training data found, where there was one.

    Raises:
        UnknownError: When the run does not have what the condition names.
    """
    if condition.subject in {"copies", "membership"}:
        return _memory(condition, confidence, copies)
    if condition.subject == "moved":
        assert changes is not None
        return _moves(condition, confidence, result, changes)
    if condition.subject == "group" and condition.change is None:
        return _share(condition, confidence, result)
    if condition.subject == "group":
        assert changes is not None
        return _share_change(condition, confidence, result, changes)
    now = _statistic(condition, confidence, result)
    if condition.change is None:
        return now
    assert baseline is not None
    before = _statistic(condition, confidence, baseline)
    gap = now.observed - before.observed
    interval = None
    if condition.subject == "threshold":
        first, second = (Threshold.of(run, _column(condition, run)) for run in (baseline, result))
        paired = common_random_numbers(baseline, result)
        interval = difference(first, second, confidence, paired)
    n = None if now.n is None or before.n is None else min(now.n, before.n)
    return Measurement(*_in_direction(condition, gap, interval), n, now.against)


def _share(condition: Comparison, confidence: float, result: Result) -> Measurement:
    inside, among = _membership(condition, result)
    invalid, size = result.is_invalid, result.n

    def maybe_inside(rows: slice) -> Mask:
        found: Mask = (inside[rows] | invalid[rows]) & among[rows]
        return found

    def outside(rows: slice) -> Mask:
        return ~inside[rows] & among[rows]

    n = count_rows(lambda rows: among[rows], size)
    count = n - count_rows(outside, size)
    possible = count_rows(maybe_inside, size)
    upper = condition.op in {"<=", "<"}
    against = _by_anchor_value(result, maybe_inside if upper else outside)
    if condition.measure == "count":
        interval = (count, possible) if possible > count else None
        return Measurement(float(count), interval, n, against)
    if not n:
        return Measurement(math.nan, None, n, against)
    some = None if condition.label is None else among
    ends = result.shares.intervals(some, confidence, possible - count)[_state(condition.group)]
    return Measurement(count / n, (float(ends[0]), float(ends[1])), n, against)


def _share_change(
    condition: Comparison,
    confidence: float,
    result: Result,
    changes: AnchorChanges,
) -> Measurement:
    """Return the change of a group's share, or count, over the anchors of both runs.

    An anchor that is invalid in either run may have been in the group then: the interval is wide
    enough for the least and the most that the change can be.
    """
    _, among = _membership(condition, result)
    index, start, end = changes.index_after, changes.code_before, changes.code_after
    table = group_pairs.count_pairs(start, end, lambda rows: among[index[rows]])
    state, invalid = _state(condition.group), _state(INVALID)
    first, second = group_pairs.before(state), group_pairs.after(state)
    invalid_first, invalid_second = group_pairs.before(invalid), group_pairs.after(invalid)
    # an anchor that is invalid in both runs has not moved
    maybe_first = first | (invalid_first & ~invalid_second)
    maybe_second = second | (invalid_second & ~invalid_first)
    n = int(table.sum())
    gap = float(table[second].sum() - table[first].sum())
    least = float(table[second].sum() - table[maybe_first].sum())
    most = float(table[maybe_second].sum() - table[first].sum())
    interval: Interval = (least, most) if least < most else None
    if condition.measure == "fraction":
        gap = gap / n if n else math.nan
        kept = None if condition.label is None else take(among, index)
        draws = changes.shares.change(state, kept)
        falls = group_pairs.paired_table(table, maybe_first, second)
        rises = group_pairs.paired_table(table, first, maybe_second)
        fall = change_interval(*falls, draws, confidence)
        rise = change_interval(*rises, draws, confidence)
        interval = None if fall is None or rise is None else (fall[0], rise[1])
    cells = {
        "drop": maybe_first & ~second, "rise": ~first & maybe_second,
        "change": maybe_first ^ maybe_second,
    }[str(condition.change)]  # fmt: skip
    mask = full(result.n, False, bool)
    for rows in blocks(len(index)):
        mask[index[rows]] = cells[start[rows], end[rows]] & among[index[rows]]
    found = _by_anchor_value(result, lambda rows: mask[rows])
    return Measurement(*_in_direction(condition, gap, interval), n, found)


def _in_direction(condition: Comparison, gap: float, interval: Interval) -> tuple[float, Interval]:
    """Return a difference, after less before, as a drop, a rise or a size."""
    if condition.change == "rise":
        return gap, interval
    if condition.change == "drop":
        return -gap, None if interval is None else (-interval[1], -interval[0])
    if interval is not None:
        ends = sorted(abs(end) for end in interval)
        interval = (0.0 if interval[0] <= 0.0 <= interval[1] else ends[0], ends[1])
    return abs(gap), interval


def _moves(
    condition: Comparison, confidence: float, result: Result, changes: AnchorChanges
) -> Measurement:
    if condition.group is None or condition.end is None:
        known = possible = changes.moved
        draws = changes.shares.moved
    else:
        ways = [(a, b) for a in {condition.group, INVALID} for b in {condition.end, INVALID}]
        ways = [way for way in ways if way != (INVALID, INVALID)]  # it has not moved
        known = changes.moved_between(condition.group, condition.end)
        possible = np.concatenate([changes.moved_between(a, b) for a, b in ways])
        draws = changes.shares.moves[:, _state(condition.group), _state(condition.end)]
    mask = np.zeros(result.n, dtype=bool)
    mask[possible] = True
    against = _by_anchor_value(result, lambda rows: mask[rows])
    least, most, n = len(known), len(possible), changes.n
    if condition.measure == "count":
        return Measurement(float(least), (least, most) if most > least else None, n, against)
    if not n:
        return Measurement(math.nan, None, n, against)
    shares = np.stack([draws, draws + (most - least) / n], axis=1)
    (low, _), (_, high) = move_intervals(np.array([least, most]), n, shares, confidence)
    return Measurement(least / n, (float(low), float(high)), n, against)


def _state(group: str | None) -> int:
    """Return the place of a group in ``(*GROUPS, INVALID)``."""
    return (*GROUPS, INVALID).index(str(group))


def _statistic(condition: Comparison, confidence: float, result: Result) -> Measurement:
    """Return a threshold, a median or the mean stability."""
    if condition.subject == "stability":
        return _stability(confidence, result)
    column = _column(condition, result)
    if condition.subject == "threshold":
        threshold = Threshold.of(result, column)
        interval = threshold.interval(confidence)
        return Measurement(threshold.reported, interval, None)
    values, n = result.values[:, column], result.n
    group = result.group

    def inside(rows: slice) -> Mask:
        wanted = condition.group
        mask = group[rows] != INVALID if wanted is None else group[rows] == wanted
        found: Mask = mask & np.isfinite(values[rows])
        return found

    ordered = take(values, true_rows(inside, n))
    if not len(ordered):
        raise UnknownError("there are no such anchors")
    ordered.sort()
    ends = of_median(ordered, result.counts[INVALID], confidence)
    middle = ordered[(len(ordered) - 1) // 2 : len(ordered) // 2 + 1]
    sign = 1.0 if condition.op in {"<=", "<"} else -1.0
    against = counterexamples(
        lambda rows: inside(rows) & (sign * values[rows] > sign * condition.limit),
        lambda index: sign * values[index],
        n,
    )
    return Measurement(float(middle.mean()), ends, len(ordered), against)


def _memory(condition: Comparison, confidence: float, copies: Copies | None) -> Measurement:
    """Return how many training instances are given back, or the area of a membership."""
    if copies is None:
        raise UnknownError("there was no search for copies")
    if condition.subject == "copies":
        return Measurement(float(copies.count), None, None)
    found = copies.membership.get(str(condition.criterion))
    if found is None:
        known = ", ".join(copies.membership) or "none"
        raise UnknownError(f"no membership by {condition.criterion!r} in this run, only {known}")
    ends = auc_interval(found.auc, found.n, found.n_control, confidence)
    return Measurement(found.auc, ends, None)


def _stability(confidence: float, result: Result) -> Measurement:
    if result.calibration is None or len(result.calibration.repeats) < 2:
        raise UnknownError("thresholds of one repeat say nothing of stability")
    values = result.group_stability
    known = compress(values, np.isfinite)
    mean = float(known.mean()) if len(known) else math.nan
    against = counterexamples(
        lambda rows: np.ones(rows.stop - rows.start, dtype=bool),
        lambda index: -np.nan_to_num(values[index], nan=-1.0),
        result.n,
    )
    # The low end is as if every unknown stability were 0, the high end as if it were 1.
    ends = [of_mean(_filled(values, unknown), confidence) for unknown in (0.0, 1.0)]
    interval = None
    if ends[0] is not None and ends[1] is not None:
        interval = (max(ends[0][0], 0.0), min(ends[1][1], 1.0))
    return Measurement(mean, interval, len(known), against)


def _column(condition: Comparison, result: Result) -> int:
    """Return the place of a condition's criterion in a run."""
    if condition.criterion not in result.criteria:
        known = ", ".join(result.criteria)
        raise UnknownError(f"no criterion {condition.criterion!r} in this run, only {known}")
    return result.criteria.index(condition.criterion)


def _membership(condition: Comparison, result: Result) -> tuple[Mask, Mask]:
    """Return which anchors are in the group, and which have the label."""
    n, group, labels = result.n, result.group, result.labels
    among = full(n, True, bool)
    if condition.label is not None:
        if labels is None:
            raise UnknownError("the anchors have no labels")
        among = labels == condition.label
        if not among.any():
            raise UnknownError(f"no anchor has the label {condition.label!r}")
    return from_blocks(lambda rows: group[rows] == condition.group, n, bool), among


def _by_anchor_value(result: Result, mask: Callable[[slice], Mask]) -> Counterexamples:
    """Return the anchors of a mask, those with the largest anchor value first."""
    return counterexamples(mask, lambda index: result.anchor_value[index], result.n)


def _filled(values: NDArray[np.float64], unknown: float) -> NDArray[np.float64]:
    """Return the values with a number in the place of NaN."""
    return from_blocks(
        lambda rows: np.nan_to_num(values[rows], nan=unknown), len(values), np.float64
    )
