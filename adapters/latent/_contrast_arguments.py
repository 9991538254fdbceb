"""Checks of the arguments of a contrast."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from pxgen_plugins.adapters.latent._boundary import KINDS, GroupBorder, parse_goal
from pxgen_plugins.utils import validation
from pxgen_plugins.utils.errors import ParameterError, short_repr

__all__ = ["as_json", "baseline", "constants", "goal"]

BASELINES = ("prior", "mean")


def constants(value: Any) -> list[float]:
    """Return the weights of the border as floats, or raise."""
    values = list(value) if isinstance(value, (Sequence, np.ndarray)) else []
    if not values or isinstance(value, str):
        hint = "Pass weights like (1.0, 10.0, 100.0)."
        raise ParameterError("constants", "a list of numbers", short_repr(value), hint)
    return [validation.real(number, "constants", above=0.0) for number in values]


def baseline(value: Any) -> Any:
    """Return a named baseline, or a code as an array, or raise."""
    if isinstance(value, str):
        return validation.choice(value, "baseline", BASELINES)
    try:
        code = np.asarray(value, dtype=np.float64)
    except (TypeError, ValueError):
        code = np.array(np.nan)
    if code.size == 0 or not np.isfinite(code).all():
        hint = "Pass one finite number per latent dimension, 'prior' or 'mean'."
        allowed = "'prior', 'mean' or a code"
        raise ParameterError("baseline", allowed, short_repr(value), hint)
    return code


def goal(value: Any, by_class: bool) -> str | int | None:
    """Return a group by name or a class by number, or raise; None is any other."""
    if value is None or by_class:
        return None if value is None else validation.integer(value, "goal", minimum=0)
    parse_goal(value, KINDS)
    return str(value)


def as_json(border: GroupBorder) -> dict[str, Any]:
    """Return a border as metadata hold it."""
    names = [criterion.name for criterion in border.criteria]
    values = border.thresholds.tolist()
    return {"thresholds": dict(zip(names, values, strict=True)), "rule": border.rule}
