"""A convolutional VAE of MNIST, padded to 32 x 32, with 10 latent dimensions (published)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from safetensors.torch import load_file

from family_models.common import Family, beside, digits, greys, strangers
from family_models.published import BurgessNet
from pxgen_plugins.models import VAE


def padded(images: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return 28 x 28 images with a black frame of two pixels."""
    return np.pad(images, ((0, 0), (0, 0), (2, 2), (2, 2)))


def build() -> Family:
    """Return the model and what it is tried on."""
    net = BurgessNet(1, 32)
    net.load_state_dict(load_file(beside("models", "disvae_VAE_mnist.safetensors")))
    x = padded(digits())
    photographs = {name: padded(images) for name, images in greys(500).items()}
    return Family(
        VAE(net, sample_shape=(1, 32, 32)),
        ["kld", "mahalanobis", "elbo"],
        ["mse", "fvu", "bce", "ssim"],
        x,
        strangers(x) | {"rotated": np.rot90(x, axes=(2, 3)).copy()} | photographs,
        padded(digits(2_000, "train")),
    )
