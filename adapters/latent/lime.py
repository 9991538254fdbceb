"""LIME on latent dimensions."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pxgen_plugins.adapters._latent_target import LatentTarget
from pxgen_plugins.adapters.base import register
from pxgen_plugins.adapters.latent.base import LARGEST_SEED, Codes, LatentAdapter
from pxgen_plugins.utils import validation
from pxgen_plugins.utils.optional import load

__all__ = ["DEFAULT_DATA_LATENT_LIME", "LatentLIME"]

SELECTIONS = ("auto", "forward_selection", "highest_weights", "lasso_path", "none")

DEFAULT_DATA_LATENT_LIME: dict[str, Any] = {
    "target": None,
    "feature_names": [],
    "weights": None,
    "conditions": None,
    "condition_dimensions": None,
    "condition_weights": None,
    "intercept": None,
    "score": None,
    "prediction": None,
    "local_prediction": None,
    "codes": None,
    "groups": {},
    "invalid": None,
    "reasons": [],
}
"""Default data of LatentLIME, to be deep-copied; its docstring has the keys."""


@register("latent_lime")
@dataclass(repr=False, eq=False)
class LatentLIME(LatentAdapter):
    """Local linear models of a target in latent dimensions (Ribeiro, Singh and Guestrin 2016).

    Codes are drawn around the anchor's, the target is computed at each (the anchor itself stays
    what it was), and a weighted ridge regression gives one weight per dimension. The ``lime``
    package does the work, with one explainer per anchor: its generator is stateful, so a shared one
    would give other results at each call.

    Args:
        predictor: A model that can encode and decode.
        n_samples: Codes drawn per anchor, >= 10.
        n_features: Dimensions kept in the local model, >= 1; None keeps all.
        discretize: Explain by conditions on quartiles of the training codes ("z3 > 0.81"); False
            fits the standardised codes themselves.
        kernel_width: Width of the exponential kernel; None takes LIME's 0.75 sqrt(d).
        feature_selection: How LIME picks the kept dimensions: ``"auto"``, ``"forward_selection"``,
            ``"highest_weights"``, ``"lasso_path"`` or ``"none"``.
        n_background: Training codes that :meth:`fit` keeps, for quartiles and scales, >= 2.
        target, seed, batch_size, verbose: See
            :class:`~pxgen_plugins.adapters.latent.base.LatentAdapter`.

    Fields:
        target (str): Label of what is explained.
        feature_names (list of str): The d latent dimensions, "z0" and so on.
        weights (float64 (n, d)): Weight of each dimension in the local model of each of n anchors.
            With ``discretize`` that of the condition which the anchor meets, in units of the
            target; else in units of the target per standard deviation of the training codes.
            Positive = it raises the target; 0 where the dimension was not kept; NaN for anchors
            left out.
        conditions (str (n, k)): LIME's conditions by falling absolute weight, as in "z3 > 0.81"; ""
            where there is none.
        condition_dimensions (int64 (n, k)): Their dimensions; -1 where there is none.
        condition_weights (float64 (n, k)): Their weights; NaN where there is none.
        intercept (float64 (n,)): Of the local model, in units of the target; NaN for anchors left
            out.
        score (float64 (n,)): Its weighted R^2, 1 at best: how far the local model is to be
            believed; NaN for anchors left out.
        prediction (float64 (n,)): The target at the anchor; NaN for anchors left out.
        local_prediction (float64 (n,)): The local model there; NaN for anchors left out.
        codes (float32 (n, d)): Posterior means; NaN for anchors left out.
        groups (dict): By name of the group: ``count``, its usable anchors; ``mean_abs_weight`` (d,)
            and ``mean_weight`` (d,), float64, over them, NaN where there are none. {} without
            groups.
        invalid (int64 (i,)): Indices of the anchors left out.
        reasons (list of str): Why, i of them.

    Raises:
        MissingDependencyError: On ``explain``, when lime is not installed.

    Cost: n x n_samples decoder passes (for targets that decode), and O(n_samples d^2) per anchor.

    Example:
        >>> from pxgen_plugins.testing.examples import LinearModel, noise
        >>> from pxgen_plugins.adapters.targets import Latent
        >>> model = LinearModel()
        >>> lime = LatentLIME(model, target=Latent(1), n_samples=50, discretize=False).fit()
        >>> explanation = lime.explain(noise(model, 2).numpy())  # doctest: +SKIP
        >>> explanation.conditions[:, 0].tolist()  # doctest: +SKIP
        ['z1', 'z1']
    """

    library = "lime"
    defaults = DEFAULT_DATA_LATENT_LIME

    n_samples: int = 1000
    n_features: int | None = None
    _: KW_ONLY
    discretize: bool = True
    kernel_width: float | None = None
    feature_selection: str = "auto"
    n_background: int = 1000

    def _check(self) -> None:
        super()._check()
        self.n_samples = validation.integer(self.n_samples, "n_samples", minimum=10)
        if self.n_features is not None:
            self.n_features = validation.integer(self.n_features, "n_features", minimum=1)
        self.discretize = validation.boolean(self.discretize, "discretize")
        if self.kernel_width is not None:
            self.kernel_width = validation.real(self.kernel_width, "kernel_width", above=0.0)
        self.feature_selection = validation.choice(
            self.feature_selection, "feature_selection", SELECTIONS
        )

    @property
    def _n_conditions(self) -> int:
        """Dimensions in the local model."""
        return min(self.n_features or self._dimension, self._dimension)

    def _explain(self, X: Any, groups: Any = None) -> dict[str, Any]:
        data = super()._explain(X, groups)
        texts = data["conditions"]
        empty = np.empty(texts.shape, dtype="<U1")
        return {**data, "conditions": texts.astype(str) if texts.size else empty}

    def _tables(self, n: int) -> dict[str, NDArray[Any]]:
        d, k = self._dimension, self._n_conditions
        columns = ("intercept", "score", "prediction", "local_prediction")
        return {
            **{key: np.full(n, np.nan) for key in columns},
            "weights": np.full((n, d), np.nan),
            "codes": np.full((n, d), np.nan, dtype=np.float32),
            "condition_weights": np.full((n, k), np.nan),
            "condition_dimensions": np.full((n, k), -1, dtype=np.int64),
            "conditions": np.full((n, k), "", dtype=object),
        }

    def _weigh(self, function: LatentTarget, background: Codes) -> dict[str, Any]:
        # one explainer per anchor: its generator is stateful
        explainer = load("lime.lime_tabular", "lime").LimeTabularExplainer(
            background.astype(np.float64),
            mode="regression",
            feature_names=self._names(),
            kernel_width=self.kernel_width,
            feature_selection=self.feature_selection,
            discretize_continuous=self.discretize,
            random_state=self.seed % LARGEST_SEED,
        )
        k = self._n_conditions
        local = explainer.explain_instance(
            function.code.astype(np.float64),
            function,
            num_features=k,
            num_samples=self.n_samples,
        )
        pairs = local.local_exp[1]  # for regression, [0] holds the negated weights
        count = len(pairs)
        weights = np.zeros(self._dimension)
        dimensions, values = np.full(k, -1), np.full(k, np.nan)
        conditions = np.full(k, "", dtype=object)
        dimensions[:count] = [j for j, _ in pairs]
        values[:count] = [weight for _, weight in pairs]
        conditions[:count] = [text for text, _ in local.as_list(label=1)]
        weights[dimensions[:count]] = values[:count]
        return {
            "weights": weights,
            "condition_dimensions": dimensions,
            "condition_weights": values,
            "conditions": conditions,
            "codes": function.code,
            "intercept": local.intercept[1],
            "score": local.score,
            "prediction": local.predicted_value,
            "local_prediction": np.asarray(local.local_pred).reshape(-1)[0],
        }
