"""Data and weights shipped with the package, so that its first example needs no download.

Each data file stands beside a JSON card of the same name: what it is, its licence or the settings
it came from, and its SHA-256, which is checked whenever the file is read.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pxgen_plugins.datasets.mnist import load_mnist
from pxgen_plugins.utils.lazy import attach

if TYPE_CHECKING:
    from pxgen_plugins.datasets.change_net import CHANGES, ChangeNet, load_change_net
    from pxgen_plugins.datasets.mnist_conv_vae import MNISTConvVAE, load_mnist_conv_vae
    from pxgen_plugins.datasets.mnist_gan import (
        MNISTGAN,
        MNISTDiscriminator,
        MNISTGenerator,
        load_mnist_gan,
    )
    from pxgen_plugins.datasets.mnist_lenet import MNISTLeNet, load_mnist_lenet
    from pxgen_plugins.datasets.mnist_text import MNISTText, MNISTWords, load_mnist_text
    from pxgen_plugins.datasets.mnist_vae import MNISTVAE, load_mnist_vae

__all__ = [
    "CHANGES",
    "MNISTGAN",
    "MNISTVAE",
    "ChangeNet",
    "MNISTConvVAE",
    "MNISTDiscriminator",
    "MNISTGenerator",
    "MNISTLeNet",
    "MNISTText",
    "MNISTWords",
    "load_change_net",
    "load_mnist",
    "load_mnist_conv_vae",
    "load_mnist_gan",
    "load_mnist_lenet",
    "load_mnist_text",
    "load_mnist_vae",
]

# The images are of use without torch, whose import takes over a second.
_HOMES = {
    "CHANGES": "change_net",
    "ChangeNet": "change_net",
    "MNISTConvVAE": "mnist_conv_vae",
    "MNISTDiscriminator": "mnist_gan",
    "MNISTGAN": "mnist_gan",
    "MNISTGenerator": "mnist_gan",
    "MNISTLeNet": "mnist_lenet",
    "MNISTText": "mnist_text",
    "MNISTVAE": "mnist_vae",
    "MNISTWords": "mnist_text",
    "load_change_net": "change_net",
    "load_mnist_conv_vae": "mnist_conv_vae",
    "load_mnist_gan": "mnist_gan",
    "load_mnist_lenet": "mnist_lenet",
    "load_mnist_text": "mnist_text",
    "load_mnist_vae": "mnist_vae",
}

__getattr__, __dir__ = attach(__name__, _HOMES)
