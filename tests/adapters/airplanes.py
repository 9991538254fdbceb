"""The published beta-VAE on CIFAR airplanes, where its checkpoints lie beside the repository."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from family_models.beta_vae import grown
from family_models.published import AirplaneNet

from pxgen_plugins.models import VAE

__all__ = ["CHECKPOINTS", "FOLDER", "STEPS", "AirplaneNet", "airplane_vae", "airplanes"]

FOLDER = Path(__file__).resolve().parents[2].parent / "shared"
STEPS = (50_000, 500_000, 1_000_000, 1_500_000)
CHECKPOINTS = [str(FOLDER / "models" / f"tracin_cifar_airplane_{n}.safetensors") for n in STEPS]


def airplane_vae() -> VAE:
    """Return the last checkpoint as a model."""
    from safetensors.torch import load_file

    net = AirplaneNet()
    net.load_state_dict(load_file(CHECKPOINTS[-1]))
    return VAE(net, latent_shape=(64,), sample_shape=(3, 64, 64))


def airplanes(n: int) -> np.ndarray:
    """Return the first ``n`` training airplanes, enlarged to 64 x 64, float32 in [0, 1]."""
    with np.load(FOLDER / "data" / "cifar10_airplane_train.npz", allow_pickle=False) as file:
        small = file["airplane_train"][:n]
    return grown(small)
