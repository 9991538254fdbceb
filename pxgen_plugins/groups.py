"""From values and thresholds to affinity, groups and their statistics; numpy only."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pxgen_plugins.errors import ParameterError, describe
from pxgen_plugins.validation import choice

__all__ = [
    "GROUPS",
    "INVALID",
    "RULES",
    "affinity",
    "anchor_value",
    "assign",
    "codes",
    "label_counts",
    "stability",
    "statistics",
    "strips",
    "wilson_interval",
]

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
    names: NDArray[np.str_] = _CODES[codes(values, thresholds, kinds, rule, scale)]
    return names


def stability(
    values: Floats,
    thresholds: Floats,
    repeats: Floats,
    kinds: Sequence[str],
    rule: str = "all",
    scale: Floats | None = None,
) -> Floats:
    """Return the share of calibration repeats under which each anchor keeps its group.

    Args:
        values: Array (n, m).
        thresholds: The reported thresholds, (m,).
        repeats: Thresholds of each repeat, (r, m).
        kinds: As for :func:`assign`, like ``rule`` and ``scale``.
        rule: See :func:`assign`.
        scale: See :func:`assign`.

    Returns:
        Array (n,) in [0, 1]; NaN for invalid anchors. Cost: O(n m r), memory O(n m).

    Example:
        >>> values = np.array([[1.0, 1.0], [4.5, 1.0]])
        >>> repeats = np.array([[4.0, 5.0], [6.0, 5.0]])
        >>> stability(values, np.array([5.0, 5.0]), repeats, ["intrinsic", "extrinsic"]).tolist()
        [1.0, 0.5]
    """
    final = codes(values, thresholds, kinds, rule, scale)
    kept = np.zeros(len(values))
    for repeat in repeats:
        kept += codes(values, repeat, kinds, rule, scale) == final
    kept /= max(len(repeats), 1)
    kept[final == len(GROUPS)] = np.nan
    return kept


def anchor_value(values: Floats) -> Floats:
    """Return the sum of an anchor's criterion values, (n,): lower = more representative.

    Example:
        >>> anchor_value(np.array([[10.0, 0.5]])).tolist()
        [10.5]
    """
    with np.errstate(invalid="ignore"):  # inf - inf is NaN, as it should be
        total: Floats = values.sum(axis=1)
    return total


def statistics(values: Floats, names: Sequence[str]) -> dict[str, dict[str, float | None]]:
    """Return median, mean, std (population), min and max of each criterion; None when empty.

    Example:
        >>> statistics(np.array([[1.0], [3.0]]), ["kld"])["kld"]["median"]
        2.0
    """
    measures: dict[str, Callable[[Floats], Any]] = {
        "median": np.median,
        "mean": np.mean,
        "std": np.std,
        "min": np.min,
        "max": np.max,
    }
    return {
        name: {
            measure: float(function(values[:, j])) if len(values) else None
            for measure, function in measures.items()
        }
        for j, name in enumerate(names)
    }


def label_counts(labels: NDArray[np.str_] | None) -> dict[str, int]:
    """Return how often each label occurs, by label; empty without labels.

    Example:
        >>> label_counts(np.array(["b", "a", "b"]))
        {'a': 1, 'b': 2}
    """
    if labels is None:
        return {}
    found, counts = np.unique(labels, return_counts=True)
    return {str(label): int(count) for label, count in zip(found, counts, strict=True)}


def wilson_interval(count: int, n: int, confidence: float = 0.95) -> list[float] | None:
    """Return the Wilson score interval of a share ``count / n`` (Wilson 1927); None for n = 0.

    Example:
        >>> [round(bound, 4) for bound in wilson_interval(8, 10)]
        [0.4902, 0.9433]
    """
    if n == 0:
        return None
    from statistics import NormalDist

    z = NormalDist().inv_cdf(0.5 + confidence / 2)
    share = count / n
    centre = share + z * z / (2 * n)
    half = z * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    width = 1 + z * z / n
    # at 0 and n the exact bound is the end itself, which rounding would miss
    low = 0.0 if count == 0 else (centre - half) / width
    high = 1.0 if count == n else (centre + half) / width
    return [low, high]


def strips(
    values: Floats, kinds: Sequence[str], length: int = 20, share: float = 0.05
) -> dict[str, NDArray[np.int64]]:
    """Return the anchors of the delusion and the alignment figure (Huang, Weng and Yang 2025).

    Delusion: those with the lowest 5% of the first intrinsic criterion, by rising first extrinsic
    one. Alignment: the lowest 5% extrinsic, by rising intrinsic. Each is thinned evenly, ends
    included. Ties are broken by index.

    Args:
        values: Array (n, m); anchors with a value that is not finite are passed over.
        kinds: Kind of each criterion.
        length: Longest strip.
        share: Share of the anchors that counts as lowest; at least one.

    Returns:
        ``{"delusion": indices, "alignment": indices}``, int64 arrays. Cost: O(n log n).

    Example:
        >>> values = np.array([[1.0, 3.0], [1.0, 2.0], [9.0, 1.0]])
        >>> strips(values, ["intrinsic", "extrinsic"], share=0.67)["delusion"].tolist()
        [1, 0]
    """
    intrinsic, extrinsic = list(kinds).index("intrinsic"), list(kinds).index("extrinsic")
    valid = np.flatnonzero(np.isfinite(values).all(axis=1))
    return {
        "delusion": _strip(values, valid, intrinsic, extrinsic, length, share),
        "alignment": _strip(values, valid, extrinsic, intrinsic, length, share),
    }


def _strip(
    values: Floats, valid: NDArray[np.int64], low: int, by: int, length: int, share: float
) -> NDArray[np.int64]:
    if not len(valid):
        return np.empty(0, dtype=np.int64)
    kept = max(1, int(share * len(valid)))
    lowest = valid[np.argsort(values[valid, low], kind="stable")[:kept]]
    lowest.sort()
    ordered = lowest[np.argsort(values[lowest, by], kind="stable")]
    places = np.linspace(0, len(ordered) - 1, min(length, len(ordered))).round().astype(np.int64)
    thinned: NDArray[np.int64] = ordered[places]
    return thinned


def codes(
    values: Floats,
    thresholds: Floats,
    kinds: Sequence[str],
    rule: str,
    scale: Floats | None,
) -> NDArray[np.int8]:
    """Return the position of every anchor's group in ``(*GROUPS, INVALID)``; see :func:`assign`."""
    choice(rule, "rule", "groups", RULES)
    low_intrinsic = ~_high(values, thresholds, kinds, "intrinsic", rule, scale)
    low_extrinsic = ~_high(values, thresholds, kinds, "extrinsic", rule, scale)
    codes: NDArray[np.int8] = (2 * low_intrinsic + low_extrinsic).astype(np.int8)
    codes[~np.isfinite(values).all(axis=1)] = len(GROUPS)
    return codes


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
        do = f"Add a criterion of kind {kind!r}."
        raise ParameterError("kinds", "groups", f"both kinds, {kind} too", describe(kinds), do)
    if rule == "mean" and len(columns) > 1:
        if scale is None or not (np.isfinite(scale[columns]) & (scale[columns] > 0)).all():
            allowed = "a positive scale for every criterion, from the model's own samples"
            do = "Use a threshold rule that samples (MeanMax, ...), or rule='all'."
            raise ParameterError("scale", "groups", allowed, describe(scale), do)
        gaps = (values[:, columns] - thresholds[columns]) / scale[columns]
        with np.errstate(invalid="ignore"):  # inf - inf: such an anchor is invalid anyway
            return gaps.mean(axis=1) < 0
    high = affinity(values[:, columns], thresholds[columns])
    return high.any(axis=1) if rule == "any" else high.all(axis=1)
