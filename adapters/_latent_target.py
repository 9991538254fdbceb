"""The target as a function of what is attributed to: the anchor itself, or its latent code."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pxgen_plugins.adapters.targets import Target
from pxgen_plugins.models.callables import gradient_proof
from pxgen_plugins.utils.errors import ModelError

__all__ = ["SPACES", "LatentTarget", "TargetFunction"]

SPACES = ("input", "latent")


@dataclass(frozen=True)
class TargetFunction:
    """A target of a model as a function of anchors or of latent codes, for libraries on tensors.

    Attributes:
        target: What is explained.
        model: The model.
        space: ``"input"`` or ``"latent"``.
        seed: Seed of the target's own noise.
    """

    target: Target
    model: Any
    space: str
    seed: int

    def point(self, x: Tensor) -> tuple[Tensor, tuple[Tensor, ...]]:
        """Return where anchors ``x`` are in the space, and what stays fixed around it.

        Returns:
            ``(x, ())`` in input space; ``(codes, (x, log variances))`` in latent space. All are
            detached copies or constants.
        """
        if self.space == "input":
            return x.detach().clone(), ()
        with torch.no_grad():
            mean, log_var = self.model.encode(x)
        return mean.detach().clone(), (x.detach().clone(), log_var.detach())

    def __call__(self, point: Tensor, *fixed: Tensor) -> Tensor:
        """Return the target's values (b,) at points (b, *shape), with gradient.

        Raises:
            ModelError: When the target does not return one value per anchor.
        """
        if self.space == "input":
            return self.target.value(self.model, point, seed=self.seed)
        x, log_var = fixed
        return self.target.value_at(self.model, point, x, log_var, seed=self.seed)

    def values(self, point: Tensor, *fixed: Tensor) -> Tensor:
        """Return the values (b,) without gradient."""
        with torch.no_grad():
            return self(point, *fixed).detach()

    def expect_gradient(self, x: Tensor) -> None:
        """Raise unless the target has a gradient at anchor ``x`` (1, *sample_shape).

        Raises:
            ModelError: When it has none: the model works in numpy, detaches, or does not use it.
        """
        point, fixed = self.point(x)
        with torch.enable_grad(), gradient_proof():
            point.requires_grad_()
            values = self(point, *fixed)
            gradient = None
            if values.requires_grad:
                (gradient,) = torch.autograd.grad(values.sum(), point, allow_unused=True)
        if gradient is None:
            what = "anchor" if self.space == "input" else "latent code"
            raise ModelError(
                "target",
                f"differentiable with respect to the {what}",
                f"{self.target.label!r}, whose value has no gradient there",
                "Use torch functions in model and target, or a black-box method such as Occlusion.",
            )


class LatentTarget:
    """The target of one anchor as a function of latent codes, for libraries on arrays.

    Args:
        target: What is explained.
        model: The model.
        x: The anchor, (1, *sample_shape); it stays, and so does its log variance.
        seed: Seed of the target's own noise.
        batch_size: Codes per model call.

    Attributes:
        code: The anchor's own code, float32 (d,).
        finite: Whether all values so far were.
    """

    def __init__(self, target: Target, model: Any, x: Tensor, *, seed: int, batch_size: int):
        self._target, self._model, self._x = target, model, x
        self._seed, self._batch_size = seed, batch_size
        self.finite = True
        with torch.no_grad():
            mean, self._log_var = model.encode(x)
        self.code: NDArray[np.float32] = mean.reshape(-1).float().cpu().numpy()

    def values(self, z: Tensor) -> Tensor:
        """Return the target (b,) at codes ``z`` (b, d), with gradient."""
        parts = [self._part(z, start) for start in range(0, len(z), self._batch_size)]
        values = torch.cat(parts) if parts else z.new_zeros(0)
        self.finite = self.finite and bool(values.isfinite().all())
        return values

    def __call__(self, codes: NDArray[Any]) -> NDArray[np.float64]:
        """Return the target (b,) at codes (b, d), as an ndarray."""
        z = torch.as_tensor(np.asarray(codes, dtype=np.float32))
        with torch.no_grad():
            values: NDArray[np.float64] = self.values(z).double().cpu().numpy()
        return values

    def _part(self, z: Tensor, start: int) -> Tensor:
        like = self._log_var
        codes = z[start : start + self._batch_size].to(like.device, like.dtype)
        size = len(codes)
        return self._target.value_at(
            self._model,
            codes.reshape(size, *like.shape[1:]),
            self._x.expand(size, *self._x.shape[1:]),
            like.expand(size, *like.shape[1:]),
            first=start,
            seed=self._seed,
        )
