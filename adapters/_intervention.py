"""Replacing what layers return, while this thread runs them."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from torch import Tensor, nn

from pxgen_plugins.utils.errors import ModelError, short_repr

__all__ = ["Edit", "intervene"]

Edit = Callable[[Tensor], Tensor]
"""From a layer's output to what the layer shall return instead, of the same shape."""


@contextmanager
def intervene(layers: Mapping[str, nn.Module], edits: Mapping[str, Edit]) -> Iterator[None]:
    """Have layers return what edits make of their outputs, in this thread only.

    Weights are never written: forward hooks stand behind it, which are removed also when the body
    raises. Contexts nest: the outer edit comes first.

    Args:
        layers: Layers by name.
        edits: Edits by the name of a layer.

    Raises:
        ModelError: When a layer returns no tensor, or its edit one of another shape.

    Example:
        >>> import torch
        >>> layer = nn.Identity()
        >>> with intervene({"first": layer}, {"first": lambda output: 0 * output}):
        ...     layer(torch.ones(2)).tolist()
        [0.0, 0.0]
        >>> layer(torch.ones(2)).tolist()
        [1.0, 1.0]
    """
    own = threading.get_ident()

    def hook(name: str, edit: Edit) -> Callable[..., Any]:
        def call(_module: nn.Module, _inputs: Any, output: Any) -> Any:
            # the model may serve other threads meanwhile, whose outputs are not ours to change
            if threading.get_ident() != own:
                return None
            if not isinstance(output, Tensor):
                hint = "Name a layer inside it that returns a tensor."
                raise ModelError("layer", "one that returns a tensor", short_repr(output), hint,
                                 where=name)  # fmt: skip
            edited = edit(output)
            if not isinstance(edited, Tensor) or edited.shape != output.shape:
                hint = "Return as many values as the layer does."
                allowed = f"of shape {tuple(output.shape)}"
                raise ModelError("edit's result", allowed, short_repr(edited), hint, where=name)
            return edited.to(output.device, output.dtype)

        return call

    handles = [layers[name].register_forward_hook(hook(name, edits[name])) for name in edits]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
