"""Which anchors the report shows pictures of."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pxgen_plugins.anchors import Anchors
from pxgen_plugins.audit.changes import Changes
from pxgen_plugins.audit.verdicts import Judgement

__all__ = ["pictured"]

_SAMPLE = 150  # anchors of each group whose pictures the report shows when they are brushed
_EVIDENCE = 24
_WAYS, _MOVED = 4, 12  # anchors that moved, of each of the commonest ways


def pictured(
    anchors: Anchors,
    data: dict[str, Any],
    judged: Sequence[Judgement],
    changes: Changes | None,
) -> NDArray[np.int64]:
    """Return the anchors whose pictures the report shows: picked, evidence, moved, a sample.

    Of what cannot be read there is no picture.

    Args:
        anchors: The anchor set.
        data: Data of its explanation.
        judged: The conditions' judgements.
        changes: Since the baseline, or None.

    Returns:
        Their indices, rising.
    """
    shown = np.unique(np.concatenate(_shown(data, judged, changes)))
    suspects = np.intersect1d(shown, data["invalid"]).astype(np.int64)
    if not len(suspects):
        return shown
    unread = suspects[sorted(anchors.read(suspects)[1])]
    return np.setdiff1d(shown, unread)


def _shown(
    data: dict[str, Any], judged: Sequence[Judgement], changes: Changes | None
) -> list[NDArray[np.int64]]:
    found = [np.asarray(judgement.anchors[:_EVIDENCE], dtype=np.int64) for judgement in judged]
    found += [np.asarray(strip, dtype=np.int64) for strip in data["strips"].values()]
    if changes is not None:
        found += [_evenly(moved, _MOVED) for moved in list(changes.ways.values())[:_WAYS]]
    for group in data["groups"].values():
        found += [
            np.asarray(picked, dtype=np.int64) for picked in group["representatives"].values()
        ]
        found.append(_evenly(group["indices"], _SAMPLE))
    return found


def _evenly(members: NDArray[np.int64], most: int) -> NDArray[np.int64]:
    """Return some, evenly over the order of anchors, which is no order of values."""
    if len(members) <= most:
        return members
    return members[np.linspace(0, len(members) - 1, most).round().astype(np.int64)]
