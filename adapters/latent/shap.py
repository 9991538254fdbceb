"""SHAP on latent dimensions."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from pxgen_plugins.adapters.base import register
from pxgen_plugins.adapters.latent.base import (
    Floats,
    LatentAdapter,
    Moved,
    by_group,
    group_names,
    seeded,
)
from pxgen_plugins.utils import validation
from pxgen_plugins.utils.optional import load
from pxgen_plugins.utils.progress import bar

__all__ = ["DEFAULT_DATA_LATENT_SHAP", "LatentSHAP"]

METHODS = ("kernel", "permutation", "gradient")
_LARGEST = 2**32  # seeds of numpy's legacy generators are 32 bits wide
_GRADIENT_SAMPLES = 200
_PERMUTATIONS = 10

DEFAULT_DATA_LATENT_SHAP: dict[str, Any] = {
    "target": None,
    "method": None,
    "feature_names": [],
    "weights": None,
    "base_value": None,
    "prediction": None,
    "additivity_gap": None,
    "codes": None,
    "groups": {},
    "invalid": None,
    "reasons": [],
}
"""Default data of LatentSHAP for n anchors and d latent dimensions, to be deep-copied.

- ``target``: name of what is explained; ``method``: the estimator; ``feature_names``: "z0" on.
- ``weights``: float64 (n, d), SHAP values in units of the target; NaN for an anchor that cannot be
  explained.
- ``base_value``: (n,), mean of the anchor's target over the background codes; ``prediction``:
  (n,), the target at the anchor's own code.
- ``additivity_gap``: (n,), prediction - base_value - sum of the weights: rounding for the kernel
  and permutation methods, the estimator's error for the gradient method.
- ``codes``: float32 (n, d), posterior means.
- ``groups``: by name: count, mean_abs_weight (d,), mean_weight (d,); empty without ``groups``.
- ``invalid``, ``reasons``: indices of the anchors left out, and why.
"""


@register("latent_shap")
class LatentSHAP(LatentAdapter):
    """Shapley values of a target in latent dimensions (Lundberg and Lee 2017), by ``shap``.

    The game: dimensions of the code in the coalition are the anchor's, the others come from the
    background codes; the anchor itself stays what it was.

    ``"kernel"`` solves a weighted least-squares problem over coalitions (all dimensions are kept:
    ``l1_reg`` is off); ``"permutation"`` averages over random orders, both ways; ``"gradient"``
    is expected gradients (Erion et al. 2021), which needs a differentiable target and gives the
    Shapley values of a continuous game, so that its gap measures its sampling error. The first two
    are additive to rounding.

    Args:
        predictor: A model that can encode and decode.
        target: A criterion (name, mapping or object), ``"elbo"``, ``Latent``, ``Pixel`` or a
            callable from a batch to (b,).
        method: ``"kernel"``, ``"permutation"`` or ``"gradient"``.
        n_samples: Coalitions (kernel; None: 2 d + 2048), orders (permutation; None: 10) or draws
            (gradient; None: 200) per anchor.
        n_background: Background codes that :meth:`fit` keeps, >= 2.
        seed: Seed of all draws; every anchor gets the same ones.
        batch_size: Codes per model call.
        verbose: Show a progress bar on stderr.

    Raises:
        ParameterError: When an argument is not allowed.
        CapabilityError: When the model cannot encode or decode, or the target needs more.
        MissingDependencyError: On ``explain``, when shap is not installed.

    Cost per anchor: n_samples x n_background decoder passes (kernel), (2 d + 1) times that
    (permutation), n_samples passes with gradient (gradient). ``shap`` itself holds the codes of all
    coalitions: 8 n_samples n_background d bytes for kernel.

    Example:
        >>> from pxgen_plugins.testing.examples import LinearModel, noise
        >>> from pxgen_plugins.adapters.targets import Latent
        >>> shap = LatentSHAP(LinearModel(), target=Latent(1), n_background=5).fit()
        >>> explanation = shap.explain(noise(LinearModel(), 2).numpy())  # doctest: +SKIP
        >>> bool(abs(explanation.weights[:, [0, 2]]).max() < 1e-6)  # doctest: +SKIP
        True
    """

    evidence = "latent_attribution"
    library = "shap"
    defaults = DEFAULT_DATA_LATENT_SHAP

    def __init__(
        self,
        predictor: Any,
        target: Any = "kld",
        method: str = "kernel",
        n_samples: int | None = None,
        *,
        n_background: int = 50,
        seed: int = 0,
        batch_size: int = 256,
        verbose: bool = False,
    ) -> None:
        self.method = validation.choice(method, "method", "LatentSHAP", METHODS)
        self.n_samples = n_samples
        if n_samples is not None:
            self.n_samples = validation.integer(n_samples, "n_samples", "LatentSHAP", minimum=1)
        params = {"method": method, "n_samples": n_samples}
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
        background = self._fitted()
        anchors = self._open(X)
        n, d = len(anchors), self._dimension
        names = group_names(kwargs["groups"], n, "LatentSHAP.explain")
        broken = self._broken(anchors)
        weights, codes = np.full((n, d), np.nan), np.full((n, d), np.nan, dtype=np.float32)
        base, prediction = np.full(n, np.nan), np.full(n, np.nan)
        with bar(n, "SHAP", "anchor", self.verbose) as progress:
            for anchor in self._each(anchors, broken):
                i, function = anchor.index, anchor.function
                codes[i] = function.code
                base[i] = function(background).mean()
                prediction[i] = function(function.code[None])[0]
                weights[i] = self._values(function, background)
                progress.update(1)
        return {
            "target": self._target().label,
            "method": self.method,
            "feature_names": self._names(),
            "weights": weights,
            "base_value": base,
            "prediction": prediction,
            "additivity_gap": prediction - base - weights.sum(axis=1),
            "codes": codes,
            "groups": by_group(weights, names),
            "invalid": np.array(sorted(broken), dtype=np.int64),
            "reasons": [broken[i] for i in sorted(broken)],
        }

    def _values(self, function: Moved, background: NDArray[np.float32]) -> Floats:
        shap = load("shap", "latent", "LatentSHAP")
        by = {"kernel": self._kernel, "permutation": self._permutation, "gradient": self._gradient}
        with seeded(self.seed):  # shap draws from numpy's global generator
            found = by[self.method](shap, function, background)
        values: Floats = np.asarray(found, dtype=np.float64)
        return values.reshape(-1)

    def _kernel(self, shap: Any, function: Moved, background: NDArray[np.float32]) -> Any:
        explainer = shap.KernelExplainer(function, background.astype(np.float64))
        return explainer.shap_values(
            function.code[None].astype(np.float64),
            nsamples=self.n_samples or "auto",
            l1_reg=False,  # the default keeps 10 dimensions
            silent=True,
        )

    def _permutation(self, shap: Any, function: Moved, background: NDArray[np.float32]) -> Any:
        masker = shap.maskers.Independent(
            background.astype(np.float64),
            max_samples=len(background),  # the default takes 100 of them
        )
        explainer = shap.PermutationExplainer(function, masker, seed=self.seed % _LARGEST)
        orders = self.n_samples or _PERMUTATIONS
        code = function.code[None].astype(np.float64)
        return explainer(code, max_evals=orders * (2 * code.size + 1), silent=True).values

    def _gradient(self, shap: Any, function: Moved, background: NDArray[np.float32]) -> Any:
        explainer = shap.GradientExplainer(
            _Column(function), torch.from_numpy(background), batch_size=self.batch_size
        )
        return explainer.shap_values(
            torch.from_numpy(function.code[None]),
            nsamples=self.n_samples or _GRADIENT_SAMPLES,
            rseed=self.seed % _LARGEST,
        )


class _Column(nn.Module):
    """The target as a module with one output, without parameters that a library could touch."""

    def __init__(self, function: Moved) -> None:
        super().__init__()
        self._function = function

    def forward(self, z: Tensor) -> Tensor:
        return self._function.values(z)[:, None]
