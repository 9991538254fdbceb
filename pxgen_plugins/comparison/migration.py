"""Where the anchors of each group under one model are under another."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pxgen_plugins.evaluation.checks import Agreement
from pxgen_plugins.groups import GROUPS, INVALID, codes_of, wilson_interval
from pxgen_plugins.utils.errors import caller
from pxgen_plugins.utils.files import plain

__all__ = ["STATES", "Migration"]

STATES = (*GROUPS, INVALID)
"""Rows and columns of the matrix."""


@dataclass(frozen=True, eq=False)
class Migration:
    """The groups of the same anchors under two models.

    Attributes:
        names: Names of the two models.
        matrix: Counts, int64 (5, 5); rows are the groups under the first model, columns under the
            second, in the order HIHE, HILE, LIHE, LILE, invalid.
        same: Share of anchors that both put in the same group; NaN without anchors.
        interval: Its 95% interval for other anchors (Wilson 1927), the thresholds kept as they
            are; None without anchors.
        chance: The share to be expected were the two groupings unrelated.
        rand: Adjusted Rand index of the groupings; NaN where it says nothing.
    """

    names: tuple[str, str]
    matrix: NDArray[np.int64]
    same: float
    interval: list[float] | None
    chance: float
    rand: float

    @classmethod
    def of(cls, names: tuple[str, str], one: NDArray[Any], other: NDArray[Any]) -> Migration:
        """Return the migration between two arrays of group names, (n,) each.

        Example:
            >>> migration = Migration.of(("a", "b"), np.array(["HIHE", "HILE"]),
            ...                          np.array(["HIHE", "LILE"]))
            >>> migration.same, migration.matrix[1].tolist()
            (0.5, [0, 0, 0, 1, 0])
        """
        before, after = codes_of(one), codes_of(other)
        matrix = np.zeros((len(STATES), len(STATES)), dtype=np.int64)
        np.add.at(matrix, (before, after), 1)
        if not len(before):
            return cls(names, matrix, math.nan, None, math.nan, math.nan)
        agreement = Agreement.of(before, after)
        interval = wilson_interval(int(agreement.same.sum()), len(before))
        return cls(names, matrix, agreement.same_share, interval, agreement.chance, agreement.rand)

    def to_dict(self) -> dict[str, Any]:
        """Return all of it as strict JSON holds it."""
        content: dict[str, Any] = plain({**vars(self), "states": STATES})
        return content

    @caller("Migration.plot")
    def plot(self, **options: Any) -> NDArray[Any]:
        """Draw where the anchors went; see :func:`pxgen_plugins.plots.plot_migration`."""
        from pxgen_plugins.plots import plot_migration

        return plot_migration(self, **options)
