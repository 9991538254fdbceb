"""Pixels above or below a value: ink, dark, bright."""

from __future__ import annotations

from torch import Tensor

from pxgen_plugins.concepts.base import Concept, intensity
from pxgen_plugins.utils import validation
from pxgen_plugins.utils.errors import caller

__all__ = ["Threshold"]


class Threshold(Concept):
    """Pixels whose luminance lies above ``value``, or below it.

    Args:
        value: In units of the data.
        below: Take those below it.
        width: Soft border: sigmoid((luminance - value) / width); 0 gives hard masks, which have no
            gradient.
        label: Name; None makes one.

    Example:
        >>> import torch
        >>> Threshold(0.5)(torch.tensor([[[0.2, 0.9]]])).tolist()
        [[[0.0, 1.0]]]
    """

    def __init__(
        self, value: float, *, below: bool = False, width: float = 0.0, label: str | None = None
    ) -> None:
        with caller("Threshold"):
            self.value = validation.real(value, "value")
            self.below = validation.boolean(below, "below")
            self.width = validation.real(width, "width", minimum=0.0)
        self.label = label or f"luminance {'<' if below else '>'} {self.value:g}"

    @property
    def differentiable(self) -> bool:  # type: ignore[override]  # of an instance, by its width
        """Whether the border is soft."""
        return self.width > 0

    def __call__(self, x: Tensor) -> Tensor:
        """Return masks (n, height, width)."""
        above = (intensity(x) - self.value) * (-1.0 if self.below else 1.0)
        return (above / self.width).sigmoid() if self.width > 0 else (above > 0).to(x.dtype)
