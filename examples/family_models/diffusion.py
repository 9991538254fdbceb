"""A diffusion model of MNIST: a small convolutional network that predicts noise, 1,000 timesteps.

The network is that of Yichi Zhang (2024, github.com/Yichizz/hot_vs_cold_diffusion, MIT).
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from family_models.common import Family, beside, digits, greys, strangers
from pxgen_plugins.models import Diffusion


class NoiseNet(nn.Module):
    """Convolutions of 7 x 7 on 28 x 28 images in [-0.5, 0.5]; time enters after the first."""

    def __init__(self) -> None:
        super().__init__()
        widths = (1, 16, 32, 32, 16)
        self.blocks: Any = nn.ModuleList(
            nn.ModuleDict(
                {
                    "net": nn.Sequential(
                        nn.Conv2d(before, after, 7, padding=3),
                        nn.LayerNorm((after, 28, 28)),
                        nn.GELU(),
                    )
                }
            )
            for before, after in pairwise(widths)
        )
        self.blocks.append(nn.Conv2d(16, 1, 3, padding=1))
        sizes = (32, 128, 128, 128, 16)
        layers: list[nn.Module] = []
        for before, after in pairwise(sizes):
            layers += [nn.Linear(before, after), nn.GELU()]
        self.time_embed = nn.Sequential(*layers[:-1])
        self.frequencies: Tensor
        self.register_buffer("frequencies", torch.zeros(16))

    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        """Return the noise in ``x`` at times ``t`` in [0, 1]."""
        phases = t[:, None] * self.frequencies
        time = self.time_embed(torch.cat([phases.sin(), phases.cos() - 1.0], 1))
        x = self.blocks[0]["net"](x) + time[:, :, None, None]
        for block in self.blocks[1:-1]:
            x = block["net"](x)
        noise: Tensor = self.blocks[-1](x)
        return noise


def load(state: dict[str, Tensor], **settings: Any) -> Diffusion:
    """Return the model behind the tensors of a checkpoint.

    Args:
        state: ``gt.*``, the network's weights; ``alpha_t``, the signal left after t = 0 to 1,000.
        settings: Further arguments of :class:`~pxgen_plugins.models.Diffusion`.
    """
    net = NoiseNet()
    net.load_state_dict({k[3:]: v for k, v in state.items() if k.startswith("gt.")})
    steps = len(state["alpha_t"]) - 1
    return Diffusion(
        lambda x, t: net(x, (t + 1) / steps),
        sample_shape=(1, 28, 28),
        data_range=(-0.5, 0.5),
        schedule=state["alpha_t"][1:].double(),
        modules=net,
        **settings,
    )


def build() -> Family:
    """Return the published model of MNIST, with 25 steps, and what it is tried on."""
    model = load(load_file(beside("models", "yichizz_mnist_ddpm.safetensors")), steps=25)
    x = digits(200, low=-0.5)
    return Family(
        model,
        ["denoising_loss", "prior_nll", "typicality"],
        ["mse", "fvu", "ssim"],
        x,
        strangers(x, -0.5, 0.5) | greys(200, -0.5),
    )
