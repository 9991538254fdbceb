"""A short call of a model, to see what it costs: the cheapest that it has, on made-up instances."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from pxgen_plugins.models.base import capabilities, passes

__all__ = ["call", "cheapest", "instances", "operations"]

_ON_INSTANCES = (
    "encode", "embed", "codes", "log_prob", "score", "token_loss", "noise_loss", "values",
    "reconstruct",
)  # fmt: skip


def cheapest(model: Any) -> tuple[str, int]:
    """Return what takes the model fewest passes, of what it can do, and how many.

    Example:
        >>> from pxgen_plugins.testing.examples import LinearModel
        >>> cheapest(LinearModel())
        ('decode', 1)
    """
    have = capabilities(model)
    names = [name for name in ("sample", *_ON_INSTANCES) if name in have]
    if have >= {"decode"} and model.latent_shape is not None:
        names.insert(0, "decode")
    best = min(names, key=lambda name: passes(model, name))
    return best, passes(model, best)


def call(model: Any, name: str, x: Tensor) -> Any:
    """Call a capability for as many instances as ``x`` has; what needs none only counts them.

    Args:
        model: Any model.
        name: Out of its capabilities.
        x: Instances on the model's device, (n, *sample_shape).
    """
    method = getattr(model, name)
    if name == "sample":
        return method(len(x), 0)
    if name == "decode":
        return method(torch.zeros(len(x), *model.latent_shape).to(x.device, model.dtype))
    return method(x, 0.5, 0) if name == "noise_loss" else method(x)


def instances(model: Any, n: int) -> Tensor:
    """Return ``n`` instances that a model takes: its own where they cost little, else noise."""
    if callable(getattr(model, "probe", None)):
        x = model.probe(n)
    elif "sample" in capabilities(model) and passes(model, "sample") == 1:
        x = torch.as_tensor(model.sample(n, 0))
    else:
        low, high = model.data_range or (-1.0, 1.0)
        drawn = np.random.default_rng(0).random((n, *(model.sample_shape or (1,))))
        x = torch.from_numpy(low + (high - low) * drawn)
    made: Tensor = x.to(model.device, model.dtype)
    return made


def operations(model: Any) -> float:
    """Return about how many multiplications a pass of one instance takes; 0 where nobody can say.

    Matrix products and convolutions are counted while the model answers for one instance, so that
    the number is the same on every machine. What is computed outside of torch counts for nothing.

    Example:
        >>> from pxgen_plugins.testing.examples import LinearModel
        >>> operations(LinearModel())
        192.0
    """
    from torch.utils.flop_counter import FlopCounterMode

    try:
        name, each = cheapest(model)
        x = instances(model, 1)
        with torch.no_grad(), FlopCounterMode(display=False) as counter:
            call(model, name, x)
    except Exception:  # what comes next says better what is wrong with the model
        return 0.0
    # torch counts a multiplication and its addition as two
    return float(counter.get_total_flops() / 2 / each)
