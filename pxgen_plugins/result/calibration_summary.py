"""What an explanation keeps of the calibration behind its thresholds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from pxgen_plugins.result._entries import Floats, as_floats, as_rows
from pxgen_plugins.utils.text import number

__all__ = ["FEWEST", "CalibrationSummary"]

FEWEST = 5
"""Repeats that still say how far a threshold moves."""

_FIRM = 0.005  # half a point: what the seed of calibration may move a share unsaid


@dataclass(frozen=True, eq=False)
class CalibrationSummary:
    """What is kept of the calibration.

    Attributes:
        method: Class name of the rule.
        params: Its parameters.
        n_samples: Samples per repeat, or instances of reference data.
        n_repeats: Repeats done.
        n_invalid: How many were left out because a value was not finite.
        seed: Seed of the samples, or of the resamples of reference data.
        repeats: Thresholds of each repeat, (r, m).
        reference: Values that the thresholds come from, thinned, (s, m): of the model's own
            samples, or of reference data; None for fixed thresholds.
        scale: Standard deviation of those values, (m,); None without them.
        share_std: By group, the standard deviation of its share over other calibrations of the same
            size; None where one repeat, or none, cannot tell.
        source: Where thresholds come from: ``"samples"`` or ``"reference"``.
        n_learning: Instances of reference data that criteria learned from; thresholds come from
            others.
        resampled: Whether the repeats are resamples of the first, as of reference data.
    """

    method: str
    params: dict[str, Any]
    n_samples: int
    n_repeats: int
    n_invalid: int
    seed: int
    repeats: Floats
    reference: Floats | None
    scale: Floats | None
    share_std: dict[str, float | None] = field(default_factory=dict)
    source: str = "samples"
    n_learning: int = 0
    resampled: bool = False

    @property
    def values_of(self) -> str:
        """What the reference values belong to, in words."""
        return "reference data" if self.source == "reference" else "model's samples"

    @property
    def has_few_repeats(self) -> bool:
        """Whether there are repeats, but too few to tell how far they spread."""
        return 1 < self.n_repeats < FEWEST and not self.resampled

    @property
    def noise(self) -> str:
        """A sentence when another calibration would move shares by over half a point, else "".

        Or when there are too few repeats to tell.
        """
        if self.has_few_repeats:
            return (
                f"{self.n_repeats} repeats hardly tell how far another calibration would move the "
                "shares, so their intervals are wide"
            )
        known = {name: std for name, std in self.share_std.items() if std is not None}
        most = max(known, key=lambda name: known[name], default="")
        if not most or known[most] <= _FIRM:
            return ""
        return (
            f"Another calibration would move the share of {most} by "
            f"{number(100 * known[most], 2)} points (standard deviation)"
        )

    @property
    def floor(self) -> Floats | None:
        """Medians of the reference values, (m,); None without them."""
        if self.reference is None or not len(self.reference):
            return None
        medians: Floats = np.median(self.reference, axis=0)
        return medians

    @property
    def interval_source(self) -> str:
        """What the intervals of the groups' shares cover, in words."""
        if self.method == "Fixed":
            return "other anchors, at the given thresholds"
        if self.n_repeats < 2:
            return "other anchors only: one repeat tells nothing of the calibration"
        if self.source == "reference":
            return "other anchors and other reference data"
        return "other anchors and another calibration"

    @classmethod
    def of(cls, entry: Mapping[str, Any], m: int) -> CalibrationSummary:
        """Return the summary that an explanation's data holds, for m criteria."""
        reference, scale = entry.get("reference"), entry.get("scale")
        return cls(
            method=str(entry.get("method")),
            params=dict(entry.get("params") or {}),
            n_samples=int(entry.get("n_samples") or 0),
            n_repeats=int(entry.get("n_repeats") or 0),
            n_invalid=int(entry.get("n_invalid") or 0),
            seed=int(entry.get("seed") or 0),
            repeats=as_rows(entry.get("repeats"), m),
            reference=None if reference is None else as_rows(reference, m),
            scale=None if scale is None else as_floats(scale),
            share_std={
                str(name): None if std is None else float(std)
                for name, std in (entry.get("share_std") or {}).items()
            },
            source=str(entry.get("source") or "samples"),
            n_learning=int(entry.get("n_learning") or 0),
            resampled=bool(entry.get("resampled")),
        )

    def to_data(self) -> dict[str, Any]:
        """Return the entry of an explanation's data."""
        return vars(self) | {"scale": None if self.scale is None else self.scale.tolist()}
