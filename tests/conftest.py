"""Small models and data that many tests share."""

from __future__ import annotations

import contextlib
import importlib
import sys
from collections.abc import Callable
from types import ModuleType

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from pxgen_plugins.models import VAE

# The environment with TensorFlow has no hypothesis.
with contextlib.suppress(ImportError):
    from hypothesis import settings

    # A property holds or it does not: how long a busy machine takes for it is none.
    settings.register_profile("no deadline", deadline=None)
    settings.load_profile("no deadline")


class TinyNet(nn.Module):
    """A seeded convolutional VAE for 8 x 8 images, 3 latent dimensions, with dropout."""

    def __init__(self, seed: int = 0, channels: int = 1) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(channels, 4, 3, stride=2, padding=1), nn.ReLU(), nn.Flatten(), nn.Dropout(0.5)
        )
        self.mean = nn.Linear(64, 3)
        self.log_var = nn.Linear(64, 3)
        self.out = nn.Linear(3, 64 * channels)
        self.channels = channels
        generator = torch.Generator().manual_seed(seed)
        with torch.no_grad():
            for parameter in self.parameters():
                parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.3)

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        hidden = self.body(x)
        return self.mean(hidden), self.log_var(hidden)

    def decode(self, z: Tensor) -> Tensor:
        return torch.sigmoid(self.out(z)).reshape(-1, self.channels, 8, 8)


def tiny_vae(seed: int = 0, channels: int = 1) -> VAE:
    net = TinyNet(seed, channels)
    return VAE(
        net,
        latent_shape=(3,),
        sample_shape=(channels, 8, 8),
    )


@pytest.fixture
def net() -> TinyNet:
    return TinyNet()


@pytest.fixture
def vae() -> VAE:
    return tiny_vae()


@pytest.fixture
def images() -> NDArray[np.float32]:
    return np.random.default_rng(0).random((60, 1, 8, 8), dtype=np.float32)


@pytest.fixture
def example() -> Callable[[str], ModuleType]:
    """Import a script of ``examples/`` anew, by its name; the folder is on pytest's path."""

    def load(name: str) -> ModuleType:
        sys.modules.pop(name, None)
        return importlib.import_module(name)

    return load
