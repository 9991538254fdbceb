"""pythae's BetaVAE of MNIST, wrapped as the library keeps it."""

from __future__ import annotations

from family_models.common import Family, digits, greys, stored_weights, strangers
from family_models.library_nets import PythaeBetaVAE
from pxgen_plugins.models import wrap


def build() -> Family:
    """Return the model and what it is tried on."""
    net = PythaeBetaVAE()
    net.load_state_dict(stored_weights("pythae_beta_vae"))
    x = digits()
    return Family(
        wrap(net.net),
        ["kld", "mahalanobis", "elbo"],
        ["mse", "fvu", "bce", "ssim"],
        x,
        strangers(x) | greys(500),
        digits(2_000, "train"),
    )
