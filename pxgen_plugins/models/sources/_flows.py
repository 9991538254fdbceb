"""The way of a flow to its noise and back, where the flow's own density proves it."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from pxgen_plugins.models._probe import Probe, tensors_in

__all__ = ["ways"]

_FORWARD = ("forward", "transform_to_noise", "encode", "inverse")
_BACK = ("inverse", "reverse", "decode", "generate", "forward", "backward", "g")


def ways(probe: Probe) -> dict[str, Callable[[Any], Any]]:
    """Return ``embed`` and ``decode`` of a module with ``log_prob``; nothing that is not proven.

    Proven is a way f with x = g(f(x)) and log p(x) = log N(f(x); 0, I) + log |det|, where f gives
    the logarithm of its determinant beside the noise.

    Args:
        probe: The module, looked at; inside its context.
    """
    net, x = probe.net, probe.x
    density = _first(getattr(net, "log_prob", None), x)
    if density is None or density.shape != (len(x),):
        return {}
    for there in _FORWARD:
        function = net if there == "forward" else getattr(net, there, None)
        found = _call(function, x)
        if len(found) < 2 or found[0].numel() != x.numel() or found[1].numel() != len(x):
            continue
        z = found[0]
        constant = 0.5 * z[0].numel() * math.log(2.0 * math.pi)
        normal = -0.5 * z.flatten(1).square().sum(1) - constant
        if not torch.allclose(normal + found[1].reshape(-1), density, rtol=1e-3, atol=1e-3):
            continue
        for back in _BACK:
            other = net if back == "forward" else getattr(net, back, None)
            again = None if other is function else _first(other, z)
            if again is not None and _near(again.reshape(x.shape), x):
                return {"embed": _leading(function), "decode": _leading(other)}
    return {}


def _near(one: Tensor, other: Tensor) -> bool:
    return torch.allclose(one, other, rtol=1e-3, atol=1e-3)


def _leading(function: Any) -> Callable[[Any], Any]:
    return lambda x: tensors_in(function(x))[0]


def _first(function: Any, x: Tensor) -> Tensor | None:
    found = _call(function, x)
    return found[0] if found and found[0].numel() % len(x) == 0 else None


def _call(function: Any, x: Tensor) -> list[Tensor]:
    try:
        return tensors_in(function(x.clone()))
    except Exception:  # it takes something else
        return []
