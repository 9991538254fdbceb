"""Activations of named layers, by channel, while a model decodes or reconstructs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from pxgen_plugins.adapters._hooks import watch
from pxgen_plugins.utils.errors import (
    CapabilityError,
    ModelError,
    ParameterError,
    short_repr,
    warn,
)
from pxgen_plugins.utils.validation import nearest

__all__ = [
    "MIXING",
    "ActiveLayer",
    "active_layers",
    "choose_layer",
    "choose_layers",
    "full_name",
    "record",
]

_LAST_AXIS = (nn.Linear, nn.LayerNorm, nn.Embedding)
_RULES = "parametrizations"  # what makes a layer's weights, as a spectral norm: no layers of a net
_RESHAPING = (nn.Flatten, nn.Unflatten, nn.Dropout, nn.Identity)
_CONVOLUTIONS = (
    nn.Conv1d,
    nn.Conv2d,
    nn.Conv3d,
    nn.ConvTranspose1d,
    nn.ConvTranspose2d,
    nn.ConvTranspose3d,
)
MIXING = (*_CONVOLUTIONS, nn.Linear)  # layers behind which units are others


@contextmanager
def record(layers: Mapping[str, nn.Module]) -> Iterator[dict[str, Tensor]]:
    """Yield a dict that holds the last output of every layer called by this thread.

    Outputs are copies, with gradient: an in-place activation behind a layer overwrites its own.

    Args:
        layers: The layers to watch, by name.

    Example:
        >>> layer = nn.Linear(2, 3)
        >>> with record({"first": layer}) as outputs:
        ...     _ = layer(torch.zeros(1, 2))
        >>> outputs["first"].shape
        torch.Size([1, 3])
    """
    outputs: dict[str, Tensor] = {}

    def keep(name: str, output: Any) -> None:
        if isinstance(output, Tensor):
            outputs[name] = output.clone()

    with watch(layers, keep):
        yield outputs


@dataclass(frozen=True)
class ActiveLayer:
    """A layer that a model calls.

    Attributes:
        module: The layer.
        channels_last: Whether the last axis of its output holds the channels, and not axis 1.
    """

    module: nn.Module
    channels_last: bool

    def channel_means(self, output: Tensor) -> Tensor:
        """Return the mean activation of every channel over its positions, (b, c).

        Example:
            >>> ActiveLayer(nn.ReLU(), False).channel_means(torch.ones(2, 3, 4, 4)).shape
            torch.Size([2, 3])
        """
        if output.ndim <= 2:
            return output.reshape(len(output), -1)
        return (output.movedim(-1, 1) if self.channels_last else output).flatten(2).mean(2)


def active_layers(
    model: Any, run: Callable[[Tensor], Any], x: Tensor, named: str | None = None
) -> dict[str, ActiveLayer]:
    """Return the layers without sub-layers that ``run`` calls, in the order of the calls.

    It is run on the first row of ``x`` twice over, (2, ...): layers that do not give a row for each
    of the two, as a table of positions does, or a network that is guided and sees everything with
    and without the prompt, have no activation of an instance, and are left out.

    Those that only reshape, or drop nothing in evaluation, are left out, unless ``named``, which
    may be a block of several layers, too. Channels are the last axis behind linear layers, layer
    norms of one axis and embeddings, else axis 1; a block and what has no weights, as an
    activation, has them where the layer called before it has, if the shapes agree.

    Raises:
        CapabilityError: When layers are called, but none gives a row for each instance.
    """
    wanted = {named} if named in model.layers else _of_networks(named, model, model.layers)
    candidates = {
        name: layer
        for name, layer in model.layers.items()
        if name in wanted or not (_parts(layer) or isinstance(layer, _RESHAPING))
        if f".{_RULES}." not in name
    }
    with torch.no_grad(), record(candidates) as outputs:
        run(x[:1].repeat(2, *[1] * (x.ndim - 1)))
    active: dict[str, ActiveLayer] = {}
    last, shape = False, None
    for name, output in outputs.items():
        if not output.ndim or len(output) != 2:
            continue
        layer = candidates[name]
        # a layer norm over channels and positions together says nothing of which axis is which
        whole = isinstance(layer, nn.LayerNorm) and len(layer.normalized_shape) > 1
        inherits = whole or isinstance(layer, nn.PReLU) or bool(_parts(layer))
        if not ((inherits or not list(layer.parameters())) and output.shape == shape):
            last = isinstance(layer, _LAST_AXIS) and not whole
        active[name], shape = ActiveLayer(layer, last), output.shape
    if outputs and not active:
        rows = ", ".join(sorted({str(len(output)) for output in outputs.values() if output.ndim}))
        got = f"layers that give {rows or 'no'} rows for 2 instances"
        hint = (
            "A network under guidance sees each instance with and without the prompt: use "
            "guidance=1. Else look at another layer."
        )
        raise CapabilityError("layers", "ones that give a row for each instance", got, hint)
    return active


def full_name(name: str, model: Any, known: Iterable[str]) -> str:
    """Return a layer's name in ``model.layers`` for this name, or for that in its own network.

    Names of a model of several networks begin with the number of the network: ``net.9`` of a
    generator is ``0.net.9`` where there is a discriminator, too. Its own name is taken where no
    layer has it in full, and it is that of one layer among ``known``; else ``name`` is returned as
    it is.

    Args:
        name: What the user named.
        model: The model.
        known: Names in full of the layers that it may be, such as those that decoding calls.
    """
    known = list(known)
    own = _of_networks(name, model, known)
    if name not in model.layers:
        return own[0] if len(own) == 1 else name
    if own and name in known:
        number, _, inside = name.partition(".")
        warn(
            f"layer {name!r} is layer {inside!r} of network {number}, as the model has several; "
            f"layer {name!r} of a network is {' or '.join(map(repr, own))}"
        )
    return name


def _of_networks(name: str | None, model: Any, known: Iterable[str]) -> list[str]:
    """Return the names in full of layers that have this name in one of several networks."""
    networks = getattr(model, "modules", ())  # a method where the model is a module itself
    if not isinstance(networks, tuple) or len(networks) < 2:
        return []
    return [full for full in known if full.partition(".")[2] == name]


def _parts(layer: nn.Module) -> list[nn.Module]:
    """Return the layers inside a layer."""
    return [part for name, part in layer.named_children() if name != _RULES]


def choose_layer(layer: str | None, active: Mapping[str, ActiveLayer], model: Any) -> str:
    """Return the name of the layer to look at.

    Args:
        layer: What the user named (see :func:`full_name`); None takes the last convolution that is
            not the output layer, or the last such linear layer when there is no convolution.
        active: The layers that are called, in order.
        model: The model, for the names of all its layers.

    Raises:
        ParameterError: When the layer does not exist or is not called.
        ModelError: When the model calls no layer at all.
    """
    if not active:
        hint = "Build the decoder of torch modules, and pass them as modules=."
        raise ModelError("decode", "made of named layers", "a model that calls none", hint)
    if layer is not None:
        layer = full_name(layer, model, active)
        if layer not in active:
            known = "unused while decoding, or it returns no tensor with a row for each instance"
            known = known if layer in model.layers else "unknown"
            allowed = "one of " + ", ".join(active)
            raise ParameterError(
                "layer", allowed, f"{short_repr(layer)}, {known}", nearest(layer, active)
            )
        return layer
    for kinds in (_CONVOLUTIONS, (nn.Linear,)):
        names = [name for name, one in active.items() if isinstance(one.module, kinds)]
        if names:
            return names[-2] if len(names) > 1 else names[-1]
    return list(active)[-1]


def choose_layers(
    names: Sequence[str] | None, model: Any, active: Mapping[str, ActiveLayer]
) -> list[str]:
    """Return the layers asked for, by their names in full; all that are called for None.

    Raises:
        ParameterError: When one is not called.
    """
    if names is None:
        return list(active)
    names = [full_name(name, model, active) for name in names]
    for name in names:
        if name not in active:
            allowed = "layers that are called: " + ", ".join(active)
            raise ParameterError("layers", allowed, short_repr(name), nearest(name, active))
    return names
