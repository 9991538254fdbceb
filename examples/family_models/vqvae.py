"""A VQ-VAE of MNIST: 7 x 7 codes out of 64 entries."""

from __future__ import annotations

from typing import Any

import torch

from family_models.common import Family, digits, greys, stored_weights, strangers
from family_models.digit_nets import VQVAE as Net
from pxgen_plugins.models import VQVAE


def build() -> Family:
    """Return the model, which draws each position's code as often as training images have it."""
    net = Net()
    net.load_state_dict(stored_weights("vqvae"))
    common: dict[str, Any] = {
        "latent_shape": (8, 7, 7),
        "sample_shape": (1, 28, 28),
    }
    reference = digits(5_000, "train")
    with torch.no_grad():
        plain = VQVAE(net, **common)
        codes = plain.codes(torch.from_numpy(reference))
    model = VQVAE(net, prior=codes, **common)
    x = digits()
    return Family(
        model,
        ["code_usage", "aggregate_mahalanobis", "latent_neighbours"],
        ["mse", "fvu", "ssim"],
        x,
        strangers(x) | greys(500),
        reference,
    )
