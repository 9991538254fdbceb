"""LIME on latent dimensions."""

from __future__ import annotations

from typing import Any

import numpy as np

from pxgen_plugins.adapters.base import register
from pxgen_plugins.adapters.latent.base import Explained, LatentAdapter, by_group, group_names
from pxgen_plugins.utils import validation
from pxgen_plugins.utils.optional import load
from pxgen_plugins.utils.progress import bar

__all__ = ["DEFAULT_DATA_LATENT_LIME", "LatentLIME"]

SELECTIONS = ("auto", "forward_selection", "highest_weights", "lasso_path", "none")
_LARGEST = 2**32  # seeds of numpy's legacy generators are 32 bits wide

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
"""Default data of LatentLIME for n anchors, d latent dimensions, k kept ones; to be deep-copied.

- ``target``: name of what is explained; ``feature_names``: "z0" to "z<d-1>".
- ``weights``: float64 (n, d), weight of each dimension in the local linear model, 0 where it was
  not kept, NaN for an anchor that cannot be explained. With ``discretize`` the weight of the
  condition that the anchor meets, in units of the target; else per standard deviation of the
  training codes.
- ``conditions``: str (n, k), LIME's conditions by falling absolute weight, as in "z3 > 0.81";
  ``condition_dimensions`` int64 (n, k), -1 where there is none; ``condition_weights`` (n, k).
- ``intercept``, ``score``: (n,), of the local model; the score is its weighted R^2.
- ``prediction``, ``local_prediction``: (n,), the target and the local model at the anchor.
- ``codes``: float32 (n, d), posterior means.
- ``groups``: by name: count, mean_abs_weight (d,), mean_weight (d,); empty without ``groups``.
- ``invalid``, ``reasons``: indices of the anchors left out, and why.
"""


@register("latent_lime")
class LatentLIME(LatentAdapter):
    """Local linear models of a target in latent dimensions (Ribeiro, Singh and Guestrin 2016).

    Codes are drawn around the anchor's, the target is computed at each (the anchor itself stays
    what it was), and a weighted ridge regression gives one weight per dimension. The ``lime``
    package does the work, with one explainer per anchor: its generator is stateful, so a shared one
    would give other results at each call.

    Args:
        predictor: A model that can encode and decode.
        target: A criterion (name, mapping or object), ``"elbo"``, ``Latent``, ``Pixel`` or a
            callable from a batch to (b,).
        n_samples: Codes drawn per anchor, >= 10.
        n_features: Dimensions kept in the local model, >= 1; None keeps all.
        discretize: Explain by conditions on quartiles of the training codes ("z3 > 0.81"); False
            fits the standardised codes themselves.
        kernel_width: Width of the exponential kernel; None takes LIME's 0.75 sqrt(d).
        feature_selection: How LIME picks the kept dimensions: ``"auto"``, ``"forward_selection"``,
            ``"highest_weights"``, ``"lasso_path"`` or ``"none"``.
        n_background: Training codes that :meth:`fit` keeps, for quartiles and scales, >= 2.
        seed: Seed of all draws; every anchor gets the same ones, so its result does not depend on
            its position.
        batch_size: Codes per model call.
        verbose: Show a progress bar on stderr.

    Raises:
        ParameterError: When an argument is not allowed.
        CapabilityError: When the model cannot encode or decode, or the target needs more.
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

    evidence = "latent_attribution"
    library = "lime"
    defaults = DEFAULT_DATA_LATENT_LIME

    def __init__(
        self,
        predictor: Any,
        target: Any = "kld",
        n_samples: int = 1000,
        n_features: int | None = None,
        *,
        discretize: bool = True,
        kernel_width: float | None = None,
        feature_selection: str = "auto",
        n_background: int = 1000,
        seed: int = 0,
        batch_size: int = 256,
        verbose: bool = False,
    ) -> None:
        where = "LatentLIME"
        self.n_samples = validation.integer(n_samples, "n_samples", where, minimum=10)
        self.n_features = n_features
        if n_features is not None:
            self.n_features = validation.integer(n_features, "n_features", where, minimum=1)
        self.discretize = validation.boolean(discretize, "discretize", where)
        self.kernel_width = kernel_width
        if kernel_width is not None:
            self.kernel_width = validation.real(kernel_width, "kernel_width", where, above=0.0)
        self.feature_selection = validation.choice(
            feature_selection, "feature_selection", where, SELECTIONS
        )
        params = {
            "n_samples": n_samples,
            "n_features": n_features,
            "discretize": discretize,
            "kernel_width": kernel_width,
            "feature_selection": feature_selection,
        }
        super().__init__(
            predictor,
            target,
            n_background,
            params,
            seed=seed,
            batch_size=batch_size,
            verbose=verbose,
        )

    def _explain(self, X: Any, **kwargs: Any) -> dict[str, Any]:
        training = self._fitted().astype(np.float64)
        anchors = self._open(X)
        n, d = len(anchors), self._dimension
        names = group_names(kwargs["groups"], n, "LatentLIME.explain")
        kept = min(self.n_features or d, d)
        broken = self._broken(anchors)
        data: dict[str, Any] = {
            key: np.full(n, np.nan) for key in ("intercept", "score", "prediction")
        }
        data["local_prediction"] = np.full(n, np.nan)
        data["weights"] = np.full((n, d), np.nan)
        data["codes"] = np.full((n, d), np.nan, dtype=np.float32)
        data["condition_weights"] = np.full((n, kept), np.nan)
        data["condition_dimensions"] = np.full((n, kept), -1, dtype=np.int64)
        texts = np.full((n, kept), "", dtype=object)
        with bar(n, "LIME", "anchor", self.verbose) as progress:
            for anchor in self._each(anchors, broken):
                self._one(anchor, training, kept, data, texts)
                progress.update(1)
        return {
            **data,
            "target": self._target().label,
            "feature_names": self._names(),
            "conditions": texts.astype(str) if texts.size else np.empty((n, kept), dtype="<U1"),
            "groups": by_group(data["weights"], names),
            "invalid": np.array(sorted(broken), dtype=np.int64),
            "reasons": [broken[i] for i in sorted(broken)],
        }

    def _one(
        self, anchor: Explained, training: Any, kept: int, data: dict[str, Any], texts: Any
    ) -> None:
        tabular = load("lime.lime_tabular", "latent", "LatentLIME")
        explainer = tabular.LimeTabularExplainer(
            training,
            mode="regression",
            feature_names=self._names(),
            kernel_width=self.kernel_width,
            feature_selection=self.feature_selection,
            discretize_continuous=self.discretize,
            random_state=self.seed % _LARGEST,
        )
        code = anchor.function.code.astype(np.float64)
        found = explainer.explain_instance(
            code, anchor.function, num_features=kept, num_samples=self.n_samples
        )
        i = anchor.index
        pairs = found.local_exp[1]  # for regression, [0] holds the negated weights
        dimensions = [int(j) for j, _ in pairs]
        data["weights"][i] = 0.0
        data["weights"][i, dimensions] = [weight for _, weight in pairs]
        data["condition_dimensions"][i, : len(pairs)] = dimensions
        data["condition_weights"][i, : len(pairs)] = [weight for _, weight in pairs]
        texts[i, : len(pairs)] = [text for text, _ in found.as_list(label=1)]
        data["codes"][i] = anchor.function.code
        data["intercept"][i] = found.intercept[1]
        data["score"][i] = found.score
        data["prediction"][i] = found.predicted_value
        data["local_prediction"][i] = np.asarray(found.local_pred).reshape(-1)[0]
