"""Seeded VAEs that the adapters are tested on: an MLP, and convolutions with BatchNorm."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from pxgen_plugins.models import VAE

__all__ = ["ConvNet", "MLPNet", "conv_vae", "mlp_vae"]


def _seeded(net: nn.Module, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in net.named_parameters():
            scale = 0.3 if parameter.ndim > 1 else 0.1
            draw = torch.randn(parameter.shape, generator=generator) * scale
            parameter.copy_(draw + 1.0 if "norm" in name and "weight" in name else draw)
        for name, buffer in net.named_buffers():
            if name.endswith("running_mean"):
                buffer.copy_(torch.randn(buffer.shape, generator=generator) * 0.1)
            elif name.endswith("running_var"):
                buffer.copy_(torch.rand(buffer.shape, generator=generator) + 0.5)


class MLPNet(nn.Module):
    """64-16-(4, 4) / 4-16-64 for images of 1 x 8 x 8."""

    def __init__(self, seed: int = 0, hidden: int = 16) -> None:
        super().__init__()
        self.encoder = nn.Sequential(nn.Flatten(), nn.Linear(64, hidden), nn.LeakyReLU(0.2))
        self.mean = nn.Linear(hidden, 4)
        self.log_var = nn.Linear(hidden, 4)
        self.decoder = nn.Sequential(
            nn.Linear(4, hidden),
            nn.LeakyReLU(0.2),
            nn.Linear(hidden, 64),
            nn.Sigmoid(),
            nn.Unflatten(1, (1, 8, 8)),
        )
        _seeded(self, seed)

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        hidden = self.encoder(x)
        return self.mean(hidden), self.log_var(hidden)

    def decode(self, z: Tensor) -> Tensor:
        images: Tensor = self.decoder(z)
        return images


class ConvNet(nn.Module):
    """Convolutions down, transposed convolutions up, BatchNorm in both, for 1 x 8 x 8."""

    def __init__(self, seed: int = 0, hidden: int = 8) -> None:
        super().__init__()
        self.encoder = nn.Sequential()
        self.encoder.add_module("conv1", nn.Conv2d(1, hidden, 3, 2, 1))
        self.encoder.add_module("norm1", nn.BatchNorm2d(hidden))
        self.encoder.add_module("act1", nn.ReLU())
        self.encoder.add_module("conv2", nn.Conv2d(hidden, hidden, 3, 2, 1))
        self.encoder.add_module("act2", nn.ReLU())
        self.encoder.add_module("flat", nn.Flatten())
        self.mean = nn.Linear(4 * hidden, 4)
        self.log_var = nn.Linear(4 * hidden, 4)
        self.decoder = nn.Sequential()
        self.decoder.add_module("first", nn.Linear(4, 4 * hidden))
        self.decoder.add_module("act0", nn.ReLU())
        self.decoder.add_module("cube", nn.Unflatten(1, (hidden, 2, 2)))
        self.decoder.add_module("up1", nn.ConvTranspose2d(hidden, hidden, 4, 2, 1))
        self.decoder.add_module("norm1", nn.BatchNorm2d(hidden))
        self.decoder.add_module("act1", nn.ReLU())
        self.decoder.add_module("up2", nn.ConvTranspose2d(hidden, 1, 4, 2, 1))
        self.decoder.add_module("out", nn.Sigmoid())
        _seeded(self, seed)

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        hidden = self.encoder(x)
        return self.mean(hidden), self.log_var(hidden)

    def decode(self, z: Tensor) -> Tensor:
        images: Tensor = self.decoder(z)
        return images


def _wrap(net: MLPNet | ConvNet) -> VAE:
    return VAE(net, latent_shape=(4,), sample_shape=(1, 8, 8))


def mlp_vae(seed: int = 0, hidden: int = 16) -> VAE:
    """Return the MLP as a model; the same for the same seed."""
    return _wrap(MLPNet(seed, hidden))


def conv_vae(seed: int = 0, hidden: int = 8) -> VAE:
    """Return the convolutional network as a model; the same for the same seed."""
    return _wrap(ConvNet(seed, hidden))
