"""Which anchors the report shows pictures of."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pxgen_plugins.anchors import Anchors
from pxgen_plugins.audit.changes import Changes
from pxgen_plugins.audit.verdicts import Judgement
from pxgen_plugins.result import Result
from pxgen_plugins.utils.sequences import even_positions

__all__ = ["STRIP", "choose_pictures"]

STRIP = 20
"""HILE and LIHE anchors that the report shows as delusion and alignment."""

_SAMPLE = 150  # anchors of each group whose pictures the report shows when they are brushed
_EVIDENCE = 24
_WAYS, _MOVES = 4, 12  # anchors that moved, of each of the commonest ways


def choose_pictures(
    anchors: Anchors,
    result: Result,
    judgements: Sequence[Judgement],
    changes: Changes | None,
) -> NDArray[np.int64]:
    """Return the anchors whose pictures the report shows.

    These are representatives, HILE and LIHE anchors, strips, evidence against conditions, anchors
    that changed their group, and a sample of each group. Of what cannot be read there is none.

    Args:
        anchors: The anchor set.
        result: What PXGen found out about it.
        judgements: Of the conditions.
        changes: Since the baseline, or None.

    Returns:
        Their indices, rising.
    """
    parts = [np.asarray(part, dtype=np.int64) for part in _parts(result, judgements, changes)]
    chosen = np.unique(np.concatenate(parts))
    suspects = np.intersect1d(chosen, result.invalid)
    if not len(suspects):
        return chosen
    unreadable = suspects[sorted(anchors.read(suspects)[1])]
    return np.setdiff1d(chosen, unreadable)


def _parts(
    result: Result, judgements: Sequence[Judgement], changes: Changes | None
) -> Iterator[Any]:
    for judgement in judgements:
        yield judgement.anchors[:_EVIDENCE]
    yield from (result.foremost(name, STRIP) for name in ("HILE", "LIHE"))
    yield from result.strips.values()
    if changes is not None:
        for moved in list(changes.ways.values())[:_WAYS]:
            yield moved[even_positions(len(moved), _MOVES)]
    for group in result.groups.values():
        yield from group.representatives.values()
        members = group.indices  # in the order of anchors, which is no order of values
        yield members[even_positions(len(members), _SAMPLE)]
