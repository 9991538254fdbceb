"""Noise schedules of diffusion models: how much of an instance is left at each timestep."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from torch import Tensor

from pxgen_plugins.utils import validation
from pxgen_plugins.utils.errors import ParameterError, short_repr

__all__ = ["SCHEDULES", "cosine", "linear", "schedule"]

SCHEDULES = ("linear", "cosine")
_LARGEST_BETA = 0.999


def linear(n: int) -> Tensor:
    """Return the signal left after each of ``n`` timesteps, betas rising from 1e-4 to 0.02.

    Source: Ho, Jain and Abbeel (2020), section 4, for n = 1,000.

    Returns:
        Products of 1 - beta up to each timestep ("alphas_cumprod"), float64 (n,), falling.

    Example:
        >>> [round(value, 4) for value in linear(1000)[[0, 999]].tolist()]
        [0.9999, 0.0]
    """
    return (1.0 - torch.linspace(1e-4, 0.02, n, dtype=torch.float64)).cumprod(0)


def cosine(n: int, offset: float = 0.008) -> Tensor:
    """Return the signal left after each of ``n`` timesteps under the cosine schedule.

    Source: Nichol and Dhariwal (2021), equation 17, betas at most 0.999.

    Returns:
        Products of 1 - beta up to each timestep, float64 (n,), falling.

    Example:
        >>> [round(value, 2) for value in cosine(1000)[[250, 500, 750]].tolist()]
        [0.85, 0.49, 0.14]
    """
    at = torch.arange(n + 1, dtype=torch.float64) / n
    level = torch.cos((at + offset) / (1.0 + offset) * math.pi / 2).square()
    betas = (1.0 - level[1:] / level[:-1]).clamp(max=_LARGEST_BETA)
    return (1.0 - betas).cumprod(0)


def schedule(value: Any, n: int) -> Tensor:
    """Return a schedule as float64 (n,): a named one of ``n`` timesteps, or a given one.

    Args:
        value: ``"linear"``, ``"cosine"``, or the products themselves, falling inside (0, 1), the
            last one perhaps 0.
        n: Number of timesteps of a named schedule.

    Raises:
        ParameterError: When it is none of these.
    """
    if isinstance(value, str):
        name = validation.choice(value, "schedule", SCHEDULES)
        return linear(n) if name == "linear" else cosine(n)
    try:
        left = torch.as_tensor(np.asarray(value, dtype=np.float64)).clone()
    except (TypeError, ValueError):
        left = torch.empty(0)
    good = left.ndim == 1 and len(left) > 1 and bool(((left[:-1] > 0) & (left[:-1] < 1)).all())
    if not good or bool((left.diff() >= 0).any()) or float(left[-1]) < 0.0:
        allowed = (
            "'linear', 'cosine', or the falling products of 1 - beta, (T,), inside (0, 1), the "
            "last one perhaps 0"
        )
        rising = good and bool((left.diff() > 0).all())
        hint = "These look like betas: pass (1 - betas).cumprod(0), or " if rising else "Pass "
        hint += "scheduler.alphas_cumprod, the earliest timestep first and no 1 before it."
        raise ParameterError("schedule", allowed, short_repr(value), hint)
    return left
