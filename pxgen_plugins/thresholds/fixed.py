"""Thresholds given by the user."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import numpy as np

from pxgen_plugins.anchors import Anchors
from pxgen_plugins.scoring import Scorer
from pxgen_plugins.thresholds.base import Rule, check_names, register
from pxgen_plugins.thresholds.calibration import Calibration, Floats
from pxgen_plugins.utils import validation
from pxgen_plugins.utils.errors import ParameterError, caller, short_repr

__all__ = ["Fixed"]


@register("Fixed")
class Fixed(Rule):
    """Thresholds given by the user; nothing is sampled.

    Args:
        values: One number for every criterion, or a mapping from criterion to number.

    Raises:
        ParameterError: When a number is not finite; at calibration, when names do not match.

    Example:
        >>> Fixed({"kld": 30.0, "mse": 0.04}).params
        {'values': {'kld': 30.0, 'mse': 0.04}}
    """

    samples: ClassVar[bool] = False

    @caller("Fixed")
    def __init__(self, values: float | Mapping[str, float]) -> None:
        self.values: float | dict[str, float]
        if isinstance(values, Mapping):
            self.values = {
                name: validation.real(value, f"values[{name!r}]") for name, value in values.items()
            }
        else:
            self.values = validation.real(values, "values")

    def threshold(self, values: Floats) -> Floats:
        """Raise: there is nothing to find."""
        raise NotImplementedError("Fixed has its thresholds already")

    @caller("Fixed")
    def calibrate(
        self, scorer: Scorer, seed: int, verbose: bool = False, reference: Anchors | None = None
    ) -> Calibration:
        """Return the given thresholds, as one repeat; no sample is drawn and no data is read."""
        names = [criterion.name for criterion in scorer.criteria]
        if isinstance(self.values, dict):
            check_names(self.values, names, "values")
            missing = [name for name in names if name not in self.values]
            if missing:
                allowed = "a mapping with a number for every criterion: " + ", ".join(names)
                hint = f"Add a threshold for {missing[0]!r}."
                raise ParameterError("values", allowed, short_repr(self.values), hint)
            chosen = np.array([self.values[name] for name in names])
        else:
            chosen = np.full(len(names), self.values)
        return Calibration(
            method="Fixed",
            params=self.params,
            names=names,
            thresholds=chosen,
            repeats=chosen[None],
            reference=None,
            n_samples=0,
            n_invalid=0,
            seed=seed,
        )
