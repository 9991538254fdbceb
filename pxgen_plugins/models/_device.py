"""Where a model's callables want their input, and which modules stand behind them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import nn

from pxgen_plugins.models._eval_mode import modules_of
from pxgen_plugins.utils.errors import ParameterError, short_repr

__all__ = ["bounds", "modules_behind", "placement", "usable_device"]


def bounds(value: Any, where: str) -> tuple[float, float] | None:
    """Return ``data_range`` as two floats, or None.

    Raises:
        ParameterError: When it is neither None nor (low, high).
    """
    if value is None:
        return None
    try:
        low, high = (float(bound) for bound in value)
    except (TypeError, ValueError):
        low, high = 0.0, 0.0
    if not low < high:
        hint = "Give the range the model was trained on, as in (0.0, 1.0) or (-1.0, 1.0)."
        raise ParameterError("data_range", where, "(low, high) or None", short_repr(value), hint)
    return low, high


def modules_behind(given: Any, *callables: Any) -> list[nn.Module]:
    """Return the modules as given, else those that the callables reach, each once."""
    if isinstance(given, nn.Module):
        return [given]
    if given is not None:
        return list(given)
    found: list[nn.Module] = []
    for function in callables:
        found += [m for m in modules_of(function) if not any(m is known for known in found)]
    return found


def placement(
    modules: Iterable[nn.Module], device: torch.device | str | None, where: str
) -> tuple[torch.device, torch.dtype]:
    """Return the device asked for, or that of the first parameter, and the parameters' type.

    The type is the floating one that most numbers have: a few of another may be constants.

    Raises:
        ParameterError: When torch knows no such device.
    """
    parameters = [p for m in modules for p in m.parameters() if p.is_floating_point()]
    first = next(iter(parameters), None)
    sizes: dict[torch.dtype, int] = {}
    for parameter in parameters:
        sizes[parameter.dtype] = sizes.get(parameter.dtype, 0) + parameter.numel()
    dtype = max(sizes, key=lambda kind: sizes[kind], default=torch.float32)
    if device is None:
        return first.device if first is not None else torch.device("cpu"), dtype
    return usable_device(device, where), dtype


def usable_device(device: torch.device | str, where: str) -> torch.device:
    """Return a device by its name, if torch can put something there.

    Raises:
        ParameterError: When it cannot.
    """
    try:
        found = torch.device(device)
        torch.empty(0, device=found)
    except (RuntimeError, TypeError, AssertionError, NotImplementedError) as error:
        hint = "Give a device as torch names it and has it, as in 'cpu' or 'cuda:0'."
        got = f"{short_repr(device)} ({str(error)[:100]})"
        raise ParameterError("device", where, "a torch device that is here", got, hint) from error
    return found
