"""The shipped text-to-image model of MNIST under one prompt, explained for sevens.

Other digits are moved aside as its training images are, so that only the prompt tells them apart.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from digit_scores import moved
from numpy.typing import NDArray

from family_models.common import Family, strangers
from pxgen_plugins.datasets import load_mnist, load_mnist_text
from pxgen_plugins.models import from_diffusers

DIGIT = 7


def aside(n: int, digits: Any) -> NDArray[np.float32]:
    """Return ``n`` images of the test file, moved left and right in turn, (n, 1, 14, 14)."""
    images, _ = load_mnist("test", digits=digits)
    shift = torch.tensor([-4, 4]).repeat(n)[:n]
    small = moved(torch.from_numpy(images[:n]).float() / 255, shift) * 2 - 1
    return small[:, None].numpy()


def build() -> Family:
    """Return the model, told "a seven", and what it is tried on."""
    model = from_diffusers(load_mnist_text(), guidance=2.0, steps=5, prompt="a seven")
    x = aside(200, DIGIT)
    others = {"other digits": aside(100, [d for d in range(10) if d != DIGIT])}
    return Family(
        model,
        ["denoising_loss", {"name": "prompt_gain", "levels": 5}],
        ["fvu", "mse"],
        x,
        others | strangers(x[:100], -1.0, 1.0),
    )
