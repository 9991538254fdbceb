"""The rules of layer-wise relevance propagation, as autograd functions with another backward.

What flows backward is the coefficient c of each element, relevance / value: relevance is value
times c, as in gradient x input. So everything a network does between its layers (reshapes, sums,
residual additions) needs no rule: the ordinary derivative shares relevance in proportion to the
summands. A layer replaces its derivative by its rule, an activation by output / input, which hands
relevance through unchanged.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

__all__ = ["RULES", "Layer", "Rule", "affine", "barrier", "through"]

RULES = ("epsilon", "gamma", "z+")
_TINY = 1e-30  # below it a quotient of float32 numbers overflows


@dataclass(frozen=True)
class Rule:
    """How an affine layer shares the relevance of its outputs among its inputs.

    Attributes:
        name: ``"epsilon"``: in proportion to the contributions a w, the output moved away from 0 by
            ``epsilon`` (Bach et al. 2015, eq. 58). ``"gamma"``: contributions with the sign of the
            output count ``1 + gamma`` times (Montavon et al. 2019, in the form for inputs of both
            signs, Andeol et al. 2021). ``"z+"``: positive contributions only, biases left out
            (Montavon et al. 2017, in the form for inputs of both signs).
        epsilon: Stabiliser of every quotient, in units of the layer's output.
        gamma: Preference of the gamma rule.
    """

    name: str
    epsilon: float
    gamma: float

    def coefficients(self, layer: Layer, x: Tensor, z: Tensor, c: Tensor) -> Tensor:
        """Return the coefficients of a layer's input.

        Args:
            layer: The layer.
            x: Its input.
            z: Its output.
            c: The coefficients of its output, of the shape of ``z``.
        """
        weight, bias = layer.weight, layer.bias
        if weight is None or self.name == "epsilon":
            return _transpose(lambda a: layer.call(a, weight, bias), x, self._share(z, c, z))
        positive, negative = x.clamp(min=0), x.clamp(max=0)
        raised, lowered = weight.clamp(min=0), weight.clamp(max=0)
        if self.name == "z+":
            ends = (raised, lowered)
            shared = self._share(z, c, _both(layer, (positive, negative), ends, None))
            above, below = (_transpose(_of(layer, end), x, shared) for end in ends)
            return torch.where(x > 0, above, below)
        up, down = weight + self.gamma * raised, weight + self.gamma * lowered
        over = under = None
        if bias is not None:
            over = bias + self.gamma * bias.clamp(min=0)
            under = bias + self.gamma * bias.clamp(max=0)
        for_up = self._share(z, c, _both(layer, (positive, negative), (up, down), over))
        for_down = self._share(z, c, _both(layer, (positive, negative), (down, up), under))
        for_up, for_down = for_up * (z > 0), for_down * (z <= 0)
        above = _transpose(_of(layer, up), x, for_up) + _transpose(_of(layer, down), x, for_down)
        below = _transpose(_of(layer, down), x, for_up) + _transpose(_of(layer, up), x, for_down)
        return torch.where(x > 0, above, below)

    def _share(self, z: Tensor, c: Tensor, total: Tensor) -> Tensor:
        """Return the relevance z c per unit of ``total``; none where there is nothing to share."""
        moved = total + torch.where(total >= 0, self.epsilon, -self.epsilon)
        return _quotient(z * c, moved)


@dataclass(frozen=True)
class Layer:
    """An affine map as a function of its input and its parameters.

    Attributes:
        call: From (input, weight, bias) to the output.
        weight: Its weight; None where no rule needs it apart (BatchNorm).
        bias: Its bias, if any.
    """

    call: Callable[[Tensor, Tensor | None, Tensor | None], Tensor]
    weight: Tensor | None = None
    bias: Tensor | None = None


class Affine(torch.autograd.Function):
    """A layer whose backward pass is a rule."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, layer: Layer, rule: Rule) -> Tensor:
        """Return the layer's output."""
        ctx.layer, ctx.rule = layer, rule
        z = layer.call(x, layer.weight, layer.bias)
        # copies, because the network may go on in place
        ctx.save_for_backward(x.clone(), z.clone())
        return z

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Any:
        """Return the coefficients of the input."""
        x, z = ctx.saved_tensors
        return ctx.rule.coefficients(ctx.layer, x, z, grads[0]), None, None


class Through(torch.autograd.Function):
    """An elementwise function that hands relevance through."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, function: Callable[[Tensor], Tensor]) -> Tensor:
        """Return the function's output."""
        out = function(x.clone())  # a copy, because the function may work in place
        ctx.save_for_backward(x.clone(), out.clone())
        return out

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Any:
        """Return the coefficients of the input: those of the output times output / input."""
        x, out = ctx.saved_tensors
        return _quotient(grads[0] * out, x), None


class Barrier(torch.autograd.Function):
    """A function without a rule: harmless until relevance comes back to it."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, error: Exception) -> Tensor:
        """Return ``x``."""
        ctx.error = error
        return x.view_as(x)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Any:
        """Raise the error, unless no relevance arrives."""
        if bool(grads[0].any()):
            raise ctx.error
        return grads[0], None


affine: Callable[..., Tensor] = Affine.apply
through: Callable[..., Tensor] = Through.apply
barrier: Callable[..., Tensor] = Barrier.apply


def _quotient(over: Tensor, under: Tensor) -> Tensor:
    usable = under.abs() > _TINY
    return torch.where(usable, over / torch.where(usable, under, 1.0), 0.0)


def _of(layer: Layer, weight: Tensor, bias: Tensor | None = None) -> Callable[[Tensor], Tensor]:
    return lambda a: layer.call(a, weight, bias)


def _both(
    layer: Layer,
    inputs: tuple[Tensor, Tensor],
    weights: tuple[Tensor, Tensor],
    bias: Tensor | None,
) -> Tensor:
    """Return what positive and negative inputs contribute, each by its own weights."""
    return _of(layer, weights[0], bias)(inputs[0]) + _of(layer, weights[1])(inputs[1])


def _transpose(function: Callable[[Tensor], Tensor], x: Tensor, s: Tensor) -> Tensor:
    """Return the transpose of an affine ``function`` applied to ``s``."""
    with torch.enable_grad():
        point = x.detach().requires_grad_()
        (product,) = torch.autograd.grad(function(point), point, s)
    return product
