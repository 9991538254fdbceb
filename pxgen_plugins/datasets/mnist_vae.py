"""The variational autoencoder of the PXGen paper's main experiment, with trained weights."""

from __future__ import annotations

import os

import torch
from safetensors.torch import load
from torch import Tensor, nn

from pxgen_plugins.datasets.data_files import read
from pxgen_plugins.utils.errors import ParameterError, caller, short_repr
from pxgen_plugins.utils.files import read_regular
from pxgen_plugins.utils.limits import RUN_ARRAYS
from pxgen_plugins.utils.validation import integer

__all__ = ["MNISTVAE", "load_mnist_vae"]

SHAPE = (1, 28, 28)
HIDDEN = 400
_PIXELS = 28 * 28
_SHIPPED = ((0, 200),)  # (digit, latent size)


class MNISTVAE(nn.Module):
    """Fully connected VAE for images of 28 x 28 pixels with values in [0, 1].

    Encoder 784-400-400 with two heads (mean and log variance), decoder z-400-400-784; LeakyReLU
    with slope 0.2 between the layers, a sigmoid at the end. Source: Huang, Weng and Yang (2025),
    "PXGen: A Post-hoc Explainable Method for Generative Models", the authors' network.

    Args:
        latent_size: Number of latent dimensions z, >= 1.
        seed: Seed of the initial weights: uniform within one over the square root of the number
            of inputs, as torch initialises linear layers. Global random state is not touched.

    Example:
        >>> net = MNISTVAE(latent_size=20)
        >>> mean, log_var = net.encode(torch.zeros(2, 1, 28, 28))
        >>> mean.shape, net.decode(mean).shape
        (torch.Size([2, 20]), torch.Size([2, 1, 28, 28]))
    """

    @caller("MNISTVAE")
    def __init__(self, latent_size: int = 200, seed: int = 0) -> None:
        super().__init__()
        self.latent_size = integer(latent_size, "latent_size", minimum=1)
        generator = torch.Generator().manual_seed(integer(seed, "seed", minimum=0))
        self.encoder = nn.Sequential(
            _linear(_PIXELS, HIDDEN, generator),
            nn.LeakyReLU(0.2),
            _linear(HIDDEN, HIDDEN, generator),
            nn.LeakyReLU(0.2),
        )
        self.mean = _linear(HIDDEN, self.latent_size, generator)
        self.log_var = _linear(HIDDEN, self.latent_size, generator)
        self.decoder = nn.Sequential(
            _linear(self.latent_size, HIDDEN, generator),
            nn.LeakyReLU(0.2),
            _linear(HIDDEN, HIDDEN, generator),
            nn.LeakyReLU(0.2),
            _linear(HIDDEN, _PIXELS, generator),
            nn.Sigmoid(),
        )

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return mean and log variance of the posterior.

        Args:
            x: Images in [0, 1], shape (n, 1, 28, 28), (n, 28, 28) or (n, 784).

        Returns:
            Two tensors of shape (n, latent_size).
        """
        hidden = self.encoder(x.flatten(1))
        return self.mean(hidden), self.log_var(hidden)

    def decode(self, z: Tensor) -> Tensor:
        """Return images in [0, 1] of shape (n, 1, 28, 28) for codes of shape (n, latent_size)."""
        images: Tensor = self.decoder(z)
        return images.reshape(-1, *SHAPE)

    def forward(self, x: Tensor, noise: Tensor | None = None) -> tuple[Tensor, Tensor, Tensor]:
        """Return reconstruction, mean and log variance.

        Args:
            x: Images in [0, 1], as for :meth:`encode`.
            noise: Standard normal draws of shape (n, latent_size): the code is drawn from the
                posterior with them. Without, it is the posterior mean.
        """
        mean, log_var = self.encode(x)
        z = mean if noise is None else mean + (0.5 * log_var).exp() * noise
        return self.decode(z), mean, log_var


@caller("load_mnist_vae")
def load_mnist_vae(
    latent_size: int = 200, digit: int = 0, weights: str | os.PathLike[str] | None = None
) -> MNISTVAE:
    """Return a trained :class:`MNISTVAE`, in evaluation mode and on the CPU.

    It was trained on the first 4,000 images of one digit in the training file, by
    ``examples/train_mnist_vae.py``; the settings and the final loss are in the JSON card beside
    the weights.

    Args:
        latent_size: Number of latent dimensions; 200 is shipped.
        digit: The digit it was trained on; 0 is shipped.
        weights: A safetensors file to read in place of the shipped one, as
            ``examples/train_mnist_vae.py`` writes it for this ``latent_size``.

    Raises:
        ParameterError: When no weights for this combination are shipped, or ``weights`` cannot be
            read or are of another network.
        DataFileError: When the shipped file is damaged.

    Example:
        >>> load_mnist_vae().latent_size
        200
    """
    if weights is not None:
        net = MNISTVAE(latent_size)
        try:
            net.load_state_dict(load(read_regular(weights, RUN_ARRAYS)))
        except Exception as error:  # safetensors and torch raise their own
            hint = "Give a file that examples/train_mnist_vae.py wrote."
            allowed = f"weights of a MNISTVAE({latent_size})"
            got = f"{short_repr(str(weights))} ({type(error).__name__}: {str(error)[:200]})"
            raise ParameterError("weights", allowed, got, hint) from error
        return net.eval()
    if (digit, latent_size) not in _SHIPPED:
        allowed = " or ".join(f"digit={d} with latent_size={z}" for d, z in _SHIPPED)
        got = f"digit={digit!r} with latent_size={latent_size!r}"
        hint = "Train others with examples/train_mnist_vae.py."
        raise ParameterError("digit and latent_size", allowed, got, hint)
    content, _ = read(f"mnist_vae_digit{digit}_z{latent_size}.safetensors")
    net = MNISTVAE(latent_size)
    net.load_state_dict(load(content))
    return net.eval()


def _linear(inputs: int, outputs: int, generator: torch.Generator) -> nn.Linear:
    # On the meta device, because elsewhere the constructor draws from torch's global generator.
    layer = nn.Linear(inputs, outputs, device="meta").to_empty(device="cpu")
    bound = inputs**-0.5
    with torch.no_grad():
        layer.weight.uniform_(-bound, bound, generator=generator)
        layer.bias.uniform_(-bound, bound, generator=generator)
    return layer
