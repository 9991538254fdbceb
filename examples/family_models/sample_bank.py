"""Pictures of digits and nothing else: 20,000 samples of the shipped GAN, as a stored array."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from family_models.common import Family, digits, greys, strangers
from pxgen_plugins.datasets import load_mnist_gan
from pxgen_plugins.models import SampleBank

N_BANK = 20_000


def build() -> Family:
    """Return the model and what it is tried on."""
    x = digits(500)
    return Family(
        SampleBank(pictures()),
        ["sample_rank", "density", "realism"],
        ["nearest_sample"],
        x,
        strangers(x) | {"rotated": np.rot90(x, axes=(2, 3)).copy()} | greys(500),
    )


def pictures() -> NDArray[np.uint8]:
    """Return what a remote interface would have sent, uint8 of shape (n, 1, 28, 28)."""
    generator = load_mnist_gan().generator
    z = torch.randn(N_BANK, generator.latent_size, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        images = torch.cat([generator(part) for part in torch.split(z, 500)])
    pixels: NDArray[np.uint8] = (images * 255).round().byte().numpy()
    return pixels
