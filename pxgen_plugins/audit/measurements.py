"""What conditions are about, measured on a run: values, their intervals, the anchors behind."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pxgen_plugins.audit.changes import AnchorChanges
from pxgen_plugins.audit.conditions import Parsed
from pxgen_plugins.audit.intervals import (
    Interval,
    between,
    of_mean,
    of_median,
    of_repeats,
    of_share,
    paired_interval,
    paired_table,
    repeats_of,
)
from pxgen_plugins.groups import INVALID

__all__ = ["NOTHING", "Measurement", "UnknownError", "measure", "n_invalid"]

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
    parsed: Parsed,
    confidence: float,
    data: Mapping[str, Any],
    baseline: Mapping[str, Any] | None,
    changes: AnchorChanges | None,
) -> Measurement:
    """Return the value that a condition is about.

    Args:
        parsed: The condition.
        confidence: Of the interval.
        data: The explanation's data.
        baseline: That of the run compared with, for a condition on a change.
        changes: From the baseline to this run.

    Raises:
        UnknownError: When the run does not have what the condition names.
    """
    if parsed.subject == "moved":
        assert changes is not None
        return _moves(parsed, confidence, data, changes)
    if parsed.subject == "group" and parsed.change is None:
        return _share(parsed, confidence, data)
    if parsed.subject == "group":
        assert baseline is not None
        assert changes is not None
        return _share_change(parsed, confidence, data, baseline, changes)
    now = _statistic(parsed, confidence, data)
    if parsed.change is None:
        return now
    assert baseline is not None
    before = _statistic(parsed, confidence, baseline)
    gap = now.observed - before.observed
    interval = None
    if parsed.subject == "threshold":
        repeats = [repeats_of(run)[:, _column(parsed, run)] for run in (baseline, data)]
        interval = between(repeats[0], repeats[1], confidence)
    n = None if now.n is None or before.n is None else min(now.n, before.n)
    return Measurement(*_in_direction(parsed, gap, interval), n, now.against)


def n_invalid(data: Mapping[str, Any]) -> int:
    """Return the number of anchors that have no group."""
    return int(_invalid(data).sum())


def _share(parsed: Parsed, confidence: float, data: Mapping[str, Any]) -> Measurement:
    inside, among = _membership(parsed, data)
    count, n = int((inside & among).sum()), int(among.sum())
    most = count + int((_invalid(data) & ~inside & among).sum())
    upper = parsed.op in {"<=", "<"}
    mask = (inside | _invalid(data)) & among if upper else ~inside & among
    return _count_or_share(parsed, confidence, count, most, n, _by_anchor_value(data, mask))


def _count_or_share(
    parsed: Parsed, confidence: float, count: int, most: int, n: int, against: Indices
) -> Measurement:
    """Return a count, or a share of n; ``most`` is the count with those that are not known."""
    if parsed.measure == "count":
        return Measurement(float(count), (count, most) if most > count else None, n, against)
    share = count / n if n else math.nan
    return Measurement(share, of_share(count, most, n, confidence), n, against)


def _share_change(
    parsed: Parsed,
    confidence: float,
    data: Mapping[str, Any],
    baseline: Mapping[str, Any],
    changes: AnchorChanges,
) -> Measurement:
    """Return the change of a group's share, or count, over the anchors of both runs.

    An anchor that is invalid in either run may have been in the group then: the interval is wide
    enough for the least and the most that the change can be.
    """
    now, among = _membership(parsed, data)
    before, _ = _membership(parsed, baseline, use_label=False)
    kept = among[changes.index_after]
    first = before[changes.index_before][kept]
    second = now[changes.index_after][kept]
    maybe_first = first | _invalid(baseline)[changes.index_before][kept]
    maybe_second = second | _invalid(data)[changes.index_after][kept]
    n = len(first)
    gap = float(second.sum()) - float(first.sum())
    least = float(second.sum()) - float(maybe_first.sum())
    most = float(maybe_second.sum()) - float(first.sum())
    interval: Interval = (least, most) if least < most else None
    if parsed.measure == "fraction":
        gap = gap / n if n else math.nan
        fall = paired_interval(*paired_table(maybe_first, second), confidence)
        rise = paired_interval(*paired_table(first, maybe_second), confidence)
        interval = None if fall is None or rise is None else (fall[0], rise[1])
    against = {
        "drop": maybe_first & ~second, "rise": ~first & maybe_second,
        "change": maybe_first ^ maybe_second,
    }[str(parsed.change)]  # fmt: skip
    mask = np.zeros(len(now), dtype=bool)
    mask[changes.index_after[kept][against]] = True
    return Measurement(*_in_direction(parsed, gap, interval), n, _by_anchor_value(data, mask))


def _in_direction(parsed: Parsed, gap: float, interval: Interval) -> tuple[float, Interval]:
    """Return a difference, after less before, as a drop, a rise or a size."""
    if parsed.change == "rise":
        return gap, interval
    if parsed.change == "drop":
        return -gap, None if interval is None else (-interval[1], -interval[0])
    if interval is not None:
        ends = sorted(abs(end) for end in interval)
        interval = (0.0 if interval[0] <= 0.0 <= interval[1] else ends[0], ends[1])
    return abs(gap), interval


def _moves(
    parsed: Parsed, confidence: float, data: Mapping[str, Any], changes: AnchorChanges
) -> Measurement:
    if parsed.group is None or parsed.end is None:
        known = possible = changes.moved
    else:
        ways = [(a, b) for a in {parsed.group, INVALID} for b in {parsed.end, INVALID}]
        known = changes.moved_between(parsed.group, parsed.end)
        possible = np.concatenate([changes.moved_between(a, b) for a, b in ways])
    mask = np.zeros(len(data["group"]), dtype=bool)
    mask[possible] = True
    against = _by_anchor_value(data, mask)
    return _count_or_share(parsed, confidence, len(known), len(possible), changes.n, against)


def _statistic(parsed: Parsed, confidence: float, data: Mapping[str, Any]) -> Measurement:
    """Return a threshold, a median or the mean stability."""
    if parsed.subject == "stability":
        return _stability(confidence, data)
    column = _column(parsed, data)
    if parsed.subject == "threshold":
        value = data["thresholds"][parsed.criterion]
        observed = math.nan if value is None else float(value)
        interval = of_repeats(observed, repeats_of(data)[:, column], confidence)
        return Measurement(observed, interval, None, np.empty(0, np.int64))
    group = np.asarray(data["group"], dtype=str)
    members = group != INVALID if parsed.group is None else group == parsed.group
    values = np.asarray(data["values"], dtype=float)[:, column]
    members &= np.isfinite(values)
    if not members.any():
        raise UnknownError("there are no such anchors")
    upper = parsed.op in {"<=", "<"}
    beyond = members & ((values > parsed.limit) if upper else (values < parsed.limit))
    indices = np.flatnonzero(beyond)
    order = np.argsort(-values[indices] if upper else values[indices], kind="stable")
    ends = of_median(np.sort(values[members]), n_invalid(data), confidence)
    median = float(np.median(values[members]))
    return Measurement(median, ends, int(members.sum()), indices[order])


def _stability(confidence: float, data: Mapping[str, Any]) -> Measurement:
    if len(repeats_of(data)) < 2:
        raise UnknownError("thresholds of one repeat say nothing of stability")
    values = np.asarray(data["group_stability"], dtype=float)
    known = np.isfinite(values)
    mean = float(values[known].mean()) if known.any() else math.nan
    against = np.argsort(np.where(known, values, -1.0), kind="stable")
    # The low end is as if every unknown stability were 0, the high end as if it were 1.
    ends = [of_mean(np.where(known, values, unknown), confidence) for unknown in (0.0, 1.0)]
    interval = None
    if ends[0] is not None and ends[1] is not None:
        interval = (max(ends[0][0], 0.0), min(ends[1][1], 1.0))
    return Measurement(mean, interval, int(known.sum()), against.astype(np.int64))


def _column(parsed: Parsed, data: Mapping[str, Any]) -> int:
    """Return the place of a condition's criterion in a run."""
    criteria = [str(name) for name in data["criteria"]]
    if parsed.criterion not in criteria:
        known = ", ".join(criteria)
        raise UnknownError(f"no criterion {parsed.criterion!r} in this run, only {known}")
    return criteria.index(parsed.criterion)


def _invalid(data: Mapping[str, Any]) -> Mask:
    return np.asarray(np.asarray(data["group"], dtype=str) == INVALID)


def _membership(
    parsed: Parsed, data: Mapping[str, Any], use_label: bool = True
) -> tuple[Mask, Mask]:
    """Return which anchors are in the group, and which have the label."""
    group = np.asarray(data["group"], dtype=str)
    among = np.ones(len(group), dtype=bool)
    if parsed.label is not None and use_label:
        labels = data.get("labels")
        if labels is None:
            raise UnknownError("the anchors have no labels")
        among = np.asarray(labels, dtype=str) == parsed.label
        if not among.any():
            raise UnknownError(f"no anchor has the label {parsed.label!r}")
    return group == parsed.group, among


def _by_anchor_value(data: Mapping[str, Any], mask: Mask) -> Indices:
    """Return the positions in ``mask``, those with the largest anchor value first."""
    indices = np.flatnonzero(mask)
    value = np.asarray(data["anchor_value"], dtype=float)[indices]
    order = np.argsort(-np.nan_to_num(value, nan=-np.inf), kind="stable")
    return indices[order].astype(np.int64)
