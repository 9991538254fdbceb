"""Evidence by group of anchors."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from pxgen_plugins.groups import GROUPS
from pxgen_plugins.utils.errors import AnchorError, short_repr

__all__ = ["by_group", "group_names", "sort_groups"]


def group_names(groups: Any, n: int) -> NDArray[np.str_] | None:
    """Return the n names of ``groups`` as an array of strings; None for None.

    Raises:
        AnchorError: When it is not a flat list of n names.
    """
    if groups is None:
        return None
    names = np.asarray(groups)
    if names.shape != (n,) or names.dtype.kind not in "US":
        hint = "Give one name per anchor, as in groups=pxgen_explanation.group."
        raise AnchorError("groups", f"{n} names", short_repr(groups), hint)
    return names.astype(str)


def sort_groups(names: NDArray[np.str_]) -> list[str]:
    """Return the distinct names: PXGen's groups in their order, then the others sorted."""
    distinct = set(names.tolist())
    return [g for g in GROUPS if g in distinct] + sorted(distinct - set(GROUPS))


def by_group(
    weights: NDArray[np.float64], names: NDArray[np.str_] | None
) -> dict[str, dict[str, Any]]:
    """Return count, mean absolute weight and mean weight per dimension of each group.

    Args:
        weights: Array (n, d); rows of NaN belong to anchors without a result; left out.
        names: The group of each anchor; None gives no groups.

    Example:
        >>> groups = by_group(np.array([[1.0, -2.0], [-3.0, 0.0]]), np.array(["HIHE", "HIHE"]))
        >>> groups["HIHE"]["mean_abs_weight"].tolist()
        [2.0, 1.0]
    """
    groups: dict[str, dict[str, Any]] = {}
    if names is None:
        return groups
    usable = np.isfinite(weights).all(axis=1)
    for name in sort_groups(names):
        rows = weights[(names == name) & usable]
        empty = np.full(weights.shape[1], np.nan)
        groups[name] = {
            "count": len(rows),
            "mean_abs_weight": np.abs(rows).mean(axis=0) if len(rows) else empty,
            "mean_weight": rows.mean(axis=0) if len(rows) else empty,
        }
    return groups
