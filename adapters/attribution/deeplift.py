"""DeepLift: differences of activations to a baseline, in the place of gradients."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from pxgen_plugins.adapters._hooks import agree, watch
from pxgen_plugins.adapters._isolation import roots
from pxgen_plugins.adapters._latent_target import TargetFunction
from pxgen_plugins.adapters.attribution._baselines import anchors_per_call, completeness
from pxgen_plugins.adapters.attribution.base import Attribution, Table
from pxgen_plugins.adapters.base import register
from pxgen_plugins.models import capabilities
from pxgen_plugins.models.runtime import exclusive_use
from pxgen_plugins.utils.errors import ModelError
from pxgen_plugins.utils.optional import load

__all__ = ["DeepLift"]

_LEFT_BEHIND = ("input", "output", "input_ref")  # what captum writes on modules
RESCALED = (
    nn.ReLU,
    nn.ELU,
    nn.LeakyReLU,
    nn.Sigmoid,
    nn.Tanh,
    nn.Softplus,
    nn.Softmax,
    nn.MaxPool1d,
    nn.MaxPool2d,
    nn.MaxPool3d,
)
"""Types of the modules that captum's rule is applied to, exactly these, no subclasses."""


@register("deep_lift")
@dataclass(repr=False, eq=False, kw_only=True)
class DeepLift(Attribution):
    """DeepLift's rescale rule: each nonlinear module is taken by its slope to the baseline.

    Shrikumar, Greenside and Kundaje 2017 ("Learning important features through propagating
    activation differences"), by ``captum.attr.DeepLift``. The rule covers the modules captum knows:
    ReLU, ELU, LeakyReLU, Sigmoid, Tanh, Softplus, Softmax and max pooling. Everything else, the
    target's own arithmetic (the square of an MSE, say) and functional activations included, is
    taken by its gradient; what the sum misses by that stands in ``convergence_delta``.

    Args:
        predictor: The model; its torch modules must be known to it (``layers``).
        target: What is explained. No module may run twice for it: take
            ``{"name": "elbo", "n_draws": 1}``, not ``"elbo"``.
        batch_size: Instances per model call; an anchor runs beside its baseline, so at least 2.
        space, baseline, normalize, seed, verbose: See
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
            normalized, minus (target value - baseline value): what the rule misses, 0 at best. NaN
            for anchors left out; None where there are no anchors.
        labels, ids (str (n,)): Labels and names of the anchors; None where they have none.
        layer, maps (None): Set by other methods.
        invalid (int64 (i,)): Indices of the anchors left out.
        reasons (list of str): Why, i of them.

    Raises:
        ModelError: From ``explain``, when a nonlinear module runs more than once, or works in place
            and its result is dropped.
        NotFittedError: From ``explain``, when the mean was not fitted.
        MissingDependencyError: From ``explain``, when captum is absent.

    Cost: one forward and backward pass of the target for 2 n instances.

    Example:
        >>> import numpy as np, torch
        >>> from pxgen_plugins.models import VAE
        >>> flat = VAE(encode=lambda x: (x.relu(), 0 * x - 1), decode=lambda z: z / 4,
        ...            modules=(), sample_shape=(2,), data_range=None)
        >>> DeepLift(flat, "latent[1]").explain(np.ones((1, 2), "f4")).attributions.tolist()
        [[0.0, 1.0]]
    """

    space: str = "input"
    baseline: Any = None

    def _per_batch(self) -> int:
        return anchors_per_call(2, self.batch_size)

    def _attribute(
        self, function: TargetFunction, point: Tensor, fixed: tuple[Tensor, ...]
    ) -> Table:
        captum = load("captum.attr", "captum")
        baseline = self._baseline(point)
        network = _Network(function)
        with exclusive_use(network.parts), _clean(network), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # captum announces its hooks at every call
            attributions = captum.DeepLift(network).attribute(
                point, baselines=baseline, additional_forward_args=fixed or None
            )
        delta = completeness(function, point, fixed, baseline, attributions)
        network.expect_values(torch.cat([function.values(point, *fixed), delta["baseline_values"]]))
        return {"attributions": attributions, **delta}


class _Network(nn.Module):
    """The target as a module that holds the model's own, for captum to hook."""

    def __init__(self, function: TargetFunction) -> None:
        super().__init__()
        self.function = function
        model = function.model
        self.parts = nn.ModuleList(roots(model) if "layers" in capabilities(model) else [])
        self.seen = torch.empty(0)  # the values while captum's hooks are in place
        self.training = False  # .eval() would reach the model's own flags
        names = {id(module): name for name, module in getattr(model, "layers", {}).items()}
        self._rescaled = {
            names.get(id(module), path): module
            for path, module in self.parts.named_modules()
            if type(module) in RESCALED
        }

    def forward(self, point: Tensor, *fixed: Tensor) -> Tensor:
        runs: Counter[str] = Counter()
        with watch(self._rescaled, lambda name, _: runs.update([name])):
            values = self.function(point, *fixed)
        # captum keeps one input and output per module: those of a second run, also one that the
        # target does not depend on, would take the place of the first run's
        again = [f"{name!r} ({count} times)" for name, count in runs.items() if count > 1]
        if again:
            raise ModelError(
                "target",
                "one for which every nonlinear module runs once",
                f"{self.function.target.label!r}, which runs {', '.join(again[:3])}",
                "Use {'name': 'elbo', 'n_draws': 1} for the bound, one module object per use in "
                "the network, or TorchIntegratedGradients.",
            )
        self.seen = values.detach()
        return values

    def expect_values(self, plain: Tensor) -> None:
        """Raise unless the hooked network gave the plain one's values.

        Captum runs each module on a copy of its input, so that a network which drops what an
        in-place module returns goes on with the input as it was.
        """
        if not agree(self.seen, plain):
            raise ModelError(
                "network",
                "one whose values stay when its modules are hooked",
                "other values, as where the result of an in-place activation is dropped",
                "Use what activations return, as in h = act(h), or TorchIntegratedGradients.",
            )


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
