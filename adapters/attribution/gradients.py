"""Attributions from the target's gradient, at the anchor or on the way to it."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from pxgen_plugins.adapters.base import register
from pxgen_plugins.adapters.attribution._baselines import against
from pxgen_plugins.adapters._latent_target import Question
from pxgen_plugins.adapters.attribution.base import Attribution, Found
from pxgen_plugins.utils import validation
from pxgen_plugins.utils.optional import load

__all__ = ["InputXGradient", "Saliency", "TorchIntegratedGradients"]

RULES = (
    "gausslegendre",
    "riemann_left",
    "riemann_middle",
    "riemann_right",
    "riemann_trapezoid",
)


@register("saliency")
class Saliency(Attribution):
    """Gradient of the target with respect to each element of the anchor or of its latent code.

    Simonyan, Vedaldi and Zisserman 2014 ("Deep inside convolutional networks"), by
    ``captum.attr.Saliency``. With ``target="mse"`` or ``"elbo"`` and ``space="latent"`` it is the
    saliency of the reconstruction loss or of the bound in latent dimensions.

    Args:
        predictor: The model.
        target: What is explained (see :class:`~pxgen_plugins.adapters.attribution.base.Attribution`).
        space: ``"input"`` or ``"latent"``.
        absolute: Take the absolute value, as in the paper; else the sign is kept.
        normalize: Scale the attributions of each anchor to [0, 1].
        seed: Seed of the target's noise.
        batch_size: Instances per model call.
        verbose: Show a progress bar.

    Raises:
        ParameterError: When an argument is not allowed.
        CapabilityError: When the model lacks what target or space needs.
        MissingDependencyError: From ``explain``, when captum is absent.

    Cost: one forward and backward pass of the target for n anchors, beside its value.

    Example:
        >>> import numpy as np
        >>> from pxgen_plugins.models import VAE
        >>> flat = VAE(encode=lambda x: (2 * x, 0 * x - 1), decode=lambda z: z / 4,
        ...            latent_shape=(2,), sample_shape=(2,), data_range=None)
        >>> Saliency(flat, "latent[1]").explain(np.ones((1, 2), "f4")).attributions.tolist()
        [[0.0, 2.0]]
    """

    def __init__(
        self,
        predictor: Any,
        target: Any = "mse",
        *,
        space: str = "input",
        absolute: bool = True,
        normalize: bool = False,
        seed: int = 0,
        batch_size: int = 256,
        verbose: bool = False,
    ) -> None:
        self.absolute = validation.boolean(absolute, "absolute", "Saliency")
        super().__init__(
            predictor,
            target,
            {"space": space, "absolute": absolute, "normalize": normalize},
            space=space,
            normalize=normalize,
            seed=seed,
            batch_size=batch_size,
            verbose=verbose,
        )

    def _attribute(self, question: Question, point: Tensor, fixed: tuple[Tensor, ...]) -> Found:
        method = load("captum.attr", "captum", "Saliency").Saliency(question)
        given = fixed or None
        return {
            "attributions": method.attribute(
                point, abs=self.absolute, additional_forward_args=given
            )
        }


@register("input_x_gradient")
class InputXGradient(Attribution):
    """Each element of the anchor, or of its latent code, times the target's gradient there.

    Shrikumar, Greenside, Shcherbina and Kundaje 2016 ("Not just a black box"), by
    ``captum.attr.InputXGradient``. In latent space the code takes the place of the anchor.

    Args:
        predictor: The model.
        target: What is explained (see :class:`~pxgen_plugins.adapters.attribution.base.Attribution`).
        space: ``"input"`` or ``"latent"``.
        normalize: Scale the attributions of each anchor to [0, 1].
        seed: Seed of the target's noise.
        batch_size: Instances per model call.
        verbose: Show a progress bar.

    Raises:
        ParameterError: When an argument is not allowed.
        CapabilityError: When the model lacks what target or space needs.
        MissingDependencyError: From ``explain``, when captum is absent.

    Cost: one forward and backward pass of the target for n anchors, beside its value.

    Example:
        >>> import numpy as np
        >>> from pxgen_plugins.models import VAE
        >>> flat = VAE(encode=lambda x: (2 * x, 0 * x - 1), decode=lambda z: z / 4,
        ...            latent_shape=(2,), sample_shape=(2,), data_range=None)
        >>> X = np.array([[5.0, 3.0]], "f4")
        >>> InputXGradient(flat, "latent[1]").explain(X).attributions.tolist()
        [[0.0, 6.0]]
    """

    def __init__(
        self,
        predictor: Any,
        target: Any = "mse",
        *,
        space: str = "input",
        normalize: bool = False,
        seed: int = 0,
        batch_size: int = 256,
        verbose: bool = False,
    ) -> None:
        super().__init__(
            predictor,
            target,
            {"space": space, "normalize": normalize},
            space=space,
            normalize=normalize,
            seed=seed,
            batch_size=batch_size,
            verbose=verbose,
        )

    def _attribute(self, question: Question, point: Tensor, fixed: tuple[Tensor, ...]) -> Found:
        method = load("captum.attr", "captum", "InputXGradient").InputXGradient(question)
        found = method.attribute(point, additional_forward_args=fixed or None)
        return {"attributions": found}


@register("integrated_gradients")
class TorchIntegratedGradients(Attribution):
    """Integrated gradients of the target, on the straight line from a baseline to the anchor.

    Sundararajan, Taly and Yan 2017 ("Axiomatic attribution for deep networks"), by
    ``captum.attr.IntegratedGradients``. The attributions sum to the target's value minus that at
    the baseline, up to the integration error, which is reported per anchor as
    ``convergence_delta``. Named so because Alibi has an ``IntegratedGradients`` of its own.

    Args:
        predictor: The model.
        target: What is explained (see :class:`~pxgen_plugins.adapters.attribution.base.Attribution`).
        space: ``"input"`` or ``"latent"``.
        baseline: None (the low end of ``data_range``, 0 when unbounded; the prior mean 0 in latent
            space), a number, an array of one instance's shape, or ``"mean"`` of the data given to
            ``fit``.
        n_steps: Points on the line, >= 1.
        method: How the integral is taken: ``"gausslegendre"`` or one of captum's ``"riemann_..."``.
        normalize: Scale the attributions of each anchor to [0, 1].
        seed: Seed of the target's noise.
        batch_size: Instances per model call, those on the line included.
        verbose: Show a progress bar.

    Raises:
        ParameterError: When an argument is not allowed.
        CapabilityError: When the model lacks what target or space needs.
        NotFittedError: From ``explain``, when the mean was not fitted.
        MissingDependencyError: From ``explain``, when captum is absent.

    Cost: ``n_steps`` forward and backward passes of the target for n anchors.

    Example:
        >>> import numpy as np
        >>> from pxgen_plugins.models import VAE
        >>> flat = VAE(encode=lambda x: (2 * x, 0 * x - 1), decode=lambda z: z / 4,
        ...            latent_shape=(2,), sample_shape=(2,), data_range=None)
        >>> found = TorchIntegratedGradients(flat, "mse").explain(np.array([[2.0, 4.0]], "f4"))
        >>> found.attributions.round(4).tolist(), found.target_values.tolist()
        ([[0.5, 2.0]], [2.5])
    """

    compares = True

    def __init__(
        self,
        predictor: Any,
        target: Any = "mse",
        *,
        space: str = "input",
        baseline: Any = None,
        n_steps: int = 50,
        method: str = "gausslegendre",
        normalize: bool = False,
        seed: int = 0,
        batch_size: int = 256,
        verbose: bool = False,
    ) -> None:
        where = "TorchIntegratedGradients"
        self.n_steps = validation.integer(n_steps, "n_steps", where, minimum=1)
        self.method = validation.choice(method, "method", where, RULES)
        super().__init__(
            predictor,
            target,
            {"space": space, "n_steps": n_steps, "method": method, "normalize": normalize},
            space=space,
            normalize=normalize,
            baseline=baseline,
            words=("mean",),
            seed=seed,
            batch_size=batch_size,
            verbose=verbose,
        )

    def _attribute(self, question: Question, point: Tensor, fixed: tuple[Tensor, ...]) -> Found:
        captum = load("captum.attr", "captum", "TorchIntegratedGradients")
        baseline = self._baseline(point)
        found = captum.IntegratedGradients(question).attribute(
            point,
            baselines=baseline,
            additional_forward_args=fixed or None,
            n_steps=self.n_steps,
            method=self.method,
            internal_batch_size=max(self.batch_size, len(point)),
        )
        return {"attributions": found, **against(question, point, fixed, baseline, found)}
