"""How far two groupings of the same anchors agree."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import adjusted_rand_score

__all__ = ["RAND", "SAME_GROUP", "TRIVIAL", "Agreement", "Codes"]

Codes = NDArray[np.int8]
SAME_GROUP = "share that keeps its group"
RAND = "adjusted Rand index"
TRIVIAL = "both groupings put all anchors in one group, so their index says nothing"


@dataclass(frozen=True)
class Agreement:
    """How far two groupings of the same anchors agree.

    Attributes:
        same: Where an anchor has the same group in both, bool (n,).
        chance: Share of anchors that would, were the groupings unrelated: the sum over groups of
            the products of their shares.
        rand: Adjusted Rand index (Hubert and Arabie 1985): 1 for the same partition, 0 on average
            for unrelated ones. It knows no names: a partition whose groups only changed their
            names has 1. NaN when both put all anchors in one group, where it would be 1 by
            convention.

    Example:
        >>> one = np.array([0, 0, 1, 1], dtype=np.int8)
        >>> agreement = Agreement.of(one, 1 - one)
        >>> agreement.same_share, agreement.chance, agreement.rand
        (0.0, 0.5, 1.0)
    """

    same: NDArray[np.bool_]
    chance: float
    rand: float

    @classmethod
    def of(cls, one: Codes, other: Codes) -> Agreement:
        """Compare two arrays of group codes, (n,) each, n >= 1."""
        trivial = len(np.unique(one)) < 2 and len(np.unique(other)) < 2
        rand = math.nan if trivial else float(adjusted_rand_score(one, other))
        chance = sum(
            float((one == code).mean() * (other == code).mean()) for code in np.unique(one)
        )
        return cls(one == other, chance, rand)

    @property
    def same_share(self) -> float:
        """Share of the anchors that keep their group."""
        return float(self.same.mean())
