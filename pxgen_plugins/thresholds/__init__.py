"""Threshold rules, one file each, and calibration: thresholds from the model's own samples."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pxgen_plugins.thresholds.base import REGISTRY as REGISTRY
from pxgen_plugins.thresholds.base import Rule, calibrate, make, register
from pxgen_plugins.thresholds.calibration import Calibration
from pxgen_plugins.utils.errors import caller

if TYPE_CHECKING:
    from pxgen_plugins.thresholds.conformal import Conformal
    from pxgen_plugins.thresholds.fixed import Fixed
    from pxgen_plugins.thresholds.mean_max import MeanMax
    from pxgen_plugins.thresholds.median import Median
    from pxgen_plugins.thresholds.quantile import Quantile

get = caller("thresholds.get", fallback=True)(REGISTRY.get)
names = REGISTRY.names

__all__ = [
    "Calibration",
    "Conformal",
    "Fixed",
    "MeanMax",
    "Median",
    "Quantile",
    "Rule",
    "calibrate",
    "get",
    "make",
    "names",
    "register",
]


def __getattr__(name: str) -> Any:
    return REGISTRY.lookup_class(name, __name__)
