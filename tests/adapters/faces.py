"""The published CelebA VAE, where it lies beside the repository, and faces it draws."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from family_models.published import BurgessNet

from pxgen_plugins.models import VAE

__all__ = ["FACES", "face_vae", "faces"]

_PATH = Path(__file__).resolve().parents[2].parent / "shared/models/disvae_VAE_celeba.safetensors"
FACES = pytest.mark.skipif(not _PATH.exists(), reason=f"{_PATH} is absent")


def face_vae() -> VAE:
    """Return the published model."""
    from safetensors.torch import load_file

    net = BurgessNet(3, 64)
    net.load_state_dict(load_file(str(_PATH)))
    return VAE(net, latent_shape=(10,), sample_shape=(3, 64, 64))


def faces(model: VAE, n: int) -> np.ndarray:
    """Return ``n`` faces that the model draws, with a band of noise across each."""
    X = model.sample(n, seed=1).detach().numpy().copy()
    X[:, :, 28:36] = np.random.default_rng(0).random(X[:, :, 28:36].shape)
    return X
