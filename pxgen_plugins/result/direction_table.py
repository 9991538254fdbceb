"""The directions of an explanation as a table, one row each, with its control beside it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pxgen_plugins.utils import validation
from pxgen_plugins.utils.errors import ParameterError, caller

__all__ = ["direction_rows", "direction_table"]

Floats = NDArray[np.float64]


@caller("direction_table")
def direction_table(explanation: Any, assessor: str | None = None) -> list[dict[str, Any]]:
    """Return one row per direction: what one assessor does along it, and along random directions.

    The fields of an explanation hold a number for every assessor, so a mean over all of
    ``control_monotone`` mixes them. Here each row is about one assessor:

    - ``direction`` and ``assessor``: their names.
    - ``slope``: rise per step, in standard deviations of the assessor; ``random_slope``: mean size
      of that of the random directions.
    - ``p_value``: share of the random directions, and of this one among them, that are at least as
      steep; ``least_p_value``: the least that so many random directions allow, 1 / (r + 1).
    - ``ends``: share of codes whose last value lies above the first (below, where the slope is
      negative); ``random_ends``: the mean of the random directions.
    - ``monotone``: share of codes whose value rises (or falls) strictly at every step;
      ``random_monotone``: the mean of the random directions.
    - ``change``: mean absolute change of the instance at the last step, in units of the data;
      ``random_change``: the mean of the random directions.

    A number that was not measured is None.

    Args:
        explanation: What a direction adapter's ``explain`` returned, or the same from JSON.
        assessor: Its label; None takes the one that the direction was made for, else the first.

    Raises:
        ParameterError: The explanation holds no directions, or no assessor of that name.

    Example:
        >>> from pxgen_plugins.adapters import AssessorDirection
        >>> from pxgen_plugins.testing.examples import LinearModel
        >>> adapter = AssessorDirection(
        ...     LinearModel(), "pixel[0, 4, 4]", assessors="pixel[0, 0, 0]", n_steps=20, n_codes=50
        ... )
        >>> row = direction_table(adapter.explain(None))[0]
        >>> row["assessor"], row["least_p_value"], row["ends"] > row["random_ends"]
        ('pixel[0, 4, 4]', 0.05, True)
    """
    data = getattr(explanation, "data", None)
    if not isinstance(data, Mapping) or data.get("evidence") != "directions":
        hint = "Pass what explain of a direction adapter returned, as of AssessorDirection."
        raise ParameterError("explanation", "directions", type(explanation).__name__, hint)
    names = [str(name) for name in data["assessors"] or []]
    if assessor is not None:
        validation.choice(assessor, "assessor", names)
    return direction_rows(data, assessor)


def direction_rows(data: Mapping[str, Any], assessor: str | None = None) -> list[dict[str, Any]]:
    """Return the rows of :func:`direction_table` for the data of an explanation."""
    names = [str(name) for name in data["assessors"] or []]
    own = [max(int(place), 0) for place in data["own"]]
    columns = own if assessor is None else [names.index(assessor)] * len(own)
    steep = _floats(data.get("control_slope"))
    pairs = {  # of every direction and assessor, (k, m)
        "slope": _floats(data.get("slope")),
        "random_slope": None if steep is None else np.abs(steep).mean(axis=1),
        "p_value": _floats(data.get("p_value")),
        "ends": _floats(data.get("ends")),
        "random_ends": _mean(data.get("control_ends")),
        "monotone": _floats(data.get("monotone")),
        "random_monotone": _mean(data.get("control_monotone")),
    }
    change, random_change = (_floats(data.get(key)) for key in ("change", "control_change"))
    rows = []
    for row, (label, column) in enumerate(zip(data["labels"], columns, strict=True)):
        found = {
            name: _number(table[row, column]) if names and table is not None else None
            for name, table in pairs.items()
        }
        least = 1.0 / (1 + steep.shape[1]) if names and steep is not None else None
        rows.append(
            {
                "direction": str(label),
                "assessor": names[column] if names else None,
                **found,
                "least_p_value": least,
                "change": None if change is None else _number(change[row, -1]),
                "random_change": None if random_change is None else _number(random_change[row, -1]),
            }
        )
    return rows


def _floats(values: Any) -> Floats | None:
    return None if values is None else np.asarray(values, dtype=np.float64)


def _mean(control: Any) -> Floats | None:
    """Return the mean over random directions, (k, m), of (k, r, m)."""
    values = _floats(control)
    return None if values is None else np.asarray(values.mean(axis=1))


def _number(value: Any) -> float | None:
    return float(value) if np.isfinite(value) else None
