"""Judgements as the outputs read them: counted, and checked for what they must hold."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

from pxgen_plugins.utils.errors import ParameterError
from pxgen_plugins.utils.validation import choice

__all__ = ["STATES", "distinct", "interval_text", "number", "read", "title", "verdict"]

STATES = ("failed", "error", "warning", "skipped", "passed")
"""States of a judgement, the worst first."""

_KEYS = ("text", "severity", "state", "observed", "limit", "n", "reason")


def read(judgements: Iterable[Mapping[str, Any]], where: str) -> list[Mapping[str, Any]]:
    """Return judgements as a list, each checked to hold what the outputs need.

    Args:
        judgements: Dicts as ``Judgement.as_dict`` returns them.
        where: Who asks, for the error.

    Raises:
        ParameterError: When a key is missing or a state is unknown.
    """
    found = list(judgements)
    for one in found:
        missing = [key for key in _KEYS if key not in one] if isinstance(one, Mapping) else _KEYS
        if missing:
            got = f"one without {', '.join(map(repr, missing))}"
            hint = "Give what Judgement.as_dict returns."
            raise ParameterError("judgements", where, "mappings with all keys", got, hint)
        choice(one["state"], "state", where, STATES)
    return found


def verdict(judgements: Iterable[Mapping[str, Any]]) -> tuple[str, dict[str, int]]:
    """Return the worst state of all, and how often each state occurs, the worst first.

    Skipped conditions do not spoil a pass, but nothing passes where all were skipped; without
    conditions the verdict is ``"skipped"`` too.

    Example:
        >>> verdict([{"state": "passed"}, {"state": "warning"}])
        ('warning', {'warning': 1, 'passed': 1})
        >>> verdict([{"state": "passed"}, {"state": "skipped"}])[0], verdict([])[0]
        ('passed', 'skipped')
    """
    states = [one["state"] for one in judgements]
    counts = {state: states.count(state) for state in STATES if state in states}
    ranked = ("failed", "error", "warning", "passed")
    return next((state for state in ranked if state in counts), "skipped"), counts


def title(judgement: Mapping[str, Any]) -> str:
    """Return the name of a condition, or its text where it has none."""
    return str(judgement.get("name") or judgement["text"])


def distinct(names: Iterable[str], sign: str) -> list[str]:
    """Return names that differ: the second of its kind gets ``sign`` and a 2 behind it.

    Example:
        >>> distinct(["a", "a", "a #2"], " #")
        ['a', 'a #3', 'a #2']
    """
    given = list(names)
    found: dict[str, None] = {}
    for name in given:
        other, place = name, 2
        while other in found or (other != name and other in given):
            other, place = f"{name}{sign}{place}", place + 1
        found[other] = None
    return list(found)


def number(value: Any) -> str:
    """Return a number in six significant digits, counts in full, ``n/a`` where there is none.

    Example:
        >>> [number(value) for value in (0.123456789, 12345678, float("inf"), None, math.nan)]
        ['0.123457', '12345678', 'inf', 'n/a', 'n/a']
    """
    if value is None or math.isnan(value):
        return "n/a"
    return str(value) if isinstance(value, int) else f"{value:.6g}"


def interval_text(judgement: Mapping[str, Any]) -> str:
    """Return the observed value with its interval, where it has one.

    Example:
        >>> interval_text({"observed": 0.25, "low": 0.125, "high": 0.5})
        '0.25 (0.125 to 0.5)'
    """
    shown = number(judgement["observed"])
    low, high = judgement.get("low"), judgement.get("high")
    if low is None and high is None:
        return shown
    ends = ("no end" if end is None else number(end) for end in (low, high))
    return f"{shown} ({' to '.join(ends)})"
