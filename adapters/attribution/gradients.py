"""Attributions from the target's gradient, at the anchor or on the way to it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from torch import Tensor

from pxgen_plugins.adapters._latent_target import TargetFunction
from pxgen_plugins.adapters.attribution._baselines import completeness
from pxgen_plugins.adapters.attribution.base import Attribution, Table
from pxgen_plugins.adapters.base import register
from pxgen_plugins.utils import validation
from pxgen_plugins.utils.optional import load

__all__ = ["InputXGradient", "Saliency", "TorchIntegratedGradients"]


@register("saliency")
@dataclass(repr=False, eq=False, kw_only=True)
class Saliency(Attribution):
    """Gradient of the target with respect to each element of the anchor or of its latent code.

    Simonyan, Vedaldi and Zisserman 2014 ("Deep inside convolutional networks"), by
    ``captum.attr.Saliency``. With ``target="mse"`` or ``"elbo"`` and ``space="latent"`` it is the
    saliency of the reconstruction loss or of the bound in latent dimensions.

    Args:
        predictor: The model.
        absolute: Take the absolute value, as in the paper; else the sign is kept.
        per: What the gradient of a table's column is per: its ``"range"`` in the reference table,
            so that a column in thousands and one in fractions compare, or its ``"unit"``, the
            plain gradient. Without effect in latent space and for models without columns.
        target, space, normalize, seed, batch_size, verbose: See
            :class:`~pxgen_plugins.adapters.attribution.base.Attribution`.

    Fields:
        attributions (float32 (n, *shape)): Slope of the target at each of n anchors, in the shape
            of an anchor, or of its latent code: its change per unit of the element, or what ``per``
            says for a table. With ``absolute`` its size; else positive = the target rises with the
            element. NaN for anchors left out.
        target (str): Label of what is explained.
        target_values (float64 (n,)): Its value at each anchor; NaN for those left out.
        space (str): ``"input"`` or ``"latent"``: what the attributions are of.
        normalized (bool): Whether ``attributions`` are scaled to [0, 1] for each anchor: then they
            have neither unit nor sign.
        ranges (float64 (n, 2)): Lowest and highest attribution of each anchor before that; NaN for
            those left out.
        labels, ids (str (n,)): Labels and names of the anchors; None where they have none.
        baseline, baseline_values, convergence_delta, layer, maps (None): Set by other methods.
        invalid (int64 (i,)): Indices of the anchors left out.
        reasons (list of str): Why, i of them.

    Raises:
        MissingDependencyError: From ``explain``, when captum is absent.

    Cost: one forward and backward pass of the target for n anchors, beside its value.

    Example:
        >>> import numpy as np
        >>> from pxgen_plugins.models import VAE
        >>> flat = VAE(encode=lambda x: (2 * x, 0 * x - 1), decode=lambda z: z / 4,
        ...            modules=(), sample_shape=(2,), data_range=None)
        >>> Saliency(flat, "latent[1]").explain(np.ones((1, 2), "f4")).attributions.tolist()
        [[0.0, 2.0]]
    """

    space: str = "input"
    absolute: bool = True
    per: str = "range"

    def _check(self) -> None:
        super()._check()
        self.absolute = validation.boolean(self.absolute, "absolute")
        self.per = validation.choice(self.per, "per", ("range", "unit"))

    def _attribute(
        self, function: TargetFunction, point: Tensor, fixed: tuple[Tensor, ...]
    ) -> Table:
        method = load("captum.attr", "captum").Saliency(function)
        gradients = method.attribute(
            point, abs=self.absolute, additional_forward_args=fixed or None
        )
        columns = getattr(self.predictor, "columns", None)
        if columns and self.space == "input" and self.per == "range":
            # a constant column and one of categories have no range
            gradients = gradients * gradients.new_tensor([c.width or 1.0 for c in columns])
        return {"attributions": gradients}


@register("input_x_gradient")
@dataclass(repr=False, eq=False, kw_only=True)
class InputXGradient(Attribution):
    """Each element of the anchor, or of its latent code, times the target's gradient there.

    Shrikumar, Greenside, Shcherbina and Kundaje 2016 ("Not just a black box"), by
    ``captum.attr.InputXGradient``. In latent space the code takes the place of the anchor.

    Args:
        predictor: The model.
        target, space, normalize, seed, batch_size, verbose: See
            :class:`~pxgen_plugins.adapters.attribution.base.Attribution`.

    Fields:
        attributions (float32 (n, *shape)): Element times slope at each of n anchors, in the shape
            of an anchor, or of its latent code, in units of the target. Positive = the target would
            fall if the element were 0 and the slope stayed as it is. NaN for anchors left out.
        target (str): Label of what is explained.
        target_values (float64 (n,)): Its value at each anchor; NaN for those left out.
        space (str): ``"input"`` or ``"latent"``: what the attributions are of.
        normalized (bool): Whether ``attributions`` are scaled to [0, 1] for each anchor: then they
            have neither unit nor sign.
        ranges (float64 (n, 2)): Lowest and highest attribution of each anchor before that; NaN for
            those left out.
        labels, ids (str (n,)): Labels and names of the anchors; None where they have none.
        baseline, baseline_values, convergence_delta, layer, maps (None): Set by other methods.
        invalid (int64 (i,)): Indices of the anchors left out.
        reasons (list of str): Why, i of them.

    Raises:
        MissingDependencyError: From ``explain``, when captum is absent.

    Cost: one forward and backward pass of the target for n anchors, beside its value.

    Example:
        >>> import numpy as np
        >>> from pxgen_plugins.models import VAE
        >>> flat = VAE(encode=lambda x: (2 * x, 0 * x - 1), decode=lambda z: z / 4,
        ...            modules=(), sample_shape=(2,), data_range=None)
        >>> X = np.array([[5.0, 3.0]], "f4")
        >>> InputXGradient(flat, "latent[1]").explain(X).attributions.tolist()
        [[0.0, 6.0]]
    """

    space: str = "input"

    def _attribute(
        self, function: TargetFunction, point: Tensor, fixed: tuple[Tensor, ...]
    ) -> Table:
        method = load("captum.attr", "captum").InputXGradient(function)
        return {"attributions": method.attribute(point, additional_forward_args=fixed or None)}


@register("integrated_gradients")
@dataclass(repr=False, eq=False, kw_only=True)
class TorchIntegratedGradients(Attribution):
    """Integrated gradients of the target, on the straight line from a baseline to the anchor.

    Sundararajan, Taly and Yan 2017 ("Axiomatic attribution for deep networks"), by
    ``captum.attr.IntegratedGradients``, with its Gauss-Legendre rule. The attributions sum to the
    target's value minus that at the baseline, up to the integration error, which is reported per
    anchor as ``convergence_delta``. Named so because Alibi has an ``IntegratedGradients`` of its
    own.

    Args:
        predictor: The model.
        n_steps: Points on the line, >= 1.
        batch_size: Instances per model call, those on the line included.
        target, space, baseline, normalize, seed, verbose: See
            :class:`~pxgen_plugins.adapters.attribution.base.Attribution`.

    Fields:
        attributions (float32 (n, *shape)): Part of each element in what the target gains from the
            baseline to each of n anchors, in the shape of an anchor, or of its latent code, in
            units of the target. Positive = the element raises it. NaN for anchors left out.
        target (str): Label of what is explained.
        target_values (float64 (n,)): Its value at each anchor; NaN for those left out.
        space (str): ``"input"`` or ``"latent"``: what the attributions are of.
        normalized (bool): Whether ``attributions`` are scaled to [0, 1] for each anchor: then they
            have neither unit nor sign.
        ranges (float64 (n, 2)): Lowest and highest attribution of each anchor before that; NaN for
            those left out.
        baseline (str or float): What the anchors are compared with, in words or as a number.
        baseline_values (float64 (n,)): The target at the baseline; NaN for anchors left out; None
            where there are no anchors.
        convergence_delta (float64 (n,)): Sum of the attributions of an anchor, before they are
            normalized, minus (target value - baseline value): the error of the integral, 0 at best.
            NaN for anchors left out; None where there are no anchors.
        labels, ids (str (n,)): Labels and names of the anchors; None where they have none.
        layer, maps (None): Set by other methods.
        invalid (int64 (i,)): Indices of the anchors left out.
        reasons (list of str): Why, i of them.

    Raises:
        NotFittedError: From ``explain``, when the mean was not fitted.
        MissingDependencyError: From ``explain``, when captum is absent.

    Cost: ``n_steps`` forward and backward passes of the target for n anchors.

    Example:
        >>> import numpy as np
        >>> from pxgen_plugins.models import VAE
        >>> flat = VAE(encode=lambda x: (2 * x, 0 * x - 1), decode=lambda z: z / 4,
        ...            modules=(), sample_shape=(2,), data_range=None)
        >>> result = TorchIntegratedGradients(flat, "mse").explain(np.array([[2.0, 4.0]], "f4"))
        >>> result.attributions.round(4).tolist(), result.target_values.tolist()
        ([[0.5, 2.0]], [2.5])
    """

    space: str = "input"
    baseline: Any = None
    n_steps: int = 50

    def _check(self) -> None:
        super()._check()
        self.n_steps = validation.integer(self.n_steps, "n_steps", minimum=1)

    def _evaluations(self) -> int:
        return self.n_steps

    def _attribute(
        self, function: TargetFunction, point: Tensor, fixed: tuple[Tensor, ...]
    ) -> Table:
        baseline = self._baseline(point)
        attributions = (
            load("captum.attr", "captum")
            .IntegratedGradients(function)
            .attribute(
                point,
                baselines=baseline,
                additional_forward_args=fixed or None,
                n_steps=self.n_steps,
                method="gausslegendre",
                internal_batch_size=max(self.batch_size, len(point)),
            )
        )
        delta = completeness(function, point, fixed, baseline, attributions)
        return {"attributions": attributions, **delta}
