"""Samplers that give the same samples again: what holds a finite number of them."""

from __future__ import annotations

import numpy as np

from pxgen_plugins.thresholds.calibration import Floats

__all__ = ["gives_samples_again"]

_ROWS = 2_000
_BITS = 20  # of a value; further ones depend on the batch that it was computed in
_DISTINCT, _AGAIN = 0.99, 0.05


def gives_samples_again(first: Floats, later: Floats) -> bool:
    """Return whether many samples of a repeat were samples of an earlier one, by their values.

    Of values that recur within a repeat nothing is said: they may be atoms of the criteria.

    Args:
        first: Finite values of a repeat, (n, m).
        later: Those of another, (k, m).

    Cost: a sort of 2,000 rows; by chance 0.2% of continuous values meet within 20 bits.

    Example:
        >>> values = np.random.default_rng(0).random((3, 500, 2))
        >>> gives_samples_again(values[0], values[1]), gives_samples_again(values[0], values[0])
        (False, True)
    """
    one, two = (_rows(values) for values in (first, later))
    if min(len(one), len(two)) < _DISTINCT * min(len(first), len(later), _ROWS):
        return False
    n_again = len(one) + len(two) - len(np.unique(np.concatenate([one, two]), axis=0))
    return n_again > max(1.0, _AGAIN * len(two))


def _rows(values: Floats) -> Floats:
    """Return distinct rows of rounded values."""
    mantissa, exponent = np.frexp(values[:_ROWS])
    rounded = np.ldexp(np.round(np.ldexp(mantissa, _BITS)), exponent)
    distinct: Floats = np.unique(rounded, axis=0)
    return distinct
