"""A normalising flow of MNIST: eight affine couplings of gated convolutions.

The network is that of Phillip Lippe (2020, github.com/phlippe/saved_models, MIT), trained on
dequantised images; its author gives 1.078 bits per dimension on the test images.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional

from family_models.common import Family, beside, digits, greys, strangers
from pxgen_plugins.models import Flow
from pxgen_plugins.models.logit import Logit

SHAPE = (1, 28, 28)
WIDTH = 32


def both(x: Tensor) -> Tensor:
    """Return ELU of x and of -x, along the channels."""
    return torch.cat([functional.elu(x), functional.elu(-x)], 1)


class Gated(nn.Module):
    """A residual block whose addition is gated."""

    def __init__(self) -> None:
        super().__init__()
        self.net: Any = nn.ModuleDict(
            {
                "1": nn.Conv2d(2 * WIDTH, WIDTH, 3, padding=1),
                "3": nn.Conv2d(2 * WIDTH, 2 * WIDTH, 1),
            }
        )

    def forward(self, x: Tensor) -> Tensor:
        """Return the activations."""
        value, gate = self.net["3"](both(self.net["1"](both(x)))).chunk(2, 1)
        gated: Tensor = x + value * gate.sigmoid()
        return gated


class Norm(nn.Module):
    """Layer normalisation over the channels."""

    def __init__(self) -> None:
        super().__init__()
        self.gamma = nn.Parameter(torch.ones(1, WIDTH, 1, 1))
        self.beta = nn.Parameter(torch.zeros(1, WIDTH, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        """Return the activations."""
        variance, mean = torch.var_mean(x, 1, unbiased=False, keepdim=True)
        return (x - mean) / (variance + 1e-5).sqrt() * self.gamma + self.beta


class Coupling(nn.Module):
    """An affine coupling: what the mask keeps says how the rest is scaled and shifted."""

    def __init__(self) -> None:
        super().__init__()
        layers: dict[str, nn.Module] = {"0": nn.Conv2d(1, WIDTH, 3, padding=1)}
        for step in (1, 3, 5):
            layers |= {str(step): Gated(), str(step + 1): Norm()}
        layers["8"] = nn.Conv2d(2 * WIDTH, 2, 3, padding=1)
        self.network: Any = nn.ModuleDict({"nn": nn.ModuleDict(layers)})
        self.scaling_factor = nn.Parameter(torch.zeros(1))
        self.mask: Tensor
        self.register_buffer("mask", torch.zeros(1, *SHAPE))

    def _scale_shift(self, z: Tensor) -> tuple[Tensor, Tensor]:
        hidden = z * self.mask
        for name, layer in self.network["nn"].items():
            hidden = layer(both(hidden) if name == "8" else hidden)
        scale, shift = hidden.chunk(2, 1)
        factor = self.scaling_factor.exp().view(1, -1, 1, 1)
        scale = torch.tanh(scale / factor) * factor
        return scale * (1 - self.mask), shift * (1 - self.mask)

    def forward(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """Return what is nearer to the noise, and the log change of volume, (n,)."""
        scale, shift = self._scale_shift(z)
        return (z + shift) * scale.exp(), scale.flatten(1).sum(1)

    def inverse(self, z: Tensor) -> Tensor:
        """Return what is nearer to the image."""
        scale, shift = self._scale_shift(z)
        return z * (-scale).exp() - shift


class DigitFlow(nn.Module):
    """The couplings, one after the other; the first of the published flow dequantises."""

    def __init__(self) -> None:
        super().__init__()
        self.flows: Any = nn.ModuleDict({str(k): Coupling() for k in range(1, 9)})

    def embed(self, x: Tensor) -> Tensor:
        """Return the noise of logits."""
        for flow in self.flows.values():
            x, _ = flow(x)
        return x

    def decode(self, z: Tensor) -> Tensor:
        """Return the logits of noise."""
        for flow in reversed(list(self.flows.values())):
            z = flow.inverse(z)
        return z

    def log_prob(self, x: Tensor) -> Tensor:
        """Return the log density of logits, nats, (n,)."""
        total = torch.zeros(len(x), dtype=x.dtype, device=x.device)
        for flow in self.flows.values():
            x, volume = flow(x)
            total = total + volume
        normal = -0.5 * (x.square() + math.log(2 * math.pi))
        return total + normal.flatten(1).sum(1)


def load(state: dict[str, Tensor], **settings: Any) -> Flow:
    """Return the model behind the tensors of the published checkpoint."""
    net = DigitFlow()
    net.load_state_dict(state)
    return Flow(
        net,
        embed="embed",
        decode="decode",
        sample_shape=SHAPE,
        data_range=(0.0, 1.0),
        preprocess=Logit(levels=256, alpha=1e-5),
        **settings,
    )


def build() -> Family:
    """Return the published model and what it is tried on."""
    model = load(load_file(beside("models", "phlippe_mnist_flow_simple.safetensors")))
    x = digits(300)
    return Family(
        model,
        ["typical_nll", "bits_per_dim", "typicality"],
        ["nearest_sample"],
        x,
        strangers(x) | {"rotated": np.rot90(x, axes=(2, 3)).copy()} | greys(300),
        digits(1_000, "train"),
    )
