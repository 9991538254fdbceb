"""The layer of a generator that takes the latent code itself."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from pxgen_plugins.adapters._activation_hooks import active_layers
from pxgen_plugins.utils.errors import ModelError, ParameterError, short_repr
from pxgen_plugins.utils.seeds import normal_rows
from pxgen_plugins.utils.validation import nearest

__all__ = ["FirstLayer", "first_layer"]


@dataclass(frozen=True)
class FirstLayer:
    """A layer whose input is the latent code.

    Attributes:
        name: Its name.
        module: The layer.
        follower: The layer that is called after it; None when there is none.
    """

    name: str
    module: nn.Module
    follower: nn.Module | None


def first_layer(model: Any, name: str | None = None) -> FirstLayer:
    """Return the layer that takes the latent code, up to its shape.

    Args:
        model: A model with ``decode`` and ``layers``.
        name: The layer asked for; None takes the first that has weights.

    Raises:
        ParameterError: When the layer does not exist, is not called, or takes something else.
        ModelError: When no layer takes the code.
    """
    probe = normal_rows(0, 2, tuple(model.latent_shape), 0).to(model.device, model.dtype)
    active = active_layers(model, lambda: model.decode(probe))
    if name is not None and name not in active:
        allowed = "a layer that decoding calls: " + ", ".join(active)
        raise ParameterError("layer", allowed, short_repr(name), nearest(name, active))
    taken: dict[str, bool] = {}
    handles = []

    def watch(own: str, module: nn.Module) -> None:
        def call(_module: nn.Module, inputs: tuple[Any, ...]) -> None:
            x = inputs[0] if inputs else None
            same = (
                isinstance(x, Tensor)
                and x.numel() == probe.numel()
                and bool(torch.equal(x.flatten(), probe.flatten()))
            )
            taken.setdefault(own, same)

        handles.append(module.register_forward_pre_hook(call))

    for own, one in active.items():
        watch(own, one.module)
    try:
        with torch.no_grad():
            model.decode(probe)
    finally:
        for handle in handles:
            handle.remove()
    weighty = [own for own in active if any(True for _ in active[own].module.parameters())]
    chosen = name or next((own for own in weighty if taken[own]), None)
    if chosen is None or not taken[chosen]:
        hint = "Use ActivationDirections, or give the part of the model behind its mapping network."
        if name is not None:
            got = f"{name!r}, which takes what other layers made of it"
            raise ParameterError("layer", "one that takes the latent code itself", got, hint)
        got = "layers that take what was made of it"
        raise ModelError("decode", "with a layer that takes the latent code itself", got, hint)
    order = list(active)
    after = order[order.index(chosen) + 1 :]
    return FirstLayer(chosen, active[chosen].module, active[after[0]].module if after else None)
