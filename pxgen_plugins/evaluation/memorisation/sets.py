"""The two sets that are compared: each instance once, and none in both."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pxgen_plugins.anchors import Anchors, Subset
from pxgen_plugins.evaluation.memorisation.space import Space
from pxgen_plugins.utils.errors import AnchorError
from pxgen_plugins.utils.nearest import len_of

__all__ = ["LEAST", "Sets", "open_sets"]

LEAST = 20
"""Instances of either set that are needed."""


@dataclass(frozen=True)
class Sets:
    """Training and held-out instances, without repeats.

    Attributes:
        training: The whole training set.
        held_out: The whole held-out set.
        kept: Positions of its n distinct instances in the training set, int64 (n,).
        kept_control: Positions of the m distinct held-out instances that are no training instances.
        counts: How often each of the n stands in the training set, int64 (n,).
        rows: Of the n, as distances compare them.
        control: Of the m, likewise.
        notes: What a reader must know of them.
    """

    training: Anchors
    held_out: Anchors
    kept: NDArray[np.int64]
    kept_control: NDArray[np.int64]
    counts: NDArray[np.int64]
    rows: Any
    control: Any
    notes: tuple[str, ...] = ()

    @property
    def known(self) -> Anchors:
        """The n distinct training instances."""
        return Subset(self.training, self.kept)

    @property
    def new(self) -> Anchors:
        """The m held-out instances."""
        return Subset(self.held_out, self.kept_control)


def open_sets(space: Space, training: Any, held_out: Any) -> Sets:
    """Return two sets, read and without repeats.

    Args:
        space: What distances are measured in; instances that are equal there are the same.
        training: Anything that ``explain`` takes.
        held_out: Likewise.

    Raises:
        AnchorError: When a set cannot be read, or has fewer than 20 distinct instances.
    """
    anchors, rows = space.open(training, "training")
    others, control = space.open(held_out, "held_out")
    notes: list[str] = []
    places = _places(rows)
    kept, counts = _distinct(places)
    kept_control = _new(_places(control), places, notes)
    for name, index in (("training", kept), ("held_out", kept_control)):
        if len(index) < LEAST:
            hint = "Give more: a rank among few says nothing."
            allowed = f"at least {LEAST} distinct instances, none of them in both sets"
            raise AnchorError(name, allowed, f"{len(index)}", hint)
    parts = rows[kept], control[kept_control]
    return Sets(anchors, others, kept, kept_control, counts, *parts, tuple(notes))


def _places(rows: Any) -> dict[bytes, list[int]]:
    """Return where each distinct row stands, by its digest, in the order of their first places."""
    places: dict[bytes, list[int]] = {}
    for place in range(len_of(rows)):
        places.setdefault(_key(rows, place), []).append(place)
    return places


def _distinct(places: Mapping[bytes, list[int]]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the first position of each distinct row, rising, and how often each stands there."""
    first = [at[0] for at in places.values()]
    times = [len(at) for at in places.values()]
    return np.array(first, dtype=np.int64), np.array(times, dtype=np.int64)


def _new(
    control: Mapping[bytes, list[int]], known: Mapping[bytes, list[int]], notes: list[str]
) -> NDArray[np.int64]:
    """Return the distinct held-out rows that are no training rows; say how many were."""
    new = [at[0] for key, at in control.items() if key not in known]
    if len(new) < len(control):
        notes.append(
            f"{len(control) - len(new):,} held-out instances also stand in the training set and "
            "are left out."
        )
    return np.array(new, dtype=np.int64)


def _key(rows: Any, place: int) -> bytes:
    if isinstance(rows, np.ndarray):
        return blake2b(np.ascontiguousarray(rows[place]).tobytes(), digest_size=16).digest()
    ends = rows.indptr[place : place + 2]
    return blake2b(rows.indices[ends[0] : ends[1]].tobytes(), digest_size=16).digest()
