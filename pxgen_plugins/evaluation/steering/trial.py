"""What happened in one question, and what is measured of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["IDLE", "MEASURES", "Trial", "active_seconds"]

IDLE = 3.0
"""Seconds from which a gap between two rows is no active time."""

MEASURES = ("solved", "seconds", "drags", "distance", "error_auc", "switches", "turns")
"""Numbers of a question: 1 if it was solved; active seconds; drags; distance moved, in lengths of a
slider; time-weighted mean of 1 - agreement; changes of slider; changes of direction."""

Floats = NDArray[np.float64]


def active_seconds(times: Floats) -> Floats:
    """Return how long each row but the last was looked at, (m - 1,); 0 where somebody was away."""
    gaps: Floats = np.diff(times)
    return np.where(gaps < IDLE, gaps, 0.0)


@dataclass(frozen=True, eq=False)
class Trial:
    """One question of a log; m rows with positions, of which the first is the start.

    Attributes:
        question: Index of the question.
        status: ``"solved"``, ``"skipped"``, ``"budget"`` of a simulated user, or ``"open"``.
        times: Seconds since the session began, (m,), and of the end, as the last of (m + 1,).
        positions: Of the sliders, (m, k).
        agreement: With the target, (m,).
        release: Whether the hand left the slider with this row, (m,).
        span: Length of each slider, (k,).
    """

    question: int
    status: str
    times: Floats
    positions: Floats
    agreement: Floats
    release: NDArray[np.bool_]
    span: Floats

    @classmethod
    def of(cls, rows: Sequence[Mapping[str, Any]], span: Floats) -> Trial:
        """Return the trial in the rows of one question, its start first."""
        moves = [row for row in rows if row["event"] in ("start", "step")]
        last = rows[-1]
        return cls(
            int(rows[0]["question"]),
            str(last["status"]) if last["event"] == "end" else "open",
            np.array([row["t"] for row in [*moves, last]], dtype=np.float64),
            np.array([row["positions"] for row in moves], dtype=np.float64),
            np.array([row["agreement"] for row in moves], dtype=np.float64),
            np.array([bool(row.get("release")) for row in moves]),
            span,
        )

    @property
    def elapsed(self) -> Floats:
        """Active seconds from the start to each row, (m,)."""
        return np.concatenate([[0.0], active_seconds(self.times)[:-1].cumsum()])

    @property
    def steps(self) -> Floats:
        """How far each slider moved from row to row, in lengths of a slider, (m - 1, k)."""
        steps: Floats = np.diff(self.positions, axis=0) / self.span
        return steps

    @property
    def drags(self) -> list[tuple[int, int]]:
        """Slider and first step of every drag: until the hand leaves it, or takes another slider.

        A row in which several sliders move, as a reset, counts for the one that moves most.
        """
        found: list[tuple[int, int]] = []
        free = True
        for at, step in enumerate(np.abs(self.steps)):
            j = int(step.argmax())
            if step[j] > 0:
                if free or j != found[-1][0]:
                    found.append((j, at))
                free = False
            free = free or bool(self.release[at + 1])
        return found

    @property
    def turns(self) -> int:
        """How often a slider that was just moved was moved the other way."""
        count, before = 0, (-1, 0.0)
        for step in self.steps:
            j = int(np.abs(step).argmax())
            if step[j] == 0:
                continue
            count += before[0] == j and before[1] * step[j] < 0
            before = (j, float(step[j]))
        return count

    def measures(self) -> dict[str, float]:
        """Return the numbers of :data:`MEASURES`."""
        looked = active_seconds(self.times)
        total = float(looked.sum())
        error = 1.0 - self.agreement
        order = [j for j, _ in self.drags]
        return {
            "solved": float(self.status == "solved"),
            "seconds": total,
            "drags": float(len(order)),
            "distance": float(np.abs(self.steps).sum()),
            "error_auc": float(looked @ error) / total if total > 0 else float(error[0]),
            "switches": float(sum(a != b for a, b in pairwise(order))),
            "turns": float(self.turns),
        }

    def per_axis(self) -> tuple[Floats, Floats]:
        """Return drags and distance of each slider, (k,) both."""
        k = len(self.span)
        drags = np.bincount([j for j, _ in self.drags], minlength=k).astype(np.float64)
        return drags, np.abs(self.steps).sum(axis=0)
