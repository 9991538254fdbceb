"""Edges of one orientation."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from pxgen_plugins.concepts.base import RangedConcept, intensity
from pxgen_plugins.utils import validation
from pxgen_plugins.utils.errors import caller

__all__ = ["Edge"]

ORIENTATIONS = ("any", "horizontal", "vertical", "rising", "falling")
_ACROSS = {"horizontal": (0.0, 1.0), "vertical": (1.0, 0.0), "rising": (0.5**0.5, 0.5**0.5),
           "falling": (-(0.5**0.5), 0.5**0.5)}  # fmt: skip  # x, y of the gradient, y downwards
_SHARE = 0.3  # of the range, from which a gradient is an edge
_COSINE = 0.9239  # of 22.5 degrees: four orientations share the circle


class Edge(RangedConcept):
    """Pixels where the luminance changes quickly, across one orientation.

    By Sobel's gradient, scaled so that a step from 0 to 1 has a gradient of 1. An edge is
    horizontal when its gradient points up or down within 22.5 degrees; ``"rising"`` edges run
    from the lower left to the upper right.

    Args:
        orientation: ``"any"``, ``"horizontal"``, ``"vertical"``, ``"rising"`` or ``"falling"``.
        value: Gradient from which it is an edge, in units of the data per pixel; None takes 30% of
            the range.
        width: Soft border of ``value``, as for :class:`~pxgen_plugins.concepts.Threshold`.
        data_range: Lowest and highest value of an instance, where ``value`` is None; None takes the
            model's, where an adapter knows it, else (0, 1), and refuses instances outside.
        label: Name; None makes one.

    Example:
        >>> image = torch.zeros(1, 1, 6, 6)
        >>> image[:, :, 3:] = 1.0
        >>> Edge("horizontal")(image)[0, :, 3].tolist(), Edge("vertical")(image).sum().item()
        ([0.0, 0.0, 1.0, 1.0, 0.0, 0.0], 0.0)
    """

    def __init__(
        self,
        orientation: str = "any",
        value: float | None = None,
        *,
        width: float = 0.0,
        data_range: tuple[float, float] | None = None,
        label: str | None = None,
    ) -> None:
        with caller("Edge"):
            self.orientation = validation.choice(orientation, "orientation", ORIENTATIONS)
            self.value = None if value is None else validation.real(value, "value", above=0.0)
            super().__init__(data_range)
            self.width = validation.real(width, "width", minimum=0.0)
        self.label = label or ("edge" if orientation == "any" else f"{orientation} edge")

    @property
    def differentiable(self) -> bool:  # type: ignore[override]  # of an instance, by its width
        """Whether the border is soft."""
        return self.width > 0

    def __call__(self, x: Tensor) -> Tensor:
        """Return masks (n, height, width)."""
        value = self.value
        if value is None:
            low, high = self.range_of(x)
            value = _SHARE * (high - low)
        image = F.pad(intensity(x)[:, None], (1, 1, 1, 1), mode="replicate")
        smooth = torch.tensor([1.0, 2.0, 1.0], dtype=image.dtype, device=image.device) / 8
        slope = torch.tensor([-1.0, 0.0, 1.0], dtype=image.dtype, device=image.device)
        kernels = torch.stack([torch.outer(smooth, slope), torch.outer(slope, smooth)])[:, None]
        across = 2.0 * F.conv2d(image, kernels)
        size = across.square().sum(1).clamp_min(1e-12).sqrt()
        if self.orientation == "any":
            kept = torch.ones_like(size)
        else:
            towards = torch.tensor(_ACROSS[self.orientation], dtype=x.dtype, device=x.device)
            cosine = (across * towards[:, None, None]).sum(1).abs() / size
            kept = (cosine > _COSINE).to(x.dtype)
        if self.width > 0:
            return kept * ((size - value) / self.width).sigmoid()
        return kept * (size > value).to(x.dtype)
