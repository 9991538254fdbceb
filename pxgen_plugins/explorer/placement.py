"""Where PXGen puts an instance: its values, its group, and how far the thresholds are."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from pxgen_plugins.explainer import PXGen
from pxgen_plugins.groups import GROUPS, codes, threshold_draws
from pxgen_plugins.host import NotFittedError
from pxgen_plugins.models.base import CHEAP
from pxgen_plugins.result import Result
from pxgen_plugins.utils.errors import ParameterError
from pxgen_plugins.utils.scales import asks_for_logarithm

__all__ = ["EMPTY", "Placement"]

Floats = NDArray[np.float64]

EMPTY: dict[str, Any] = {
    "group": None, "values": {}, "distances": {}, "firmness": None, "point": None,
}  # fmt: skip
"""What stands in an answer without an explainer."""


class Placement:
    """A fitted explainer as the explorer asks it, one instance at a time.

    Args:
        explainer: A fitted PXGen.

    Raises:
        ParameterError: When it is something else.
        NotFittedError: When it is not fitted.
    """

    def __init__(self, explainer: Any) -> None:
        if not isinstance(explainer, PXGen):
            hint = "Pass PXGen(model).fit()."
            raise ParameterError("explainer", "a PXGen", type(explainer).__name__, hint)
        calibration = explainer.calibration
        if calibration is None:
            raise NotFittedError(type(explainer).__name__)
        self.explainer, self.calibration = explainer, calibration
        self._scorer = explainer.scorer()
        self.names = [criterion.name for criterion in self._scorer.criteria]
        self.kinds = [str(criterion.kind) for criterion in self._scorer.criteria]
        self._ruled = (self.kinds, explainer.rule, calibration.scale)
        reference = calibration.reference
        floor = None if reference is None or not len(reference) else np.median(reference, axis=0)
        # those of the explanation, so that firmness is its group_stability
        resampled = calibration.resampled
        self._draws = threshold_draws(calibration.repeats, floor, resampled=resampled)

    @property
    def costly(self) -> bool:
        """Whether the values of one instance take many passes, as an inversion does."""
        return self._scorer.passes > CHEAP

    def criteria(self) -> list[dict[str, Any]]:
        """Return name, kind, unit and threshold of each criterion."""
        return [
            {
                "name": criterion.name,
                "kind": str(criterion.kind),
                "unit": criterion.unit,
                "threshold": float(threshold),
                "side": "low is high affinity",
            }
            for criterion, threshold in zip(
                self._scorer.criteria, self.calibration.thresholds, strict=True
            )
        ]

    def place(self, x: Tensor) -> dict[str, Any]:
        """Return where an instance (1, *sample_shape) falls.

        Returns:
            ``group``: its name; ``values`` by criterion; ``distances``: threshold less value, in
            the criterion's unit, above 0 where affinity is high; ``firmness``: the share of
            thresholds that another calibration might have given under which the group is the same;
            ``point``: the values on the two axes of the plane.
        """
        values = self._scorer.score_instances(x).values
        gaps = self.calibration.thresholds - values[0]
        own = int(codes(values, self.calibration.thresholds, *self._ruled)[0])
        if own == len(GROUPS):
            group, firmness = "invalid", None
        else:
            drawn = codes(values, self._draws[:, None, :], *self._ruled)
            group, firmness = GROUPS[own], float((drawn == own).mean())
        return {
            "group": group,
            "values": dict(zip(self.names, values[0].tolist(), strict=True)),
            "distances": dict(zip(self.names, gaps.tolist(), strict=True)),
            "firmness": firmness if len(self._draws) > 1 else None,
            "point": [float(values[0, column]) for column in self._columns],
        }

    def plane(self, result: Result) -> dict[str, Any]:
        """Return the anchors by the first intrinsic and the first extrinsic criterion."""
        places = {name: place for place, name in enumerate(GROUPS)}
        values = result.values[:, self._columns]
        marks = self.calibration.thresholds[self._columns]
        labels = [f"{self.kinds[c]}: {self.names[c]}" for c in self._columns]
        return {
            "x_label": labels[0],
            "y_label": labels[1],
            "x": values[:, 0].tolist(),
            "y": values[:, 1].tolist(),
            "group": [places.get(str(name), -1) for name in result.group],  # -1: in none
            "thresholds": marks.tolist(),
            "log": [_logarithmic(values[:, i], float(marks[i])) for i in range(2)],
        }

    @property
    def _columns(self) -> list[int]:
        return [self.kinds.index(kind) for kind in ("intrinsic", "extrinsic")]


def _logarithmic(values: Floats, threshold: float) -> bool:
    """Return whether an axis is logarithmic, by the rule of ``plot_groups``."""
    return threshold > 0 and asks_for_logarithm(values[np.isfinite(values)])
