"""Looking at what layers return, while this thread runs them."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

__all__ = ["agree", "watch"]

_AGREE = 1e-3  # relative difference that rounding in another order may explain


@contextmanager
def watch(layers: Mapping[str, nn.Module], see: Callable[[str, Any], None]) -> Iterator[None]:
    """Call ``see(name, output)`` whenever this thread has run one of the layers.

    The output is the layer's own: whoever keeps it takes a copy, because what runs next may
    overwrite it.

    Args:
        layers: The layers to watch, by name.
        see: What is called.

    Example:
        >>> import torch
        >>> layer, names = nn.Linear(2, 3), []
        >>> with watch({"first": layer}, lambda name, output: names.append(name)):
        ...     _ = layer(torch.zeros(1, 2))
        >>> names
        ['first']
    """
    own = threading.get_ident()

    def hook(name: str) -> Callable[..., None]:
        def call(_module: nn.Module, _inputs: Any, output: Any) -> None:
            # the model may serve other threads meanwhile, whose outputs are not ours
            if threading.get_ident() == own:
                see(name, output)

        return call

    handles = [layer.register_forward_hook(hook(name)) for name, layer in layers.items()]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def agree(values: Tensor, plain: Tensor) -> bool:
    """Return whether a model's values under hooks are those without, where these are finite.

    Example:
        >>> agree(torch.tensor([1.0, torch.nan]), torch.tensor([1.0001, torch.inf]))
        True
    """
    if values.shape != plain.shape:
        return False
    finite = plain.isfinite()
    one, two = values.detach()[finite].to(plain.dtype), plain[finite]
    limit = _AGREE * float(two.abs().max()) if len(two) else 0.0
    return bool(torch.allclose(one, two, rtol=_AGREE, atol=limit))
