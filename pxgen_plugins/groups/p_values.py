"""P-values by ranks among a control, and for many of them at once."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["adjusted", "control_p_values"]

Floats = NDArray[np.float64]


def control_p_values(values: Floats, control: Floats) -> Floats:
    """Return for each value how likely one of the control is as small: (1 + rank) / (m + 1).

    Where value and control are exchangeable, P(p <= a) <= a for every a, whatever their
    distribution (Vovk, Gammerman and Shafer 2005). A value that ties with controls ranks behind
    them.

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


def adjusted(p_values: Floats) -> Floats:
    """Return p-values adjusted for their number (Benjamini and Hochberg 1995).

    The instances with an adjusted value of at most q have a false discovery rate of at most q: for
    independent p-values, and for those of one control, which depend on each other positively
    (Bates, Candes, Lei, Romano and Sesia 2023, "Testing for outliers with conformal p-values").

    Example:
        >>> adjusted(np.array([0.01, 0.04, 0.03, 0.5])).round(4).tolist()
        [0.04, 0.0533, 0.0533, 0.5]
    """
    n = len(p_values)
    order = np.argsort(p_values, kind="stable")
    scaled = p_values[order] * n / np.arange(1, n + 1)
    result = np.empty(n)
    result[order] = np.minimum(np.minimum.accumulate(scaled[::-1])[::-1], 1.0)
    return result
