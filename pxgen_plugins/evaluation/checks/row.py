"""The rows of a scorecard: measured numbers, and what they should be."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pxgen_plugins.groups import wilson_interval

__all__ = ["STATES", "Row"]

STATES = ("passed", "failed", "reported", "skipped")


@dataclass(frozen=True)
class Row:
    """One measured number of a check, and what it should be.

    Attributes:
        check: Name of the check.
        case: What was tried.
        measure: What was measured, in words.
        value: The number; None where there is none.
        interval: The 95% Wilson interval of a share; for a mean over seeds or repeats the lowest
            and highest; None without either.
        low: Lowest value that passes; None when nothing is too low.
        high: Highest value that passes; likewise.
        state: ``"passed"``, ``"failed"``, ``"reported"`` (nothing is expected) or
            ``"skipped"`` (not applicable: nothing could be measured, or it says nothing).
        note: What to know of it; for ``"skipped"`` the reason.
    """

    check: str
    case: str
    measure: str
    value: float | None
    interval: tuple[float, float] | None = None
    low: float | None = None
    high: float | None = None
    state: str = "reported"
    note: str = ""

    @classmethod
    def of(
        cls,
        check: str,
        case: str,
        measure: str,
        value: float,
        *,
        interval: Sequence[float] | None = None,
        low: float | None = None,
        high: float | None = None,
        note: str = "",
    ) -> Row:
        """Return a row that passes or fails where a bound is given, and only reports without.

        It passes if ``low <= value <= high`` and fails otherwise; a value that is not finite fails
        and is shown as None.

        Example:
            >>> Row.of("known_groups", "noise", "share in HIHE", 0.02, high=0.1).state
            'passed'
        """
        state = "reported"
        if low is not None or high is not None:
            good = (low is None or low <= value) and (high is None or value <= high)
            state = "passed" if good and math.isfinite(value) else "failed"
        ends = None if interval is None else (float(interval[0]), float(interval[1]))
        number = float(value) if math.isfinite(value) else None
        return cls(check, case, measure, number, ends, low, high, state, note)

    @classmethod
    def share(
        cls, check: str, case: str, measure: str, hits: NDArray[np.bool_], **more: Any
    ) -> Row:
        """Return a row for the share of True in ``hits``, bool (n,) with n >= 1."""
        n = len(hits)
        interval = wilson_interval(int(hits.sum()), n)
        return cls.of(check, case, measure, float(hits.mean()), interval=interval, **more)

    @classmethod
    def spread(
        cls, check: str, case: str, measure: str, values: Sequence[float], **more: Any
    ) -> Row:
        """Return a row for a mean over seeds, its interval from the lowest to the highest.

        A single value has none.
        """
        ends = (min(values), max(values)) if len(values) > 1 else None
        return cls.of(check, case, measure, float(np.mean(values)), interval=ends, **more)

    @classmethod
    def skip(cls, check: str, case: str, why: str) -> Row:
        """Return a row that says why nothing was measured."""
        return cls(check, case, "", None, state="skipped", note=why)

    @property
    def expected(self) -> str:
        """What the value should be, in words; empty when nothing is expected.

        Example:
            >>> Row.of("known_groups", "noise", "share in HIHE", 0.02, high=0.1).expected
            'at most 0.1'
        """
        if self.low is not None and self.high is not None:
            same = self.low == self.high
            return f"{self.low:.3g}" if same else f"{self.low:.3g} to {self.high:.3g}"
        if self.low is not None:
            return f"at least {self.low:.3g}"
        return "" if self.high is None else f"at most {self.high:.3g}"

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> Row:
        """Return the row behind :meth:`as_dict`.

        Raises:
            ValueError: When a part has another type; KeyError when one is missing.
        """
        numbers = {key: content[key] for key in ("value", "low", "high")}
        interval = content["interval"]
        if interval is not None:
            low, high = interval
            interval = (low, high)
        for number in (*numbers.values(), *(interval or ())):
            if not (number is None or isinstance(number, (int, float))):
                raise ValueError(f"{number!r} is no number")
        words = {key: str(content[key]) for key in ("check", "case", "measure", "state", "note")}
        if words["state"] not in STATES:
            raise ValueError(f"state {words['state']!r}")
        parts: dict[str, Any] = {**words, **numbers, "interval": interval}
        return cls(**parts)

    def as_dict(self) -> dict[str, Any]:
        """Return the attributes by name, and ``expected``."""
        ends = None if self.interval is None else list(self.interval)
        return {**asdict(self), "interval": ends, "expected": self.expected}
