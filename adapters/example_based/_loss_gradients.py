"""Per-sample gradients of a VAE's training loss at any weights, the live model never touched."""

from __future__ import annotations

import copy
import logging
import re
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call, grad, vmap

from pxgen_plugins.adapters._isolation import roots as outermost
from pxgen_plugins.models.runtime import EvaluationMode, exclusive_use
from pxgen_plugins.utils.errors import ModelError, ParameterError, short_repr

__all__ = ["LossGradients"]

logger = logging.getLogger(__name__)

Loss = Callable[[Any, Tensor, Tensor], Tensor]
Tensors = Mapping[str, Tensor]


def _named_roots(model: Any) -> dict[str, nn.Module]:
    """Return the modules behind a model by the prefix of their weights' names.

    A model made of one module has the prefix "", so that names are those of its state dict; one of
    several has "0.", "1.", ..., as its ``layers`` have.
    """
    behind = getattr(getattr(model, "_evaluating", None), "modules", None)
    if behind:
        return {("" if len(behind) == 1 else f"{i}."): module for i, module in enumerate(behind)}
    names = {id(module): name for name, module in (getattr(model, "layers", None) or {}).items()}
    return {f"{names[id(module)]}.": module for module in outermost(model)}


class _Sample(nn.Module):
    """The loss of one sample as a module, so that its weights can be given from outside."""

    def __init__(self, model: Any, loss: Loss) -> None:
        super().__init__()
        self.inside = nn.ModuleList(_named_roots(model).values())
        self.model_and_loss = (
            model,
            loss,
        )  # in a tuple: a model that is a module must not be registered

    def forward(self, x: Tensor, noise: Tensor) -> Tensor:
        model, loss = self.model_and_loss
        return loss(model, x[None], noise[None])[0]


class LossGradients:
    """Gradients of a loss, one per sample, with respect to chosen parameters.

    Args:
        model: A model with modules behind it. A copy is used; where the callables hide their
            modules from copying (a lambda, say), the weights are swapped into the live modules for
            the length of each call, no other thread running them, and always put back.
        loss: From (model, x (b, ...), noise (b, *latent_shape)) to values (b,).
        parameters: Names, prefixes or regular expressions of the parameters; None takes all.
        probe: One sample and its noise, to find out whether the copy can be used.

    Raises:
        ParameterError: When ``parameters`` choose none.
        ModelError: When the loss does not depend on any parameter.
    """

    def __init__(
        self,
        model: Any,
        loss: Loss,
        parameters: Sequence[str] | None,
        probe: tuple[Tensor, Tensor],
    ) -> None:
        self._loop = False
        self._modules = outermost(model)
        with exclusive_use(self._modules):  # nobody else may meet weights that are swapped in
            prefixes = list(_named_roots(model))
            self._live = _Sample(model, loss)
            self._lock: threading.Lock | None = None
            own = [*self._live.named_parameters(), *self._live.named_buffers()]
            self._names = {name: _public(name, prefixes) for name, _ in own}
            self._start = {name: tensor.detach().clone() for name, tensor in own}
            trained = [name for name, _ in self._live.named_parameters()]
            self._trained = [name for name in trained if _matches(self._names[name], parameters)]
            if not self._trained:
                hint = "Names: " + ", ".join([self._names[name] for name in trained][:8]) + ", ..."
                raise ParameterError(
                    "parameters", "names of parameters", short_repr(parameters), hint
                )
            self._module = self._usable_copy(model, loss, probe)

    @property
    def size(self) -> int:
        """Number of parameters."""
        return sum(self._start[name].numel() for name in self._trained)

    def weights(self, state: Tensors | None, what: str) -> dict[str, Tensor]:
        """Return the weights to compute with: those of ``state``, or the model's own.

        Args:
            state: A state dict with the names of the model's own; None takes the model's.
            what: Which checkpoint it is, for messages.

        Raises:
            ParameterError: When a name is missing or unknown, or a shape differs.
        """
        if state is None:
            return dict(self._start)
        hint = "Give the state dict of the module behind encode and decode."
        weights = {}
        for name, public in self._names.items():
            if public not in state:
                if public.endswith("num_batches_tracked"):  # absent from old checkpoints, unused
                    weights[name] = self._start[name]
                    continue
                shown = ", ".join(list(state)[:3]) + ", ..."
                raise ParameterError(what, f"with a weight {public!r}", shown, hint)
            mine = self._start[name]
            given = state[public]
            if tuple(given.shape) != tuple(mine.shape):
                allowed = f"with {public!r} of shape {tuple(mine.shape)}"
                raise ParameterError(what, allowed, str(tuple(given.shape)), hint)
            weights[name] = given.detach().to(mine.device, mine.dtype)
        known = set(self._names.values()) | self._aliases()
        unknown = sorted(set(state) - known)
        if unknown:
            allowed = f"without weights beyond the model's {len(known)}"
            raise ParameterError(what, allowed, repr(unknown[0]), hint)
        return weights

    def __call__(self, weights: Tensors, x: Tensor, noise: Tensor) -> Tensor:
        """Return gradients averaged over draws, (b, size), float32 or as the model computes.

        Args:
            weights: As :meth:`weights` returned them.
            x: Samples, (b, *sample_shape).
            noise: Draws shared by all samples, (n_draws, *latent_shape).

        Raises:
            ModelError: When the model cannot be differentiated.

        Cost: n_draws forward and backward passes; memory about 4 gradients per sample.
        """
        total: Tensor | None = None
        for draw in noise:
            rows = self._draw(weights, x, draw)
            total = rows if total is None else total.add_(rows)
        assert total is not None
        return total.div_(len(noise))

    def _draw(self, weights: Tensors, x: Tensor, draw: Tensor) -> Tensor:
        trained = {name: weights[name] for name in self._trained}
        fixed = {name: weights[name] for name in weights if name not in trained}

        def loss(inner: Tensors, sample: Tensor) -> Tensor:
            value: Tensor = functional_call(self._module, {**fixed, **inner}, (sample, draw))
            return value

        with self._lock or exclusive_use(self._modules):
            table = None if self._loop else self._vectorise(loss, trained, x)
            if table is None:
                rows = [grad(loss)(trained, sample) for sample in x]
                table = {name: torch.stack([row[name] for row in rows]) for name in trained}
        return torch.cat([table[name].flatten(1) for name in trained], dim=1)

    def _vectorise(
        self, loss: Callable[[Tensors, Tensor], Tensor], trained: Tensors, x: Tensor
    ) -> dict[str, Tensor] | None:
        try:
            return dict(vmap(grad(loss), in_dims=(None, 0))(trained, x))
        except RuntimeError as error:
            # a model that vmap cannot follow (data-dependent branches, say) still has gradients
            logger.info("per-sample gradients one by one: %s", str(error)[:200])
            self._loop = True
            return None

    def _usable_copy(self, model: Any, loss: Loss, probe: tuple[Tensor, Tensor]) -> nn.Module:
        """Return a private copy whose loss reacts to each weight as the live one's, or the live."""
        expected = self._probe(self._live, probe)
        if all(part is None or not bool(part.any()) for part in expected):
            hint = "Pass modules=net to the model, so that the weights behind it are found."
            allowed = "differentiable with respect to the weights in its layers"
            raise ModelError("model", allowed, "a loss that none of them moves", hint)
        try:
            twin = _Sample(copy.deepcopy(model), loss)
            same = list(self._names) == [
                name for name, _ in (*twin.named_parameters(), *twin.named_buffers())
            ]
            # callables that hide their modules run the live ones here: BatchNorm must not learn
            with (getattr(model, "_evaluating", None) or EvaluationMode(outermost(model)))():
                got = self._probe(twin, probe) if same else []
        except Exception as error:  # whatever a user's class raises when copied
            logger.info("the model cannot be copied: %s", str(error)[:200])
            return self._live
        if not same or not all(_equal(one, two) for one, two in zip(expected, got, strict=True)):
            return self._live
        self._lock = threading.Lock()
        return twin

    def _probe(self, module: nn.Module, probe: tuple[Tensor, Tensor]) -> list[Tensor | None]:
        given = dict(self._start)
        for name in self._trained:
            given[name] = given[name].clone().requires_grad_(True)
        with torch.enable_grad():
            value = functional_call(module, given, probe)
            if not value.requires_grad:
                return [None] * len(self._trained)
            inputs = [given[name] for name in self._trained]
            return list(torch.autograd.grad(value, inputs, allow_unused=True))

    def _aliases(self) -> set[str]:
        prefixes = _named_roots(self._live.model_and_loss[0]).items()
        return {f"{prefix}{name}" for prefix, root in prefixes for name in root.state_dict()}


def _public(name: str, prefixes: list[str]) -> str:
    _, position, rest = name.split(".", 2)
    return f"{prefixes[int(position)]}{rest}"


def _matches(name: str, parameters: Sequence[str] | None) -> bool:
    if parameters is None:
        return True
    return any(
        name == one or name.startswith(f"{one}.") or re.fullmatch(one, name) for one in parameters
    )


def _equal(one: Tensor | None, two: Tensor | None) -> bool:
    if one is None or two is None:
        return one is two
    return bool(torch.allclose(one, two, rtol=1e-4, atol=1e-6, equal_nan=True))
