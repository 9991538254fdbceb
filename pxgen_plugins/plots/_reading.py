"""What the figures need of an explanation, the same for its live and its JSON form."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pxgen_plugins.groups import INVALID
from pxgen_plugins.plots._style import ORDER, criterion_text
from pxgen_plugins.plots._text import clean
from pxgen_plugins.utils.errors import ParameterError
from pxgen_plugins.utils.validation import choice

__all__ = ["Group", "Reading", "floats", "indices", "read"]

_NEEDED = ("criteria", "kinds", "values", "thresholds", "group", "groups")


@dataclass(frozen=True)
class Group:
    """One group as the explanation counts it.

    ``low`` and ``high`` are the bootstrap interval, which covers anchors and thresholds; Wilson's
    where there is none, or it has no width, and for a share of 0 or 1.
    """

    count: int
    fraction: float | None
    low: float
    high: float
    representatives: dict[str, NDArray[np.int64]]


@dataclass(frozen=True)
class Reading:
    """The parts of an explanation as arrays.

    Attributes:
        criteria: Names, m of them; ``kinds`` and ``units`` run along.
        rule: How several criteria of one kind are joined.
        values: Criterion values, shape (n, m).
        thresholds: One per criterion, NaN where there is no finite one.
        deviations: Standard deviation of each threshold over the repeats, NaN where unknown.
        group: Group of each anchor or "invalid", shape (n,).
        labels: Labels as text, shape (n,), or None; ``ids`` likewise.
        groups: Counts of each of the four groups.
        data: The explanation's own data.
    """

    criteria: list[str]
    kinds: list[str]
    units: list[str]
    rule: str
    values: NDArray[np.float64]
    thresholds: NDArray[np.float64]
    deviations: NDArray[np.float64]
    group: NDArray[np.str_]
    labels: NDArray[np.str_] | None
    ids: NDArray[np.str_] | None
    groups: dict[str, Group]
    data: Mapping[str, Any]

    @property
    def n_invalid(self) -> int:
        """Number of anchors in no group."""
        return int(np.count_nonzero(self.group == INVALID))

    def first(self, kind: str) -> int | None:
        """Position of the first criterion of a kind, or None."""
        return self.kinds.index(kind) if kind in self.kinds else None

    def column(self, name: str, parameter: str) -> int:
        """Position of the criterion ``name``, or an error that proposes the nearest."""
        return self.criteria.index(choice(name, parameter, self.criteria))

    def title(self, column: int) -> str:
        """Name and unit of a criterion, safe to draw."""
        return criterion_text(clean(self.criteria[column]), clean(self.units[column]))

    def name(self, row: int) -> str:
        """Id of an anchor, or its index, safe to draw."""
        return clean(row if self.ids is None else self.ids[row], 10)

    def invalid_note(self) -> str:
        """Sentence on the anchors that are in no group; empty when there is none."""
        n = self.n_invalid
        return f"{n:,} anchor{'' if n == 1 else 's'} invalid, not shown." if n else ""


def read(explanation: Any) -> Reading:
    """Return the arrays of an explanation.

    Args:
        explanation: An explanation of PXGen, or the same read back from JSON.

    Raises:
        ParameterError: When it is something else.
    """
    data = getattr(explanation, "data", None)
    missing = [k for k in _NEEDED if k not in data] if isinstance(data, Mapping) else list(_NEEDED)
    if missing or not isinstance(data, Mapping):
        got = type(explanation).__name__ + " without data " + ", ".join(map(repr, missing))
        hint = "Pass what PXGen.explain returned, or Explanation.from_json of its JSON."
        raise ParameterError("explanation", "an explanation of PXGen", got, hint)
    criteria = [str(name) for name in data["criteria"]]
    n = len(data["group"])
    deviations = data.get("threshold_std") or {}
    return Reading(
        criteria=criteria,
        kinds=[str(kind) for kind in data["kinds"]],
        units=[str(unit) for unit in data.get("units") or [""] * len(criteria)],
        rule=str(data.get("rule", "all")),
        values=floats(data["values"]).reshape(n, len(criteria)),
        thresholds=np.array([_finite(data["thresholds"].get(name)) for name in criteria]),
        deviations=np.array([_finite(deviations.get(name)) for name in criteria]),
        group=np.asarray(data["group"], dtype=np.str_).reshape(n),
        labels=_texts(data.get("labels")),
        ids=_texts(data.get("ids")),
        groups={name: _group(data["groups"].get(name) or {}) for name in ORDER},
        data=data,
    )


def floats(values: Any) -> NDArray[np.float64]:
    """Return an array of floats; None becomes NaN."""
    return np.asarray(values, dtype=np.float64)


def indices(values: Any) -> NDArray[np.int64]:
    """Return a flat array of indices; None is empty."""
    return np.asarray([] if values is None else values, dtype=np.int64).reshape(-1)


def _finite(value: Any) -> float:
    number = math.nan if value is None else float(value)
    return number if math.isfinite(number) else math.nan


def _texts(values: Any) -> NDArray[np.str_] | None:
    return None if values is None else np.asarray([str(v) for v in values], dtype=np.str_)


def _group(entry: Mapping[str, Any]) -> Group:
    count = int(entry.get("count") or 0)
    fraction = entry.get("fraction")
    interval = entry.get("bootstrap")
    # resamples hardly leave the ends, and have no width where nothing ever moves
    if interval is None or interval[0] == interval[1] or entry.get("fraction") in (0.0, 1.0):
        interval = entry.get("interval") or interval
    low, high = (None, None) if interval is None else interval
    return Group(
        count=count,
        fraction=None if fraction is None else float(fraction),
        low=_finite(low),
        high=_finite(high),
        representatives={
            str(name): indices(picked)
            for name, picked in (entry.get("representatives") or {}).items()
        },
    )
