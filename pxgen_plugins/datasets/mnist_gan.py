"""A small convolutional GAN of all MNIST digits, with trained weights."""

from __future__ import annotations

from typing import NamedTuple

import torch
from safetensors.torch import load
from torch import Tensor, nn

from pxgen_plugins.datasets.data_files import read
from pxgen_plugins.utils.errors import caller
from pxgen_plugins.utils.validation import integer

__all__ = ["MNISTGAN", "MNISTDiscriminator", "MNISTGenerator", "load_mnist_gan"]

NAME = "mnist_gan_z32.safetensors"
LATENT_SIZE = 32
_CHANNELS = 64
_SIDE = 7  # of the smallest feature map
_SPREAD = 0.02  # standard deviation of initial weights, as in DCGAN


class MNISTGenerator(nn.Module):
    """Latent codes drawn from N(0, I) to images of 28 x 28 pixels with values in [0, 1].

    A linear layer to 64 maps of 7 x 7, then two transposed convolutions (4 x 4, stride 2) to 32
    and 1 maps, batch normalisation and ReLU between them, a sigmoid at the end: a small DCGAN
    (Radford, Metz and Chintala 2016).

    Args:
        latent_size: Number of latent dimensions z, >= 1.
        seed: Seed of the initial weights, N(0, 0.02) as in DCGAN. Global random state is not
            touched.

    Example:
        >>> MNISTGenerator(latent_size=5)(torch.zeros(2, 5)).shape
        torch.Size([2, 1, 28, 28])
    """

    @caller("MNISTGenerator")
    def __init__(self, latent_size: int = LATENT_SIZE, seed: int = 0) -> None:
        super().__init__()
        self.latent_size = integer(latent_size, "latent_size", minimum=1)
        half = _CHANNELS // 2
        with torch.device("meta"):  # elsewhere the constructors draw from torch's global generator
            self.body = nn.Sequential(
                nn.Linear(self.latent_size, _CHANNELS * _SIDE**2, bias=False),
                nn.Unflatten(1, (_CHANNELS, _SIDE, _SIDE)),
                nn.BatchNorm2d(_CHANNELS),
                nn.ReLU(),
                nn.ConvTranspose2d(_CHANNELS, half, 4, 2, 1, bias=False),
                nn.BatchNorm2d(half),
                nn.ReLU(),
                nn.ConvTranspose2d(half, 1, 4, 2, 1),
                nn.Sigmoid(),
            )
        _initialise(self, seed)

    def forward(self, z: Tensor) -> Tensor:
        """Return images (n, 1, 28, 28) for codes of shape (n, latent_size)."""
        images: Tensor = self.body(z)
        return images


class MNISTDiscriminator(nn.Module):
    """Images of 28 x 28 pixels with values in [0, 1] to the log odds that each is real.

    Two convolutions (4 x 4, stride 2) to 32 and 64 maps with LeakyReLU of slope 0.2, and a linear
    layer; no normalisation, so that an image's score does not depend on the others.

    Args:
        seed: Seed of the initial weights, N(0, 0.02). Global random state is not touched.

    Example:
        >>> MNISTDiscriminator()(torch.zeros(3, 1, 28, 28)).shape
        torch.Size([3])
    """

    @caller("MNISTDiscriminator")
    def __init__(self, seed: int = 0) -> None:
        super().__init__()
        half = _CHANNELS // 2
        with torch.device("meta"):
            self.body = nn.Sequential(
                nn.Conv2d(1, half, 4, 2, 1),
                nn.LeakyReLU(0.2),
                nn.Conv2d(half, _CHANNELS, 4, 2, 1),
                nn.LeakyReLU(0.2),
                nn.Flatten(),
                nn.Linear(_CHANNELS * _SIDE**2, 1),
            )
        _initialise(self, seed)

    def forward(self, x: Tensor) -> Tensor:
        """Return one log odds per image of ``x``, (n, 1, 28, 28); higher = more real."""
        logits: Tensor = self.body(x)
        return logits.squeeze(1)


class MNISTGAN(NamedTuple):
    """Both networks of a GAN."""

    generator: MNISTGenerator
    discriminator: MNISTDiscriminator


@caller("load_mnist_gan")
def load_mnist_gan() -> MNISTGAN:
    """Return the trained GAN of all ten digits, in evaluation mode and on the CPU.

    It was trained on the 60,000 training images by ``examples/train_dcgan.py``; the settings are
    in the JSON card beside the weights.

    Raises:
        DataFileError: When the shipped file is damaged.

    Example:
        >>> generator, discriminator = load_mnist_gan()
        >>> discriminator(generator(torch.zeros(1, 32))).shape
        torch.Size([1])
    """
    content, _ = read(NAME)
    weights = load(content)
    gan = MNISTGAN(MNISTGenerator(), MNISTDiscriminator())
    for role, net in gan._asdict().items():
        own = f"{role}."
        net.load_state_dict({k[len(own) :]: w for k, w in weights.items() if k.startswith(own)})
        net.eval()
    return gan


def _initialise(net: nn.Module, seed: int) -> None:
    generator = torch.Generator().manual_seed(integer(seed, "seed", minimum=0))
    net.to_empty(device="cpu")
    with torch.no_grad():
        for module in net.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.reset_parameters()
            elif isinstance(module, (nn.Linear, nn.Conv2d, nn.ConvTranspose2d)):
                module.weight.normal_(0.0, _SPREAD, generator=generator)
                if module.bias is not None:
                    module.bias.zero_()
