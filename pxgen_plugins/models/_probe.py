"""What a module's forward gives for seeded noise, with constants in the place of its own draws."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from pxgen_plugins.models._global_rng import seeded
from pxgen_plugins.models.outputs import of_role
from pxgen_plugins.models.runtime import EvaluationMode, device_and_dtype, exclusive_use

__all__ = ["ConstantNoise", "Probe", "close", "failure", "probing", "tensors_in"]

_ROWS = 3
_FILLED = (torch.randn, torch.randn_like)


class ConstantNoise(TorchFunctionMode):
    """Lets every standard normal draw of this thread be one constant.

    A reparameterised draw mean + std * noise is the mean under 0, and mean + std under 1.

    Args:
        value: The constant.

    Attributes:
        draws: How often something was drawn.

    Example:
        >>> with ConstantNoise(1.0) as noise:
        ...     torch.randn(2).tolist(), torch.normal(torch.ones(1), 2.0).tolist()
        ([1.0, 1.0], [3.0])
        >>> noise.draws
        2
    """

    def __init__(self, value: float) -> None:
        super().__init__()
        self.value, self.draws = value, 0

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        result = func(*args, **kwargs)
        mean: Any = 0.0
        std: Any = 1.0
        if func is torch.normal or func is Tensor.normal_:
            given = args if func is torch.normal else args[1:]
            mean = given[0] if given else kwargs.get("mean", 0.0)
            std = given[1] if len(given) > 1 else kwargs.get("std", 1.0)
        elif func not in _FILLED:
            return result
        self.draws += 1
        return result.copy_(mean + std * torch.full_like(result, self.value))


@dataclass
class Probe:
    """What was seen of a module.

    Attributes:
        net: The module.
        x: Seeded instances, (3, *sample_shape), on its device and in its type.
        still: What forward gives with the constant 0 for noise, tensors with a row per instance;
            empty when it fails.
        moved: The same with the constant 1.
        only_training: Whether it draws noise in training mode alone.
        error: Why forward failed.
    """

    net: nn.Module
    x: Tensor
    still: list[Tensor] = field(default_factory=list)
    moved: list[Tensor] = field(default_factory=list)
    only_training: bool = False
    error: str = ""

    def pairs(self) -> list[tuple[Tensor, Tensor]]:
        """Return the results that may be reconstructions: still and moved, shaped as instances."""
        size = self.x[0].numel()
        return [
            (one.reshape(self.x.shape), other.reshape(self.x.shape))
            for one, other in zip(self.still, self.moved, strict=False)
            if one[0].numel() == size and one.shape == other.shape
            if not close(one.reshape(self.x.shape), self.x)  # some return their input as well
        ]

    def look(self, function: Callable[[Tensor], Any]) -> tuple[list[Tensor], list[Tensor]]:
        """Return the tensors of ``function(x)`` under both constants; nothing where it fails."""
        try:
            return self.run(function, 0.0)[0], self.run(function, 1.0)[0]
        except Exception:  # whatever a foreign function raises
            return [], []

    def run(self, function: Callable[[Tensor], Any], noise: float) -> tuple[list[Tensor], int]:
        """Return the tensors of ``function(x)`` under a constant, and how often it drew."""
        with seeded(0), ConstantNoise(noise) as mode:
            returned = function(self.x.clone())
        found = tensors_in(returned)
        return [one for one in found if one.ndim and len(one) == len(self.x)], mode.draws


@contextmanager
def probing(
    net: nn.Module, sample_shape: tuple[int, ...], data_range: tuple[float, float] | None
) -> Iterator[Probe]:
    """Return the context in which a module is looked at: alone, evaluated, without gradients.

    Args:
        net: The module.
        sample_shape: Shape of one instance.
        data_range: Lowest and highest value of an instance.
    """
    device, dtype = device_and_dtype([net], None)
    low, high = data_range or (-1.0, 1.0)
    generator = torch.Generator().manual_seed(0)
    x = torch.rand(_ROWS, *sample_shape, generator=generator, dtype=torch.float32)
    probe = Probe(net, (x * (high - low) + low).to(device, dtype))
    with torch.no_grad(), exclusive_use([net]), EvaluationMode([net])():
        try:
            probe.still, draws = probe.run(net, 0.0)
            probe.moved = probe.run(net, 1.0)[0]
            if not draws:
                _as_in_training(probe)
        except Exception as error:  # whatever a foreign network raises
            probe.still, probe.moved, probe.error = [], [], failure(error)
        yield probe


def _as_in_training(probe: Probe) -> None:
    """Look again where only training draws: the module's own flag alone, not those inside it."""
    net = probe.net
    if isinstance(net, torch.jit.ScriptModule):  # its draws are not those of this thread's mode
        return
    # some move averages of codes while they train, and nothing of the user's may change
    kept = [
        (store, name, value, value.clone())
        for module in net.modules()
        for store in (module._buffers, module._parameters)
        for name, value in store.items()
        if value is not None
    ]
    try:
        net.training = True
        moved, draws = probe.run(net, 1.0)
        still = probe.run(net, 0.0)[0]
    except Exception:  # it trains on something else
        return
    finally:
        net.training = False
        for store, name, value, before in kept:
            store[name] = value  # type: ignore[assignment]
            if not torch.equal(value, before):
                value.copy_(before)
    same = len(still) == len(probe.still) and all(map(close, still, probe.still))
    if draws and same:  # else its mode changes more than the noise
        probe.moved, probe.only_training = moved, True


def tensors_in(value: Any) -> list[Tensor]:
    """Return the floating tensors in a result, in order: of tuples, mappings and dataclasses.

    A normal distribution counts as mean and log variance, another one by its mean.
    """
    if isinstance(value, Tensor):
        return [value] if value.is_floating_point() else []
    if isinstance(value, torch.distributions.Distribution):
        value = of_role("encode", value)
        return [value] if isinstance(value, Tensor) else list(value)
    if isinstance(value, Mapping):
        value = list(value.values())
    elif dataclasses.is_dataclass(value) and not isinstance(value, type):
        value = [getattr(value, one.name) for one in dataclasses.fields(value)]
    if isinstance(value, (tuple, list)):
        return [tensor for part in value for tensor in tensors_in(part)]
    return []


def close(one: Tensor, other: Tensor) -> bool:
    """Return whether two tensors are the same but for rounding; by shape, too."""
    # weights that are not trained yet tell codes apart by little, so the tolerance is small
    one, other = one.double(), other.double().to(one.device)  # a network may mix types
    return one.shape == other.shape and torch.allclose(one, other, rtol=1e-5, atol=1e-6)


def failure(error: BaseException) -> str:
    """Return what a call raised, on one line."""
    return f"{type(error).__name__}: {' '.join(str(error).split())[:160]}"
