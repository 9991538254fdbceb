"""The published beta-VAE on CIFAR airplanes, where its checkpoints lie beside the repository."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from pxgen_plugins.models import VAE

__all__ = ["CHECKPOINTS", "FOLDER", "STEPS", "AirplaneNet", "airplane_vae", "airplanes"]

FOLDER = Path(__file__).resolve().parents[2].parent / "shared"
STEPS = (50_000, 500_000, 1_000_000, 1_500_000)
CHECKPOINTS = [str(FOLDER / "models" / f"tracin_cifar_airplane_{n}.safetensors") for n in STEPS]


class AirplaneNet(nn.Module):
    """Higgins' beta-VAE for 3 x 64 x 64 with 64 latent dimensions; the sigmoid stands outside."""

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
        mean, log_var = self.encoder(x).chunk(2, dim=1)
        return mean, log_var

    def decode(self, z: Tensor) -> Tensor:
        images: Tensor = self.decoder(z).sigmoid()
        return images


def airplane_vae() -> VAE:
    """Return the last checkpoint as a model."""
    from safetensors.torch import load_file

    net = AirplaneNet()
    net.load_state_dict(load_file(CHECKPOINTS[-1]))
    return VAE(net.encode, net.decode, latent_shape=(64,), sample_shape=(3, 64, 64))


def airplanes(n: int) -> np.ndarray:
    """Return the first ``n`` training airplanes, enlarged to 64 x 64, float32 in [0, 1]."""
    with np.load(FOLDER / "data" / "cifar10_airplane_train.npz", allow_pickle=False) as file:
        small = file["airplane_train"][:n]
    x = torch.from_numpy(small).permute(0, 3, 1, 2).float() / 255.0
    grown = nn.functional.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)
    return grown.numpy()
