"""Reference data, divided between criteria that learn from it and thresholds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from pxgen_plugins.anchors import Anchors, Subset, open_for
from pxgen_plugins.criteria.fitted_criterion import FittedCriterion
from pxgen_plugins.scoring.scorer import Scorer
from pxgen_plugins.utils.errors import warn
from pxgen_plugins.utils.seeds import derive

__all__ = ["Reference", "divide"]


@dataclass(frozen=True)
class Reference:
    """Reference data by its use; no instance has two.

    Attributes:
        learning: What criteria learn from; None when none does.
        thresholds: What thresholds come from; None when they come from samples or are fixed.
    """

    learning: Anchors | None = None
    thresholds: Anchors | None = None

    @property
    def n_learning(self) -> int:
        """How many instances criteria learn from."""
        return 0 if self.learning is None else len(self.learning)


def divide(scorer: Scorer, X: Any, for_thresholds: bool, seed: int, **options: Any) -> Reference:
    """Return ``X`` divided: into random halves when criteria and thresholds both need it.

    A criterion that has learned from an instance takes it for nearer than a new one, so thresholds
    from the same instances would be too low, and a conformal guarantee void. A warning says when
    nothing uses ``X``.

    Args:
        scorer: Model and criteria.
        X: Reference data, or None.
        for_thresholds: Whether thresholds come from it.
        seed: Seed of the division.
        options: How ``X`` is opened: ``columns`` and ``anchors_range``, as for
            :func:`~pxgen_plugins.anchors.open_for`.

    Example:
        >>> from pxgen_plugins.testing.examples import LinearModel
        >>> divided = divide(Scorer(LinearModel(), []), np.zeros((5, 1, 8, 8)), True, seed=0)
        >>> divided.n_learning, len(divided.thresholds)
        (0, 5)
    """
    learns = any(isinstance(c, FittedCriterion) and c.learns_from_data for c in scorer.criteria)
    if X is None:
        return Reference()
    if not (learns or for_thresholds):
        warn(
            "PXGen.fit: nothing uses X: no criterion learns from data, and the rule takes none. "
            "For thresholds from X use source='reference', as Conformal(0.05, source='reference')"
        )
        return Reference()
    anchors = open_for(scorer.model, X, **options)
    if not (learns and for_thresholds):
        return Reference(anchors if learns else None, anchors if for_thresholds else None)
    rows = np.random.default_rng(derive(seed, "reference")).permutation(len(anchors))
    half = len(rows) // 2
    return Reference(Subset(anchors, np.sort(rows[:half])), Subset(anchors, np.sort(rows[half:])))
