"""From bounded, quantised values to the real line and back, the change of volume counted."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from pxgen_plugins.utils import validation
from pxgen_plugins.utils.errors import ParameterError, caller

__all__ = ["Logit"]


@dataclass(frozen=True)
class Logit:
    """The step in front of flows of images (Dinh, Sohl-Dickstein and Bengio 2017, section 4.1).

    A value is put on (0, 1). A quantised one gets uniform noise of one step, as in training, but
    the same for all instances, so that results repeat and no comparison gains variance. Then comes
    the logit of alpha / 2 + (1 - alpha) value.

    Args:
        levels: Number of values that pixels take, as in 256; None for continuous data.
        alpha: Keeps the logit finite at the ends, in (0, 1); None leaves it out.
        seed: Seed of the noise.

    Raises:
        ParameterError: When an argument is not allowed.

    Example:
        >>> step = Logit(256, 1e-5)
        >>> y, volume = step.forward(torch.zeros(1, 2), (0.0, 1.0))
        >>> bool((y < Logit(None, 1e-5).forward(torch.full((1, 2), 1 / 256), (0.0, 1.0))[0]).all())
        True
        >>> step.inverse(y, (0.0, 1.0)).abs().max().item() < 1e-6
        True
    """

    levels: int | None = None
    alpha: float | None = None
    seed: int = 0

    @caller("Logit")
    def __post_init__(self) -> None:
        if self.levels is not None:
            validation.integer(self.levels, "levels", minimum=2)
        if self.alpha is not None:
            validation.real(self.alpha, "alpha", above=0.0, below=1.0)
        validation.integer(self.seed, "seed", minimum=0)
        if self.levels is None and self.alpha is None:
            hint = "Pass levels=256, alpha=1e-5 or both."
            raise ParameterError("levels", "given, or alpha", "None for both", hint)

    def forward(self, x: Tensor, bounds: tuple[float, float]) -> tuple[Tensor, Tensor]:
        """Return values for the flow, and log |dy/dx| of each instance, (n,)."""
        scale, offset = self._affine(x, bounds)
        y = x * scale + offset
        volume = torch.full_like(y, math.log(scale))
        if self.alpha is not None:
            y = self.alpha / 2 + (1 - self.alpha) * y
            volume = volume + math.log(1 - self.alpha) - y.log() - (1 - y).log()
            y = y.logit()
        return y, volume.flatten(1).sum(1)

    def inverse(self, y: Tensor, bounds: tuple[float, float]) -> Tensor:
        """Return instances for values of the flow."""
        if self.alpha is not None:
            y = (y.sigmoid() - self.alpha / 2) / (1 - self.alpha)
        scale, offset = self._affine(y, bounds)
        return (y - offset) / scale

    def _affine(self, x: Tensor, bounds: tuple[float, float]) -> tuple[float, Tensor | float]:
        low, high = bounds
        if self.levels is None:
            return 1.0 / (high - low), -low / (high - low)
        generator = torch.Generator().manual_seed(self.seed)
        noise = torch.rand(x.shape[1:], generator=generator, dtype=torch.float32)
        scale = (self.levels - 1) / (self.levels * (high - low))
        return scale, noise.to(x.device, x.dtype) / self.levels - low * scale
