"""The layers by which a prompt enters a network, and giving some of them another prompt."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from pxgen_plugins.utils.errors import ModelError, ParameterError, short_repr
from pxgen_plugins.utils.validation import nearest

__all__ = ["choose_layers", "cross_attention", "rows_of", "states_of", "swap_text", "text_of"]

_TEXT = "encoder_hidden_states"
_ROUNDING = 64  # units in the last place by which states of the same prompt may differ


def cross_attention(model: Any, prompt: str) -> dict[str, nn.Module]:
    """Return the layers that take a prompt's states, by name, in the order in which they run.

    Names sort otherwise, and ``named_modules`` lists the middle of a UNet behind its upper half, so
    the network runs once.

    Args:
        model: A model with a ``network`` and ``sample(n, seed, prompt=...)``.
        prompt: Any prompt.

    Raises:
        ModelError: When the network has none, as where text and picture share their attention.

    Cost: one picture.
    """
    own = threading.get_ident()
    found: dict[str, nn.Module] = {}

    def watcher(name: str) -> Callable[..., None]:
        def look(module: nn.Module, args: Any, kwargs: Any) -> None:
            if threading.get_ident() == own and text_of(args, kwargs) is not None:
                found.setdefault(name, module)

        return look

    handles = [
        module.register_forward_pre_hook(watcher(name), with_kwargs=True)
        for name, module in model.network.named_modules()
        if hasattr(module, "to_k") and hasattr(module, "to_v")
    ]
    try:
        model.sample(1, 0, prompt=prompt)
    finally:
        for handle in handles:
            handle.remove()
    if not found:
        hint = "Use a UNet2DConditionModel, or blocks that call an Attention of diffusers."
        allowed = "one whose cross-attention layers are given encoder_hidden_states"
        raise ModelError("network", allowed, type(model.network).__name__, hint)
    return found


def choose_layers(layers: Mapping[str, nn.Module], names: Any) -> dict[str, nn.Module]:
    """Return the layers named, in the order in which they run; all of them for None.

    Raises:
        ParameterError: When one is no cross-attention of the network, or none is named.
    """
    if names is None:
        return dict(layers)
    wanted = [names] if isinstance(names, str) else list(names)
    for name in wanted:
        if name not in layers:
            allowed = "cross-attentions: " + ", ".join(layers)
            raise ParameterError("layers", allowed, short_repr(name), nearest(str(name), layers))
    if not wanted:
        raise ParameterError("layers", "at least one", "none", "Leave it out to take all.")
    return {name: layer for name, layer in layers.items() if name in wanted}


def states_of(model: Any, prompt: str) -> Tensor:
    """Return what the layers are given for a prompt, (n_tokens, width)."""
    with torch.no_grad():
        states: Tensor = model.embed_text([prompt])[0]
    return states.detach()


def text_of(args: Any, kwargs: Mapping[str, Any]) -> Tensor | None:
    """Return the text states that a layer is called with, (b, n_tokens, width); None for none."""
    text = kwargs.get(_TEXT, args[1] if len(args) > 1 else None)
    return text if isinstance(text, Tensor) and text.ndim == 3 else None


def rows_of(text: Tensor, states: Tensor) -> Tensor:
    """Return which rows of text states, (b, n_tokens, width), are the given ones, bool (b,).

    Up to rounding, which differs with the number of prompts that were encoded together.

    Example:
        >>> rows_of(torch.tensor([[[1.0]], [[2.0]]]), torch.tensor([[2.0]])).tolist()
        [False, True]
    """
    if text.shape[1:] != states.shape:
        return torch.zeros(len(text), dtype=torch.bool, device=text.device)
    states = states.to(text)
    reach = _ROUNDING * torch.finfo(text.dtype).eps * float(states.abs().max())
    near: Tensor = (text - states).abs().flatten(1).amax(1) <= reach
    return near


@contextmanager
def swap_text(layers: Mapping[str, nn.Module], base: Tensor, other: Tensor) -> Iterator[None]:
    """Give layers other text states wherever they are given those of one prompt.

    Keys and values of these layers are made of the other states, in this thread only. Rows of a
    batch with the states of another prompt, as the half without prompt of a guided step, are left:
    so it is right with and without guidance and for any batch.

    Args:
        layers: Layers by name.
        base: States of the prompt that is replaced, (n_tokens, width).
        other: What is put there: states of the same shape, or one for each picture of a batch,
            (n, n_tokens, width).

    Raises:
        ModelError: When a layer was never given ``base``, or not for n pictures at once.
    """
    own = threading.get_ident()
    unmet = set(layers)
    if base.shape != other.shape[-2:]:
        hint = "Pad prompts to one length."
        got = f"{tuple(other.shape[-2:])} beside {tuple(base.shape)}"
        raise ModelError("text states", "of one shape for all prompts", got, hint)

    def swapper(name: str) -> Callable[..., Any]:
        def swap(_module: nn.Module, args: Any, kwargs: Any) -> Any:
            text = text_of(args, kwargs) if threading.get_ident() == own else None
            if text is None:
                return None
            rows = rows_of(text, base)
            n = int(rows.sum())
            if not n:
                return None
            unmet.discard(name)
            if other.ndim == 3 and len(other) != n:
                hint = "Make them in one batch."
                raise ModelError("pictures", f"{len(other)} at once", str(n), hint, where=name)
            text = text.clone()
            text[rows] = other.to(text)
            if _TEXT in kwargs:
                return args, {**kwargs, _TEXT: text}
            return (args[0], text, *args[2:]), kwargs

        return swap

    handles = [
        layer.register_forward_pre_hook(swapper(name), with_kwargs=True)
        for name, layer in layers.items()
    ]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
    if unmet:
        hint = "Use a model whose network is given what embed_text returns."
        got = f"other text states in {', '.join(name for name in layers if name in unmet)}"
        raise ModelError("network", "given the prompt's states in each layer", got, hint)
