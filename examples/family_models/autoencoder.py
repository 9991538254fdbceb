"""A plain convolutional autoencoder of MNIST."""

from __future__ import annotations

import torch

from family_models.common import Family, digits, greys, stored_weights, strangers
from family_models.digit_nets import Autoencoder as Net
from pxgen_plugins.models import Autoencoder


def build() -> Family:
    """Return the model, which samples from the codes of training images, and its trials."""
    net = Net()
    net.load_state_dict(stored_weights("autoencoder"))
    reference = digits(5_000, "train")
    with torch.no_grad():
        codes = net.encode(torch.from_numpy(reference))
    model = Autoencoder(
        net,
        sample_shape=(1, 28, 28),
        prior=codes,
    )
    x = digits()
    return Family(
        model,
        ["aggregate_mahalanobis", "latent_neighbours"],
        ["mse", "fvu", "ssim"],
        x,
        strangers(x) | greys(500),
        reference,
    )
