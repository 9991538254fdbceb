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
from pxgen_plugins.audit.paired import paired_interval
from pxgen_plugins.groups import wilson_interval

__all__ = ["Judgement", "judge"]

_OPERATORS = {"<=": operator.le, "<": operator.lt, ">=": operator.ge, ">": operator.gt}
_EVIDENCE = 50

Interval = tuple[float, float] | None
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
        low: Low end of its interval; None without one.
        high: High end.
        bound: The number that was compared with the limit.
        limit: The limit.
        n: Anchors behind it.
        reason: Why it is not passed; empty otherwise.
        anchors: Indices of up to 50 anchors that speak against it, the strongest first.
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

    def as_dict(self) -> dict[str, Any]:
        """Return it as JSON holds it."""
        return asdict(self) | {"anchors": list(self.anchors)}


@dataclass(frozen=True)
class _Fact:
    observed: float
    interval: Interval
    n: int
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
    it, a threshold on the spread of its calibration repeats, t-distributed: for an upper limit
    the high end must keep it, for a lower limit the low end. So few anchors never pass by luck.
    Counts are judged as they are. What is NaN or unknown is an error and never passes.

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
        low, high = (None, None) if fact is None or fact.interval is None else fact.interval
        shown = fact.against[:_EVIDENCE] if fact is not None and state != "passed" else ()
        return Judgement(
            condition.name or condition.text,
            condition.text,
            condition.severity,
            state,
            None if fact is None or not math.isfinite(fact.observed) else fact.observed,
            low,
            high,
            bound,
            parsed.limit,
            None if fact is None else fact.n,
            reason,
            tuple(int(index) for index in shown),
        )

    if parsed.relative and (baseline is None or changes is None):
        return result("error", "it compares with a baseline, and there is none")
    try:
        fact = _fact(parsed, condition.confidence, data, baseline, changes)
    except _Unknown as error:
        return result("error", str(error))
    if fact.n < condition.min_count:
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
        return result(failed, f"{reason} ({fact.n} anchors)", fact, bound)
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
        return _moved(parsed, confidence, changes)
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
    gap = {"drop": -gap, "rise": gap, "change": abs(gap)}[parsed.change]
    return _Fact(gap, None, min(now.n, before.n), np.empty(0, np.int64))


def _share(parsed: Parsed, confidence: float, data: Mapping[str, Any]) -> _Fact:
    inside, among = _membership(parsed, data)
    count, n = int((inside & among).sum()), int(among.sum())
    upper = parsed.op in {"<=", "<"}
    against = _ordered(data, inside & among if upper else ~inside & among)
    if parsed.measure == "count":
        return _Fact(float(count), None, n, against)
    interval = wilson_interval(count, n, confidence)
    share = count / n if n else math.nan
    return _Fact(share, None if interval is None else (interval[0], interval[1]), n, against)


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
    n = len(first)
    both = int((first & second).sum())
    lost, gained = int((first & ~second).sum()), int((~first & second).sum())
    moved = changes.index_after[kept]
    upward = parsed.change == "rise"
    left = moved[(~first & second) if upward else (first & ~second)]
    mask = np.zeros(len(now), dtype=bool)
    mask[left] = True
    against = _ordered(data, mask)
    gap, interval = float(gained - lost), None
    if parsed.measure == "fraction":
        gap = gap / n if n else math.nan
        interval = paired_interval(both, lost, gained, n - both - lost - gained, confidence)
    if parsed.change == "drop":
        gap, interval = -gap, None if interval is None else (-interval[1], -interval[0])
    elif parsed.change == "change":
        gap = abs(gap)
        if interval is not None:
            ends = sorted(abs(end) for end in interval)
            interval = (0.0 if interval[0] <= 0.0 <= interval[1] else ends[0], ends[1])
    return _Fact(gap, interval, n, against)


def _moved(parsed: Parsed, confidence: float, changes: Changes) -> _Fact:
    if parsed.group is None or parsed.end is None:
        found = changes.moved
    else:
        found = changes.moved_between(parsed.group, parsed.end)
    count, n = len(found), changes.n
    if parsed.measure == "count":
        return _Fact(float(count), None, n, found)
    interval = wilson_interval(count, n, confidence)
    share = count / n if n else math.nan
    return _Fact(share, None if interval is None else (interval[0], interval[1]), n, found)


def _number(parsed: Parsed, confidence: float, data: Mapping[str, Any]) -> _Fact:
    """Return a threshold, a median or the mean stability."""
    nobody = np.empty(0, np.int64)
    if parsed.subject == "stability":
        values = np.asarray(data["group_stability"], dtype=float)
        values = values[np.isfinite(values)]
        mean = float(values.mean()) if len(values) else math.nan
        return _Fact(mean, _of_mean(values, confidence), len(values), nobody)
    criteria = [str(name) for name in data["criteria"]]
    if parsed.criterion not in criteria:
        known = ", ".join(criteria)
        raise _Unknown(f"no criterion {parsed.criterion!r} in this run, only {known}")
    column = criteria.index(parsed.criterion)
    if parsed.subject == "threshold":
        given = data["thresholds"][parsed.criterion]
        repeats = np.asarray((data.get("calibration") or {}).get("repeats"), dtype=float)
        several = repeats.ndim == 2 and len(repeats) > 1
        interval = _of_mean(repeats[:, column], confidence) if several else None
        return _Fact(math.nan if given is None else float(given), interval, 0, nobody)
    group = np.asarray(data["group"], dtype=str)
    valid = group != "invalid" if parsed.group is None else group == parsed.group
    values = np.asarray(data["values"], dtype=float)[valid, column]
    values = np.sort(values[np.isfinite(values)])
    if not len(values):
        raise _Unknown("there are no such anchors")
    return _Fact(float(np.median(values)), _of_median(values, confidence), len(values), nobody)


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


def _of_mean(values: NDArray[np.float64], confidence: float) -> Interval:
    """Return Student's interval of a mean; None for fewer than two values."""
    if len(values) < 2 or not np.isfinite(values).all():
        return None
    from scipy.stats import t

    half = (
        t.ppf(0.5 + confidence / 2, len(values) - 1) * values.std(ddof=1) / math.sqrt(len(values))
    )
    return float(values.mean() - half), float(values.mean() + half)


def _of_median(values: NDArray[np.float64], confidence: float) -> Interval:
    """Return the order statistics around the median of sorted values (Conover 1999, section 3.2).

    Their coverage is at least ``confidence``, whatever the distribution; the whole range where so
    few values allow no more.
    """
    from scipy.stats import binom

    n = len(values)
    low = int(binom.ppf((1 - confidence) / 2, n, 0.5))
    low = low - 1 if low > 0 and binom.cdf(low, n, 0.5) > (1 - confidence) / 2 else low
    low = min(max(low, 0), (n - 1) // 2)
    return float(values[low]), float(values[n - 1 - low])
