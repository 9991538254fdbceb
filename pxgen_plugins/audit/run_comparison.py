"""Comparing two runs: the same anchors under two models."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pxgen_plugins.audit.changes import STATES, AnchorChanges, ShareChange, ThresholdShift, finite
from pxgen_plugins.audit.intervals import paired_interval, paired_table
from pxgen_plugins.audit.matching import Matched, match_anchors
from pxgen_plugins.utils.errors import ParameterError, caller, short_repr
from pxgen_plugins.utils.validation import boolean, integer, real

__all__ = ["compare_runs"]

_NEEDED = ("criteria", "kinds", "thresholds", "group")

Integers = NDArray[np.int64]


@caller("compare_runs")
def compare_runs(
    before: Mapping[str, Any],
    after: Mapping[str, Any],
    *,
    match: str | None = None,
    partial: bool = False,
    min_label: int = 10,
    confidence: float = 0.95,
) -> AnchorChanges:
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
    boolean(partial, "partial")
    min_label = integer(min_label, "min_label", minimum=1)
    confidence = real(confidence, "confidence", above=0.0, below=1.0)
    for name, data in (("before", before), ("after", after)):
        _check(name, data)
    _check_same_criteria(before, after)
    pairs = match_anchors(before, after, match, partial, "compare_runs")
    start = _codes("before", before)[pairs.before]
    end = _codes("after", after)[pairs.after]
    size = len(STATES)
    # A pair of groups is one number, so that one count over all anchors gives the matrix.
    cell = size * start.astype(np.int64) + end
    labels, n_small = _label_changes(pairs, start == 0, end == 0, min_label, confidence)
    return AnchorChanges(
        n=len(start),
        matched_by=pairs.by,
        confidence=confidence,
        matrix=np.bincount(cell, minlength=size * size).reshape(size, size).astype(np.int64),
        ways=_ways(cell, pairs.after),
        index_before=pairs.before,
        index_after=pairs.after,
        code_before=start,
        code_after=end,
        groups={
            name: _share_change(name, *paired_table(start == k, end == k), confidence)
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


def _ways(cell: Integers, index: Integers) -> dict[str, Integers]:
    """Return the positions of the anchors of each cell off the diagonal, the commonest first."""
    ways = {
        f"{before}->{after}": index[cell == len(STATES) * i + j]
        for i, before in enumerate(STATES)
        for j, after in enumerate(STATES)
        if i != j
    }
    commonest = sorted(ways.items(), key=lambda item: -len(item[1]))
    return {way: moved for way, moved in commonest if len(moved)}


def _check(name: str, data: Any) -> None:
    given = data if isinstance(data, Mapping) else {}
    missing = [key for key in _NEEDED if given.get(key) is None]
    if missing:
        got = f"{type(data).__name__} without {', '.join(map(repr, missing))}"
        hint = "Pass the data of an explanation of PXGen, as in explanation.data."
        raise ParameterError(name, "the data of an explanation", got, hint)


def _check_same_criteria(before: Mapping[str, Any], after: Mapping[str, Any]) -> None:
    """Raise unless groups mean the same in both runs."""
    for key in ("criteria", "kinds", "units", "rule"):
        first, second = (_as_list(data.get(key)) for data in (before, after))
        if first != second and None not in (first, second):
            got = f"{short_repr(first)} before and {short_repr(second)} after"
            hint = "Audit both models with the same criteria and rule, or groups mean two things."
            raise ParameterError(key, "the same in both runs", got, hint)


def _as_list(value: Any) -> Any:
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
        raise ParameterError(f"{name}['group']", allowed, got, "Check the run's data.")
    return codes


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
    changes = []
    for k in large:
        neither, first, second, both = counts[k].tolist()
        changes.append(_share_change(str(names[k]), both, first, second, neither, confidence))
    changes.sort(key=lambda one: (-one.certainty, -abs(one.change or 0.0), one.name))
    return tuple(changes), len(names) - len(large)


def _shift(before: Any, after: Any) -> ThresholdShift:
    first, second = finite(before), finite(after)
    ratio = None if first is None or second is None or first == 0.0 else second / first
    return ThresholdShift(first, second, ratio)
