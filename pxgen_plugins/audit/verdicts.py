"""Whether conditions hold, judged on the safe end of an interval."""

from __future__ import annotations

import math
import operator
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pxgen_plugins.audit.changes import Changes
from pxgen_plugins.audit.conditions import Condition, Parsed, parse
from pxgen_plugins.audit.intervals import (
    Interval,
    between,
    of_mean,
    of_median,
    of_repeats,
    of_share,
    repeats_of,
)
from pxgen_plugins.audit.paired_intervals import paired_interval
from pxgen_plugins.groups import INVALID

__all__ = ["Judgement", "judge"]

_OPERATORS = {"<=": operator.le, "<": operator.lt, ">=": operator.ge, ">": operator.gt}
_EVIDENCE = 50

Indices = NDArray[np.int64]


@dataclass(frozen=True)
class Judgement:
    """What came of a condition.

    Attributes:
        name: Its name; the text where it has none.
        text: Its text.
        severity: ``"error"`` or ``"warning"``.
        state: ``"passed"``, ``"failed"``, ``"warning"`` (does not hold, of that severity),
            ``"error"`` (cannot be judged) or ``"skipped"`` (too few anchors).
        observed: The value.
        low: Low end of its interval; None without one, or without an end.
        high: High end.
        bound: The number that was compared with the limit.
        limit: The limit.
        n: Anchors behind it; None for a threshold.
        reason: Why it is not passed; empty otherwise.
        anchors: Indices of up to 50 anchors that speak against it, the strongest first.
        n_against: How many speak against it in all.
        confidence: Of the interval.
        min_count: Fewer anchors than this skip it.
    """

    name: str
    text: str
    severity: str
    state: str
    observed: float | None
    low: float | None
    high: float | None
    bound: float | None
    limit: float
    n: int | None
    reason: str
    anchors: tuple[int, ...]
    n_against: int
    confidence: float
    min_count: int

    def as_dict(self) -> dict[str, Any]:
        """Return it as JSON holds it."""
        return asdict(self) | {"anchors": list(self.anchors)}


@dataclass(frozen=True)
class _Fact:
    observed: float
    interval: Interval
    n: int | None
    against: Indices


class _Unknown(Exception):
    """A condition names what the run does not have."""


def judge(
    conditions: Sequence[Condition],
    data: Mapping[str, Any],
    baseline: Mapping[str, Any] | None = None,
    changes: Changes | None = None,
) -> list[Judgement]:
    """Judge conditions on a run.

    A share is judged on an end of its Wilson interval (Wilson 1927), its change since the baseline
    on one of Newcombe's paired interval (1998, method 10), a median on the order statistics around
    it (Conover 1999, section 3.2), the mean stability on Student's interval over anchors, a
    threshold, and its change, on the spread of the calibration repeats, t-distributed: for an upper
    limit the high end must keep it, for a lower limit the low end. So few anchors never pass by
    luck. Counts, changes of medians and stability, and thresholds of one repeat have no interval
    and are judged as they are. Anchors that have no group (invalid) may belong to any: an interval
    reaches as far as if they did. What is NaN or unknown is an error and never passes.

    Args:
        conditions: What must hold.
        data: The explanation's data.
        baseline: That of the run compared with.
        changes: From the baseline to this run.

    Returns:
        A judgement per condition, in order.

    Cost: O(n) per condition.
    """
    return [_judged(condition, data, baseline, changes) for condition in conditions]


def _judged(
    condition: Condition,
    data: Mapping[str, Any],
    baseline: Mapping[str, Any] | None,
    changes: Changes | None,
) -> Judgement:
    parsed = parse(condition.text)

    def result(state: str, reason: str, fact: _Fact | None = None, bound: Any = None) -> Judgement:
        ends = (math.nan, math.nan) if fact is None or fact.interval is None else fact.interval
        low, high = (end if math.isfinite(end) else None for end in ends)
        against = fact.against if fact is not None and state != "passed" else ()
        return Judgement(
            condition.name or condition.text,
            condition.text,
            condition.severity,
            state,
            None if fact is None or not math.isfinite(fact.observed) else fact.observed,
            low,
            high,
            bound if bound is not None and math.isfinite(bound) else None,
            parsed.limit,
            None if fact is None else fact.n,
            reason,
            tuple(int(index) for index in against[:_EVIDENCE]),
            len(against),
            condition.confidence,
            condition.min_count,
        )

    if parsed.relative and (baseline is None or changes is None):
        return result("error", "it compares with a baseline, and there is none")
    try:
        fact = _fact(parsed, condition.confidence, data, baseline, changes)
    except _Unknown as error:
        return result("error", str(error))
    if fact.n is not None and fact.n < condition.min_count:
        return result("skipped", f"{fact.n} anchors, fewer than {condition.min_count}", fact)
    if not math.isfinite(fact.observed):
        return result("error", "the value is not a finite number", fact)
    holds = _OPERATORS[parsed.op]
    bound = fact.observed
    if fact.interval is not None:
        bound = fact.interval[1 if parsed.op in {"<=", "<"} else 0]
    if holds(bound, parsed.limit) and holds(fact.observed, parsed.limit):
        return result("passed", "", fact, bound)
    failed = "warning" if condition.severity == "warning" else "failed"
    if holds(fact.observed, parsed.limit):
        percent = f"{100 * condition.confidence:g}%"
        reason = f"the value holds, but not the end of its {percent} interval, {bound:.6g}"
        if not math.isfinite(bound):
            reason = f"the value holds, but there are too few anchors for a {percent} interval"
        behind = "" if fact.n is None else f" ({fact.n} anchors{_unknown_of(parsed, data)})"
        return result(failed, reason + behind, fact, bound)
    return result(failed, f"{fact.observed:.6g} is not {parsed.op} {parsed.limit:g}", fact, bound)


def _fact(
    parsed: Parsed,
    confidence: float,
    data: Mapping[str, Any],
    baseline: Mapping[str, Any] | None,
    changes: Changes | None,
) -> _Fact:
    if parsed.subject == "moved":
        assert changes is not None
        return _moved(parsed, confidence, data, changes)
    if parsed.subject == "group" and parsed.change is None:
        return _share(parsed, confidence, data)
    if parsed.subject == "group":
        assert baseline is not None
        assert changes is not None
        return _shifted(parsed, confidence, data, baseline, changes)
    now = _number(parsed, confidence, data)
    if parsed.change is None:
        return now
    assert baseline is not None
    before = _number(parsed, confidence, baseline)
    gap = now.observed - before.observed
    interval = None
    if parsed.subject == "threshold":
        repeats = [repeats_of(run)[:, _column(parsed, run)] for run in (baseline, data)]
        interval = between(repeats[0], repeats[1], confidence)
    n = None if now.n is None or before.n is None else min(now.n, before.n)
    return _Fact(*_directed(parsed, gap, interval), n, now.against)


def _share(parsed: Parsed, confidence: float, data: Mapping[str, Any]) -> _Fact:
    inside, among = _membership(parsed, data)
    count, n = int((inside & among).sum()), int(among.sum())
    most = count + int((_invalid(data) & ~inside & among).sum())
    upper = parsed.op in {"<=", "<"}
    against = _ordered(data, (inside | _invalid(data)) & among if upper else ~inside & among)
    return _counted(parsed, confidence, count, most, n, against)


def _counted(
    parsed: Parsed, confidence: float, count: int, most: int, n: int, against: Indices
) -> _Fact:
    """Return a count, or a share of n; ``most`` is the count with those that are not known."""
    if parsed.measure == "count":
        return _Fact(float(count), (count, most) if most > count else None, n, against)
    share = count / n if n else math.nan
    return _Fact(share, of_share(count, most, n, confidence), n, against)


def _shifted(
    parsed: Parsed,
    confidence: float,
    data: Mapping[str, Any],
    baseline: Mapping[str, Any],
    changes: Changes,
) -> _Fact:
    now, among = _membership(parsed, data)
    before, _ = _membership(parsed, baseline, labelled=False)
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
        fell = paired_interval(*_table(maybe_first, second), confidence)
        rose = paired_interval(*_table(first, maybe_second), confidence)
        interval = None if fell is None or rose is None else (fell[0], rose[1])
    moved = {
        "drop": maybe_first & ~second, "rise": ~first & maybe_second,
        "change": maybe_first ^ maybe_second,
    }[str(parsed.change)]  # fmt: skip
    mask = np.zeros(len(now), dtype=bool)
    mask[changes.index_after[kept][moved]] = True
    return _Fact(*_directed(parsed, gap, interval), n, _ordered(data, mask))


def _directed(parsed: Parsed, gap: float, interval: Interval) -> tuple[float, Interval]:
    """Return a difference, after less before, as a drop, a rise or a size."""
    if parsed.change == "rise":
        return gap, interval
    if parsed.change == "drop":
        return -gap, None if interval is None else (-interval[1], -interval[0])
    if interval is not None:
        ends = sorted(abs(end) for end in interval)
        interval = (0.0 if interval[0] <= 0.0 <= interval[1] else ends[0], ends[1])
    return abs(gap), interval


def _moved(parsed: Parsed, confidence: float, data: Mapping[str, Any], changes: Changes) -> _Fact:
    if parsed.group is None or parsed.end is None:
        known = possible = changes.moved
    else:
        ways = [(a, b) for a in {parsed.group, INVALID} for b in {parsed.end, INVALID}]
        known = changes.moved_between(parsed.group, parsed.end)
        possible = np.concatenate([changes.moved_between(a, b) for a, b in ways])
    mask = np.zeros(len(data["group"]), dtype=bool)
    mask[possible] = True
    against = _ordered(data, mask)
    return _counted(parsed, confidence, len(known), len(possible), changes.n, against)


def _number(parsed: Parsed, confidence: float, data: Mapping[str, Any]) -> _Fact:
    """Return a threshold, a median or the mean stability."""
    if parsed.subject == "stability":
        return _stability(confidence, data)
    column = _column(parsed, data)
    nobody = np.empty(0, np.int64)
    if parsed.subject == "threshold":
        given = data["thresholds"][parsed.criterion]
        observed = math.nan if given is None else float(given)
        interval = of_repeats(observed, repeats_of(data)[:, column], confidence)
        return _Fact(observed, interval, None, nobody)
    group = np.asarray(data["group"], dtype=str)
    valid = group != INVALID if parsed.group is None else group == parsed.group
    values = np.asarray(data["values"], dtype=float)[:, column]
    valid &= np.isfinite(values)
    if not valid.any():
        raise _Unknown("there are no such anchors")
    upper = parsed.op in {"<=", "<"}
    beyond = np.flatnonzero(valid & ((values > parsed.limit) if upper else (values < parsed.limit)))
    against = beyond[np.argsort(-values[beyond] if upper else values[beyond], kind="stable")]
    unknown = int(_invalid(data).sum())
    ends = of_median(np.sort(values[valid]), unknown, confidence)
    return _Fact(float(np.median(values[valid])), ends, int(valid.sum()), against)


def _stability(confidence: float, data: Mapping[str, Any]) -> _Fact:
    if len(repeats_of(data)) < 2:
        raise _Unknown("thresholds of one repeat say nothing of stability")
    values = np.asarray(data["group_stability"], dtype=float)
    known = np.isfinite(values)
    mean = float(values[known].mean()) if known.any() else math.nan
    against = np.argsort(np.where(known, values, -1.0), kind="stable")
    ends = [of_mean(np.where(known, values, filled), confidence) for filled in (0.0, 1.0)]
    interval = None
    if ends[0] is not None and ends[1] is not None:
        interval = (max(ends[0][0], 0.0), min(ends[1][1], 1.0))
    return _Fact(mean, interval, int(known.sum()), against.astype(np.int64))


def _column(parsed: Parsed, data: Mapping[str, Any]) -> int:
    """Return the place of a condition's criterion in a run."""
    criteria = [str(name) for name in data["criteria"]]
    if parsed.criterion not in criteria:
        known = ", ".join(criteria)
        raise _Unknown(f"no criterion {parsed.criterion!r} in this run, only {known}")
    return criteria.index(parsed.criterion)


def _invalid(data: Mapping[str, Any]) -> NDArray[np.bool_]:
    return np.asarray(np.asarray(data["group"], dtype=str) == INVALID)


def _unknown_of(parsed: Parsed, data: Mapping[str, Any]) -> str:
    count = int(_invalid(data).sum())
    return f", {count} invalid" if count and parsed.group != INVALID else ""


def _table(first: NDArray[np.bool_], second: NDArray[np.bool_]) -> tuple[int, int, int, int]:
    """Return how many are in both, in the first only, in the second only, in neither."""
    cells = (first & second, first & ~second, ~first & second, ~first & ~second)
    both, lost, gained, neither = (int(cell.sum()) for cell in cells)
    return both, lost, gained, neither


def _membership(
    parsed: Parsed, data: Mapping[str, Any], labelled: bool = True
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Return which anchors are in the group, and which have the label."""
    group = np.asarray(data["group"], dtype=str)
    among = np.ones(len(group), dtype=bool)
    if parsed.label is not None and labelled:
        labels = data.get("labels")
        if labels is None:
            raise _Unknown("the anchors have no labels")
        among = np.asarray(labels, dtype=str) == parsed.label
        if not among.any():
            raise _Unknown(f"no anchor has the label {parsed.label!r}")
    return group == parsed.group, among


def _ordered(data: Mapping[str, Any], mask: NDArray[np.bool_]) -> Indices:
    """Return the positions in ``mask``, those with the largest anchor value first."""
    found = np.flatnonzero(mask)
    value = np.asarray(data["anchor_value"], dtype=float)[found]
    order = np.argsort(-np.nan_to_num(value, nan=-np.inf), kind="stable")
    return found[order].astype(np.int64)
