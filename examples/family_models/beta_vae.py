"""A beta-VAE (beta 2) of CIFAR-10's airplanes, enlarged to 64 x 64 (published)."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file
from torch.nn import functional

from family_models.common import Family, beside, strangers
from family_models.published import AirplaneNet
from pxgen_plugins.models import VAE

CHECKPOINT = "tracin_cifar_airplane_1500000.safetensors"


def grown(images: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Return (n, 32, 32, 3) images of bytes as (n, 3, 64, 64) in [0, 1], as in training."""
    x = torch.from_numpy(images).permute(0, 3, 1, 2).float() / 255.0
    return functional.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False).numpy()


def build() -> Family:
    """Return the model and what it is tried on; its kind are the test file's airplanes."""
    net = AirplaneNet()
    net.load_state_dict(load_file(beside("models", CHECKPOINT)))
    with np.load(beside("data", "cifar10_subset.npz"), allow_pickle=False) as file:
        images, labels = file["test_x"], file["test_y"]
    x = grown(images[labels == 0][:300])
    others = {"frogs": grown(images[labels == 6][:300]), "trucks": grown(images[labels == 9][:300])}
    with np.load(beside("data", "cifar10_airplane_train.npz"), allow_pickle=False) as file:
        reference = grown(file["airplane_train"][:1_000])
    return Family(
        VAE(net, sample_shape=(3, 64, 64)),
        ["kld", "mahalanobis", "latent_neighbours"],
        ["mse", "fvu", "ssim", "patch_frechet"],
        x,
        others | strangers(x),
        reference,
    )
