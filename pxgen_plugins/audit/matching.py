"""Pairs of the same anchors in two runs."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pxgen_plugins.result import Result
from pxgen_plugins.utils.errors import ParameterError, short_repr
from pxgen_plugins.utils.large_arrays import from_blocks
from pxgen_plugins.utils.validation import choice

__all__ = ["AnchorPairs", "match_anchors"]

_WAYS = ("ids", "position")

Texts = NDArray[np.str_]


@dataclass(frozen=True, eq=False)
class AnchorPairs:
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
    before: Result, after: Result, by: str | None = None, partial: bool = False
) -> AnchorPairs:
    """Return the pairs of the same anchors.

    By position the order must be the same, so the numbers of anchors must agree, and the labels,
    where both runs have them.

    Args:
        before: Of the first run.
        after: Of the second.
        by: ``"ids"``, ``"position"``, or None for ids when both have them, position when neither.
        partial: Take the common anchors when the ids differ.

    Raises:
        ParameterError: When the anchors are not the same, or cannot be matched.

    Cost: O(n log n).

    Example:
        >>> run = {
        ...     "criteria": ["kld"], "kinds": ["intrinsic"], "thresholds": {"kld": 20.0},
        ...     "values": [[1.0], [30.0]], "group": ["HIHE", "LILE"], "groups": {},
        ... }
        >>> one, other = (Result.of(run | {"ids": ids}) for ids in (["a", "b"], ["b", "a"]))
        >>> match_anchors(one, other).before.tolist()
        [1, 0]
    """
    runs = {"before": before, "after": after}
    ids = [_column(f"{name}['ids']", run.ids, run.n) for name, run in runs.items()]
    labels = [_column(f"{name}['labels']", run.labels, run.n) for name, run in runs.items()]
    if by is None:
        by = _default_way(ids)
    if choice(by, "match", _WAYS) == "ids":
        first, second, only = _by_ids(ids, partial)
    else:
        first, second = _by_position(before.n, after.n, partial)
        only = ((), ())
    old, new = (
        None if column is None else column[index]
        for column, index in zip(labels, (first, second), strict=True)
    )
    n_relabelled = 0 if old is None or new is None else int(np.count_nonzero(old != new))
    if n_relabelled and by == "position":
        got = f"{n_relabelled:,} of {len(first):,} positions with two labels"
        hint = "Give the anchors of both runs ids, or audit them in the same order."
        raise ParameterError("labels", "the same at every position", got, hint)
    return AnchorPairs(by, first, second, old if new is None else new, n_relabelled, *only)


def _column(name: str, column: Texts | None, n: int) -> Texts | None:
    if column is not None and len(column) != n:
        allowed = f"one for each of the {n:,} anchors"
        raise ParameterError(name, allowed, f"{len(column):,}", "Check the run's data.")
    return column


def _default_way(ids: list[Texts | None]) -> str:
    if (ids[0] is None) != (ids[1] is None):
        got = "None, and only one of the runs has ids"
        hint = "Give both runs ids, or say match='position' if their order is the same."
        raise ParameterError("match", "'position', or ids in both runs", got, hint)
    return "position" if ids[0] is None else "ids"


def _by_ids(
    ids: list[Texts | None], partial: bool
) -> tuple[NDArray[np.int64], NDArray[np.int64], tuple[tuple[str, ...], tuple[str, ...]]]:
    first, second = ids
    if first is None or second is None:
        hint = "Give both runs ids, or say match='position' if their order is the same."
        raise ParameterError("ids", "in both runs to match by", "a run without ids", hint)
    for name, one in (("before", first), ("after", second)):
        names, counts = np.unique(one, return_counts=True)
        if len(names) < len(one):
            got = f"{short_repr(str(names[counts.argmax()]))} {counts.max():,} times"
            hint = "Name every anchor once, or say match='position'."
            raise ParameterError(f"{name}['ids']", "all different", got, hint)
    common, left, right = np.intersect1d(first, second, assume_unique=True, return_indices=True)
    only = tuple(
        tuple(np.delete(one, index).tolist()) for one, index in ((first, left), (second, right))
    )
    if not partial and (only[0] or only[1]):
        got = f"{len(only[0]):,} only before, {len(only[1]):,} only after, {len(common):,} in both"
        hint = "Audit the same anchors, or say partial=True (--partial) to compare those in both."
        raise ParameterError("anchors", "the same in both runs", got, hint)
    if not len(common) and (only[0] or only[1]):
        hint = "Check that both runs name their anchors in the same way."
        raise ParameterError("anchors", "in both runs, some of them", "none", hint)
    order = np.argsort(right)
    before, after = left[order].astype(np.int64), right[order].astype(np.int64)
    return before, after, (only[0], only[1])


def _by_position(
    before: int, after: int, partial: bool
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    if before != after:
        got = f"{before:,} anchors before and {after:,} after"
        hint = "Audit the same anchors" + (
            "; by position there is no telling which are in both." if partial else ", or give ids."
        )
        raise ParameterError("anchors", "as many in both runs, by position", got, hint)
    same = from_blocks(lambda rows: np.arange(rows.start, rows.stop), before, np.int64)
    return same, same
