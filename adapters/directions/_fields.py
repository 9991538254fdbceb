"""The fields of what the direction adapters return, with their defaults."""

from __future__ import annotations

from typing import Any

__all__ = ["DEFAULT_DATA_DIRECTIONS"]

DEFAULT_DATA_DIRECTIONS: dict[str, Any] = {
    "directions": None,
    "labels": [],
    "strength": None,
    "importance": None,
    "importance_name": None,
    "keep": None,
    "amounts": None,
    "images": None,
    "codes": None,
    "anchors": None,
    "assessors": [],
    "own": None,
    "slope": None,
    "r2": None,
    "monotone": None,
    "ends": None,
    "p_value": None,
    "response": None,
    "response_spread": None,
    "leakage": None,
    "change": None,
    "realism": None,
    "realism_name": None,
    "control_slope": None,
    "control_monotone": None,
    "control_ends": None,
    "control_response": None,
    "control_change": None,
    "control_realism": None,
    "n_codes": None,
    "invalid": None,
    "reasons": [],
}
"""To be deep-copied; what each key holds, the docstring of ``DirectionAdapter`` says."""
