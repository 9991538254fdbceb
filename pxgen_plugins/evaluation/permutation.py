"""Permutation of a network's weights, for the time of a ``with`` block."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import nn

from pxgen_plugins.adapters.base import alone
from pxgen_plugins.models.runtime import exclusive_use
from pxgen_plugins.utils.seeds import derive

__all__ = ["permuted_weights", "weights_by_layer"]


@contextmanager
def permuted_weights(
    layers: Mapping[str, nn.Module], seed: int = 0, *, only: Collection[str] | None = None
) -> Iterator[None]:
    """Permute the weights within their tensors, and put them back at the end.

    For the sanity check of Adebayo et al. (2018): what stays the same inside the block does not
    depend on what the network learnt. Permuting keeps the distribution of the weights. At the end,
    also after an exception, every weight has its old value to the bit.

    The weights change in place, so that the network is reached by whatever runs it: methods,
    closures, wrappers. Other threads that run it through a model of this package, or want to
    permute its weights too, wait; none may train it or call it directly meanwhile.

    Args:
        layers: The modules by name, as the ``layers`` of a model.
        seed: Seed of the permutations.
        only: Names of the layers to permute; None takes all. A layer's permutation does not depend
            on which others are permuted.

    Cost: a copy of the weights.

    Example:
        >>> layer = nn.Linear(1, 3)
        >>> before = layer.bias.tolist()
        >>> with permuted_weights({"layer": layer}, seed=1):
        ...     sorted(layer.bias.tolist()) == sorted(before), layer.bias.tolist() == before
        (True, False)
        >>> layer.bias.tolist() == before
        True
    """
    weights = [
        (name, weight)
        for name, own in weights_by_layer(layers).items()
        if only is None or name in only
        for weight in own
    ]
    # a second thread would save what the first permuted; both locks in the order of all others
    with alone(), exclusive_use(layers.values()):
        saved = [weight.detach().clone() for _, weight in weights]
        try:
            generators: dict[str, torch.Generator] = {}
            with torch.no_grad():
                for (name, weight), values in zip(weights, saved, strict=True):
                    if name not in generators:
                        layer_seed = derive(seed, "randomised", name)
                        generators[name] = torch.Generator().manual_seed(layer_seed)
                    place = torch.randperm(weight.numel(), generator=generators[name])
                    weight.copy_(values.flatten()[place.to(weight.device)].view_as(weight))
            yield
        finally:
            with torch.no_grad():
                for (_, weight), values in zip(weights, saved, strict=True):
                    weight.copy_(values)


def weights_by_layer(layers: Mapping[str, nn.Module]) -> dict[str, list[nn.Parameter]]:
    """Return the weights of each layer, each weight under its innermost layer only.

    Layers without weights of their own are left out.

    Example:
        >>> net = nn.Sequential(nn.Linear(2, 3), nn.ReLU())
        >>> owned = weights_by_layer({"all": net, "first": net[0]})
        >>> [(name, len(weights)) for name, weights in owned.items()]
        [('first', 2)]
    """
    weights = {name: list(module.parameters()) for name, module in layers.items()}
    owner: dict[int, str] = {}
    for name in sorted(weights, key=lambda name: len(list(layers[name].modules()))):
        for weight in weights[name]:
            owner.setdefault(id(weight), name)
    own = {
        name: [weight for weight in listed if owner[id(weight)] == name]
        for name, listed in weights.items()
    }
    return {name: listed for name, listed in own.items() if listed}
