"""What became of one method of a comparison, and the task that all methods share."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pxgen_plugins.anchors import Anchors
from pxgen_plugins.scoring import Scorer

__all__ = ["Outcome", "Task"]


@dataclass(frozen=True)
class Task:
    """What all methods of a comparison share.

    Attributes:
        model: The model.
        anchors: The anchor set.
        local: Indices of the anchors that local methods explain, (a,).
        inputs: Those anchors as the model takes them, (a, *sample_shape).
        features: Posterior means of all anchors (or their pixels), (n, d).
        group: Group of every anchor, (n,), for methods whose ``explain`` takes ``groups``.
        target: What adapters made here explain.
        quality: Whether to measure quality.
        seed: Seed of adapters made here.
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
        evidence: Kind of evidence; None when the method failed or does not say.
        access: What it needs of the model.
        explanation: Its explanation, or None.
        seconds: Wall time of fit and explain together.
        peak_mib: Growth of the resident memory meanwhile, MiB.
        repeatable: Whether the same call gives the same result again; None when not tried.
        seed_agreement: Agreement with the result of the next seed, 1 = the same; None without seed.
        quality: Measures of its kind.
        helpful: Training samples that helped the local anchors most, most helpful first; for
            influence methods that keep their training data.
        error: Type and text of the exception, or None.
    """

    label: str
    evidence: str | None = None
    access: str | None = None
    explanation: Any = None
    seconds: float | None = None
    peak_mib: float | None = None
    repeatable: bool | None = None
    seed_agreement: float | None = None
    quality: dict[str, Any] = field(default_factory=dict)
    helpful: NDArray[Any] | None = None
    error: str | None = None

    def row(self) -> dict[str, Any]:
        """Return the outcome as a row of the table."""
        return {
            "method": self.label,
            "evidence": self.evidence,
            "access": self.access,
            "seconds": self.seconds,
            "peak_mib": self.peak_mib,
            "repeatable": self.repeatable,
            "seed_agreement": self.seed_agreement,
            "quality": self.quality,
            "error": self.error,
        }
