"""Small models built by pythae and diffusers, for 28 x 28 images."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from family_models.digit_nets import coder, decoder, evidence

__all__ = ["DiffusersKL", "PythaeBetaVAE"]


class PythaeBetaVAE(nn.Module):
    """pythae's BetaVAE (beta 2) around two small convolutional networks."""

    def __init__(self, latent_size: int = 8) -> None:
        super().__init__()
        from pythae.models import BetaVAE, BetaVAEConfig  # type: ignore[import-untyped]
        from pythae.models.base.base_utils import ModelOutput  # type: ignore[import-untyped]
        from pythae.models.nn import (  # type: ignore[import-untyped]
            BaseDecoder,
            BaseEncoder,
        )

        class Encoder(BaseEncoder):  # type: ignore[misc]
            def __init__(self) -> None:
                super().__init__()
                self.net = coder(1, 2 * latent_size)

            def forward(self, x: Tensor) -> Any:
                mean, log_var = self.net(x).chunk(2, 1)
                return ModelOutput(embedding=mean, log_covariance=log_var)

        class Decoder(BaseDecoder):  # type: ignore[misc]
            def __init__(self) -> None:
                super().__init__()
                self.net = decoder(latent_size)

            def forward(self, z: Tensor) -> Any:
                return ModelOutput(reconstruction=self.net(z))

        config = BetaVAEConfig(
            input_dim=(1, 28, 28), latent_dim=latent_size, beta=2.0, reconstruction_loss="bce"
        )
        self.net = BetaVAE(config, encoder=Encoder(), decoder=Decoder())

    def loss(self, x: Tensor, y: Tensor, noise: Any) -> Tensor:
        """Return pythae's own loss of a batch."""
        total: Tensor = self.net({"data": x}).loss
        return total


class DiffusersKL(nn.Module):
    """diffusers' AutoencoderKL of two stages, trained on the evidence bound; images in [-1, 1]."""

    def __init__(self) -> None:
        super().__init__()
        from diffusers import AutoencoderKL

        self.net: Any = AutoencoderKL(  # type: ignore[no-untyped-call]
            in_channels=1,
            out_channels=1,
            down_block_types=("DownEncoderBlock2D",) * 3,
            up_block_types=("UpDecoderBlock2D",) * 3,
            block_out_channels=(8, 16, 16),
            layers_per_block=1,
            latent_channels=2,
            norm_num_groups=8,
            sample_size=28,
            scaling_factor=1.0,
            mid_block_add_attention=False,
        )

    def loss(self, x: Tensor, y: Tensor, noise: Any) -> Tensor:
        """Return the negative evidence bound of a batch, pixels in [0, 1] as probabilities."""
        posterior = self.net.encode(2 * x - 1).latent_dist
        z = posterior.mean + posterior.std * noise(posterior.mean.shape)
        rebuilt = (0.5 + 0.5 * self.net.decode(z).sample).clamp(1e-3, 1 - 1e-3)
        return evidence(x, rebuilt, posterior.mean, posterior.logvar)


def seeded(build: Any, seed: int) -> nn.Module:
    """Return ``build()`` with weights that ``seed`` fixes; global random state is restored."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        net: nn.Module = build()
    return net
