"""A conditional convolutional VAE of MNIST, explained for the digit 3."""

from __future__ import annotations

from family_models.common import Family, digits, greys, stored_weights, strangers
from family_models.digit_nets import ConditionalVAE
from pxgen_plugins.models import VAE

DIGIT = 3


def build() -> Family:
    """Return the model, given the class, and what it is tried on."""
    net = ConditionalVAE()
    net.load_state_dict(stored_weights("conditional_vae"))
    model = VAE(
        net,
        condition=DIGIT,
        sample_shape=(1, 28, 28),
    )
    x = digits(500, digits=DIGIT)
    others = {"other digits": digits(500, digits=[d for d in range(10) if d != DIGIT])}
    return Family(
        model,
        ["kld", "mahalanobis", "elbo"],
        ["mse", "fvu", "bce", "ssim"],
        x,
        others | strangers(x) | greys(500),
        digits(2_000, "train", DIGIT),
    )
