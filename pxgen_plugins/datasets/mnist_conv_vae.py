"""A small convolutional VAE of all MNIST digits, with trained weights."""

from __future__ import annotations

import torch
from safetensors.torch import load
from torch import Tensor, nn

from pxgen_plugins.datasets.data_files import read
from pxgen_plugins.utils.errors import caller
from pxgen_plugins.utils.validation import integer

__all__ = ["MNISTConvVAE", "load_mnist_conv_vae"]

NAME = "mnist_conv_vae_z10.safetensors"
LATENT_SIZE = 10
_CHANNELS = 64
_SIDE = 7  # of the feature maps between encoder and decoder


class MNISTConvVAE(nn.Module):
    """Convolutional VAE for images of 28 x 28 pixels with values in [0, 1].

    Encoder: convolutions to 32 maps of 14 x 14, 64 of 7 x 7 and 64 of 4 x 4, each with stride 2,
    and two linear heads (mean and log variance). Decoder: a linear layer to 64 maps of 7 x 7, a
    convolution, and two transposed convolutions with stride 2 to 32 and 1 maps. LeakyReLU with
    slope 0.2 between the layers, a sigmoid at the end; no normalisation, so that what an image
    gets does not depend on the others of its batch.

    Args:
        latent_size: Number of latent dimensions z, >= 1.
        seed: Seed of the initial weights: uniform within one over the square root of the number of
            inputs, as torch initialises them. Global random state is not touched.

    Example:
        >>> net = MNISTConvVAE(latent_size=5)
        >>> mean, log_var = net.encode(torch.zeros(2, 1, 28, 28))
        >>> mean.shape, net.decode(mean).shape
        (torch.Size([2, 5]), torch.Size([2, 1, 28, 28]))
    """

    @caller("MNISTConvVAE")
    def __init__(self, latent_size: int = LATENT_SIZE, seed: int = 0) -> None:
        super().__init__()
        self.latent_size = integer(latent_size, "latent_size", minimum=1)
        generator = torch.Generator().manual_seed(integer(seed, "seed", minimum=0))
        half = _CHANNELS // 2
        with torch.device("meta"):  # elsewhere the constructors draw from torch's global generator
            self.encoder = nn.Sequential(
                nn.Conv2d(1, half, 4, 2, 1),
                nn.LeakyReLU(0.2),
                nn.Conv2d(half, _CHANNELS, 4, 2, 1),
                nn.LeakyReLU(0.2),
                nn.Conv2d(_CHANNELS, _CHANNELS, 3, 2, 1),
                nn.LeakyReLU(0.2),
                nn.Flatten(),
            )
            self.mean = nn.Linear(_CHANNELS * 16, self.latent_size)
            self.log_var = nn.Linear(_CHANNELS * 16, self.latent_size)
            self.decoder = nn.Sequential(
                nn.Linear(self.latent_size, _CHANNELS * _SIDE**2),
                nn.Unflatten(1, (_CHANNELS, _SIDE, _SIDE)),
                nn.LeakyReLU(0.2),
                nn.Conv2d(_CHANNELS, _CHANNELS, 3, 1, 1),
                nn.LeakyReLU(0.2),
                nn.ConvTranspose2d(_CHANNELS, half, 4, 2, 1),
                nn.LeakyReLU(0.2),
                nn.ConvTranspose2d(half, 1, 4, 2, 1),
                nn.Sigmoid(),
            )
        self.to_empty(device="cpu")
        with torch.no_grad():
            for layer in self.modules():
                if isinstance(layer, (nn.Linear, nn.Conv2d, nn.ConvTranspose2d)):
                    bound = layer.weight[0].numel() ** -0.5
                    for weights in layer.parameters():
                        weights.uniform_(-bound, bound, generator=generator)

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return mean and log variance of the posterior.

        Args:
            x: Images in [0, 1], shape (n, 1, 28, 28).

        Returns:
            Two tensors of shape (n, latent_size).
        """
        hidden = self.encoder(x)
        return self.mean(hidden), self.log_var(hidden)

    def decode(self, z: Tensor) -> Tensor:
        """Return images in [0, 1] of shape (n, 1, 28, 28) for codes of shape (n, latent_size)."""
        images: Tensor = self.decoder(z)
        return images

    def forward(self, x: Tensor, noise: Tensor | None = None) -> tuple[Tensor, Tensor, Tensor]:
        """Return reconstruction, mean and log variance.

        Args:
            x: Images in [0, 1], shape (n, 1, 28, 28).
            noise: Standard normal draws of shape (n, latent_size): the code is drawn from the
                posterior with them. Without, it is the posterior mean.
        """
        mean, log_var = self.encode(x)
        z = mean if noise is None else mean + (0.5 * log_var).exp() * noise
        return self.decode(z), mean, log_var


@caller("load_mnist_conv_vae")
def load_mnist_conv_vae() -> MNISTConvVAE:
    """Return the trained VAE of all ten digits, in evaluation mode and on the CPU.

    It was trained on the 60,000 training images by ``examples/train_mnist_conv_vae.py``; the
    settings, and the mean squared error and divergence on the test images, are in the JSON card
    beside the weights.

    Raises:
        DataFileError: When the shipped file is damaged.

    Example:
        >>> load_mnist_conv_vae().latent_size
        10
    """
    content, _ = read(NAME)
    net = MNISTConvVAE()
    net.load_state_dict(load(content))
    return net.eval()
