"""Whether conditions hold, judged on the safe end of an interval."""

from __future__ import annotations

import math
import operator
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import TYPE_CHECKING, Any

from pxgen_plugins.audit.changes import AnchorChanges
from pxgen_plugins.audit.conditions import Comparison, Condition, parse
from pxgen_plugins.audit.counterexamples import Counterexamples
from pxgen_plugins.audit.measurements import (
    NOTHING,
    Measurement,
    UnknownError,
    measure,
)
from pxgen_plugins.groups import INVALID
from pxgen_plugins.result import Result
from pxgen_plugins.utils.errors import ParameterError, short_repr
from pxgen_plugins.utils.text import number
from pxgen_plugins.utils.validation import LARGEST, choice

if TYPE_CHECKING:
    from pxgen_plugins.evaluation import Copies

__all__ = ["NO_CONDITIONS", "STATES", "Judgement", "judge", "overall_verdict"]

NO_CONDITIONS = "nothing was judged: the settings have no conditions"
"""What readers are told of a run without conditions, which nothing can fail."""

STATES = ("failed", "error", "warning", "skipped", "passed")
"""States of a judgement, the worst first."""

_OPERATORS = {"<=": operator.le, "<": operator.lt, ">=": operator.ge, ">": operator.gt}
_DIGITS = 6  # of an observed value in a text


@dataclass(frozen=True)
class Judgement:
    """The verdict on a condition.

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

    @classmethod
    def from_dict(cls, content: Any) -> Judgement:
        """Return the judgement that :meth:`as_dict` gave, read from a file.

        Raises:
            ParameterError: When a key is missing, or holds something else than it must.
        """
        names = [field.name for field in fields(cls)]
        given = content if isinstance(content, Mapping) else {}
        missing = [repr(name) for name in names if name not in given]
        if missing:
            got = f"one without {', '.join(missing)}"
            hint = "Give what Judgement.as_dict returns."
            raise ParameterError("judgement", "a mapping with all keys", got, hint)
        for name in names:
            _check_field(name, given[name])
        return cls(**{name: given[name] for name in names} | {"anchors": tuple(given["anchors"])})

    def as_dict(self) -> dict[str, Any]:
        """Return it as JSON holds it."""
        return asdict(self) | {"anchors": list(self.anchors)}

    @property
    def title(self) -> str:
        """The condition's name, or its text where it has none."""
        return self.name or self.text

    @property
    def observed_text(self) -> str:
        """The observed value with its interval, where it has one: ``0.25 (0.125 to 0.5)``."""
        observed = number(self.observed, _DIGITS)
        if self.low is None and self.high is None:
            return observed
        ends = ("no end" if end is None else number(end, _DIGITS) for end in (self.low, self.high))
        return f"{observed} ({' to '.join(ends)})"


def judge(
    conditions: Sequence[Condition],
    result: Result,
    baseline: Result | None = None,
    changes: AnchorChanges | None = None,
    copies: Copies | None = None,
    *,
    first_run: bool = False,
) -> list[Judgement]:
    """Judge conditions on a run.

    A share is judged on an end of its interval for other anchors *and* another calibration
    (:class:`pxgen_plugins.groups.GroupShares`), and so is its change since the baseline, where
    common random numbers cancel if both runs have the same seed
    (:class:`pxgen_plugins.audit.paired_shares.PairedShares`), and the share that moved. A median is
    judged on the order statistics around it (Conover 1999, section 3.2), the mean stability on
    Student's interval over anchors, a threshold, and its change, on Student's over the calibration
    repeats, the area of a membership on Newcombe's (2006). For an upper limit the high end must
    keep it, for a lower limit the low end, so few anchors or repeats never pass by luck. Counts,
    changes of medians and stability, and thresholds of one repeat have no interval and are judged
    as they are; in a count of copies the share of false ones is bounded already. Anchors that have
    no group (invalid) may belong to any: an interval reaches as far as if they did. What is NaN or
    unknown is an error and never passes.

    Args:
        conditions: What must hold.
        result: What PXGen found out.
        baseline: The same of the run compared with.
        changes: From the baseline to this run.
        copies: What the search for training data found, where there was one.
        first_run: Skip conditions on a change, as nothing is there to compare with; otherwise they
            are errors without a baseline.

    Returns:
        A judgement per condition, in order.

    Cost: O(n) per condition.
    """
    parts = (result, baseline, changes, copies, first_run)
    return [_judge_one(condition, *parts) for condition in conditions]


def overall_verdict(judgements: Iterable[Judgement]) -> tuple[str, dict[str, int]]:
    """Return the worst state of all, and how often each state occurs, the worst first.

    Skipped conditions do not spoil a pass, but nothing passes where all were skipped; without
    conditions the verdict is ``"skipped"`` too.

    Example:
        >>> overall_verdict([])
        ('skipped', {})
    """
    states = [judgement.state for judgement in judgements]
    counts = {state: states.count(state) for state in STATES if state in states}
    ranked = ("failed", "error", "warning", "passed")
    return next((state for state in ranked if state in counts), "skipped"), counts


def _judge_one(
    condition: Condition,
    result: Result,
    baseline: Result | None,
    changes: AnchorChanges | None,
    copies: Copies | None,
    first_run: bool,
) -> Judgement:
    comparison = parse(condition.text)

    def verdict(
        state: str, reason: str, value: Measurement = NOTHING, bound: float | None = None
    ) -> Judgement:
        against = Counterexamples() if state == "passed" else value.against
        low, high = (None, None) if value.interval is None else map(_finite, value.interval)
        return Judgement(
            name=condition.name or condition.text,
            text=condition.text,
            severity=condition.severity,
            state=state,
            observed=_finite(value.observed),
            low=low,
            high=high,
            bound=_finite(bound),
            limit=comparison.limit,
            n=value.n,
            reason=reason,
            anchors=tuple(against.indices.tolist()),
            n_against=against.count,
            confidence=condition.confidence,
            min_count=condition.min_count,
        )

    if comparison.relative and (baseline is None or changes is None):
        if first_run:
            return verdict("skipped", "first run: there is no baseline yet")
        return verdict("error", "it compares with a baseline, and there is none")
    try:
        value = measure(comparison, condition.confidence, result, baseline, changes, copies)
    except UnknownError as error:
        return verdict("error", str(error))
    if value.n is not None and value.n < condition.min_count:
        return verdict("skipped", f"{value.n} anchors, fewer than {condition.min_count}", value)
    if not math.isfinite(value.observed):
        return verdict("error", "the value is not a finite number", value)
    holds = _OPERATORS[comparison.op]
    bound = value.observed
    if value.interval is not None:
        bound = value.interval[1 if comparison.op in {"<=", "<"} else 0]
    if holds(bound, comparison.limit) and holds(value.observed, comparison.limit):
        return verdict("passed", "", value, bound)
    state = "warning" if condition.severity == "warning" else "failed"
    if holds(value.observed, comparison.limit):
        return verdict(
            state, _interval_reason(condition, comparison, value, bound, result), value, bound
        )
    reason = f"{value.observed:.6g} is not {comparison.op} {comparison.limit:g}"
    return verdict(state, reason, value, bound)


def _interval_reason(
    condition: Condition,
    comparison: Comparison,
    value: Measurement,
    bound: float,
    result: Result,
) -> str:
    """Return why a value that holds does not pass."""
    percent = f"{100 * condition.confidence:g}%"
    reason = f"the value holds, but not the end of its {percent} interval, {bound:.6g}"
    if not math.isfinite(bound):
        few = "calibration repeats" if value.n is None else "anchors"
        reason = f"the value holds, but there are too few {few} for a {percent} interval"
    if value.n is None:
        return reason
    unknown = result.counts[INVALID] if comparison.group != INVALID else 0
    return f"{reason} ({value.n} anchors{f', {unknown} invalid' if unknown else ''})"


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None


def _check_field(name: str, value: Any) -> None:
    """Raise unless a judgement's attribute, read from a file, holds what it must."""
    if name == "state":
        choice(value, "state", STATES)
    elif name in {"name", "text", "severity", "reason"}:
        _check(isinstance(value, str), name, "a text", value)
    elif name == "anchors":
        good = isinstance(value, (list, tuple)) and all(map(_is_integer, value))
        _check(good, name, "a list of indices", value)
    elif name in {"n_against", "min_count"} or (name == "n" and value is not None):
        _check(_is_integer(value), name, "an integer", value)
    elif value is not None or name in {"limit", "confidence"}:
        _check(isinstance(value, float) or _is_integer(value), name, "a number", value)


def _is_integer(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and abs(value) <= LARGEST


def _check(good: bool, name: str, allowed: str, value: Any) -> None:
    if not good:
        hint = "Give what Judgement.as_dict returns."
        raise ParameterError(name, allowed, short_repr(value), hint)
