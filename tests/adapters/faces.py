"""The published CelebA VAE, where it lies beside the repository, and faces it draws."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from pxgen_plugins.models import VAE

__all__ = ["FACES", "FaceNet", "face_vae", "faces"]

_PATH = Path(__file__).resolve().parents[2].parent / "shared/models/disvae_VAE_celeba.safetensors"
FACES = pytest.mark.skipif(not _PATH.exists(), reason=f"{_PATH} is absent")


class FaceNet(nn.Module):
    """Burgess' VAE for 3 x 64 x 64 with 10 latent dimensions, its activations functional."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.ModuleDict(
            {
                "conv1": nn.Conv2d(3, 32, 4, 2, 1),
                "conv2": nn.Conv2d(32, 32, 4, 2, 1),
                "conv3": nn.Conv2d(32, 32, 4, 2, 1),
                "conv_64": nn.Conv2d(32, 32, 4, 2, 1),
                "lin1": nn.Linear(512, 256),
                "lin2": nn.Linear(256, 256),
                "mu_logvar_gen": nn.Linear(256, 20),
            }
        )
        self.decoder = nn.ModuleDict(
            {
                "lin1": nn.Linear(10, 256),
                "lin2": nn.Linear(256, 256),
                "lin3": nn.Linear(256, 512),
                "convT_64": nn.ConvTranspose2d(32, 32, 4, 2, 1),
                "convT1": nn.ConvTranspose2d(32, 32, 4, 2, 1),
                "convT2": nn.ConvTranspose2d(32, 32, 4, 2, 1),
                "convT3": nn.ConvTranspose2d(32, 3, 4, 2, 1),
            }
        )

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        for name in ("conv1", "conv2", "conv3", "conv_64"):
            x = torch.relu(self.encoder[name](x))
        x = x.view(len(x), -1)
        for name in ("lin1", "lin2"):
            x = torch.relu(self.encoder[name](x))
        mean, log_var = self.encoder["mu_logvar_gen"](x).view(-1, 10, 2).unbind(-1)
        return mean, log_var

    def decode(self, z: Tensor) -> Tensor:
        for name in ("lin1", "lin2", "lin3"):
            z = torch.relu(self.decoder[name](z))
        z = z.view(-1, 32, 4, 4)
        for name in ("convT_64", "convT1", "convT2"):
            z = torch.relu(self.decoder[name](z))
        return torch.sigmoid(self.decoder["convT3"](z))


def face_vae() -> VAE:
    """Return the published model."""
    from safetensors.torch import load_file

    net = FaceNet()
    net.load_state_dict(load_file(str(_PATH)))
    return VAE(net.encode, net.decode, latent_shape=(10,), sample_shape=(3, 64, 64))


def faces(model: VAE, n: int) -> np.ndarray:
    """Return ``n`` faces that the model draws, with a band of noise across each."""
    X = model.sample(n, seed=1).detach().numpy().copy()
    X[:, :, 28:36] = np.random.default_rng(0).random(X[:, :, 28:36].shape)
    return X
