"""The smallest sparse step over a border: FISTA on the elastic net, many problems at a time."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

__all__ = ["Settings", "search"]

_HALVINGS = 12  # of the way back to the start: leaves 1 / 4,096 of it

Violation = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Settings:
    """How the search goes.

    Attributes:
        beta: Weight of the absolute values against the squares.
        kappa: How far beyond the border to go, in the border's units.
        n_steps: Steps per problem.
        step: Length of the first step, relative to the distance to the border at weight 1.
    """

    beta: float
    kappa: float
    n_steps: int
    step: float


@dataclass(frozen=True)
class Solution:
    """Steps that solve b problems.

    Attributes:
        delta: The steps, (b, d); zeros where none crosses the border.
        cost: beta |delta|_1 + |delta|^2, (b,); infinity where none crosses the border.
    """

    delta: Tensor
    cost: Tensor


def search(
    violation: Violation,
    weight: Tensor,
    size: int,
    settings: Settings,
    box: tuple[Tensor, Tensor] | None = None,
    known: Tensor | None = None,
) -> Solution:
    """Minimise weight * max(f(delta), -kappa) / |grad f(start)| + beta |delta|_1 + |delta|^2.

    FISTA (Beck and Teboulle 2009) with the shrinking steps of Dhurandhar et al. 2018. Dividing by
    the gradient's length makes f a distance to the border, to first order, so that ``weight`` and
    ``beta`` mean the same for every border. The cheapest step that crossed the border on the way
    is kept, then shortened by bisection while it still crosses.

    Args:
        violation: f, from steps (b, d) to (b,); at or above -kappa the border is not crossed.
        weight: Weight of the border in each problem, (b,).
        size: Length d of a step.
        settings: See :class:`Settings`.
        box: Lowest and highest step, each (b, d), 0 between them; None leaves steps free.
        known: Steps (b, d) known to cross, to start from; None starts from 0.

    Cost: n_steps evaluations with gradient and n_steps without, and 12 for the bisection.
    """
    zero = torch.zeros(len(weight), size, device=weight.device, dtype=weight.dtype)
    best = _Best(zero, settings.beta)
    with torch.no_grad():
        best.offer(zero, violation(zero) < -settings.kappa)
    start = zero
    if known is not None:
        best.offer(known, torch.ones_like(weight, dtype=torch.bool))
        start = known
    length = _with_gradient(violation, start)[1].norm(dim=1)
    length = torch.where(length > 0, length, torch.ones_like(length))
    delta, moved = start, start
    for number in range(settings.n_steps):
        step = settings.step * (1.0 - number / settings.n_steps) ** 0.5
        value, slope = _with_gradient(violation, moved)
        pull = torch.where(value > -settings.kappa, weight / length, torch.zeros_like(weight))
        target = moved - step * (pull[:, None] * torch.nan_to_num(slope) + 2.0 * moved)
        after = target.sign() * (target.abs() - step * settings.beta).clamp_min(0.0)
        if box is not None:
            after = torch.minimum(torch.maximum(after, box[0]), box[1])
        moved = after + number / (number + 3.0) * (after - delta)
        if box is not None:
            moved = torch.minimum(torch.maximum(moved, box[0]), box[1])
        delta = after
        with torch.no_grad():
            best.offer(delta, violation(delta) < -settings.kappa)
    return _shorten(violation, best, settings.kappa)


class _Best:
    """The cheapest step so far of each problem."""

    def __init__(self, like: Tensor, beta: float) -> None:
        self.beta = beta
        self.delta = torch.zeros_like(like)
        self.cost = torch.full_like(like[:, 0], torch.inf)

    def offer(self, delta: Tensor, crossed: Tensor) -> None:
        """Take the steps that crossed and are cheaper than those so far."""
        cost = self.beta * delta.abs().sum(1) + delta.square().sum(1)
        better = crossed & (cost < self.cost)
        self.delta = torch.where(better[:, None], delta, self.delta)
        self.cost = torch.where(better, cost, self.cost)


def _with_gradient(violation: Violation, delta: Tensor) -> tuple[Tensor, Tensor]:
    with torch.enable_grad():
        free = delta.detach().requires_grad_(True)
        value = violation(free)
        if not value.requires_grad:  # a border that the code does not move
            return value.detach(), torch.zeros_like(delta)
        (slope,) = torch.autograd.grad(value.sum(), free)
    return value.detach(), slope


@torch.no_grad()
def _shorten(violation: Violation, best: _Best, kappa: float) -> Solution:
    """Move each step back towards 0 by bisection, as far as it still crosses the border."""
    low, high = torch.zeros_like(best.cost), torch.ones_like(best.cost)
    for _ in range(_HALVINGS):
        middle = (low + high) / 2.0
        crossed = violation(middle[:, None] * best.delta) < -kappa
        low, high = torch.where(crossed, low, middle), torch.where(crossed, middle, high)
    delta = high[:, None] * best.delta
    cost = best.beta * delta.abs().sum(1) + delta.square().sum(1)
    return Solution(delta, torch.where(torch.isfinite(best.cost), cost, best.cost))
