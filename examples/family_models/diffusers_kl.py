"""diffusers' AutoencoderKL of MNIST, wrapped as the library keeps it; images in [-1, 1]."""

from __future__ import annotations

from family_models.common import Family, digits, greys, stored_weights, strangers
from family_models.library_nets import DiffusersKL
from pxgen_plugins.models import wrap


def build() -> Family:
    """Return the model and what it is tried on."""
    net = DiffusersKL()
    net.load_state_dict(stored_weights("diffusers_kl"))
    x = 2 * digits(300) - 1
    photographs = {name: 2 * images - 1 for name, images in greys(300).items()}
    return Family(
        wrap(net.net),
        ["kld", "mahalanobis"],
        ["mse", "fvu", "ssim"],
        x,
        strangers(x, -1.0, 1.0) | photographs,
        2 * digits(2_000, "train") - 1,
    )
