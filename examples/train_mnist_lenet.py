"""Train the small digit classifier whose features measure distances between sets of digits.

    python examples/train_mnist_lenet.py --output mnist_lenet.safetensors

LeNet-5 (LeCun et al. 1998) on the MNIST training file: Adam with a learning rate that falls from
2e-3 to zero along half a cosine, batches of 64, four epochs. All randomness comes from one seed,
and one thread is used, so the same seed gives the same bytes on the same processor and torch.
Beside the weights a JSON card is written with the settings, the accuracy on the test file and the
machine. It takes about 25 seconds.
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
from torch import Tensor, nn
from tqdm.auto import tqdm
from weight_card import write_weights

from pxgen_plugins.datasets import MNISTLeNet, load_mnist
from pxgen_plugins.utils.threads import one_thread

_log = logging.getLogger("train_mnist_lenet")


@dataclass(frozen=True)
class Recipe:
    """Settings of a training run; the defaults are those of the shipped weights."""

    epochs: int = 4
    batch_size: int = 64
    learning_rate: float = 2e-3
    seed: int = 0


def as_tensor(images: NDArray[np.uint8]) -> Tensor:
    """Return images (n, 28, 28), 0 to 255, as a tensor (n, 1, 28, 28) in [0, 1]."""
    return torch.from_numpy(images).float().div(255).unsqueeze(1)


def train(
    images: NDArray[np.uint8], labels: NDArray[np.int64], recipe: Recipe, *, progress: bool = False
) -> MNISTLeNet:
    """Return a network trained on ``images`` (n, 28, 28) with ``labels`` (n,)."""
    x, y = as_tensor(images), torch.from_numpy(labels).long()
    net = MNISTLeNet(recipe.seed).train()
    optimiser = torch.optim.Adam(net.parameters(), lr=recipe.learning_rate)
    steps = recipe.epochs * math.ceil(len(x) / recipe.batch_size)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)
    generator = torch.Generator().manual_seed(recipe.seed)
    bar = tqdm(total=steps, desc="training", unit="step", disable=not progress)
    for _ in range(recipe.epochs):
        for index in torch.split(torch.randperm(len(x), generator=generator), recipe.batch_size):
            loss = nn.functional.cross_entropy(net(x[index]), y[index])
            optimiser.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimiser.step()
            schedule.step()
            bar.update()
    bar.close()
    return net.eval()


def accuracy(net: MNISTLeNet, images: NDArray[np.uint8], labels: NDArray[np.int64]) -> float:
    """Return the share of images whose largest logit is that of their label."""
    with torch.no_grad():
        found = torch.cat([net(part).argmax(1) for part in torch.split(as_tensor(images), 1_000)])
    return float((found.numpy() == labels).mean())


def main(argv: list[str] | None = None) -> None:
    """Run the script with the arguments ``argv``, those of the command line by default."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    parser = argparse.ArgumentParser(description="Train a LeNet on MNIST.")
    parser.add_argument("--epochs", type=int, default=Recipe.epochs)
    parser.add_argument("--limit", type=int, help="use only the first images")
    parser.add_argument("--output", type=Path, default=Path("mnist_lenet.safetensors"))
    given = parser.parse_args(argv)
    recipe = Recipe(epochs=given.epochs)
    images, labels = load_mnist("train")
    with one_thread():
        net = train(images[: given.limit], labels[: given.limit], recipe, progress=True)
        score = accuracy(net, *load_mnist("test"))
    card = {
        "title": "LeNet-5 of the MNIST digits",
        "architecture": "conv 6 (5x5, padded) - pool - conv 16 (5x5) - pool - 120 - 84 - 10, ReLU",
        "licence": "Apache-2.0",
        "trained_on": "MNIST training file",
        "trained_by": "examples/train_mnist_lenet.py",
        "recipe": asdict(recipe),
        "test_accuracy": score,
    }
    write_weights(given.output, net.state_dict(), card)
    _log.info("test accuracy %.4f; wrote %s", score, given.output)


if __name__ == "__main__":
    main()
