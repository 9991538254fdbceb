"""The anchors of the delusion figure and of the alignment figure."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from pxgen_plugins.utils.sequences import even_positions

__all__ = ["strips"]

Floats = NDArray[np.float64]


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
    strip: NDArray[np.int64] = ordered[even_positions(len(ordered), length)]
    return strip
