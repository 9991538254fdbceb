"""Train a small convolutional VAE on all digits of MNIST, to stand beside the GAN of them.

The network is :class:`pxgen_plugins.datasets.MNISTConvVAE`. The loss is that of
``train_mnist_vae.py``: binary cross-entropy plus KL divergence, both summed (Kingma and Welling,
2014). Adam with a learning rate that falls from 2e-3 to zero along half a cosine, batches of 128.
Without options this reproduces the weights shipped with the package::

    python examples/train_mnist_conv_vae.py --output mnist_conv_vae_z10.safetensors

All randomness comes from one seed through explicit generators, and the script uses one thread, so
the same seed gives the same bytes on the same processor and torch. Beside the weights a JSON card
is written with the settings, the loss of each epoch, what the model does on the test images, the
machine and the SHA-256 of the weights. It takes about ten minutes.
"""

from __future__ import annotations

import argparse
import logging
import math
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from tqdm.auto import tqdm
from train_mnist_lenet import as_tensor
from train_mnist_vae import loss_sum, natural, positive
from weight_card import write_weights

from pxgen_plugins.datasets import MNISTConvVAE, load_mnist
from pxgen_plugins.utils.threads import one_thread

_log = logging.getLogger("train_mnist_conv_vae")


@dataclass(frozen=True)
class Recipe:
    """Settings of a training run; the defaults are those of the shipped weights."""

    latent_size: int = 10
    epochs: int = 8
    batch_size: int = 128
    learning_rate: float = 2e-3
    seed: int = 1


def train(
    images: NDArray[np.uint8], recipe: Recipe, *, progress: bool = False
) -> tuple[MNISTConvVAE, list[float]]:
    """Train a network on ``images``, on the CPU.

    Args:
        images: Grey values 0 to 255, shape (n, 28, 28).
        recipe: The settings.
        progress: Whether to show a bar on standard error.

    Returns:
        The network in evaluation mode, and for each epoch the mean over images of the loss in
        nats, taken while training.
    """
    generator = torch.Generator().manual_seed(recipe.seed)
    data = torch.from_numpy(images)
    net = MNISTConvVAE(recipe.latent_size, recipe.seed).train()
    optimiser = torch.optim.Adam(net.parameters(), lr=recipe.learning_rate, fused=True)
    steps = recipe.epochs * math.ceil(len(data) / recipe.batch_size)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)
    losses = []
    bar = tqdm(total=steps, desc="training", unit="step", disable=not progress)
    for _ in range(recipe.epochs):
        total = 0.0
        for index in torch.split(torch.randperm(len(data), generator=generator), recipe.batch_size):
            x = data[index].float().div(255).unsqueeze(1)
            noise = torch.randn(len(x), recipe.latent_size, generator=generator)
            loss = loss_sum(x, *net(x, noise))
            optimiser.zero_grad()
            (loss / len(x)).backward()  # type: ignore[no-untyped-call]
            optimiser.step()
            schedule.step()
            total += loss.item()
            bar.update()
        losses.append(total / len(data))
        bar.set_postfix(loss=f"{losses[-1]:.2f}")
    bar.close()
    return net.eval(), losses


def held_out(net: MNISTConvVAE, images: NDArray[np.uint8]) -> dict[str, float]:
    """Return what the model does on images that it was not trained on.

    Returns:
        Means over images: squared error of the reconstruction from the posterior mean, per pixel;
        KL divergence of the posterior from the standard normal, in nats, summed over dimensions.
    """
    errors, divergences = [], []
    with torch.no_grad():
        for x in torch.split(as_tensor(images), 1_000):
            reconstruction, mean, log_var = net(x)
            errors.append((reconstruction - x).square().flatten(1).mean(1))
            divergences.append(_divergence(mean, log_var))
    return {
        "test_mse_per_pixel": float(torch.cat(errors).mean()),
        "test_kld_nats": float(torch.cat(divergences).mean()),
    }


def _divergence(mean: Tensor, log_var: Tensor) -> Tensor:
    terms = 1 + log_var - mean.square() - log_var.exp()
    return -0.5 * terms.sum(1)


def write(
    path: Path, net: MNISTConvVAE, recipe: Recipe, losses: list[float], quality: dict[str, float]
) -> str:
    """Write the weights to ``path`` and the card beside it; return the SHA-256 of the weights."""
    card = {
        "title": f"Convolutional VAE of MNIST, {recipe.latent_size} latent dimensions",
        "architecture": "encoder: convolutions with stride 2 to 32, 64 and 64 maps of 14 x 14, "
        f"7 x 7 and 4 x 4, linear to twice {recipe.latent_size}; decoder: linear to 64 x 7 x 7, "
        "convolution 3 x 3, transposed convolutions 4 x 4 with stride 2 to 32 and 1 maps; "
        "LeakyReLU 0.2, sigmoid",
        "licence": "Apache-2.0",
        "trained_on": "MNIST training file, all 60,000 images",
        "trained_by": "examples/train_mnist_conv_vae.py",
        "recipe": asdict(recipe),
        "epoch_loss_nats_per_image": losses,
        **quality,
    }
    return write_weights(path, net.state_dict(), card)


def main(argv: list[str] | None = None) -> None:
    """Run the script with the arguments ``argv``, those of the command line by default."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    default = Recipe()
    parser = argparse.ArgumentParser(
        description="Train a small convolutional VAE on MNIST.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument("--latent-size", type=positive, default=default.latent_size)
    parser.add_argument("--epochs", type=positive, default=default.epochs)
    parser.add_argument("--seed", type=natural, default=default.seed)
    parser.add_argument("--output", type=Path, help="weights file to write; by default here")
    given = parser.parse_args(argv)
    recipe = Recipe(given.latent_size, given.epochs, seed=given.seed)
    path: Path = given.output or Path(f"mnist_conv_vae_z{recipe.latent_size}.safetensors")
    with one_thread():
        net, losses = train(load_mnist("train")[0], recipe, progress=True)
        quality = held_out(net, load_mnist("test")[0])
    digest = write(path, net, recipe, losses, quality)
    _log.info("wrote %s, SHA-256 %s", path, digest)


if __name__ == "__main__":
    main()
