"""From values and thresholds to affinity, groups and their statistics; numpy only."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pxgen_plugins.utils.errors import ParameterError, short_repr
from pxgen_plugins.utils.large_arrays import from_blocks, true_rows
from pxgen_plugins.utils.validation import choice

__all__ = ["GROUPS", "INVALID", "RULES", "affinity", "anchor_value", "assign", "codes", "codes_of",
           "members"]  # fmt: skip

GROUPS = ("HIHE", "HILE", "LIHE", "LILE")
INVALID = "invalid"
RULES = ("all", "any", "mean")
_CODES = np.array([*GROUPS, INVALID])

Floats = NDArray[np.float64]


def affinity(values: Floats, thresholds: Floats) -> NDArray[np.bool_]:
    """Return where affinity is high: the value is strictly below the threshold.

    Args:
        values: Array (n, m); NaN is not below anything.
        thresholds: Array (m,).

    Example:
        >>> affinity(np.array([[1.0, 2.0], [2.0, np.nan]]), np.array([2.0, 3.0])).tolist()
        [[True, True], [False, False]]
    """
    high: NDArray[np.bool_] = values < thresholds
    return high


def assign(
    values: Floats,
    thresholds: Floats,
    kinds: Sequence[str],
    rule: str = "all",
    scale: Floats | None = None,
) -> NDArray[np.str_]:
    """Return the group of every anchor: HIHE, HILE, LIHE, LILE, or "invalid".

    With one intrinsic and one extrinsic criterion each decides its letter (Huang, Weng and Yang
    2025). With more, ``rule`` says when a kind is high: ``"all"`` when all its criteria are,
    ``"any"`` when one is, ``"mean"`` when the mean over its criteria of (value - threshold) / scale
    is negative. An anchor with a value that is not finite is in no group.

    Args:
        values: Array (n, m).
        thresholds: Array (m,).
        kinds: ``"intrinsic"`` or ``"extrinsic"`` for each of the m criteria; both must occur.
        rule: ``"all"``, ``"any"`` or ``"mean"``.
        scale: Array (m,) of positive scales, for ``"mean"``.

    Returns:
        Array (n,) of strings.

    Raises:
        ParameterError: When the rule is unknown, a kind does not occur, or ``"mean"`` has no scale.

    Example:
        >>> values = np.array([[1.0, 1.0], [1.0, 9.0], [9.0, 1.0], [9.0, 9.0], [np.nan, 1.0]])
        >>> assign(values, np.array([5.0, 5.0]), ["intrinsic", "extrinsic"]).tolist()
        ['HIHE', 'HILE', 'LIHE', 'LILE', 'invalid']
    """
    place = codes(values, thresholds, kinds, rule, scale)
    return from_blocks(lambda rows: _CODES[place[rows]], len(place), _CODES.dtype)


def anchor_value(values: Floats) -> Floats:
    """Return the sum of an anchor's criterion values, (n,): lower = more representative.

    Example:
        >>> anchor_value(np.array([[10.0, 0.5]])).tolist()
        [10.5]
    """
    with np.errstate(invalid="ignore"):  # inf - inf is NaN, as it should be
        return from_blocks(lambda rows: values[rows].sum(axis=1), len(values), np.float64)


def codes(
    values: Floats,
    thresholds: Floats,
    kinds: Sequence[str],
    rule: str,
    scale: Floats | None,
) -> NDArray[np.int8]:
    """Return the place of every anchor's group in ``(*GROUPS, INVALID)``; see :func:`assign`.

    Thresholds (b, 1, m) give the groups under each of b thresholds, (b, n).
    """
    choice(rule, "rule", RULES)
    if thresholds.ndim > 1:
        return _block_codes(values, thresholds, kinds, rule, scale)
    return from_blocks(
        lambda rows: _block_codes(values[rows], thresholds, kinds, rule, scale),
        len(values),
        np.int8,
    )


def _block_codes(
    values: Floats,
    thresholds: Floats,
    kinds: Sequence[str],
    rule: str,
    scale: Floats | None,
) -> NDArray[np.int8]:
    low_intrinsic = ~_high(values, thresholds, kinds, "intrinsic", rule, scale)
    low_extrinsic = ~_high(values, thresholds, kinds, "extrinsic", rule, scale)
    codes: NDArray[np.int8] = (2 * low_intrinsic + low_extrinsic).astype(np.int8)
    codes[..., ~np.isfinite(values).all(axis=1)] = len(GROUPS)
    return codes


def codes_of(group: NDArray[np.str_]) -> NDArray[np.int8]:
    """Return the place of each group's name in ``(*GROUPS, INVALID)``, (n,); -1 for other names.

    Example:
        >>> codes_of(np.array(["LILE", "HIHE", "invalid"])).tolist()
        [3, 0, 4]
    """

    def places(rows: slice) -> NDArray[np.int8]:
        known = group[rows, None] == _CODES
        return np.where(known.any(axis=1), known.argmax(axis=1), -1).astype(np.int8)

    return from_blocks(places, len(group), np.int8)


def members(group: NDArray[np.str_], name: str) -> NDArray[np.int64]:
    """Return the positions of the anchors of a group, or of the invalid ones, rising.

    Example:
        >>> members(np.array(["HIHE", "LILE", "HIHE"]), "HIHE")
        array([0, 2])
    """
    return true_rows(lambda rows: group[rows] == name, len(group))


def _high(
    values: Floats,
    thresholds: Floats,
    kinds: Sequence[str],
    kind: str,
    rule: str,
    scale: Floats | None,
) -> Any:
    columns = [j for j, of in enumerate(kinds) if of == kind]
    if not columns:
        hint = f"Add a criterion of kind {kind!r}."
        raise ParameterError("kinds", f"both kinds, {kind} too", short_repr(kinds), hint)
    if rule == "mean" and len(columns) > 1:
        if scale is None or not (np.isfinite(scale[columns]) & (scale[columns] > 0)).all():
            allowed = "a positive scale for every criterion, from the model's own samples"
            hint = "Use a threshold rule that samples (MeanMax, ...), or rule='all'."
            raise ParameterError("scale", allowed, short_repr(scale), hint)
        gaps = (values[:, columns] - thresholds[..., columns]) / scale[columns]
        with np.errstate(invalid="ignore"):  # inf - inf: such an anchor is invalid anyway
            return gaps.mean(axis=-1) < 0
    high = affinity(values[:, columns], thresholds[..., columns])
    return high.any(axis=-1) if rule == "any" else high.all(axis=-1)
