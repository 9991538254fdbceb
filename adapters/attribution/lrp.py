"""Layer-wise relevance propagation through encoder and decoder."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from pxgen_plugins.adapters._hooks import agree
from pxgen_plugins.adapters._isolation import roots
from pxgen_plugins.adapters._latent_target import TargetFunction
from pxgen_plugins.adapters.attribution._lrp_rules import RULES, Rule
from pxgen_plugins.adapters.attribution._lrp_tracing import Tracer
from pxgen_plugins.adapters.attribution.base import DEFAULT_DATA_ATTRIBUTION, Attribution, Table
from pxgen_plugins.adapters.base import register
from pxgen_plugins.models import capabilities
from pxgen_plugins.utils import validation
from pxgen_plugins.utils.errors import ModelError

__all__ = ["DEFAULT_DATA_LRP", "LRP"]

DEFAULT_DATA_LRP: dict[str, Any] = {
    **DEFAULT_DATA_ATTRIBUTION,
    "rule": None,
    "start_relevance": None,
    "relevance_sum": None,
    "absorbed": None,
}
"""Default data of LRP, to be deep-copied; its docstring has the keys."""

_NETWORK = ("encode", "decode", "reconstruct", "score", "log_prob")


@register("lrp")
@dataclass(repr=False, eq=False, kw_only=True)
class LRP(Attribution):
    """Relevance of each element of the anchor, or of its latent code, handed back layer by layer.

    Layer-wise relevance propagation (Bach et al. 2015). Affine layers (Linear, convolutions,
    transposed convolutions, BatchNorm as a scaling) follow ``rule``; activations hand relevance
    through; average pooling, additions (residual ones too) and reshapes share it in proportion,
    max pooling gives it to the maximum. Functional code is seen as modules are. BatchNorm follows
    the epsilon rule under every ``rule``.

    **Where relevance starts.** An output of the network, ``Latent(j)`` or ``Pixel(...)``, starts
    with its own value. A criterion is no network output: every network output it reads starts with
    output x derivative of the criterion with respect to that output (the criterion, linearised
    there), and an anchor that it reads directly, as the MSE does, gets anchor x derivative. The sum
    at the start is reported as ``start_relevance``; it is not the criterion's value.

    Args:
        predictor: The model, of torch functions.
        space: ``"input"`` or ``"latent"`` (relevance of the code for what the decoder makes of it).
        rule: ``"epsilon"``, ``"gamma"`` or ``"z+"``
            (see :class:`~pxgen_plugins.adapters.attribution._lrp_rules.Rule`).
        epsilon: Stabiliser, >= 0, in units of a layer's output: larger ones absorb more relevance
            and leave less noise.
        gamma: Preference of the gamma rule for contributions that agree with the output, >= 0.
        target, normalize, seed, batch_size, verbose: See
            :class:`~pxgen_plugins.adapters.attribution.base.Attribution`.

    Fields:
        attributions (float32 (n, *shape)): Relevance of each element of n anchors, in the shape of
            an anchor, or of its latent code, in the unit of ``start_relevance``. Positive = it adds
            to it, negative = it takes from it. NaN for anchors left out.
        target (str): Label of what is explained.
        target_values (float64 (n,)): Its value at each anchor; NaN for those left out.
        space (str): ``"input"`` or ``"latent"``: what the attributions are of.
        normalized (bool): Whether ``attributions`` are scaled to [0, 1] for each anchor: then they
            have neither unit nor sign.
        ranges (float64 (n, 2)): Lowest and highest attribution of each anchor before that; NaN for
            those left out.
        rule (str): The rule of the affine layers.
        start_relevance (float64 (n,)): Relevance put into the network at its outputs and, by a
            target that reads the anchor itself, at the anchor: the output's value for ``Latent``
            and ``Pixel``. NaN where ``absorbed`` is; None where there are no anchors.
        relevance_sum (float64 (n,)): Sum of the attributions of an anchor before they are
            normalized; NaN for those left out; None where there are no anchors.
        absorbed (float64 (n,)): start_relevance - relevance_sum, what biases and epsilon swallowed:
            0 up to rounding for a network without biases. NaN for anchors left out, and where the
            target calls the network with another number of instances than anchors. None where there
            are no anchors.
        labels, ids (str (n,)): Labels and names of the anchors; None where they have none.
        baseline, baseline_values, convergence_delta, layer, maps (None): Set by other methods.
        invalid (int64 (i,)): Indices of the anchors left out.
        reasons (list of str): Why, i of them.

    Raises:
        ModelError: From ``explain``, when relevance meets a layer without a rule, which is named.

    Cost: one forward pass of the target and one backward pass that repeats each layer once
    (epsilon), twice (z+) or six times (gamma), for n anchors.

    Example:
        >>> import numpy as np
        >>> from pxgen_plugins.models import VAE
        >>> weight = torch.tensor([[2.0, 1.0], [0.0, 1.0]])
        >>> flat = VAE(encode=lambda x: ((x @ weight).relu(), 0 * x - 1), decode=lambda z: z / 4,
        ...            modules=(), sample_shape=(2,), data_range=None)
        >>> result = LRP(flat, "latent[1]", epsilon=0.0).explain(np.array([[1.0, 2.0]], "f4"))
        >>> result.attributions.tolist(), result.start_relevance.tolist(), result.absorbed.tolist()
        ([[1.0, 2.0]], [3.0], [0.0])
    """

    library = ""
    defaults = DEFAULT_DATA_LRP

    space: str = "input"
    rule: str = "epsilon"
    epsilon: float = 1e-6
    gamma: float = 0.25

    def _check(self) -> None:
        super()._check()
        self.rule = validation.choice(self.rule, "rule", RULES)
        self.epsilon = validation.real(self.epsilon, "epsilon", minimum=0.0)
        self.gamma = validation.real(self.gamma, "gamma", minimum=0.0)

    def _explain(self, X: Any, labels: Any = None, ids: Any = None) -> dict[str, Any]:
        return {**super()._explain(X, labels, ids), "rule": self.rule}

    def _attribute(
        self, function: TargetFunction, point: Tensor, fixed: tuple[Tensor, ...]
    ) -> Table:
        model = function.model
        names = model.layers if "layers" in capabilities(model) else {}
        _expect_eager(model if names else None)
        tracer = Tracer(Rule(self.rule, self.epsilon, self.gamma), names)
        ledger = _Ledger(point)
        values = replace(function, model=_LRPModel(model, tracer, ledger))(point, *fixed)
        plain = function.values(point, *fixed)
        if not agree(values, plain):
            raise ModelError(
                "network",
                "one that LRP can follow",
                "one whose values differ while it is traced",
                "Draw nothing, and write nothing into parts of a tensor.",
            )
        (coefficients,) = torch.autograd.grad(values.sum(), point)
        relevance = (point * coefficients).detach()
        total = relevance.double().flatten(1).sum(1)
        return {
            "attributions": relevance,
            "relevance_sum": total,
            "absorbed": ledger.absorbed,
            "start_relevance": total + ledger.absorbed,
        }


class _Ledger:
    """Books, per anchor, the relevance that enters network calls and leaves them."""

    def __init__(self, point: Tensor) -> None:
        self.absorbed = torch.zeros(len(point), dtype=torch.float64, device=point.device)

    def book(self, tensor: Tensor, sign: float) -> None:
        """Add ``sign`` times the relevance of ``tensor`` once its coefficients are known."""
        values = tensor.detach().clone()  # a target may work on it in place

        def note(coefficients: Tensor | None) -> None:
            if coefficients is None:  # one of several results, and the target does not use it
                return
            if len(values) == len(self.absorbed) and values.ndim:
                self.absorbed += sign * (values * coefficients).double().flatten(1).sum(1)
            else:
                self.absorbed += torch.nan

        register: Callable[..., Any] = tensor.register_hook
        register(note)


class _LRPModel:
    """A model whose network calls are traced, and booked at both ends."""

    def __init__(self, model: Any, tracer: Tracer, ledger: _Ledger) -> None:
        self._model, self._tracer, self._ledger = model, tracer, ledger

    def __getattr__(self, name: str) -> Any:
        attribute = getattr(self._model, name)
        return self._follow(attribute) if name in _NETWORK and callable(attribute) else attribute

    def _follow(self, call: Callable[..., Any]) -> Callable[..., Any]:
        def network(x: Tensor, *args: Any, **kwargs: Any) -> Any:
            if not x.requires_grad:
                return call(x, *args, **kwargs)
            entry = self._tracer.trace(x.clone())  # a network may overwrite its input
            self._ledger.book(entry, -1.0)
            with self._tracer:
                returned = call(entry, *args, **kwargs)
            parts = returned if isinstance(returned, (tuple, list)) else (returned,)
            exits = [part for part in parts if self._tracer.is_traced(part)]
            for part in exits:
                self._ledger.book(part, 1.0)
            if not exits:
                hint = "Use torch functions that can be traced: no numpy, no TorchScript."
                allowed = "one that computes its outputs from the anchor in torch"
                raise ModelError("network", allowed, "one that cannot be followed", hint)
            return returned

        return network


def _expect_eager(model: Any) -> None:
    """Raise when a module's calls cannot be seen: TorchScript and compiled modules run unseen."""
    for root in roots(model):
        for name, module in root.named_modules():
            compiled = type(module).__name__ == "OptimizedModule"
            if compiled or isinstance(module, torch.jit.ScriptModule):
                hint = "Give the model its eager modules."
                got = f"{name or 'the network'!r}, a {type(module).__name__}"
                raise ModelError("layer", "an eager torch module", got, hint)
