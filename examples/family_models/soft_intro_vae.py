"""The Soft-IntroVAE of CIFAR-10's automobiles that ``train_soft_intro_vae.py`` trained."""

from __future__ import annotations

import numpy as np
from train_soft_intro_vae import load_model

from family_models.common import WEIGHTS, Family, beside, strangers


def build() -> Family:
    """Return the model and what it is tried on; its kind are the test file's automobiles."""
    model = load_model(WEIGHTS / "soft_intro_vae.safetensors")
    with np.load(beside("data", "cifar10_subset.npz"), allow_pickle=False) as file:
        images, labels = file["test_x"], file["test_y"]
        reference = file["auto_train"][:1_000]
    kinds = {
        number: (images[labels == number][:300].transpose(0, 3, 1, 2) / 255.0).astype(np.float32)
        for number in (1, 6, 9)
    }
    return Family(
        model,
        ["kld", "mahalanobis", "latent_neighbours"],
        ["mse", "fvu", "ssim", "patch_frechet"],
        kinds[1],
        {"frogs": kinds[6], "trucks": kinds[9]} | strangers(kinds[1]),
        (reference.transpose(0, 3, 1, 2) / 255.0).astype(np.float32),
    )
