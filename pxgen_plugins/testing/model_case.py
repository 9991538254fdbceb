"""The case that the suite for models runs on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from pxgen_plugins.models.base import capabilities
from pxgen_plugins.testing.checks import expect, skip

__all__ = ["ON_INSTANCES", "SCALARS", "ModelCase"]

_ROWS = 6
SCALARS = ("log_prob", "noise_loss", "score", "token_loss")
ON_INSTANCES = ("encode", "embed", "codes", "reconstruct", *SCALARS, "values")


@dataclass(frozen=True)
class ModelCase:
    """A model to check.

    Args:
        name: Name of the case.
        model: The model.
        modules: The torch modules behind it, whose flags and gradients must stay as they are.
        expected_failures: Reasons, by name of the checks that fail today.
    """

    name: str
    model: Any
    modules: tuple[nn.Module, ...] = ()
    expected_failures: Mapping[str, str] = field(default_factory=dict)

    def needs(self, *names: str) -> None:
        """Skip the running check unless the model declares all of ``names``."""
        missing = [name for name in names if name not in capabilities(self.model)]
        if missing:
            skip(f"the model declares no {', '.join(missing)}")

    def x(self, n: int = _ROWS) -> Tensor:
        """Return ``n`` instances of noise in the model's range, as it takes them."""
        shape = self.model.sample_shape
        if shape is None:
            self.needs("sample")
            return torch.as_tensor(self.model.sample(n, 5)).detach()
        low, high = self.model.data_range or (-1.0, 1.0)
        uniform = torch.rand(n, *shape, generator=torch.Generator().manual_seed(0))
        return (low + (high - low) * uniform).to(self.model.device, self.model.dtype)

    def z(self, n: int = _ROWS) -> Tensor:
        """Return ``n`` standard normal latent codes."""
        shape = self.model.latent_shape
        expect(shape is not None, "the model has a latent space, but no latent_shape")
        codes = torch.randn(n, *shape, generator=torch.Generator().manual_seed(0))
        return codes.to(self.model.device, self.model.dtype)

    def use(self) -> None:
        """Call everything that the model declares, once."""
        have = capabilities(self.model)
        if "sample" in have:
            self.model.sample(2, 0)
        if "decode" in have:
            self.model.decode(self.z(2))
        for name in ON_INSTANCES:
            if name in have:
                self.model_on(name, self.x(2))

    def model_on(self, name: str, x: Tensor) -> Any:
        """Return what the method behind a capability gives for a batch."""
        method = getattr(self.model, name)
        return method(x, 0.5, 0) if name == "noise_loss" else method(x)
