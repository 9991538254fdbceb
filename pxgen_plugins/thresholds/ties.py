"""Thresholds that sit on an atom: a value that several samples of the model have exactly."""

from __future__ import annotations

import numpy as np

from pxgen_plugins.thresholds.calibration import Floats

__all__ = ["above_atoms", "atom_shares"]

_ROUNDING = 4 * float(np.finfo(np.float32).eps)  # criteria are computed in float32
_SPREAD = 1e-6  # of the standard deviation: what is further apart does not tie


def above_atoms(thresholds: Floats, values: Floats) -> Floats:
    """Return thresholds (m,), each of those on an atom moved just above it.

    Affinity is strictly below the threshold, as in the paper. Where values are continuous, ties
    have probability zero and nothing moves. At an atom (a distance of 0, the first of a finite
    number of ranks, all values of a collapsed model) the strict rule would call far what the model
    does exactly as on its own samples; so it is decided as for conformal p-values, where a tie
    speaks for the anchor (Vovk, Gammerman and Shafer 2005). Values count as equal up to the
    rounding of float32; a threshold above an atom stays.

    Args:
        thresholds: One per criterion, (m,).
        values: What the thresholds were found on, (s, m), finite.

    Example:
        >>> values = np.array([[0.0, 1.0], [0.0, 2.0], [0.0, 3.0]])
        >>> above_atoms(np.array([0.0, 3.0]), values) > np.array([0.0, 3.0])
        array([ True, False])
    """
    moved = np.array(thresholds, dtype=np.float64)
    for j, threshold in enumerate(moved):
        atom = _atom(float(threshold), values[:, j])
        if len(atom) and atom[-1] >= threshold:
            # an atom blurred by rounding is a little wider among the anchors than among few samples
            moved[j] = np.nextafter(atom[-1] + (atom[-1] - atom[0]), np.inf)
    return moved


def atom_shares(thresholds: Floats, values: Floats | None) -> Floats:
    """Return the share of ``values`` that lie on an atom at each threshold, (m,).

    Args:
        thresholds: As :func:`above_atoms` returns them, (m,).
        values: As there; None gives zeros, as nothing is known.

    Returns:
        0 where the threshold is on no atom, and the paper's strict rule decides.
    """
    if values is None:
        return np.zeros(len(thresholds))
    atoms = [_atom(float(t), values[:, j], slack=2.0) for j, t in enumerate(thresholds)]
    return np.array([len(atom) / len(values) for atom in atoms])


def _atom(threshold: float, column: Floats, slack: float = 1.0) -> Floats:
    """Return the values equal to the threshold up to rounding, sorted; none if there is but one."""
    rounding = _ROUNDING * abs(threshold)
    spread = float(column.max() - column.min())
    if spread > rounding:  # small differences between large numbers are no rounding
        rounding = min(rounding, _SPREAD * float(column.std()))
    reach = max(slack * rounding, 2 * float(np.spacing(abs(threshold))))
    atom: Floats = np.sort(column[np.abs(column - threshold) <= reach])
    return atom if len(atom) > 1 else atom[:0]
