"""Train the small MNIST models that stand for families without a published one at hand.

    python examples/train_families.py conditional_vae

The names are those of ``FAMILIES``: a conditional VAE, a plain autoencoder, a VQ-VAE, pythae's
BetaVAE and diffusers' AutoencoderKL. Each sees the 60,000 training images for a few passes, which
takes one to four minutes on one core. Weights go to ``examples/weights`` as safetensors, with a
JSON card of the settings and losses beside them. All randomness comes from one seed, and one thread
is used, so that the same torch on the same kind of processor gives the same bytes.
"""

from __future__ import annotations

import argparse
import logging
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from family_models.common import WEIGHTS
from family_models.digit_nets import VQVAE, Autoencoder, ConditionalVAE
from family_models.library_nets import DiffusersKL, PythaeBetaVAE, seeded
from torch import Tensor, nn
from tqdm.auto import tqdm
from weight_card import write_weights

from pxgen_plugins.datasets import load_mnist
from pxgen_plugins.utils.threads import one_thread

_log = logging.getLogger("train_families")
FAMILIES: dict[str, Callable[[], nn.Module]] = {
    "autoencoder": Autoencoder,
    "conditional_vae": ConditionalVAE,
    "diffusers_kl": DiffusersKL,
    "pythae_beta_vae": PythaeBetaVAE,
    "vqvae": VQVAE,
}
REPORT = 100  # steps over which the losses on the card are averaged


@dataclass(frozen=True)
class Recipe:
    """Settings of a training run."""

    steps: int = 3_000
    batch_size: int = 128
    learning_rate: float = 2e-3
    seed: int = 0


def train(name: str, recipe: Recipe) -> tuple[nn.Module, list[float]]:
    """Return the trained network in evaluation mode, and its mean loss over each 100 steps."""
    images, labels = (torch.from_numpy(part) for part in load_mnist("train"))
    generator = torch.Generator().manual_seed(recipe.seed)
    net = seeded(FAMILIES[name], recipe.seed).train()
    optimiser = torch.optim.Adam(net.parameters(), lr=recipe.learning_rate, fused=True)

    def noise(shape: torch.Size) -> Tensor:
        return torch.randn(shape, generator=generator)

    history: list[float] = []
    total = 0.0
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(recipe.seed)  # pythae draws its noise from the global generator
        for step in tqdm(range(recipe.steps), desc=name, unit="step"):
            share = 1 - step / recipe.steps
            optimiser.param_groups[0]["lr"] = recipe.learning_rate * min(1.0, 2 * share)
            drawn = torch.randint(len(images), (recipe.batch_size,), generator=generator)
            x = images[drawn].float().div(255).unsqueeze(1)
            loss = net.loss(x, labels[drawn], noise)  # type: ignore[operator]
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            total += loss.item()
            if (step + 1) % REPORT == 0:
                history.append(round(total / REPORT, 3))
                total = 0.0
    return net.eval(), history


def main(argv: list[str] | None = None) -> None:
    """Run the script with the arguments ``argv``, those of the command line by default."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    default = Recipe()
    parser = argparse.ArgumentParser(description="Train small models of MNIST.")
    parser.add_argument("names", nargs="+", choices=sorted(FAMILIES))
    parser.add_argument("--steps", type=int, default=default.steps)
    parser.add_argument("--output", type=Path, default=WEIGHTS)
    given = parser.parse_args(argv)
    recipe = Recipe(steps=given.steps)
    for name in given.names:
        with one_thread():
            net, history = train(name, recipe)
        card = {
            "title": f"{name} of MNIST",
            "licence": "Apache-2.0",
            "trained_on": "MNIST training file, all 60,000 images",
            "trained_by": f"examples/train_families.py {name}",
            "recipe": asdict(recipe),
            "loss_per_100_steps": history,
        }
        path = given.output / f"{name}.safetensors"
        write_weights(path, net.state_dict(), card)
        size = path.stat().st_size
        _log.info("wrote %s: %d bytes, last loss %.4g", path, size, history[-1])


if __name__ == "__main__":
    main()
