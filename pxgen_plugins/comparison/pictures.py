"""The pictures of a comparison: what PXGen and the prototype methods picked."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pxgen_plugins.anchors import Anchors
from pxgen_plugins.comparison.agreement import picked_anchors
from pxgen_plugins.comparison.outcome import Outcome
from pxgen_plugins.result import Result
from pxgen_plugins.scoring import Scorer

__all__ = ["pictures"]

_PICTURES = 10  # of a method, at most
_GROUPS = ("HIHE", "HILE")  # what the model knows, and its delusion


def pictures(
    scorer: Scorer, anchors: Anchors, result: Result, outcomes: Sequence[Outcome]
) -> dict[str, NDArray[np.float32]]:
    """Return the first anchors that each selector of PXGen and each prototype method picked.

    And the training samples that influence methods found most helpful.
    """
    shown = {
        label: scorer.inputs(anchors, rows[:_PICTURES])
        for label, rows in _picks(result, outcomes)
        if len(rows)
    }
    helpful = {f"{o.label}, most helpful": o.helpful for o in outcomes if o.helpful is not None}
    return {**shown, **helpful}


def _picks(result: Result, outcomes: Sequence[Outcome]) -> Iterator[tuple[str, Any]]:
    for group in _GROUPS:
        for name, rows in result.groups[group].representatives.items():
            yield f"PXGen {name}, {group}", rows
    for outcome in outcomes:
        picks = picked_anchors(outcome.explanation)
        if picks is not None:
            yield outcome.label, picks
