"""Train a small DCGAN on all digits of MNIST, to explain a GAN without downloading one.

The networks are those of :mod:`pxgen_plugins.datasets.mnist_gan` (after Radford, Metz and Chintala,
2016). The losses are the non-saturating ones of Goodfellow et al. (2014); the discriminator pays
the R1 penalty of Mescheder, Geiger and Nowozin (2018), gamma / 2 times the squared gradient at real
images, taken at every fourth step only and four times as heavy (Karras et al., 2020). What is kept
of the generator is a running average of its weights (Karras et al., 2018). Without options this
reproduces the weights shipped with the package::

    python examples/train_dcgan.py --output mnist_gan_z32.safetensors

All randomness comes from one seed through explicit generators, and the script uses one thread, so
the same seed gives the same bytes on the same processor and torch. Beside the weights a JSON card
is written with the settings, the losses, the machine and the SHA-256 of the weights. It takes about
five minutes.
"""

from __future__ import annotations

import argparse
import copy
import logging
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional
from tqdm.auto import tqdm
from train_mnist_vae import natural, positive
from weight_card import write_weights

from pxgen_plugins.datasets import load_mnist
from pxgen_plugins.datasets.mnist_gan import MNISTGAN, MNISTDiscriminator, MNISTGenerator
from pxgen_plugins.utils.threads import one_thread

_log = logging.getLogger("train_dcgan")
REPORT = 50  # steps over which the losses on the card are averaged


@dataclass(frozen=True)
class Recipe:
    """Settings of a training run; the defaults are those of the shipped weights."""

    latent_size: int = 32
    steps: int = 6_000
    batch_size: int = 64
    learning_rate: float = 2e-3
    betas: tuple[float, float] = (0.5, 0.99)
    gamma: float = 0.2
    penalty_every: int = 4
    average: float = 0.995
    seed: int = 1


def penalty(scores: Tensor, real: Tensor) -> Tensor:
    """Return half the squared gradient of the scores at real images, averaged over images."""
    (gradient,) = torch.autograd.grad(scores.sum(), real, create_graph=True)
    return 0.5 * gradient.square().flatten(1).sum(1).mean()


def train(
    images: npt.NDArray[np.uint8],
    recipe: Recipe,
    *,
    n_steps: int | None = None,
    progress: bool = False,
) -> tuple[MNISTGAN, list[tuple[float, float]]]:
    """Train both networks on ``images``, on the CPU.

    Args:
        images: Grey values 0 to 255, shape (n, 28, 28).
        recipe: The settings.
        n_steps: Stop after so many steps, with the learning rates of the full length.
        progress: Whether to show a bar on standard error.

    Returns:
        The averaged generator and the discriminator in evaluation mode; and the mean losses of the
        discriminator (without penalty) and of the generator over each 50 steps, in nats.
    """
    generator = torch.Generator().manual_seed(recipe.seed)
    data = torch.from_numpy(images)
    net = MNISTGenerator(recipe.latent_size, recipe.seed).train()
    judge = MNISTDiscriminator(recipe.seed).train()
    averaged = copy.deepcopy(net)
    rate = recipe.learning_rate
    optimisers = [
        torch.optim.Adam(part.parameters(), lr=rate, betas=recipe.betas, fused=True)
        for part in (net, judge)
    ]
    history: list[tuple[float, float]] = []
    last = recipe.steps if n_steps is None else n_steps
    sums = [0.0, 0.0]
    for step in tqdm(range(last), desc="training", unit="step", disable=not progress):
        for optimiser in optimisers:  # constant, then linearly to zero over the second half
            optimiser.param_groups[0]["lr"] = rate * min(1.0, 2 - 2 * step / recipe.steps)
        drawn = torch.randint(len(data), (recipe.batch_size,), generator=generator)
        real = data[drawn].float().div(255).unsqueeze(1)
        fake = net(torch.randn(recipe.batch_size, recipe.latent_size, generator=generator))

        penalised = step % recipe.penalty_every == 0
        scores = judge(real.requires_grad_(penalised))
        entropy = functional.softplus(-scores).mean()
        entropy = entropy + functional.softplus(judge(fake.detach())).mean()
        loss = entropy
        if penalised:
            loss = loss + recipe.penalty_every * recipe.gamma * penalty(scores, real)
        optimisers[1].zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimisers[1].step()

        judge.requires_grad_(False)
        deceit = functional.softplus(-judge(fake)).mean()
        optimisers[0].zero_grad()
        deceit.backward()  # type: ignore[no-untyped-call]
        optimisers[0].step()
        judge.requires_grad_(True)
        # a shorter memory at first, so that the initial weights are soon forgotten
        _average(averaged, net, min(recipe.average, (step + 1) / (step + 10)))

        sums = [sums[0] + entropy.item(), sums[1] + deceit.item()]
        if (step + 1) % REPORT == 0:
            history.append((sums[0] / REPORT, sums[1] / REPORT))
            sums = [0.0, 0.0]
    return MNISTGAN(averaged.eval(), judge.eval()), history


def _average(averaged: nn.Module, net: nn.Module, decay: float) -> None:
    with torch.no_grad():
        pairs = zip(averaged.state_dict().values(), net.state_dict().values(), strict=True)
        for mean, latest in pairs:
            if mean.is_floating_point():
                mean.lerp_(latest, 1 - decay)


def write(path: Path, gan: MNISTGAN, recipe: Recipe, history: list[tuple[float, float]]) -> str:
    """Write the weights to ``path`` and the card beside it; return the SHA-256 of the weights."""
    weights = {
        f"{role}.{name}": tensor
        for role, net in gan._asdict().items()
        for name, tensor in net.state_dict().items()
    }
    card = {
        "title": f"DCGAN of MNIST, {recipe.latent_size} latent dimensions",
        "architecture": f"generator: {recipe.latent_size} to 64 x 7 x 7, two transposed "
        "convolutions 4 x 4 with stride 2 to 32 and 1 maps, batch normalisation, ReLU, sigmoid; "
        "discriminator: two convolutions 4 x 4 with stride 2 to 32 and 64 maps, LeakyReLU 0.2, "
        "linear",
        "licence": "Apache-2.0",
        "trained_on": "MNIST training file, all 60,000 images",
        "trained_by": "examples/train_dcgan.py",
        "recipe": asdict(recipe),
        "loss_nats_discriminator_generator_per_50_steps": history,
    }
    return write_weights(path, weights, card)


def main(argv: list[str] | None = None) -> None:
    """Run the script with the arguments ``argv``, those of the command line by default."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    default = Recipe()
    parser = argparse.ArgumentParser(
        description="Train a small DCGAN on MNIST.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument("--latent-size", type=positive, default=default.latent_size)
    parser.add_argument("--steps", type=positive, default=default.steps)
    parser.add_argument("--seed", type=natural, default=default.seed)
    parser.add_argument("--output", type=Path, help="weights file to write; by default here")
    given = parser.parse_args(argv)
    recipe = Recipe(given.latent_size, given.steps, seed=given.seed)
    path: Path = given.output or Path(f"mnist_gan_z{recipe.latent_size}.safetensors")
    images, _ = load_mnist("train")
    with one_thread():
        gan, history = train(images, recipe, progress=True)
    digest = write(path, gan, recipe, history)
    _log.info("wrote %s, SHA-256 %s", path, digest)


if __name__ == "__main__":
    main()
