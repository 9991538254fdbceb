"""What changed between two runs: the same anchors under two models."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pxgen_plugins.audit.matching import Matched, match_anchors
from pxgen_plugins.audit.paired_intervals import paired_interval
from pxgen_plugins.groups import GROUPS, INVALID, wilson_interval
from pxgen_plugins.utils.errors import ParameterError, short_repr
from pxgen_plugins.utils.files import plain
from pxgen_plugins.utils.validation import boolean, choice, integer, real

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["STATES", "Changes", "ShareChange", "ThresholdShift", "compare_runs"]

STATES = (*GROUPS, INVALID)
"""Rows and columns of the migration matrix."""

_WHERE = "compare_runs"
_NEEDED = ("criteria", "kinds", "thresholds", "group")

Integers = NDArray[np.int64]


class ThresholdShift(NamedTuple):
    """A criterion's threshold in both runs, None where it is not finite.

    ``ratio`` is after / before, None where one is missing or the first is zero.
    """

    before: float | None
    after: float | None
    ratio: float | None


@dataclass(frozen=True)
class ShareChange:
    """A share of the same n anchors in both runs.

    Attributes:
        name: Of the group, or of the label.
        n: Anchors of which the share is taken; invalid ones are among them, as in an explanation.
        before: Share before, None without anchors.
        after: Share after.
        change: After less before.
        low: Low end of the interval of the change (Newcombe 1998, method 10).
        high: Its high end.
    """

    name: str
    n: int
    before: float | None
    after: float | None
    change: float | None
    low: float | None
    high: float | None

    @property
    def surely(self) -> float:
        """How far the interval of the change keeps from 0; 0 when it holds it."""
        if self.low is None or self.high is None:
            return 0.0
        return max(self.low, -self.high, 0.0)


@dataclass(frozen=True, eq=False)
class Changes:
    """How the same anchors fared under two models.

    Attributes:
        n: Anchors compared.
        matched_by: ``"ids"`` or ``"position"``.
        confidence: Of every interval, each for itself.
        matrix: Counts, int64 (5, 5); rows are the groups before, columns after, as in ``STATES``.
        index_before: Position in the first run of each anchor compared, int64 (n,).
        index_after: Position in the second run, rising, int64 (n,).
        code_before: Place in ``STATES`` of each one's group before, int8 (n,).
        code_after: The same after.
        groups: Change of each group's share, by group.
        labels: Change of the HIHE share of each label that has ``min_label`` anchors, the surest
            first: by how far the interval keeps from 0, then by the size of the change.
        min_label: Anchors a label must have.
        n_small_labels: Labels that have fewer.
        n_relabelled: Anchors whose label differs; the second run's counts.
        thresholds: Shift of each criterion's threshold.
        ids_only_before: Ids of anchors that the second run lacks.
        ids_only_after: Ids of anchors that the first run lacks.
    """

    n: int
    matched_by: str
    confidence: float
    matrix: Integers
    index_before: Integers = field(repr=False)
    index_after: Integers = field(repr=False)
    code_before: NDArray[np.int8] = field(repr=False)
    code_after: NDArray[np.int8] = field(repr=False)
    groups: dict[str, ShareChange] = field(repr=False)
    labels: tuple[ShareChange, ...] = field(repr=False)
    min_label: int
    n_small_labels: int
    n_relabelled: int
    thresholds: dict[str, ThresholdShift]
    ids_only_before: tuple[str, ...] = field(repr=False)
    ids_only_after: tuple[str, ...] = field(repr=False)

    @property
    def moved(self) -> Integers:
        """Positions in the second run of the anchors whose group changed."""
        found: Integers = self.index_after[self.code_before != self.code_after]
        return found

    @property
    def intervals(self) -> NDArray[np.float64]:
        """Wilson (1927) interval of each cell's share of the n anchors, (5, 5, 2).

        Each cell of a multinomial table is binomial by itself; the intervals do not hold all at
        once. NaN without anchors.
        """
        found = [
            wilson_interval(int(count), self.n, self.confidence) or (math.nan, math.nan)
            for count in self.matrix.ravel()
        ]
        return np.array(found).reshape(len(STATES), len(STATES), 2)

    def moved_between(self, before: str, after: str) -> Integers:
        """Return the positions in the second run of those that went from one group to another.

        Args:
            before: A group, or ``"invalid"``.
            after: A group, or ``"invalid"``; the same one gives those that stayed.
        """
        where = "moved_between"
        start = STATES.index(choice(before, "before", where, STATES))
        end = STATES.index(choice(after, "after", where, STATES))
        found: Integers = self.index_after[(self.code_before == start) & (self.code_after == end)]
        return found

    @property
    def ways(self) -> dict[str, Integers]:
        """Positions in the second run of those that moved, by way as in ``"HIHE->HILE"``."""
        found = {f"{a}->{b}": self.moved_between(a, b) for a in STATES for b in STATES if a != b}
        commonest = sorted(found.items(), key=lambda item: -len(item[1]))
        return {way: moved for way, moved in commonest if len(moved)}

    def to_dict(self) -> dict[str, Any]:
        """Return all of it as strict JSON holds it; anchors are named by position after."""
        found: dict[str, Any] = plain(
            {
                "n": self.n,
                "matched_by": self.matched_by,
                "confidence": self.confidence,
                "states": STATES,
                "matrix": self.matrix,
                "intervals": self.intervals,
                "moved": self.ways,
                "groups": [asdict(one) for one in self.groups.values()],
                "labels": [asdict(one) for one in self.labels],
                "min_label": self.min_label,
                "n_small_labels": self.n_small_labels,
                "n_relabelled": self.n_relabelled,
                "thresholds": {name: one._asdict() for name, one in self.thresholds.items()},
                "ids_only_before": self.ids_only_before,
                "ids_only_after": self.ids_only_after,
            }
        )
        return found

    def to_markdown(self) -> str:
        """Return tables of the moves, groups, thresholds and most changed labels."""
        from pxgen_plugins.audit.changes_markdown import markdown

        return markdown(self)

    def plot(self, *, ax: Axes | None = None) -> NDArray[Any]:
        """Draw where the anchors went; see :func:`pxgen_plugins.plots.plot_migration`."""
        from pxgen_plugins.plots import plot_migration

        return plot_migration(self, ax=ax)


def compare_runs(
    before: Mapping[str, Any],
    after: Mapping[str, Any],
    *,
    match: str | None = None,
    partial: bool = False,
    min_label: int = 10,
    confidence: float = 0.95,
) -> Changes:
    """Compare the groups of the same anchors under two models.

    Args:
        before: Data of the first run's explanation (``explanation.data``).
        after: Data of the second's.
        match: ``"ids"``, ``"position"``, or None: by ids when both runs have them, by position when
            neither has.
        partial: Compare the anchors in both runs when others are in one only; they are named in
            the result. Needs ids.
        min_label: Anchors that a label needs to be compared by itself.
        confidence: Of each interval.

    Raises:
        ParameterError: When the anchors differ (and ``partial`` is False) or cannot be matched, the
            criteria or the rule differ, or a mapping is no explanation's data.

    Cost: O(n log n) time, O(n) memory.

    Example:
        >>> def run(groups):
        ...     return {
        ...         "criteria": ["kld", "mse"],
        ...         "kinds": ["intrinsic", "extrinsic"],
        ...         "thresholds": {"kld": 20.0, "mse": 0.1},
        ...         "group": groups,
        ...         "ids": ["a", "b", "c"],
        ...     }
        >>> changes = compare_runs(run(["HIHE", "HIHE", "LILE"]), run(["HIHE", "HILE", "LILE"]))
        >>> changes.moved_between("HIHE", "HILE").tolist()
        [1]
    """
    boolean(partial, "partial", _WHERE)
    min_label = integer(min_label, "min_label", _WHERE, minimum=1)
    confidence = real(confidence, "confidence", _WHERE, above=0.0, below=1.0)
    for name, data in (("before", before), ("after", after)):
        _check(name, data)
    _check_same_criteria(before, after)
    pairs = match_anchors(before, after, match, partial, _WHERE)
    start = _codes("before", before)[pairs.before]
    end = _codes("after", after)[pairs.after]
    size = len(STATES)
    matrix = np.bincount(size * start.astype(np.int64) + end, minlength=size * size)
    labels, n_small = _label_changes(pairs, start == 0, end == 0, min_label, confidence)
    return Changes(
        n=len(start),
        matched_by=pairs.by,
        confidence=confidence,
        matrix=matrix.reshape(size, size).astype(np.int64),
        index_before=pairs.before,
        index_after=pairs.after,
        code_before=start,
        code_after=end,
        groups={
            name: _share_change(name, *_table(start == k, end == k), confidence)
            for k, name in enumerate(STATES)
        },
        labels=labels,
        min_label=min_label,
        n_small_labels=n_small,
        n_relabelled=pairs.n_relabelled,
        thresholds={
            str(name): _shift(before["thresholds"].get(name), after["thresholds"].get(name))
            for name in after["criteria"]
        },
        ids_only_before=pairs.only_before,
        ids_only_after=pairs.only_after,
    )


def _check(name: str, data: Any) -> None:
    held = data if isinstance(data, Mapping) else {}
    missing = [key for key in _NEEDED if held.get(key) is None]
    if missing:
        got = f"{type(data).__name__} without {', '.join(map(repr, missing))}"
        hint = "Pass the data of an explanation of PXGen, as in explanation.data."
        raise ParameterError(name, _WHERE, "the data of an explanation", got, hint)


def _check_same_criteria(before: Mapping[str, Any], after: Mapping[str, Any]) -> None:
    """Raise unless groups mean the same in both runs."""
    for key in ("criteria", "kinds", "units", "rule"):
        first, second = (_listed(data.get(key)) for data in (before, after))
        if first != second and None not in (first, second):
            got = f"{short_repr(first)} before and {short_repr(second)} after"
            hint = "Audit both models with the same criteria and rule, or groups mean two things."
            raise ParameterError(key, _WHERE, "the same in both runs", got, hint)


def _listed(value: Any) -> Any:
    return value if value is None or isinstance(value, str) else [str(one) for one in value]


def _codes(name: str, data: Mapping[str, Any]) -> NDArray[np.int8]:
    group = np.asarray(data["group"], dtype=np.str_).reshape(-1)
    codes = np.full(len(group), -1, dtype=np.int8)
    for k, state in enumerate(STATES):
        codes[group == state] = k
    wrong = np.flatnonzero(codes < 0)
    if len(wrong):
        allowed = "HIHE, HILE, LIHE, LILE or invalid for every anchor"
        got = f"{short_repr(str(group[wrong[0]]))} for anchor {wrong[0]}"
        raise ParameterError(f"{name}['group']", _WHERE, allowed, got, "Check the run's data.")
    return codes


def _table(before: NDArray[np.bool_], after: NDArray[np.bool_]) -> tuple[int, int, int, int]:
    """Return how many are in it both times, the first only, the second only, neither."""
    both = int(np.count_nonzero(before & after))
    first = int(np.count_nonzero(before)) - both
    second = int(np.count_nonzero(after)) - both
    return both, first, second, len(before) - both - first - second


def _share_change(
    name: str, both: int, first: int, second: int, neither: int, confidence: float
) -> ShareChange:
    n = both + first + second + neither
    interval = paired_interval(both, first, second, neither, confidence)
    if interval is None:
        return ShareChange(name, 0, None, None, None, None, None)
    shares = ((both + first) / n, (both + second) / n)
    return ShareChange(name, n, *shares, (second - first) / n, *interval)


def _label_changes(
    pairs: Matched,
    before: NDArray[np.bool_],
    after: NDArray[np.bool_],
    least: int,
    confidence: float,
) -> tuple[tuple[ShareChange, ...], int]:
    if pairs.labels is None:
        return (), 0
    names, code = np.unique(pairs.labels, return_inverse=True)
    # columns: neither, first only, second only, both
    cell = 4 * code.reshape(-1) + before + 2 * after
    counts = np.bincount(cell, minlength=4 * len(names)).reshape(-1, 4)
    large = np.flatnonzero(counts.sum(axis=1) >= least)
    found = []
    for k in large:
        neither, first, second, both = counts[k].tolist()
        found.append(_share_change(str(names[k]), both, first, second, neither, confidence))
    found.sort(key=lambda one: (-one.surely, -abs(one.change or 0.0), one.name))
    return tuple(found), len(names) - len(large)


def _shift(before: Any, after: Any) -> ThresholdShift:
    first, second = _finite(before), _finite(after)
    ratio = None if first is None or second is None or first == 0.0 else second / first
    return ThresholdShift(first, second, ratio)


def _finite(value: Any) -> float | None:
    number = math.nan if value is None else float(value)
    return number if math.isfinite(number) else None
