"""What an explanation holds: one typed object, its strict JSON, its table of anchors."""

from __future__ import annotations

from pxgen_plugins.result.calibration_summary import CalibrationSummary
from pxgen_plugins.result.direction_table import direction_table
from pxgen_plugins.result.explanation import (
    DEFAULT_DATA_PXGEN,
    DEFAULT_META_PXGEN,
    from_json,
    read_json,
    write_json,
)
from pxgen_plugins.result.result import Examples, Group, Result
from pxgen_plugins.result.tables import anchor_table, write_parquet

__all__ = [
    "DEFAULT_DATA_PXGEN",
    "DEFAULT_META_PXGEN",
    "CalibrationSummary",
    "Examples",
    "Group",
    "Result",
    "anchor_table",
    "direction_table",
    "from_json",
    "read_json",
    "write_json",
    "write_parquet",
]
