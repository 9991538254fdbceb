"""What became of one method of a comparison, and the task that all methods share."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pxgen_plugins.anchors import Anchors
from pxgen_plugins.scoring import Scorer
from pxgen_plugins.utils.text import number

__all__ = ["SHARED", "Outcome", "Task", "cell_text", "quality_text"]

SHARED = "shared work"  # the row of the time that belongs to no method


@dataclass(frozen=True)
class Task:
    """What all methods of a comparison share.

    Attributes:
        model: The model.
        anchors: The anchor set.
        local: Indices of the anchors that local methods explain, (a,).
        inputs: Those anchors as the model takes them, (a, *sample_shape).
        features: Codes of all anchors, or what stands for them (see ``space``), (n, d).
        group: Group of every anchor, (n,), for methods whose ``explain`` takes ``groups``.
        target: What adapters made here explain.
        quality: Whether to measure quality.
        seed: Seed of adapters made here.
        space: Space of prototypes and views made here: ``"latent"``, ``"pixel"``, or a callable.
        space_note: Why it is not the latent space; "" where it is.
        explainer: A fitted PXGen, for methods that take one; None without any.
        training: The training data, for methods that learn from them; None without any.
        checkpoints: Of the training, for methods that take them.
        pass_seconds: Seconds per instance of ``"embed"``, ``"decode"`` and ``"target"``, by name,
            after the operations that torch makes (see
            :func:`~pxgen_plugins.comparison.cost.nominal_seconds`); and the wall time of
            ``"score"`` (all criteria of the groups).
    """

    model: Any
    anchors: Anchors
    local: NDArray[np.int64]
    inputs: NDArray[np.float32]
    features: NDArray[np.float32]
    group: NDArray[np.str_]
    target: Any
    quality: bool
    seed: int
    space: str | Callable[[Any], Any] = "latent"
    space_note: str = ""
    explainer: Any = None
    training: Any = None
    checkpoints: Any = None
    pass_seconds: dict[str, float] = field(default_factory=dict)

    def everything(self, explainer: Any) -> Any:
        """Return all anchors: as they are for ours, as one ndarray for other libraries'."""
        if hasattr(explainer, "evidence") or hasattr(explainer, "calibration"):
            return self.anchors
        index = np.arange(len(self.anchors), dtype=np.int64)
        return Scorer(self.model, []).inputs(self.anchors, index)


@dataclass(frozen=True)
class Outcome:
    """What became of one method.

    Attributes:
        label: Its name in the comparison.
        evidence: Kind of evidence; None when the method did not run or does not say.
        access: What it needs of the model.
        explanation: Its explanation, or None.
        seconds: Wall time of making, fit and explain together.
        quality_seconds: Wall time of the repeats and of the measures of quality.
        peak_mib: Growth of the resident memory while it ran, MiB.
        repeatable: Whether the same call gives the same result again; None when not tried.
        seed_agreement: Agreement with the result of the next seed, 1 = the same; None without seed.
        quality: Measures of its kind.
        helpful: Training samples that helped the local anchors most, most helpful first; for
            influence methods that keep their training data.
        note: What a reader must know of how it ran; "" where there is nothing.
        reason: Why this model or this comparison cannot serve it, or None.
        error: Type and text of an exception that nobody expected, or None.
    """

    label: str
    evidence: str | None = None
    access: str | None = None
    explanation: Any = None
    seconds: float | None = None
    quality_seconds: float | None = None
    peak_mib: float | None = None
    repeatable: bool | None = None
    seed_agreement: float | None = None
    quality: dict[str, Any] = field(default_factory=dict)
    helpful: NDArray[Any] | None = None
    note: str = ""
    reason: str | None = None
    error: str | None = None

    @property
    def status(self) -> str:
        """``"ran"``, ``"cannot"`` (``reason`` says why) or ``"failed"`` (``error`` says how)."""
        if self.error is not None:
            return "failed"
        return "ran" if self.reason is None else "cannot"

    def row(self) -> dict[str, Any]:
        """Return the outcome as a row of the table."""
        return {
            "method": self.label,
            "status": self.status,
            "evidence": self.evidence,
            "access": self.access,
            "seconds": self.seconds,
            "quality_seconds": self.quality_seconds,
            "peak_mib": self.peak_mib,
            "repeatable": self.repeatable,
            "seed_agreement": self.seed_agreement,
            "quality": self.quality,
            "note": self.note,
            "reason": self.reason,
            "error": self.error,
        }


def cell_text(value: Any) -> str:
    """Return a value of a row as the text of a cell."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    return number(value, 3) if isinstance(value, float) else str(value)


def quality_text(row: Mapping[str, Any]) -> str:
    """Return the quality of a row of :meth:`Outcome.row`, or why there is none."""
    if row["error"]:
        return f"failed: {row['error']}"
    if row["reason"]:
        return f"cannot: {row['reason']}"
    measures = ", ".join(f"{k} {cell_text(v)}" for k, v in row["quality"].items() if v is not None)
    return "; ".join(filter(None, [measures, row["note"]]))
