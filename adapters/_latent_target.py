"""The target as a function of what is attributed to: the anchor itself, or its latent code."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from pxgen_plugins.adapters.targets import Target, resolve
from pxgen_plugins.criteria import Batch
from pxgen_plugins.models._callables import thorough
from pxgen_plugins.utils.errors import ModelError, short_repr

__all__ = ["SPACES", "CodedBatch", "Question"]

SPACES = ("input", "latent")


class CodedBatch(Batch):
    """A batch with a given posterior: the codes are moved, the log variances stay the anchors'.

    Args:
        model: The model.
        x: Anchors, (b, *sample_shape).
        mean: Latent codes in the place of the posterior means, (b, *latent_shape).
        log_var: Log variances, of the same shape.
        seed: Seed of the target's own noise.
    """

    def __init__(self, model: Any, x: Tensor, mean: Tensor, log_var: Tensor, seed: int) -> None:
        super().__init__(model, x, seed=seed)
        self.__dict__["posterior"] = (mean, log_var)  # where the cached property keeps its value


@dataclass(frozen=True)
class Question:
    """A target of a model, asked at anchors or at latent codes.

    Attributes:
        target: What is explained.
        model: The model.
        space: ``"input"`` or ``"latent"``.
        seed: Seed of the target's own noise.
        where: Who asks, for messages.
    """

    target: Target
    model: Any
    space: str
    seed: int
    where: str

    def point(self, x: Tensor) -> tuple[Tensor, tuple[Tensor, ...]]:
        """Return where anchors ``x`` are asked about, and what stays fixed around it.

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
        values = self.target.of(CodedBatch(self.model, x, point, log_var, self.seed))
        if tuple(values.shape) != (len(point),):
            hint = "Return one number per anchor."
            allowed = f"of shape ({len(point)},)"
            raise ModelError("target", self.target.label, allowed, short_repr(values), hint)
        return values

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
        with torch.enable_grad(), thorough():
            point.requires_grad_()
            values = self(point, *fixed)
            found = None
            if values.requires_grad:
                (found,) = torch.autograd.grad(values.sum(), point, allow_unused=True)
        if found is None:
            what = "anchor" if self.space == "input" else "latent code"
            raise ModelError(
                "target",
                self.where,
                f"differentiable with respect to the {what}",
                f"{self.target.label!r}, whose value has no gradient there",
                "Use torch functions in model and target, or a black-box method such as Occlusion.",
            )

    @classmethod
    def ask(cls, target: Any, model: Any, space: str, seed: int, where: str) -> Question:
        """Return the question that the arguments of an adapter stand for (see ``resolve``)."""
        return cls(resolve(target, model, where), model, space, seed, where)
