"""Inversion of a generator: from instances to the latent codes that come closest to them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import torch
from torch import Tensor

from pxgen_plugins.utils import validation
from pxgen_plugins.utils.errors import ModelError, caller
from pxgen_plugins.utils.memory import out_of_memory
from pxgen_plugins.utils.progress import count_passes

__all__ = ["Inversion", "Objective", "descend", "nearest"]

_BETAS = (0.9, 0.99)
_PATIENCE = 8  # steps without progress before a row's rate falls
_PROGRESS = 1e-3  # share of the objective by which it must fall to count as progress
_FALL = 0.3
_LOWEST = 0.02  # share of the first rate at which a row has arrived


@dataclass(frozen=True)
class Inversion:
    """How a generator is inverted: by descent on the code, from the nearest of its own samples.

    Each instance's code minimises the mean squared error of its image plus ``noise``^2 |z|^2 / d
    for d elements (in units of the data range), which is the most probable code when instances are
    images with normal noise of that deviation and the prior is N(0, I). Every restart descends by
    Adam (Kingma and Ba 2015) from one of the nearest of ``bank`` seeded samples; its rate falls
    when the objective does not, and it stops when the rate is small. The lowest objective counts.
    Gradient inversion of generators: Creswell and Bharath (2018), "Inverting the Generator of a
    Generative Adversarial Network".

    An instance's code does not depend on the others: starts are shared, steps are its own, and
    descents run in blocks of a fixed number of rows, filled up where fewer are left, because
    arithmetic in blocks of other sizes has other last bits, which a descent amplifies.

    Args:
        steps: Most gradient steps per restart, >= 0; with 0 the nearest sample's code is taken.
        restarts: Starts per instance (and class), >= 1 and <= bank.
        bank: Samples to start from (of each class), >= 1.
        rate: First step length of Adam, in units of the latent space.
        noise: Deviation of the noise, in shares of the data range, >= 0; larger pulls codes to 0.
            Without a data range it is in the data's own unit: lower it for data of small values.
            Priors other than N(0, I) ignore it.
        rows: Descents at a time, >= 1; more are faster on large devices, and need more memory.
        seed: Seed of the samples to start from, >= 0.

    Raises:
        ParameterError: When an argument is not allowed.

    Example:
        >>> Inversion(steps=100, restarts=4).bank
        512
    """

    steps: int = 200
    restarts: int = 2
    bank: int = 512
    rate: float = 0.1
    noise: float = 0.1
    rows: int = 64
    seed: int = 0

    @caller("Inversion")
    def __post_init__(self) -> None:
        for name, lowest in (("steps", 0), ("restarts", 1), ("rows", 1), ("seed", 0)):
            validation.integer(getattr(self, name), name, minimum=lowest)
        hint = "A bank holds at least the codes that restarts start from."
        validation.integer(self.bank, "bank", minimum=self.restarts, hint=hint)
        validation.real(self.rate, "rate", above=0.0)
        validation.real(self.noise, "noise", minimum=0.0)

    def passes(self, n_classes: int = 1, encoded: bool = False, refine: bool = False) -> int:
        """Return how many passes an instance takes at most; a step with its gradient counts as 2.

        Args:
            n_classes: Classes that are tried.
            encoded: Whether an encoder gives the start, and not the bank's samples.
            refine: Whether the encoder's codes are only the start.
        """
        starts = n_classes * (1 if encoded else self.restarts)
        descends = self.steps > 0 and (refine or not encoded)
        # the bank is generated for each call, of as many instances as descend at a time
        first = 1 if encoded else n_classes * -(-self.bank // self.rows)
        return starts * (2 * self.steps if descends else 1) + first


@dataclass(frozen=True)
class Objective:
    """What a descent lowers: mean squared error over ``scale``^2, plus ``weight`` |z|^2.

    Args:
        generate: Callable from codes (b, *latent_shape) and classes (b,) to instances
            (b, *sample_shape).
        scale: Width of the data range.
        weight: Weight of the squared norm of the code.
        bounds: Lowest and highest value of a code's elements; None when unbounded.
    """

    generate: Callable[[Tensor, Tensor], Tensor]
    scale: float
    weight: float
    bounds: tuple[float, float] | None

    def __call__(self, x: Tensor, z: Tensor, y: Tensor) -> Tensor:
        """Return the values of codes ``z`` and classes ``y`` for instances ``x``, (b,)."""
        error = (self.generate(z, y) - x).flatten(1).square().mean(1) / self.scale**2
        return error + self.weight * z.flatten(1).square().sum(1)


def nearest(x: Tensor, bank: Iterable[Tensor], k: int) -> Tensor:
    """Return the positions of the k samples nearest to each instance, nearest first, int64 (n, k).

    Args:
        x: Instances, (n, *sample_shape).
        bank: Batches of samples, k at least.
        k: How many.

    Cost: O(n m e) for m samples of e elements; memory O(n (k + a batch)).
    """
    flat, first = x.flatten(1), 0
    best = torch.empty(len(x), 0, dtype=x.dtype, device=x.device)
    index = torch.empty(len(x), 0, dtype=torch.int64, device=x.device)
    for samples in bank:
        # not by a matrix product, whose last bits depend on the number of rows
        exact = "donot_use_mm_for_euclid_dist"
        near = torch.cdist(flat, samples.flatten(1), compute_mode=exact)
        new = torch.arange(first, first + len(samples), device=x.device).expand(len(x), -1)
        best, index = torch.cat([best, near], 1), torch.cat([index, new], 1)
        best, kept = best.topk(min(k, best.shape[1]), largest=False)
        index, first = index.gather(1, kept), first + len(samples)
    return index


def descend(
    objective: Objective,
    x: Tensor,
    owner: Tensor,
    z: Tensor,
    y: Tensor,
    how: Inversion,
) -> tuple[Tensor, Tensor]:
    """Return codes of lower objective for each start, and their values; none minds the others.

    Args:
        objective: What is lowered.
        x: Instances, (n, *sample_shape).
        owner: Position of the instance that each start is for, int64 (m,).
        z: Codes to start from, (m, *latent_shape).
        y: Classes, int64 (m,).
        how: Settings.

    Returns:
        Codes (m, *latent_shape) and values (m,): NaN for one whose objective never was finite.

    Raises:
        ModelError: When memory runs out.
    """
    codes, values = torch.empty_like(z), torch.empty(len(z), dtype=z.dtype, device=z.device)
    for first in range(0, len(z), how.rows):
        own = slice(first, min(first + how.rows, len(z)))
        # the block is filled up by rows that were there before
        index = torch.arange(first, first + how.rows, device=z.device)
        index[own.stop - first :] = first
        try:
            block = _block(objective, x[owner[index]], z[index], y[index], how)
        except Exception as error:
            if not out_of_memory(error):
                raise
            allowed = f"enough for {how.rows} descents at a time"
            hint = f"Pass inversion=Inversion(rows={max(1, how.rows // 4)})."
            got = f"{type(error).__name__}"
            raise ModelError("memory", allowed, got, hint) from error
        codes[own], values[own] = (part[: own.stop - first] for part in block)
    return codes, values


def _block(
    objective: Objective, x: Tensor, z: Tensor, y: Tensor, how: Inversion
) -> tuple[Tensor, Tensor]:
    def column(values: Tensor) -> Tensor:
        return values.reshape(-1, *(1 for _ in z.shape[1:]))

    lowest = torch.full((len(z),), torch.inf, dtype=z.dtype, device=z.device)
    best, rate = z.clone(), torch.full_like(lowest, how.rate)
    mark, since = lowest.clone(), torch.zeros_like(lowest)
    mean, spread = torch.zeros_like(z), torch.zeros_like(z)
    for step in range(1, how.steps + 1):
        z.requires_grad_(True)
        value = objective(x, z, y)
        (slope,) = torch.autograd.grad(value.sum(), z)
        count_passes(len(z))  # the way back; the network itself counts the way there
        z, value = z.detach(), value.detach()
        moving = rate >= _LOWEST * how.rate
        better = moving & (value < lowest)
        best = torch.where(column(better), z, best)
        lowest = torch.where(better, value, lowest)
        progress = lowest < mark * (1 - _PROGRESS)
        mark = torch.where(progress, lowest, mark)
        since = torch.where(progress, 0.0, since + 1)
        rate = torch.where(since >= _PATIENCE, rate * _FALL, rate)
        since = torch.where(since >= _PATIENCE, 0.0, since)
        if not bool((rate >= _LOWEST * how.rate).any()):
            break
        mean = _BETAS[0] * mean + (1 - _BETAS[0]) * slope
        spread = _BETAS[1] * spread + (1 - _BETAS[1]) * slope.square()
        stride = (spread / (1 - _BETAS[1] ** step)).sqrt() + 1e-12
        z = z - column(rate) * (mean / (1 - _BETAS[0] ** step)) / stride
        if objective.bounds is not None:
            z = z.clamp(*objective.bounds)
    return best, torch.where(lowest.isfinite(), lowest, torch.nan)
