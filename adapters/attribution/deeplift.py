"""DeepLift: differences of activations to a baseline, in the place of gradients."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from torch import Tensor, nn

from pxgen_plugins.adapters.base import register
from pxgen_plugins.adapters.attribution._baselines import against, bounded
from pxgen_plugins.adapters._latent_target import Question
from pxgen_plugins.adapters.attribution.base import Attribution, Found
from pxgen_plugins.adapters.base import roots
from pxgen_plugins.models import capabilities
from pxgen_plugins.utils.errors import ModelError
from pxgen_plugins.utils.optional import load

__all__ = ["DeepLift"]

_LEFT_BEHIND = ("input", "output", "input_ref")  # what captum writes on modules


@register("deep_lift")
class DeepLift(Attribution):
    """DeepLift's rescale rule: each nonlinear module is taken by its slope to the baseline.

    Shrikumar, Greenside and Kundaje 2017 ("Learning important features through propagating
    activation differences"), by ``captum.attr.DeepLift``. The rule covers the modules captum knows:
    ReLU, ELU, LeakyReLU, Sigmoid, Tanh, Softplus, Softmax and max pooling. Everything else, the
    target's own arithmetic (the square of an MSE, say) and functional activations included, is
    taken by its gradient; what the sum misses by that stands in ``convergence_delta``.

    Args:
        predictor: The model; its torch modules must be known to it (``layers``).
        target: What is explained (see :class:`~pxgen_plugins.adapters.attribution.base.Attribution`).
            No module may run twice for it: take ``{"name": "elbo", "n_draws": 1}``, not
            ``"elbo"``.
        space: ``"input"`` or ``"latent"``.
        baseline: None (the low end of ``data_range``, 0 when unbounded; the prior mean 0 in latent
            space), a number, an array of one instance's shape, or ``"mean"`` of the data given to
            ``fit``.
        normalize: Scale the attributions of each anchor to [0, 1].
        seed: Seed of the target's noise.
        batch_size: Instances per model call; an anchor runs beside its baseline, so at least 2.
        verbose: Show a progress bar.

    Raises:
        ParameterError: When an argument is not allowed.
        CapabilityError: When the model lacks what target or space needs.
        ModelError: From ``explain``, when a nonlinear module runs more than once.
        NotFittedError: From ``explain``, when the mean was not fitted.
        MissingDependencyError: From ``explain``, when captum is absent.

    Cost: one forward and backward pass of the target for 2 n instances.

    Example:
        >>> import numpy as np, torch
        >>> from pxgen_plugins.models import VAE
        >>> flat = VAE(encode=lambda x: (x.relu(), 0 * x - 1), decode=lambda z: z / 4,
        ...            latent_shape=(2,), sample_shape=(2,), data_range=None)
        >>> DeepLift(flat, "latent[1]").explain(np.ones((1, 2), "f4")).attributions.tolist()
        [[0.0, 1.0]]
    """

    compares = True

    def __init__(
        self,
        predictor: Any,
        target: Any = "mse",
        *,
        space: str = "input",
        baseline: Any = None,
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
            baseline=baseline,
            words=("mean",),
            seed=seed,
            batch_size=batch_size,
            verbose=verbose,
        )

    def _per_batch(self) -> int:
        return bounded(2, self.batch_size)

    def _attribute(self, question: Question, point: Tensor, fixed: tuple[Tensor, ...]) -> Found:
        captum = load("captum.attr", "captum", "DeepLift")
        baseline = self._baseline(point)
        network = _Network(question)
        with _clean(network), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # captum announces its hooks at every call
            try:
                found = captum.DeepLift(network).attribute(
                    point, baselines=baseline, additional_forward_args=fixed or None
                )
            except RuntimeError as error:
                if "being reused" not in str(error) and "more than once" not in str(error):
                    raise
                raise ModelError(
                    "target",
                    "DeepLift",
                    "one for which every nonlinear module runs once",
                    f"{question.target.label!r}, for which one runs again: {str(error)[9:100]}",
                    "Use {'name': 'elbo', 'n_draws': 1} for the bound, one module object per use "
                    "in the network, or TorchIntegratedGradients.",
                ) from error
        return {"attributions": found, **against(question, point, fixed, baseline, found)}


class _Network(nn.Module):
    """The question as a module that holds the model's own, for captum to hook."""

    def __init__(self, question: Question) -> None:
        super().__init__()
        self.question = question
        model = question.model
        self.parts = nn.ModuleList(roots(model) if "layers" in capabilities(model) else [])
        self.training = False  # .eval() would reach the model's own flags

    def forward(self, point: Tensor, *fixed: Tensor) -> Tensor:
        return self.question(point, *fixed)


@contextmanager
def _clean(network: nn.Module) -> Iterator[None]:
    """Take what captum leaves on modules that did not take part in the backward pass."""
    modules = list(network.modules())
    before = [{k: m.__dict__[k] for k in _LEFT_BEHIND if k in m.__dict__} for m in modules]
    try:
        yield
    finally:
        for module, kept in zip(modules, before, strict=True):
            for key in _LEFT_BEHIND:
                module.__dict__.pop(key, None)
            module.__dict__.update(kept)
