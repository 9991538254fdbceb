"""Masks of a renderer whose factors are known."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

from pxgen_plugins.concepts.base import Concept, masks_of
from pxgen_plugins.utils import validation
from pxgen_plugins.utils.errors import caller

__all__ = ["FromFactors"]


class FromFactors(Concept):
    """What a renderer draws for the factors that are read off an instance.

    For data whose making is known, as dSprites: ``factors`` reads position, size and shape off the
    instances, ``renderer`` draws the mask that they stand for.

    Args:
        factors: From instances (n, *sample_shape) to factors (n, f).
        renderer: From factors (n, f) to masks (n, height, width) in [0, 1].
        label: Name.
        differentiable: Whether both functions are.

    Example:
        >>> import torch
        >>> concept = FromFactors(lambda x: x.flatten(1).mean(1, keepdim=True),
        ...                       lambda f: f[:, :, None].expand(-1, 2, 2), "grey")
        >>> concept(torch.full((1, 1, 2, 2), 0.5)).tolist()
        [[[0.5, 0.5], [0.5, 0.5]]]
    """

    def __init__(
        self,
        factors: Callable[[Tensor], Tensor],
        renderer: Callable[[Tensor], Tensor],
        label: str = "rendered",
        *,
        differentiable: bool = False,
    ) -> None:
        with caller("FromFactors"):
            self.factors = validation.function(factors, "factors", "instances -> factors")
            self.renderer = validation.function(renderer, "renderer", "factors -> masks")
            self._differentiable = validation.boolean(differentiable, "differentiable")
        self.label = label

    @property
    def differentiable(self) -> bool:  # type: ignore[override]  # as the user says
        """Whether the masks have a gradient."""
        return self._differentiable

    def __call__(self, x: Tensor) -> Tensor:
        """Return masks (n, height, width)."""
        return masks_of(self.renderer(self.factors(x)), len(x), self.label)
