"""Tiny deterministic models, for checks and examples."""

from __future__ import annotations

import copy
from collections.abc import Iterable

import torch
from torch import Tensor

from pxgen_plugins.models.base import GenerativeModel

__all__ = ["AbleModel", "EchoModel", "LinearModel", "noise"]


class LinearModel(GenerativeModel):
    """A linear autoencoder of 8 x 8 images with three latent dimensions; weights are seeded.

    Deterministic, differentiable, values in [0, 1].

    Example:
        >>> LinearModel().sample(2, seed=0).shape
        torch.Size([2, 1, 8, 8])
    """

    capabilities = frozenset({"sample", "encode", "decode", "reconstruct"})
    sample_shape = (1, 8, 8)
    latent_shape = (3,)
    data_range = (0.0, 1.0)

    def __init__(self) -> None:
        generator = torch.Generator().manual_seed(11)
        self._down = torch.randn(64, 3, generator=generator) / 4
        self._up = torch.randn(3, 64, generator=generator)

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return mean and log variance, each (n, 3)."""
        codes = (x.flatten(1) - 0.5) @ self._down.to(x.dtype)
        return codes, -1.0 - 0.1 * codes.square()

    def decode(self, z: Tensor) -> Tensor:
        """Return images (n, 1, 8, 8) in [0, 1]."""
        return (z @ self._up.to(z.dtype)).sigmoid().reshape(-1, 1, 8, 8)

    def reconstruct(self, x: Tensor) -> Tensor:
        """Return the decoded means of ``x``."""
        return self.decode(self.encode(x)[0])

    def sample(self, n: int, seed: int) -> Tensor:
        """Return ``n`` decoded draws from N(0, I)."""
        generator = torch.Generator().manual_seed(seed)
        return self.decode(torch.randn(n, 3, generator=generator))


class AbleModel(LinearModel):
    """A :class:`LinearModel` that can do everything a criterion may ask for.

    Example:
        >>> AbleModel().codes(torch.ones(2, 1, 8, 8)).shape
        torch.Size([2, 3])
    """

    capabilities = LinearModel.capabilities | {
        "embed", "codes", "log_prob", "noise_loss", "score", "token_loss", "continuation",
        "prompt",
    }  # fmt: skip
    empty_prompt = ""
    prompt = "sharp"

    def bind(self, prompt: str) -> AbleModel:
        """Return the model under another prompt; without one, noise is twice as large."""
        other = copy.copy(self)
        other.prompt = prompt
        return other

    def embed(self, x: Tensor) -> Tensor:
        """Return the posterior means."""
        return self.encode(x)[0]

    def codes(self, x: Tensor) -> Tensor:
        """Return the signs of the means as indices into a codebook of two."""
        return (self.embed(x) > 0).long()

    def log_prob(self, x: Tensor) -> Tensor:
        """Return the log density of the means under N(0, I) less the squared error."""
        code = self.embed(x)
        error = (x - self.decode(code)).square().flatten(1).sum(1)
        return -0.5 * code.square().sum(1) - error

    def noise_loss(self, x: Tensor, t: float, seed: int) -> Tensor:
        """Return the squared error of the reconstruction of noisy ``x``."""
        gauss = torch.randn(x.shape[1:], generator=torch.Generator().manual_seed(seed))
        t = t if self.prompt else 2 * t
        noisy = (1.0 - t) * x + t * gauss.to(x.device, x.dtype)
        return (self.reconstruct(noisy) - x).square().flatten(1).mean(1)

    def score(self, x: Tensor) -> Tensor:
        """Return minus the squared error."""
        return -(self.reconstruct(x) - x).square().flatten(1).mean(1)

    def token_loss(self, x: Tensor) -> Tensor:
        """Return the mean squared pixel."""
        return x.square().flatten(1).mean(1)

    def continuation(self, x: Tensor) -> list[tuple[Tensor, Tensor]]:
        """Return the last rows, black and white, of the instance and of its reconstruction."""
        own, other = (part.flatten(1)[:, -16:] > 0.5 for part in (x, self.reconstruct(x)))
        return list(zip(own.long(), other.long(), strict=True))


class EchoModel(GenerativeModel):
    """Gives back its input, blended with a checkerboard; its latent codes are the pixels.

    Args:
        sample_shape: Shape of one instance.
        data_range: Its lowest and highest value.
        blend: 0 reconstructs exactly, 1 gives the checkerboard whatever comes in.
        code: Value added to the latent mean, so that a large one is far from the prior.
        capabilities: What it declares.
    """

    def __init__(
        self,
        sample_shape: tuple[int, ...] = (1, 8, 8),
        data_range: tuple[float, float] | None = (0.0, 1.0),
        *,
        blend: float = 0.0,
        code: float = 0.0,
        capabilities: Iterable[str] = ("encode", "decode", "reconstruct"),
    ) -> None:
        self.sample_shape = sample_shape
        self.latent_shape = sample_shape
        self.data_range = data_range
        self.capabilities = frozenset(capabilities)
        self._blend = blend
        self._code = code

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return the pixels as mean, with a vanishing variance; with ``code``, N(code, 1)."""
        if self._code:
            return torch.full_like(x, self._code), torch.zeros_like(x)
        return x, torch.full_like(x, -30.0)

    def decode(self, z: Tensor) -> Tensor:
        """Return ``z`` blended with the checkerboard."""
        low, high = self.data_range or (-1.0, 1.0)
        flat = torch.arange(z[0].numel(), device=z.device) % 2
        board = (low + (high - low) * flat).to(z.dtype).reshape(z.shape[1:])
        return (1.0 - self._blend) * z + self._blend * board

    def reconstruct(self, x: Tensor) -> Tensor:
        """Return the decoded ``x``."""
        return self.decode(x)


def noise(model: GenerativeModel, n: int, seed: int = 0) -> Tensor:
    """Return ``n`` instances of uniform noise inside the model's range, as the model takes them.

    Example:
        >>> noise(LinearModel(), 2).shape
        torch.Size([2, 1, 8, 8])
    """
    low, high = model.data_range or (-1.0, 1.0)
    generator = torch.Generator().manual_seed(seed)
    shape = model.sample_shape or model.sample(1, 0).shape[1:]
    # inside the range by a margin, so that a small step of a finite difference stays inside
    x = 0.05 + 0.9 * torch.rand(n, *shape, generator=generator)
    return (low + (high - low) * x).to(model.device, model.dtype)
