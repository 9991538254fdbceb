"""The matrix nearest to a given one under which some inputs have other images."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["ridge_update"]


def ridge_update(
    weight: Tensor,
    inputs: Tensor,
    others: Tensor,
    preserved: Tensor | None = None,
    *,
    ridge: float,
    preserve_weight: float = 1.0,
) -> Tensor:
    """Return a matrix that maps inputs to where the given one maps others.

    The minimum over W of sum |W x - W0 x'|^2 + s sum |W p - W0 p|^2 + ridge |W - W0|^2: of
    LocoEdit (Basu et al. 2024) and TIME (Orgad et al. 2023) without preserved inputs, and of UCE
    (Gandikota et al. 2024) with them. W - W0 is solved for, in float64, so that what is not asked
    to move stays exactly.

    Args:
        weight: W0, (outputs, d).
        inputs: The x, (n, d).
        others: The x', (n, d).
        preserved: The p, (m, d); None for none.
        ridge: Weight of the distance from W0, > 0.
        preserve_weight: The s, >= 0.

    Returns:
        float64 (outputs, d).

    Cost: O(d^3 + (n + m) d^2).

    Example:
        >>> x, other = torch.eye(2)[:1], torch.eye(2)[1:]
        >>> weight = torch.tensor([[1.0, 3.0]])
        >>> ridge_update(weight, x, other, ridge=1e-9).round(decimals=6).tolist()
        [[3.0, 3.0]]
    """
    w0, x, to = (part.detach().double().cpu() for part in (weight, inputs, others))
    d = w0.shape[1]
    gram = ridge * torch.eye(d, dtype=torch.float64) + x.T @ x
    if preserved is not None and len(preserved):
        p = preserved.detach().double().cpu()
        gram = gram + preserve_weight * (p.T @ p)
    moved = x.T @ ((to - x) @ w0.T)  # (d, outputs)
    change: Tensor = torch.linalg.solve(gram, moved)
    return w0 + change.T
