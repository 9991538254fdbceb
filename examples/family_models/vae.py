"""The VAE of MNIST zeros that ships with the package."""

from __future__ import annotations

from family_models.common import Family, digits, greys, strangers
from pxgen_plugins.datasets import load_mnist_vae
from pxgen_plugins.models import wrap


def build() -> Family:
    """Return the model and what it is tried on."""
    x = digits(500, digits=0)
    others = {"other digits": digits(500, digits=range(1, 10))}
    return Family(
        wrap(load_mnist_vae(), sample_shape=(1, 28, 28)),
        ["kld", "mahalanobis", "elbo", "latent_neighbours"],
        ["mse", "fvu", "bce", "ssim", "patch_frechet"],
        x,
        others | strangers(x) | greys(500),
        digits(2_000, "train", 0),
    )
