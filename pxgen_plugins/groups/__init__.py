"""From values and thresholds to groups, their statistics and intervals; no model is needed."""

from __future__ import annotations

from pxgen_plugins.groups.assignment import (
    GROUPS,
    INVALID,
    RULES,
    affinity,
    anchor_value,
    assign,
    codes,
    codes_of,
    members,
)
from pxgen_plugins.groups.binomial import exact_interval, mid_p_interval, wilson_interval
from pxgen_plugins.groups.calibration_noise import calibration_noise
from pxgen_plugins.groups.drawn_codes import DrawnCodes
from pxgen_plugins.groups.intervals import (
    Combine,
    GroupShares,
    joint_interval,
    percentiles,
    share_intervals,
)
from pxgen_plugins.groups.statistics import label_counts, statistics
from pxgen_plugins.groups.strips import foremost
from pxgen_plugins.groups.strips import strips as strips
from pxgen_plugins.groups.threshold_draws import threshold_draws

__all__ = [
    "GROUPS",
    "INVALID",
    "RULES",
    "Combine",
    "DrawnCodes",
    "GroupShares",
    "affinity",
    "anchor_value",
    "assign",
    "calibration_noise",
    "codes",
    "codes_of",
    "exact_interval",
    "foremost",
    "joint_interval",
    "label_counts",
    "members",
    "mid_p_interval",
    "percentiles",
    "share_intervals",
    "statistics",
    "strips",
    "threshold_draws",
    "wilson_interval",
]
