"""P-values by ranks among a control."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["control_p_values"]

Floats = NDArray[np.float64]


def control_p_values(values: Floats, control: Floats) -> Floats:
    """Return for each value how likely one of the control is as small: (1 + rank) / (m + 1).

    Where value and control are exchangeable, P(p <= a) <= a for every a, whatever their
    distribution (Vovk, Gammerman and Shafer 2005). A value that ties with controls ranks behind
    them.

    Those of many values depend on each other positively, as they share a control, so that
    ``scipy.stats.false_discovery_control`` of them keeps its rate (Bates, Candes, Lei, Romano and
    Sesia 2023, "Testing for outliers with conformal p-values").

    Args:
        values: The n values; small ones are suspicious.
        control: The m values of instances that cannot be remembered.

    Example:
        >>> control_p_values(np.array([0.0, 2.0, 9.0]), np.array([1.0, 2.0, 3.0])).tolist()
        [0.25, 0.75, 1.0]
    """
    ranks = np.searchsorted(np.sort(control), values, side="right")
    p_values: Floats = (1.0 + ranks) / (len(control) + 1.0)
    return p_values
