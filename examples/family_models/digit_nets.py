"""Small convolutional networks for 28 x 28 images, which several families are made of."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

__all__ = ["VQVAE", "Autoencoder", "ConditionalVAE", "coder", "decoder", "evidence"]


def coder(inputs: int, outputs: int) -> nn.Sequential:
    """Return a network from images (n, inputs, 28, 28) to vectors (n, outputs)."""
    return nn.Sequential(
        nn.Conv2d(inputs, 16, 4, 2, 1),
        nn.ReLU(),
        nn.Conv2d(16, 32, 4, 2, 1),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(32 * 49, outputs),
    )


def decoder(inputs: int) -> nn.Sequential:
    """Return a network from vectors (n, inputs) to images (n, 1, 28, 28) in [0, 1]."""
    return nn.Sequential(
        nn.Linear(inputs, 32 * 49),
        nn.ReLU(),
        nn.Unflatten(1, (32, 7, 7)),
        nn.ConvTranspose2d(32, 16, 4, 2, 1),
        nn.ReLU(),
        nn.ConvTranspose2d(16, 1, 4, 2, 1),
        nn.Sigmoid(),
    )


def evidence(
    x: Tensor, rebuilt: Tensor, mean: Tensor, log_var: Tensor, beta: float = 1.0
) -> Tensor:
    """Return the mean negative evidence bound, Bernoulli pixels, nats; beta weighs the KL."""
    error = functional.binary_cross_entropy(rebuilt, x, reduction="none").flatten(1).sum(1)
    divergence = 0.5 * (mean.square() + log_var.exp() - 1 - log_var).flatten(1).sum(1)
    return (error + beta * divergence).mean()


class ConditionalVAE(nn.Module):
    """A VAE (Sohn et al. 2015) whose encoder and decoder are told the digit."""

    def __init__(self, latent_size: int = 8) -> None:
        super().__init__()
        self.encoder = coder(11, 2 * latent_size)
        self.decoder = decoder(latent_size + 10)

    def encode(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        """Return mean and log variance for images (n, 1, 28, 28) and digits (n,)."""
        planes = functional.one_hot(y, 10).to(x.dtype)[:, :, None, None].expand(-1, -1, 28, 28)
        mean, log_var = self.encoder(torch.cat([x, planes], 1)).chunk(2, 1)
        return mean, log_var

    def decode(self, z: Tensor, y: Tensor) -> Tensor:
        """Return images for codes and digits."""
        rebuilt: Tensor = self.decoder(torch.cat([z, functional.one_hot(y, 10).to(z.dtype)], 1))
        return rebuilt

    def loss(self, x: Tensor, y: Tensor, noise: Any) -> Tensor:
        """Return the loss of a batch; ``noise(shape)`` draws from N(0, I)."""
        mean, log_var = self.encode(x, y)
        z = mean + (0.5 * log_var).exp() * noise(mean.shape)
        return evidence(x, self.decode(z, y), mean, log_var)


class Autoencoder(nn.Module):
    """A plain autoencoder trained on the squared error."""

    def __init__(self, latent_size: int = 16) -> None:
        super().__init__()
        self.encoder, self.decoder = coder(1, latent_size), decoder(latent_size)

    def encode(self, x: Tensor) -> Tensor:
        """Return the codes of images."""
        code: Tensor = self.encoder(x)
        return code

    def decode(self, z: Tensor) -> Tensor:
        """Return the images of codes."""
        rebuilt: Tensor = self.decoder(z)
        return rebuilt

    def loss(self, x: Tensor, y: Tensor, noise: Any) -> Tensor:
        """Return the loss of a batch."""
        return (self.decode(self.encode(x)) - x).square().flatten(1).sum(1).mean()


class VQVAE(nn.Module):
    """A VQ-VAE (van den Oord et al. 2017) of 7 x 7 codes out of 64 entries of 8 dimensions."""

    def __init__(self, entries: int = 64, size: int = 8) -> None:
        super().__init__()
        self.encoder = nn.Sequential(
            nn.Conv2d(1, 16, 4, 2, 1), nn.ReLU(), nn.Conv2d(16, 32, 4, 2, 1), nn.ReLU(),
            nn.Conv2d(32, size, 1),
        )  # fmt: skip
        self.codebook = nn.Embedding(entries, size)
        nn.init.normal_(self.codebook.weight, std=0.1)
        self.decoder = nn.Sequential(
            nn.Conv2d(size, 32, 3, 1, 1), nn.ReLU(),
            nn.ConvTranspose2d(32, 16, 4, 2, 1), nn.ReLU(),
            nn.ConvTranspose2d(16, 1, 4, 2, 1), nn.Sigmoid(),
        )  # fmt: skip

    def encode(self, x: Tensor) -> Tensor:
        """Return the latents before quantisation, (n, size, 7, 7)."""
        latents: Tensor = self.encoder(x)
        return latents

    def decode(self, z: Tensor) -> Tensor:
        """Return the images of quantised latents."""
        rebuilt: Tensor = self.decoder(z)
        return rebuilt

    def loss(self, x: Tensor, y: Tensor, noise: Any) -> Tensor:
        """Return the loss of a batch: error, codebook and 0.25 times commitment."""
        z = self.encode(x)
        flat = z.movedim(1, -1)
        index = torch.cdist(flat.reshape(-1, flat.shape[-1]), self.codebook.weight).argmin(1)
        entries = self.codebook(index).reshape(flat.shape).movedim(-1, 1)
        rebuilt = self.decode(z + (entries - z).detach())
        error = (rebuilt - x).square().flatten(1).sum(1).mean()
        book = (entries - z.detach()).square().flatten(1).sum(1).mean()
        commitment = (entries.detach() - z).square().flatten(1).sum(1).mean()
        total: Tensor = error + book + 0.25 * commitment
        return total
