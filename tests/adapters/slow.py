"""Slow computations that adapters are compared with: loops, differences, plain autograd.

Nothing of ``pxgen_plugins`` is used here: nets in double precision, and formulas from papers.
"""

from __future__ import annotations

import copy
import itertools
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .odd_nets import NETS, build

__all__ = ["Secant", "Slow"]

_STEP = 1e-5  # of finite differences, in double precision


class Secant(nn.Module):
    """An activation whose slope is that of the line to a reference: 0, or the batch's second half.

    DeepLift's rescale rule (Shrikumar et al. 2017) and, with reference 0, what layer-wise relevance
    propagation does where it hands relevance through (Bach et al. 2015).
    """

    def __init__(self, inner: nn.Module, paired: bool) -> None:
        super().__init__()
        self.inner, self.paired = inner, paired

    def forward(self, h: Tensor) -> Tensor:
        with torch.enable_grad():
            point = h.detach().clone().requires_grad_()
            out = self.inner(point.clone())
            (slope,) = torch.autograd.grad(out.sum(), point)
        out, run, rise = out.detach(), h.detach().clone(), out.detach().clone()
        if self.paired:
            run = (run[: len(h) // 2] - run[len(h) // 2 :]).repeat(2, *[1] * (h.ndim - 1))
            rise = (rise[: len(h) // 2] - rise[len(h) // 2 :]).repeat(2, *[1] * (h.ndim - 1))
        apart = run.abs() > 1e-9
        slope = torch.where(apart, rise / torch.where(apart, run, 1.0), slope)
        line = out + slope * (h - h.detach())
        return h.copy_(line) if getattr(self.inner, "inplace", False) else line


class Slow:
    """A net of :mod:`odd_nets` in double precision, and targets on it."""

    def __init__(self, name: str, dtype: torch.dtype = torch.float64) -> None:
        self.odd, self.name, self.dtype = NETS[name], name, dtype
        self.net = build(name).to(dtype)

    def tensor(self, x: Any) -> Tensor:
        return torch.as_tensor(np.asarray(x)).to(self.dtype)

    def code(self, x: Any) -> Tensor:
        """Posterior means, (n, *latent_shape)."""
        with torch.no_grad():
            return self.net.encode(self.tensor(x))[0].clone()

    def target(self, name: str, x: Tensor, mean: Tensor, log_var: Tensor) -> Tensor:
        """The target's values (n,), as the formulas say."""
        if name == "latent[0]":
            return mean.flatten(1)[:, 0]
        if name == "kld":
            return 0.5 * (mean**2 + log_var.exp() - 1.0 - log_var).flatten(1).sum(1)
        decoded = self.net.decode(mean)
        if name == "mse":
            return ((x - decoded) ** 2).flatten(1).mean(1)
        assert name == "bce"
        low, high = self.odd.data_range or (0.0, 1.0)
        p, q = (decoded - low) / (high - low), (x - low) / (high - low)
        return _cross_entropy(p, q).flatten(1).mean(1)

    def function(self, target: str, space: str, x: Any, net: nn.Module | None = None) -> Any:
        """The target of points (n k, ...), k per anchor or the n anchors' own, in either space."""
        slow = self
        if net is not None:
            slow = copy.copy(self)
            slow.net = net
        rows = self.tensor(x)
        with torch.no_grad():
            log_var = self.net.encode(rows)[1]

        def values(points: Tensor) -> Tensor:
            k = len(points) // len(rows)
            if space == "input":
                return slow.target(target, points, *slow.net.encode(points))
            return slow.target(
                target, rows.repeat_interleave(k, 0), points, log_var.repeat_interleave(k, 0)
            )

        return values

    def point(self, space: str, x: Any) -> Tensor:
        return self.tensor(x) if space == "input" else self.code(x)

    def gradient(
        self, target: str, space: str, points: Tensor, x: Any, exact: bool = False
    ) -> Tensor:
        """Central differences; autograd for ``exact``, and where logarithms are cut in float32."""
        f = self.function(target, space, x)
        if exact or target == "bce":
            p = points.detach().clone().requires_grad_()
            return torch.autograd.grad(f(p).sum(), p)[0]
        flat = points.flatten(1)
        eye = torch.eye(flat.shape[1], dtype=self.dtype)
        moved = torch.cat([flat[:, None] + _STEP * eye, flat[:, None] - _STEP * eye], dim=1)
        owner = len(points) // len(self.tensor(x))
        assert owner == 1
        with torch.no_grad():
            values = f(moved.reshape(-1, *points.shape[1:])).reshape(len(points), 2, -1)
        return ((values[:, 0] - values[:, 1]) / (2 * _STEP)).reshape(points.shape)

    def low(self, space: str) -> float:
        """The baseline that stands for absence."""
        return self.odd.data_range[0] if space == "input" and self.odd.data_range else 0.0

    def line(self, target: str, space: str, x: Any, shares: np.ndarray) -> Tensor:
        """Gradients (k, n, ...) at the shares of the way from the baseline to the points."""
        points = self.point(space, x)
        start = torch.full_like(points, self.low(space))
        return torch.stack(
            [
                self.gradient(target, space, start + float(a) * (points - start), x, exact=True)
                for a in shares
            ]
        )

    def integrated(self, target: str, space: str, x: Any, n_steps: int) -> Tensor:
        nodes, weights = np.polynomial.legendre.leggauss(n_steps)
        grads = self.line(target, space, x, (nodes + 1) / 2)
        mean = torch.tensordot(torch.from_numpy(weights / 2).to(grads), grads, 1)
        return mean * (self.point(space, x) - self.low(space))

    def linearised(self, target: str, space: str, x: Any, kinds: Any, paired: bool) -> Tensor:
        """Multipliers with the activations of ``kinds`` in the place of secants."""
        net = with_secants(copy.deepcopy(self.net), kinds, paired)
        points = self.point(space, x)
        if paired:
            points = torch.cat([points, torch.full_like(points, self.low(space))])
            x = np.concatenate([np.asarray(x)] * 2)
        points = points.detach().clone().requires_grad_()
        values = self.function(target, space, x, net)(points)
        (slopes,) = torch.autograd.grad(values.sum(), points)
        return slopes[: len(points) // 2] if paired else slopes

    def watched(self, x: Any, names: Any = None) -> dict[str, np.ndarray]:
        """Channel means (n, c) of layers, each result copied as it comes, while reconstructing."""
        kept: dict[str, np.ndarray] = {}

        def keep(name: str) -> Callable[..., None]:
            def hook(module: nn.Module, _: Any, out: Any) -> None:
                kept[name] = _channels(self.name, name, out.detach().clone().numpy())

            return hook

        handles = [
            module.register_forward_hook(keep(name))
            for name, module in self.net.named_modules()
            if name and not list(module.children()) and (names is None or name in names)
        ]
        with torch.no_grad():
            self.net.decode(self.net.encode(self.tensor(x))[0])
        for handle in handles:
            handle.remove()
        return kept

    def parameters_gradient(self, loss: Callable[[Tensor], Tensor], x: Any) -> np.ndarray:
        """The gradient (n, p) of a loss of single samples, one after the other."""
        parameters = list(self.net.parameters())
        rows = []
        for one in self.tensor(x):
            grads = torch.autograd.grad(loss(one[None]).sum(), parameters, allow_unused=True)
            parts = [
                torch.zeros_like(p).flatten() if g is None else g.flatten()
                for g, p in zip(grads, parameters, strict=True)
            ]
            rows.append(torch.cat(parts))
        return torch.stack(rows).numpy()


def _cross_entropy(p: Tensor, q: Tensor) -> Tensor:
    """Torch's loss, logarithms cut at -100, with its two derivatives written out.

    Where a logarithm is cut it is a constant. (Torch's own derivative with respect to ``q`` is
    infinite there.)
    """
    fixed, share = p.detach(), q.detach()
    ends = fixed.log().clamp(min=-100), (-fixed).log1p().clamp(min=-100)
    slope = torch.where(fixed < 1, (1 - share) / (1 - fixed), 0.0)
    slope = slope - torch.where(fixed > 0, share / fixed, 0.0)
    value = F.binary_cross_entropy(fixed, share, reduction="none")
    return value + (p - fixed) * slope + (q - share) * (ends[1] - ends[0])


def _channels(net: str, layer: str, values: np.ndarray) -> np.ndarray:
    """Means over positions; the layers of a transformer on tokens have their channels last."""
    last = net == "attention" and layer in ("ln", "w", "g", "h")
    moved = np.moveaxis(values, -1, 1) if last and values.ndim > 2 else values
    return moved.reshape(*moved.shape[:2], -1).mean(2)


def with_secants(net: nn.Module, kinds: Any, paired: bool) -> nn.Module:
    for name, module in list(net.named_children()):
        if type(module) in kinds:
            setattr(net, name, Secant(module, paired))
        else:
            with_secants(module, kinds, paired)
    return net


def shapley(value: Callable[[list[int]], float], d: int) -> np.ndarray:
    """Shapley values by all coalitions."""
    values = np.zeros(d)
    for j in range(d):
        others = [k for k in range(d) if k != j]
        for size in range(d):
            weight = math.factorial(size) * math.factorial(d - size - 1) / math.factorial(d)
            for team in itertools.combinations(others, size):
                values[j] += weight * (value([*team, j]) - value([*team]))
    return values
