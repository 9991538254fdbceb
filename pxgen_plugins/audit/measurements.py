"""What conditions are about, measured on a run: values, their intervals, the anchors behind."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from pxgen_plugins.audit.changes import AnchorChanges
from pxgen_plugins.audit.conditions import Comparison
from pxgen_plugins.audit.intervals import (
    Interval,
    Threshold,
    difference,
    of_mean,
    of_median,
    paired_table,
)
from pxgen_plugins.audit.paired_shares import (
    change_interval,
    common_random_numbers,
    move_intervals,
)
from pxgen_plugins.evaluation.memorisation.ranks import auc_interval
from pxgen_plugins.groups import GROUPS, INVALID
from pxgen_plugins.result import Result

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
        against: Indices of the anchors that speak against the condition, the strongest first.
    """

    observed: float
    interval: Interval
    n: int | None
    against: Indices


NOTHING = Measurement(math.nan, None, None, np.empty(0, np.int64))
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
        assert baseline is not None
        assert changes is not None
        return _share_change(condition, confidence, result, baseline, changes)
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
    count, n = int((inside & among).sum()), int(among.sum())
    most = count + int((result.is_invalid & ~inside & among).sum())
    upper = condition.op in {"<=", "<"}
    mask = (inside | result.is_invalid) & among if upper else ~inside & among
    against = _by_anchor_value(result, mask)
    if condition.measure == "count":
        return Measurement(float(count), (count, most) if most > count else None, n, against)
    if not n:
        return Measurement(math.nan, None, n, against)
    some = None if condition.label is None else among
    ends = result.shares.intervals(some, confidence, most - count)[_state(condition.group)]
    return Measurement(count / n, (float(ends[0]), float(ends[1])), n, against)


def _share_change(
    condition: Comparison,
    confidence: float,
    result: Result,
    baseline: Result,
    changes: AnchorChanges,
) -> Measurement:
    """Return the change of a group's share, or count, over the anchors of both runs.

    An anchor that is invalid in either run may have been in the group then: the interval is wide
    enough for the least and the most that the change can be.
    """
    now, among = _membership(condition, result)
    before, _ = _membership(condition, baseline, use_label=False)
    kept = among[changes.index_after]
    first = before[changes.index_before][kept]
    second = now[changes.index_after][kept]
    invalid_first = baseline.is_invalid[changes.index_before][kept]
    invalid_second = result.is_invalid[changes.index_after][kept]
    # an anchor that is invalid in both runs has not moved
    maybe_first = first | (invalid_first & ~invalid_second)
    maybe_second = second | (invalid_second & ~invalid_first)
    n = len(first)
    gap = float(second.sum()) - float(first.sum())
    least = float(second.sum()) - float(maybe_first.sum())
    most = float(maybe_second.sum()) - float(first.sum())
    interval: Interval = (least, most) if least < most else None
    if condition.measure == "fraction":
        gap = gap / n if n else math.nan
        draws = changes.shares.change(
            _state(condition.group), None if condition.label is None else kept
        )
        fall = change_interval(*paired_table(maybe_first, second), draws, confidence)
        rise = change_interval(*paired_table(first, maybe_second), draws, confidence)
        interval = None if fall is None or rise is None else (fall[0], rise[1])
    against = {
        "drop": maybe_first & ~second, "rise": ~first & maybe_second,
        "change": maybe_first ^ maybe_second,
    }[str(condition.change)]  # fmt: skip
    mask = np.zeros(len(now), dtype=bool)
    mask[changes.index_after[kept][against]] = True
    return Measurement(*_in_direction(condition, gap, interval), n, _by_anchor_value(result, mask))


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
    against = _by_anchor_value(result, mask)
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
        return Measurement(threshold.reported, interval, None, np.empty(0, np.int64))
    values = result.values[:, column]
    members = ~result.is_invalid if condition.group is None else result.group == condition.group
    members &= np.isfinite(values)
    if not members.any():
        raise UnknownError("there are no such anchors")
    upper = condition.op in {"<=", "<"}
    beyond = members & ((values > condition.limit) if upper else (values < condition.limit))
    indices = np.flatnonzero(beyond)
    order = np.argsort(-values[indices] if upper else values[indices], kind="stable")
    ends = of_median(np.sort(values[members]), int(result.is_invalid.sum()), confidence)
    median = float(np.median(values[members]))
    return Measurement(median, ends, int(members.sum()), indices[order])


def _memory(condition: Comparison, confidence: float, copies: Copies | None) -> Measurement:
    """Return how many training instances are given back, or the area of a membership."""
    if copies is None:
        raise UnknownError("there was no search for copies")
    if condition.subject == "copies":
        return Measurement(float(copies.count), None, None, NOTHING.against)
    found = copies.membership.get(str(condition.criterion))
    if found is None:
        known = ", ".join(copies.membership) or "none"
        raise UnknownError(f"no membership by {condition.criterion!r} in this run, only {known}")
    ends = auc_interval(found.auc, found.n, found.n_control, confidence)
    return Measurement(found.auc, ends, None, NOTHING.against)


def _stability(confidence: float, result: Result) -> Measurement:
    if result.calibration is None or len(result.calibration.repeats) < 2:
        raise UnknownError("thresholds of one repeat say nothing of stability")
    values = result.group_stability
    known = np.isfinite(values)
    mean = float(values[known].mean()) if known.any() else math.nan
    against = np.argsort(np.where(known, values, -1.0), kind="stable")
    # The low end is as if every unknown stability were 0, the high end as if it were 1.
    ends = [of_mean(np.where(known, values, unknown), confidence) for unknown in (0.0, 1.0)]
    interval = None
    if ends[0] is not None and ends[1] is not None:
        interval = (max(ends[0][0], 0.0), min(ends[1][1], 1.0))
    return Measurement(mean, interval, int(known.sum()), against.astype(np.int64))


def _column(condition: Comparison, result: Result) -> int:
    """Return the place of a condition's criterion in a run."""
    if condition.criterion not in result.criteria:
        known = ", ".join(result.criteria)
        raise UnknownError(f"no criterion {condition.criterion!r} in this run, only {known}")
    return result.criteria.index(condition.criterion)


def _membership(condition: Comparison, result: Result, use_label: bool = True) -> tuple[Mask, Mask]:
    """Return which anchors are in the group, and which have the label."""
    among = np.ones(result.n, dtype=bool)
    if condition.label is not None and use_label:
        if result.labels is None:
            raise UnknownError("the anchors have no labels")
        among = result.labels == condition.label
        if not among.any():
            raise UnknownError(f"no anchor has the label {condition.label!r}")
    return result.group == condition.group, among


def _by_anchor_value(result: Result, mask: Mask) -> Indices:
    """Return the positions in ``mask``, those with the largest anchor value first."""
    indices = np.flatnonzero(mask)
    value = result.anchor_value[indices]
    order = np.argsort(-np.nan_to_num(value, nan=-np.inf), kind="stable")
    return indices[order].astype(np.int64)
