"""A convolutional VAE of CelebA's faces (published), tried on faces of another data set.

CelebA itself may not be passed on; the faces here are the hundred of Labeled Faces in the Wild that
scikit-image brings, in grey, cut tighter than CelebA's, and enlarged from 25 to 64 pixels. Values
of its own kind are therefore those of strangers of the right sort, not of held-out training data.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file
from skimage.data import lfw_subset
from torch.nn import functional

from family_models.beta_vae import grown
from family_models.common import Family, beside, strangers
from family_models.published import BurgessNet
from pxgen_plugins.models import VAE

SIDE = 64


def enlarged(greys: NDArray[np.float64]) -> NDArray[np.float32]:
    """Return (n, height, width) images as (n, 3, 64, 64), the channels alike."""
    x = torch.from_numpy(np.asarray(greys, dtype=np.float32))[:, None].expand(-1, 3, -1, -1)
    return functional.interpolate(x, size=SIDE, mode="bilinear", align_corners=False).numpy()


def build() -> Family:
    """Return the model and what it is tried on; cuttings of the same photographs are no faces."""
    net = BurgessNet(3, SIDE)
    net.load_state_dict(load_file(beside("models", "disvae_VAE_celeba.safetensors")))
    whole = lfw_subset()  # type: ignore[no-untyped-call]
    cuttings = enlarged(whole)  # a hundred faces, then a hundred of what is behind them
    x = cuttings[:100]
    others = {"no faces": cuttings[100:]}
    with np.load(beside("data", "cifar10_subset.npz"), allow_pickle=False) as file:
        images, labels = file["test_x"], file["test_y"]
    others |= {
        "frogs": grown(images[labels == 6][:300]),
        "trucks": grown(images[labels == 9][:300]),
    }
    return Family(
        VAE(net, sample_shape=(3, SIDE, SIDE)),
        ["kld", "mahalanobis", "latent_neighbours"],
        ["mse", "fvu", "ssim", "patch_frechet"],
        x,
        others | strangers(x) | {"upside down": x[:, :, ::-1].copy()},
    )
