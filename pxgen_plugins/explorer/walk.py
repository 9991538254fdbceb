"""The way from one code to another."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["between"]

_SMALL, _HALF_TURN = 1e-4, 3.1415  # angles without a turn, and without a single one


def between(start: Tensor, end: Tensor, at: float, sphere: bool) -> Tensor:
    """Return the code at a share of the way.

    Args:
        start: A code.
        end: Another, of the same shape.
        at: The share, in [0, 1].
        sphere: Turn the direction by equal angles and change the norm evenly, so that codes of a
            normal prior of many dimensions stay near the sphere that they lie on; else straight.

    Example:
        >>> middle = between(torch.tensor([1.0, 0.0]), torch.tensor([0.0, 3.0]), 0.5, True)
        >>> round(middle.norm().item(), 6)
        2.0
    """
    if at in (0.0, 1.0):
        return start if at == 0.0 else end
    straight = (1.0 - at) * start + at * end
    lengths = start.norm(), end.norm()
    if not sphere or min(float(length) for length in lengths) == 0.0:
        return straight
    one, other = (z / length for z, length in zip((start, end), lengths, strict=True))
    angle = torch.arccos((one * other).sum().clamp(-1.0, 1.0))
    if not _SMALL < float(angle) < _HALF_TURN:  # no turn, or no single one
        return straight
    turned = (torch.sin((1.0 - at) * angle) * one + torch.sin(at * angle) * other) / angle.sin()
    length = (1.0 - at) * float(lengths[0]) + at * float(lengths[1])
    code: Tensor = turned * length
    return code
