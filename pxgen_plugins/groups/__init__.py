"""From values and thresholds to groups, their statistics and their intervals; numpy only."""

from __future__ import annotations

from pxgen_plugins.groups.assignment import (
    GROUPS,
    INVALID,
    RULES,
    affinity,
    anchor_value,
    assign,
    codes,
    stability,
)
from pxgen_plugins.groups.calibration_noise import calibration_noise
from pxgen_plugins.groups.intervals import Combine, bootstrap
from pxgen_plugins.groups.statistics import label_counts, statistics, wilson_interval
from pxgen_plugins.groups.strips import strips as strips

__all__ = [
    "GROUPS",
    "INVALID",
    "RULES",
    "Combine",
    "affinity",
    "anchor_value",
    "assign",
    "bootstrap",
    "calibration_noise",
    "codes",
    "label_counts",
    "stability",
    "statistics",
    "strips",
    "wilson_interval",
]
