"""Networks of published VAEs, whose weights may lie beside the repository."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

__all__ = ["AirplaneNet", "BurgessNet"]


class BurgessNet(nn.Module):
    """The VAE of Burgess et al. (2018) for 32 x 32 or 64 x 64 images, 10 latent dimensions.

    Its weights are those of Dubois et al. (2019, github.com/YannDubs/disentangling-vae, MIT).

    Args:
        channels: 1 or 3.
        side: 32 or 64.
    """

    def __init__(self, channels: int, side: int) -> None:
        super().__init__()
        self.deep = side == 64
        down: dict[str, nn.Module] = {
            "conv1": nn.Conv2d(channels, 32, 4, 2, 1),
            "conv2": nn.Conv2d(32, 32, 4, 2, 1),
            "conv3": nn.Conv2d(32, 32, 4, 2, 1),
        }
        up: dict[str, nn.Module] = {}
        if self.deep:
            down["conv_64"] = nn.Conv2d(32, 32, 4, 2, 1)
            up["convT_64"] = nn.ConvTranspose2d(32, 32, 4, 2, 1)
        down |= {
            "lin1": nn.Linear(512, 256),
            "lin2": nn.Linear(256, 256),
            "mu_logvar_gen": nn.Linear(256, 20),
        }
        up |= {
            "lin1": nn.Linear(10, 256),
            "lin2": nn.Linear(256, 256),
            "lin3": nn.Linear(256, 512),
            "convT1": nn.ConvTranspose2d(32, 32, 4, 2, 1),
            "convT2": nn.ConvTranspose2d(32, 32, 4, 2, 1),
            "convT3": nn.ConvTranspose2d(32, channels, 4, 2, 1),
        }
        self.encoder: Any = nn.ModuleDict(down)
        self.decoder: Any = nn.ModuleDict(up)

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return mean and log variance, (n, 10) each."""
        for name in ("conv1", "conv2", "conv3", *(["conv_64"] if self.deep else [])):
            x = torch.relu(self.encoder[name](x))
        x = x.view(len(x), -1)
        for name in ("lin1", "lin2"):
            x = torch.relu(self.encoder[name](x))
        mean, log_var = self.encoder["mu_logvar_gen"](x).view(-1, 10, 2).unbind(-1)
        return mean, log_var

    def decode(self, z: Tensor) -> Tensor:
        """Return images in [0, 1]."""
        for name in ("lin1", "lin2", "lin3"):
            z = torch.relu(self.decoder[name](z))
        z = z.view(-1, 32, 4, 4)
        for name in (*(["convT_64"] if self.deep else []), "convT1", "convT2"):
            z = torch.relu(self.decoder[name](z))
        return torch.sigmoid(self.decoder["convT3"](z))


class AirplaneNet(nn.Module):
    """Higgins' beta-VAE for 3 x 64 x 64 with 64 latent dimensions; the sigmoid stands outside.

    Its weights are those of Kong and Chaudhuri (2021, github.com/FengNiMa/VAE-TracIn-pytorch, MIT),
    trained on CIFAR-10's airplanes with beta = 2.
    """

    def __init__(self) -> None:
        super().__init__()
        down: list[nn.Module] = []
        for before, after in ((3, 32), (32, 32), (32, 64), (64, 64)):
            down += [nn.Conv2d(before, after, 4, 2, 1), nn.ReLU()]
        last = [nn.Conv2d(64, 256, 4), nn.ReLU(), nn.Flatten(), nn.Linear(256, 128)]
        self.encoder = nn.Sequential(*down, *last)
        up: list[nn.Module] = [nn.Linear(64, 256), nn.Unflatten(1, (256, 1, 1)), nn.ReLU()]
        up += [nn.ConvTranspose2d(256, 64, 4)]
        for before, after in ((64, 64), (64, 32), (32, 32), (32, 3)):
            up += [nn.ReLU(), nn.ConvTranspose2d(before, after, 4, 2, 1)]
        self.decoder = nn.Sequential(*up)

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return mean and log variance, (n, 64) each."""
        mean, log_var = self.encoder(x).chunk(2, dim=1)
        return mean, log_var

    def decode(self, z: Tensor) -> Tensor:
        """Return images in [0, 1]."""
        images: Tensor = self.decoder(z).sigmoid()
        return images
