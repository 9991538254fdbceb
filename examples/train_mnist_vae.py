"""Train the VAE of the PXGen paper's main experiment on the images of one MNIST digit.

The recipe is the authors' (Huang, Weng and Yang, 2025): the first 4,000 images of the digit in the
training file; binary cross-entropy plus KL divergence, both summed; Adam with learning rate 1e-3;
batches of 50; 35 epochs; 200 latent dimensions. Without options this reproduces the weights shipped
with the package::

    python examples/train_mnist_vae.py --output mnist_vae_digit0_z200.safetensors

All randomness comes from one seed through explicit generators. On the CPU the script uses one
thread: more threads take sums in another order, which changes the last bits, and training amplifies
that. So the same seed gives the same bytes on the same processor and torch, and elsewhere other
weights that explain alike: ``tests/datasets/test_mnist_vae.py`` says within which band. Beside the
weights a JSON card is written with the settings, the loss of each epoch, the machine and the
SHA-256 of the weights. It takes about 25 seconds.
"""

from __future__ import annotations

import argparse
import logging
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional
from tqdm.auto import tqdm
from weight_card import write_weights

from pxgen_plugins.datasets import MNISTVAE, load_mnist
from pxgen_plugins.utils.threads import one_thread

_log = logging.getLogger("train_mnist_vae")


@dataclass(frozen=True)
class Recipe:
    """Settings of a training run; the defaults are those of the shipped weights."""

    digit: int = 0
    latent_size: int = 200
    n_images: int = 4_000
    epochs: int = 35
    batch_size: int = 50
    learning_rate: float = 1e-3
    seed: int = 1


def loss_sum(x: Tensor, reconstruction: Tensor, mean: Tensor, log_var: Tensor) -> Tensor:
    """Return the negative evidence lower bound of a batch, in nats, summed over its images.

    It is the binary cross-entropy summed over pixels, plus the Kullback-Leibler divergence of the
    posterior from the standard normal in closed form (Kingma and Welling, 2014, appendix B).
    """
    entropy = functional.binary_cross_entropy(reconstruction, x, reduction="sum")
    divergence = -0.5 * (1 + log_var - mean.square() - log_var.exp()).sum()
    return entropy + divergence


def train(
    images: npt.NDArray[np.uint8],
    recipe: Recipe,
    device: str = "cpu",
    *,
    progress: bool = False,
    n_steps: int | None = None,
    fused: bool = False,
    after_epoch: Callable[[int, MNISTVAE], object] | None = None,
) -> tuple[MNISTVAE, list[float]]:
    """Train a network on ``images``.

    Args:
        images: Grey values 0 to 255, shape (n, 28, 28).
        recipe: The settings; ``n_images`` and ``digit`` have done their work before.
        device: Where to train.
        progress: Whether to show a bar on standard error.
        n_steps: Stop after so many batches, whatever ``recipe.epochs`` says.
        fused: Whether Adam updates all weights in one kernel: over twice as fast on the CPU, and
            other last bits.
        after_epoch: Called with the number of epochs done and the network.

    Returns:
        The network in evaluation mode on the CPU, and for each epoch the mean over images of the
        loss in nats, taken while training.
    """
    # Noise and order are drawn on the CPU, so that they do not depend on the device.
    generator = torch.Generator().manual_seed(recipe.seed)
    data = torch.from_numpy(images).float().div(255).unsqueeze(1).to(device)
    net = MNISTVAE(recipe.latent_size, seed=recipe.seed).to(device).train()
    optimiser = torch.optim.Adam(net.parameters(), lr=recipe.learning_rate, fused=fused or None)
    losses = []
    per_epoch = -(-len(data) // recipe.batch_size)
    last = recipe.epochs * per_epoch if n_steps is None else n_steps
    epochs = range(-(-last // per_epoch))
    bar = tqdm(epochs, desc="training", unit="epoch", disable=not progress)
    for epoch in bar:
        total, seen = 0.0, 0
        order = torch.randperm(len(data), generator=generator)
        steps = min(per_epoch, last - epoch * per_epoch)
        for start in range(0, steps * recipe.batch_size, recipe.batch_size):
            x = data[order[start : start + recipe.batch_size].to(device)]
            noise = torch.randn(len(x), recipe.latent_size, generator=generator).to(device)
            loss = loss_sum(x, *net(x, noise))
            optimiser.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimiser.step()
            total += loss.item()
            seen += len(x)
        losses.append(total / seen)
        bar.set_postfix(loss=f"{losses[-1]:.2f}")
        if after_epoch is not None:
            after_epoch(epoch + 1, net)
    return net.cpu().eval(), losses


def write(path: Path, net: MNISTVAE, recipe: Recipe, losses: list[float], device: str) -> str:
    """Write the weights to ``path`` and the card beside it; return the SHA-256 of the weights."""
    card = {
        "title": f"VAE of MNIST digit {recipe.digit}, {recipe.latent_size} latent dimensions",
        "architecture": f"784-400-400-({recipe.latent_size}, {recipe.latent_size}) / "
        f"{recipe.latent_size}-400-400-784, LeakyReLU 0.2, sigmoid",
        "licence": "Apache-2.0",
        "trained_on": f"MNIST training file, first {recipe.n_images} images of the digit",
        "trained_by": "examples/train_mnist_vae.py",
        "recipe": asdict(recipe),
        "device": device,
        "epoch_loss_nats_per_image": losses,
        "final_loss_nats_per_image": losses[-1],
    }
    return write_weights(path, net.state_dict(), card)


def positive(text: str) -> int:
    """Return an argument that must be an integer >= 1."""
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"must be an integer >= 1; got {text}")
    return value


def natural(text: str) -> int:
    """Return an argument that must be an integer >= 0."""
    value = int(text)
    if value < 0:
        raise argparse.ArgumentTypeError(f"must be an integer >= 0; got {text}")
    return value


def _arguments(argv: list[str] | None) -> argparse.Namespace:
    default = Recipe()
    parser = argparse.ArgumentParser(
        description="Train the VAE of the PXGen paper on one MNIST digit.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument("--digit", type=int, choices=range(10), default=default.digit)
    parser.add_argument("--latent-size", type=positive, default=default.latent_size)
    parser.add_argument("--epochs", type=positive, default=default.epochs)
    parser.add_argument("--seed", type=natural, default=default.seed)
    parser.add_argument("--device", default="cpu", help="a torch device, as in cpu or cuda:0")
    parser.add_argument(
        "--output",
        type=Path,
        help="weights file to write; by default named after digit and latent size, in this folder",
    )
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> None:
    """Run the script with the arguments ``argv``, those of the command line by default."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    given = _arguments(argv)
    recipe = Recipe(given.digit, given.latent_size, epochs=given.epochs, seed=given.seed)
    name = f"mnist_vae_digit{recipe.digit}_z{recipe.latent_size}.safetensors"
    path: Path = given.output or Path(name)
    images, _ = load_mnist("train", digits=recipe.digit)
    with one_thread():
        net, losses = train(images[: recipe.n_images], recipe, given.device, progress=True)
    digest = write(path, net, recipe, losses, given.device)
    _log.info("final loss %.4f nats per image, SHA-256 %s", losses[-1], digest)
    _log.info("wrote %s", path)


if __name__ == "__main__":
    main()
