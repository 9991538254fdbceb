"""A model run in bfloat16, with results in float32."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

__all__ = ["Halved"]


class Halved:
    """A model whose methods run under autocast to bfloat16 and return float32.

    Only the model: criteria computed in bfloat16 would collapse to its 8 bits, and tie at
    thresholds.

    Args:
        model: Any model.
        device_type: As torch names it, "cpu" or "cuda".
    """

    def __init__(self, model: Any, device_type: str) -> None:
        self._model = model
        self._device_type = device_type

    def __getattr__(self, name: str) -> Any:
        return getattr(self._model, name)

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return mean and log variance of the posterior."""
        with self._autocast():
            mean, log_var = self._model.encode(x)
        return mean.float(), log_var.float()

    def decode(self, z: Tensor) -> Tensor:
        """Return instances for latent codes."""
        with self._autocast():
            return torch.as_tensor(self._model.decode(z)).float()

    def reconstruct(self, x: Tensor) -> Tensor:
        """Return what the model makes of ``x``."""
        with self._autocast():
            return torch.as_tensor(self._model.reconstruct(x)).float()

    def _autocast(self) -> torch.autocast:
        return torch.autocast(self._device_type, torch.bfloat16)
