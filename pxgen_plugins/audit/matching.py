"""The same anchors found in two runs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pxgen_plugins.utils.errors import ParameterError, short_repr
from pxgen_plugins.utils.validation import choice

__all__ = ["Matched", "match_anchors"]

_WAYS = ("ids", "position")

Texts = NDArray[np.str_]


@dataclass(frozen=True, eq=False)
class Matched:
    """Anchors of two runs, pair by pair.

    Attributes:
        by: ``"ids"`` or ``"position"``.
        before: Positions in the first run, int64 (n,).
        after: Positions in the second run, rising, int64 (n,).
        labels: Labels, str (n,), the second run's where it has them, or None.
        n_relabelled: Pairs with two labels.
        only_before: Ids that only the first run has.
        only_after: Ids that only the second run has.
    """

    by: str
    before: NDArray[np.int64]
    after: NDArray[np.int64]
    labels: Texts | None
    n_relabelled: int
    only_before: tuple[str, ...]
    only_after: tuple[str, ...]


def match_anchors(
    before: Mapping[str, Any], after: Mapping[str, Any], by: str | None, partial: bool, where: str
) -> Matched:
    """Return the pairs of the same anchors.

    By position the order must be the same, so the numbers of anchors must agree, and the labels,
    where both runs have them.

    Args:
        before: Data of the first run, with ``group`` and perhaps ``ids`` and ``labels``.
        after: Data of the second.
        by: ``"ids"``, ``"position"``, or None for ids when both have them, position when neither.
        partial: Take the common anchors when the ids differ.
        where: Who asks, for the error.

    Raises:
        ParameterError: When the anchors are not the same, or cannot be matched.

    Cost: O(n log n).

    Example:
        >>> one = {"group": ["HIHE", "LILE"], "ids": ["a", "b"]}
        >>> other = {"group": ["LILE", "HIHE"], "ids": ["b", "a"]}
        >>> match_anchors(one, other, None, False, "here").before.tolist()
        [1, 0]
    """
    ids = [
        _column(data, "ids", name, where) for name, data in (("before", before), ("after", after))
    ]
    labels = [
        _column(data, "labels", name, where)
        for name, data in (("before", before), ("after", after))
    ]
    if by is None:
        by = _way(ids, where)
    if choice(by, "match", where, _WAYS) == "ids":
        first, second, only = _by_ids(ids, partial, where)
    else:
        first, second = _by_position(len(before["group"]), len(after["group"]), partial, where)
        only = ((), ())
    taken = [
        None if one is None else one[index]
        for one, index in zip(labels, (first, second), strict=True)
    ]
    changed = 0
    if taken[0] is not None and taken[1] is not None:
        changed = int(np.count_nonzero(taken[0] != taken[1]))
    if changed and by == "position":
        got = f"{changed:,} of {len(first):,} positions with two labels"
        hint = "Give the anchors of both runs ids, or audit them in the same order."
        raise ParameterError("labels", where, "the same at every position", got, hint)
    found = taken[0] if taken[1] is None else taken[1]
    return Matched(by, first, second, found, changed, *only)


def _column(data: Mapping[str, Any], key: str, name: str, where: str) -> Texts | None:
    if data.get(key) is None:
        return None
    column = np.asarray(data[key], dtype=np.str_).reshape(-1)
    if len(column) != len(data["group"]):
        allowed = f"one for each of the {len(data['group']):,} anchors"
        got = f"{len(column):,}"
        raise ParameterError(f"{name}[{key!r}]", where, allowed, got, "Check the run's data.")
    return column


def _way(ids: list[Texts | None], where: str) -> str:
    if (ids[0] is None) != (ids[1] is None):
        got = "None, and only one of the runs has ids"
        hint = "Give both runs ids, or say match='position' if their order is the same."
        raise ParameterError("match", where, "'position', or ids in both runs", got, hint)
    return "position" if ids[0] is None else "ids"


def _by_ids(
    ids: list[Texts | None], partial: bool, where: str
) -> tuple[NDArray[np.int64], NDArray[np.int64], tuple[tuple[str, ...], tuple[str, ...]]]:
    first, second = ids
    if first is None or second is None:
        hint = "Give both runs ids, or say match='position' if their order is the same."
        raise ParameterError("ids", where, "in both runs to match by", "a run without ids", hint)
    for name, one in (("before", first), ("after", second)):
        found, counts = np.unique(one, return_counts=True)
        if len(found) < len(one):
            got = f"{short_repr(str(found[counts.argmax()]))} {counts.max():,} times"
            hint = "Name every anchor once, or say match='position'."
            raise ParameterError(f"{name}['ids']", where, "all different", got, hint)
    common, left, right = np.intersect1d(first, second, assume_unique=True, return_indices=True)
    only = tuple(
        tuple(np.delete(one, index).tolist()) for one, index in ((first, left), (second, right))
    )
    if not partial and (only[0] or only[1]):
        got = f"{len(only[0]):,} only before, {len(only[1]):,} only after, {len(common):,} in both"
        hint = "Audit the same anchors, or say partial=True (--partial) to compare those in both."
        raise ParameterError("anchors", where, "the same in both runs", got, hint)
    if not len(common) and (only[0] or only[1]):
        hint = "Check that both runs name their anchors in the same way."
        raise ParameterError("anchors", where, "in both runs, some of them", "none", hint)
    order = np.argsort(right)
    before, after = left[order].astype(np.int64), right[order].astype(np.int64)
    return before, after, (only[0], only[1])


def _by_position(
    before: int, after: int, partial: bool, where: str
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    if before != after:
        got = f"{before:,} anchors before and {after:,} after"
        hint = "Audit the same anchors" + (
            "; by position there is no telling which are in both." if partial else ", or give ids."
        )
        raise ParameterError("anchors", where, "as many in both runs, by position", got, hint)
    return np.arange(before), np.arange(before)
