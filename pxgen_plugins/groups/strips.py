"""The anchors of the delusion figure and of the alignment figure, by group or by lowest values."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from pxgen_plugins.groups.assignment import members
from pxgen_plugins.utils.large_arrays import blocks, copy, full, take, true_rows
from pxgen_plugins.utils.sequences import even_positions

__all__ = ["foremost", "strips"]

Floats = NDArray[np.float64]

# of each group: which end of the intrinsic and of the extrinsic values shows it best
_FIRST = {"HIHE": (1, 1), "HILE": (1, -1), "LIHE": (-1, 1), "LILE": (-1, -1)}
_FIRM = 0.95  # stability of an anchor from which another calibration hardly moves it


def foremost(
    name: str,
    values: Floats,
    kinds: Sequence[str],
    group: NDArray[np.str_],
    stability: Floats,
    n: int | None = None,
) -> NDArray[np.int64]:
    """Return the members of a group, those that show best what it stands for first.

    For HILE ("model delusion") these are the anchors of which the model is surest, and which it
    gives back worst: each has a rank among the members by rising intrinsic and one by falling
    extrinsic value (the mean rank, where a kind has several criteria), and their sum decides, so
    that units do not. For LIHE ("aligned conception") it is the other way round. Members that
    another calibration may well move (stability below 0.95) come after all others. Ties are broken
    by index.

    Args:
        name: The group.
        values: Criterion values, (n, m).
        kinds: Kind of each criterion.
        group: Group of each anchor, (n,).
        stability: Probability that another calibration keeps it there, (n,); NaN where unknown.
        n: At most so many; all by default.

    Returns:
        Indices, int64. Cost: O(c m log c) for c members.

    Example:
        >>> values = np.array([[1.0, 9.0], [3.0, 5.0], [2.0, 7.0], [0.0, 0.0]])
        >>> group, kinds = np.array(["HILE"] * 3 + ["HIHE"]), ["intrinsic", "extrinsic"]
        >>> foremost("HILE", values, kinds, group, np.ones(4)).tolist()
        [0, 2, 1]
    """
    inside = members(group, name)
    score: Floats = full(len(inside), 0.0, np.float64)
    for kind, sign in zip(("intrinsic", "extrinsic"), _FIRST[name], strict=True):
        columns = [column for column, one in enumerate(kinds) if one == kind]
        for column in columns:
            ordered = take(values[:, column], inside)
            ordered *= sign
            ordered.sort()
            for rows in blocks(len(inside)):
                signed = sign * values[inside[rows], column]
                score[rows] += np.searchsorted(ordered, signed) / len(columns)

    def sort(places: NDArray[np.int64]) -> NDArray[np.int64]:
        shaky = stability[inside[places]] < _FIRM
        order: NDArray[np.int64] = places[np.lexsort((places, score[places], shaky))]
        return order[:n]

    if n is None:
        return inside[sort(np.arange(len(inside)))]
    first = np.empty(0, dtype=np.int64)
    for rows in blocks(len(inside)):  # the first so far, and those of a block
        first = sort(np.concatenate([first, np.arange(rows.start, rows.stop)]))
    return inside[first]


def strips(
    values: Floats, kinds: Sequence[str], length: int = 20, share: float = 0.05
) -> dict[str, NDArray[np.int64]]:
    """Return the anchors of the paper's two figures by lowest values (Huang, Weng and Yang 2025).

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
    valid = true_rows(lambda rows: np.isfinite(values[rows]).all(axis=1), len(values))
    return {
        "delusion": _strip(values, valid, intrinsic, extrinsic, length, share),
        "alignment": _strip(values, valid, extrinsic, intrinsic, length, share),
    }


def _strip(
    values: Floats, valid: NDArray[np.int64], low: int, by: int, length: int, share: float
) -> NDArray[np.int64]:
    if not len(valid):
        return np.empty(0, dtype=np.int64)
    lowest = valid[_lowest(take(values[:, low], valid), max(1, int(share * len(valid))))]
    ordered = lowest[np.argsort(values[lowest, by], kind="stable")]
    strip: NDArray[np.int64] = ordered[even_positions(len(ordered), length)]
    return strip


def _lowest(values: Floats, k: int) -> NDArray[np.int64]:
    """Return the positions of the k lowest values, rising; of equal ones the first."""
    ordered = copy(values)
    ordered.partition(k - 1)
    edge = ordered[k - 1]
    n_equal = k - int(np.count_nonzero(ordered[:k] < edge))
    below = true_rows(lambda rows: values[rows] < edge, len(values))
    equal = true_rows(lambda rows: values[rows] == edge, len(values))
    return np.sort(np.concatenate([below, equal[:n_equal]]))
