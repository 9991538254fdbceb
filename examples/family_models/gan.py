"""The DCGAN of MNIST that ships with the package, inverted by descent."""

from __future__ import annotations

from family_models.common import Family, digits, greys, strangers
from pxgen_plugins.datasets import load_mnist_gan
from pxgen_plugins.models import GAN
from pxgen_plugins.models.inversion import Inversion


def build() -> Family:
    """Return the model, with a short inversion, and what it is tried on."""
    generator, discriminator = load_mnist_gan()
    model = GAN(
        generator,
        discriminator=discriminator,
        latent_shape=(32,),
        sample_shape=(1, 28, 28),
        inversion=Inversion(steps=100, restarts=1, bank=1_024),
    )
    x = digits(100)
    return Family(
        model,
        ["prior_nll", "typicality", "discriminator"],
        ["mse", "fvu", "ssim"],
        x,
        strangers(x) | greys(100),
    )
