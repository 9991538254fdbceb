"""Shapley values of a target, one anchor at a time, whichever library computes them."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from pxgen_plugins.adapters._latent_target import LatentTarget
from pxgen_plugins.adapters.latent.base import Codes, LatentAdapter

__all__ = ["ShapleyAdapter"]


class ShapleyAdapter(LatentAdapter):
    """Base of the adapters whose weights are Shapley values; a subclass implements ``_values``."""

    def _explain(self, X: Any, groups: Any = None) -> dict[str, Any]:
        data = super()._explain(X, groups)
        # Shapley values are additive: what their sum misses is the error of the estimator
        gap = data["prediction"] - data["base_value"] - data["weights"].sum(axis=1)
        return {**data, "additivity_gap": gap}

    def _tables(self, n: int) -> dict[str, NDArray[Any]]:
        return {
            "weights": np.full((n, len(self._names())), np.nan),
            "base_value": np.full(n, np.nan),
            "prediction": np.full(n, np.nan),
        }

    def _weigh(self, function: LatentTarget, background: Codes) -> dict[str, Any]:
        base = function(background).mean()
        prediction = function(function.code[None])[0]
        values = np.asarray(self._values(function, background), dtype=np.float64).reshape(-1)
        return {"weights": values, "base_value": base, "prediction": prediction}

    def _values(self, function: LatentTarget, background: Codes) -> Any:
        """Return the Shapley values of the features, as many numbers."""
        raise NotImplementedError
