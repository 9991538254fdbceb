"""Distance of anchor and reconstruction in the feature space of a network."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from pxgen_plugins.criteria.base import REGISTRY, Batch, Criterion, Kind, named_caller
from pxgen_plugins.models.outputs import FEATURES, one_array
from pxgen_plugins.models.runtime import EvaluationMode, expect_independent_rows, modules_of
from pxgen_plugins.utils import validation
from pxgen_plugins.utils.errors import ModelError, ParameterError, caller, short_repr
from pxgen_plugins.utils.memory import out_of_memory

__all__ = ["FeatureDistance", "check_independence", "feature_maps", "flat", "network_or_none"]

Network = Callable[[Tensor], Any]


def network_or_none(network: Any) -> Any:
    """Return ``network`` if it is None or callable.

    Raises:
        ParameterError: Otherwise.
    """
    if network is None or callable(network):
        return network
    hint = "Pass a module, as in network=net.features; saved settings hold only its name."
    raise ParameterError("network", "callable on a batch, or None", short_repr(network), hint)


def feature_maps(network: Network | None, x: Tensor) -> list[Tensor]:
    """Return what ``network`` makes of ``x``, as maps (b, channels, positions).

    Modules, also those behind a method, are called in evaluation mode and keep their flags; any
    other function is called as it is. Results of shape (b, c) have one position; with
    ``network=None`` the elements of ``x`` are one channel.

    Raises:
        ModelError: When it raises, or a result is no tensor of b rows.
    """
    if network is None:
        return [x.flatten(1)[:, None]]
    with EvaluationMode(modules_of(network))():
        try:
            returned = network(x.clone())  # which it may change in place
        except Exception as error:
            if out_of_memory(error):
                raise
            got = f"{type(error).__name__}: {str(error)[:300]}"
            allowed = f"callable on a batch of shape {tuple(x.shape)}, {x.dtype}"
            hint = "Wrap it so that it fits, in a module: what it gets is cast and reshaped there."
            raise ModelError("network", allowed, got, hint) from error
    several = isinstance(returned, (list, tuple))
    parts = list(returned) if several else [one_array("network", returned, FEATURES)]
    for part in parts:
        if (
            not isinstance(part, Tensor)
            or part.is_complex()
            or part.ndim < 2
            or len(part) != len(x)
        ):
            hint = "Return features of shape (b, c) or (b, c, h, w), or a list of such."
            allowed = f"of {len(x)} rows of features, real numbers"
            raise ModelError("network's result", allowed, short_repr(part), hint)
    return [part.reshape(len(part), part.shape[1], -1) for part in parts]


def flat(maps: list[Tensor]) -> Tensor:
    """Return maps as one vector for each instance, (b, d)."""
    return torch.cat([part.flatten(1) for part in maps], 1)


def check_independence(network: Network | None, x: Tensor, maps: list[Tensor]) -> None:
    """Raise when the features of a row, which ``maps`` are, depend on the rest of its batch.

    Raises:
        ModelError: When they do: values would depend on the batch size.
    """
    if network is not None:
        expect_independent_rows(
            "network", flat(maps), lambda rows: flat(feature_maps(network, rows)), x
        )


@REGISTRY.register("feature_distance")
class FeatureDistance(Criterion):
    """Squared distance of anchor and reconstruction between their features, summed over layers.

    A layer's distance is the squared Euclidean distance of feature vectors, averaged over
    positions. With ``normalise=True`` vectors are first scaled to unit length: the perceptual
    distance of Zhang et al. (2018) before their learned weights. The network is the user's: nothing
    is downloaded.

    Args:
        network: Callable from a batch (b, *sample_shape) to features (b, c) or (b, c, h, w), or to
            a list of such, one per layer; None compares the elements themselves, or the model's own
            features of a table.
        normalise: Scale feature vectors to unit length.

    Raises:
        ParameterError: When an argument is not allowed.
        ModelError: When the network returns something else.

    Cost: two passes through the network beside one reconstruction.

    Example:
        >>> from pxgen_plugins.criteria import Batch
        >>> from pxgen_plugins.testing.examples import EchoModel
        >>> model = EchoModel((4,), blend=1.0)  # reconstructs all as (0, 1, 0, 1)
        >>> layer = torch.nn.Linear(4, 2, bias=False)
        >>> _ = torch.nn.init.ones_(layer.weight)
        >>> FeatureDistance(network=layer)(Batch(model, torch.ones(1, 4))).tolist()
        [8.0]
    """

    name = "feature_distance"
    kind: Kind = "extrinsic"
    requires = frozenset({"reconstruct"})
    unit = "squared feature value"

    @caller("FeatureDistance")
    def __init__(self, *, network: Network | None = None, normalise: bool = False) -> None:
        self.network = network_or_none(network)
        self.normalise = validation.boolean(normalise, "normalise")

    @named_caller
    def __call__(self, batch: Batch) -> Tensor:
        """Return the values, (b,)."""
        total = torch.zeros(len(batch), dtype=batch.x.dtype, device=batch.x.device)
        x, rebuilt = batch.x, batch.reconstruction
        if self.network is None:
            x, rebuilt = batch.comparable(x), batch.comparable(rebuilt)
        ours = feature_maps(self.network, x)
        if batch.first == 0:
            check_independence(self.network, x, ours)
        theirs = feature_maps(self.network, rebuilt)
        for one, other in zip(ours, theirs, strict=True):
            if self.normalise:
                one, other = (nn.functional.normalize(part, dim=1) for part in (one, other))
            total = total + (one - other).square().sum(1).mean(1)
        return total
