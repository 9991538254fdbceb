"""SHAP on latent dimensions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from pxgen_plugins.adapters._isolation import numpy_seed
from pxgen_plugins.adapters._latent_target import LatentTarget
from pxgen_plugins.adapters.base import register
from pxgen_plugins.adapters.latent._shapley import ShapleyAdapter
from pxgen_plugins.adapters.latent.base import LARGEST_SEED, Codes
from pxgen_plugins.utils import validation
from pxgen_plugins.utils.optional import load

__all__ = ["DEFAULT_DATA_LATENT_SHAP", "LatentSHAP"]

METHODS = ("kernel", "permutation", "gradient")
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
"""Default data of LatentSHAP, to be deep-copied; its docstring has the keys."""


@register("latent_shap")
@dataclass(repr=False, eq=False)
class LatentSHAP(ShapleyAdapter):
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
        method: ``"kernel"``, ``"permutation"`` or ``"gradient"``.
        n_samples: Coalitions (kernel; None: 2 d + 2048), orders (permutation; None: 10) or draws
            (gradient; None: 200) per anchor.
        target, n_background, seed, batch_size, verbose: See
            :class:`~pxgen_plugins.adapters.latent.base.LatentAdapter`.

    Fields:
        target (str): Label of what is explained.
        method (str): The estimator.
        feature_names (list of str): The d latent dimensions, "z0" and so on.
        weights (float64 (n, d)): Shapley value of each dimension for each of n anchors, in units of
            the target. Positive = it raises the target above ``base_value``; NaN for anchors left
            out.
        base_value (float64 (n,)): Mean of the anchor's target over the background codes; NaN for
            anchors left out.
        prediction (float64 (n,)): The target at the anchor's own code; NaN for anchors left out.
        additivity_gap (float64 (n,)): prediction - base_value - sum of the weights, 0 at best:
            rounding for ``"kernel"`` and ``"permutation"``, the estimator's error for
            ``"gradient"``. NaN for anchors left out.
        codes (float32 (n, d)): Posterior means; NaN for anchors left out.
        groups (dict): By name of the group: ``count``, its usable anchors; ``mean_abs_weight`` (d,)
            and ``mean_weight`` (d,), float64, over them, NaN where there are none. {} without
            groups.
        invalid (int64 (i,)): Indices of the anchors left out.
        reasons (list of str): Why, i of them.

    Raises:
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

    library = "shap"
    defaults = DEFAULT_DATA_LATENT_SHAP

    method: str = "kernel"
    n_samples: int | None = None

    def _check(self) -> None:
        super()._check()
        self.method = validation.choice(self.method, "method", METHODS)
        if self.n_samples is not None:
            self.n_samples = validation.integer(self.n_samples, "n_samples", minimum=1)

    def _explain(self, X: Any, groups: Any = None) -> dict[str, Any]:
        return {**super()._explain(X, groups), "method": self.method}

    def _tables(self, n: int) -> dict[str, NDArray[Any]]:
        codes = np.full((n, self._dimension), np.nan, dtype=np.float32)
        return {**super()._tables(n), "codes": codes}

    def _weigh(self, function: LatentTarget, background: Codes) -> dict[str, Any]:
        return {**super()._weigh(function, background), "codes": function.code}

    def _values(self, function: LatentTarget, background: Codes) -> Any:
        shap = load("shap", "shap")
        by = {"kernel": self._kernel, "permutation": self._permutation, "gradient": self._gradient}
        with numpy_seed(self.seed):  # shap draws from numpy's global generator
            return by[self.method](shap, function, background)

    def _kernel(self, shap: Any, function: LatentTarget, background: Codes) -> Any:
        explainer = shap.KernelExplainer(function, background.astype(np.float64))
        return explainer.shap_values(
            function.code[None].astype(np.float64),
            nsamples=self.n_samples or "auto",
            l1_reg=False,  # the default keeps 10 dimensions
            silent=True,
        )

    def _permutation(self, shap: Any, function: LatentTarget, background: Codes) -> Any:
        masker = shap.maskers.Independent(
            background.astype(np.float64),
            max_samples=len(background),  # the default takes 100 of them
        )
        explainer = shap.PermutationExplainer(function, masker, seed=self.seed % LARGEST_SEED)
        orders = self.n_samples or _PERMUTATIONS
        code = function.code[None].astype(np.float64)
        return explainer(code, max_evals=orders * (2 * code.size + 1), silent=True).values

    def _gradient(self, shap: Any, function: LatentTarget, background: Codes) -> Any:
        explainer = shap.GradientExplainer(
            _Column(function), torch.from_numpy(background), batch_size=self.batch_size
        )
        return explainer.shap_values(
            torch.from_numpy(function.code[None]),
            nsamples=self.n_samples or _GRADIENT_SAMPLES,
            rseed=self.seed % LARGEST_SEED,
        )


class _Column(nn.Module):
    """The target as a module with one output, without parameters that a library could touch."""

    def __init__(self, function: LatentTarget) -> None:
        super().__init__()
        self._function = function

    def forward(self, z: Tensor) -> Tensor:
        return self._function.values(z)[:, None]
