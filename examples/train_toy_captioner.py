"""Train the small network that says what changes from one picture to another.

    python examples/train_toy_captioner.py --output toy_captioner.safetensors

The network is :class:`pxgen_plugins.datasets.ChangeNet`, and ``ToyCaptioner`` puts its answers into
sentences, so that descriptions of latent axes are tried without a language model. It learns from
pairs of pictures drawn here: a bright rectangle, ellipse or triangle on a dark ground, and the same
with one factor changed (place, size, angle or shape) or with none. In some pairs two
factors change, and the target is shared between them by how much each one changes: the network is
to be unsure where an axis mixes two factors. Pictures are blurred by different widths, because
those of generative models are.

Adam with a learning rate that falls from 2e-3 to zero along half a cosine, batches of 64. All
randomness comes from one seed, and one thread is used, so the same seed gives the same bytes on the
same processor and torch. Beside the weights a JSON card is written with the settings, the accuracy
on pairs of another seed and the machine. It takes about two minutes.
"""

from __future__ import annotations

import argparse
import logging
import math
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from torch import Tensor, nn
from tqdm.auto import tqdm
from train_mnist_vae import natural, positive
from weight_card import write_weights

from pxgen_plugins.datasets.change_net import CHANGES, SIDE, ChangeNet
from pxgen_plugins.utils.threads import one_thread

_log = logging.getLogger("train_toy_captioner")
HELD_OUT_SEED = 1_000_003  # of pairs that no training with a smaller seed draws
# The factors are columns: x, y (shares of the side), size (half a side), angle, shape.
X, Y, SIZE, ANGLE, SHAPE = range(5)
COLUMNS = (-1, X, X, Y, Y, SIZE, SIZE, ANGLE, SHAPE)  # of the factor that each change moves
SIGNS = (0.0, 1.0, -1.0, 1.0, -1.0, 1.0, -1.0, 0.0, 0.0)  # 0: either way
OFTEN = (1, 1, 1, 1, 1, 1, 1, 3, 3)  # turns and shapes are the hardest to tell
SMALLEST = torch.tensor([0.10, 0.10, 0.025, 0.30, 0.6])  # a change that counts as one
LARGEST = torch.tensor([0.45, 0.45, 0.11, 1.20, 1.0])


@dataclass(frozen=True)
class Recipe:
    """Settings of a training run; the defaults are those of the shipped weights."""

    steps: int = 5_000
    batch_size: int = 64
    learning_rate: float = 2e-3
    seed: int = 0


def draw(factors: Tensor, look: Tensor) -> Tensor:
    """Return pictures in [0, 1], (n, 32, 32), of the shapes that the factors say.

    Args:
        factors: (n, 5): centre x and y and half a side as shares of the side, angle in radians,
            and shape: 0 a rectangle, 1 an ellipse, 2 a triangle, 3 a rectangle, and between
            them a mixture.
        look: (n, 3): short axis by long one, of ellipses and of rectangles, and from 0 to 1 how far
            the picture is that of means over 3 x 3 pixels.
    """
    grid = (torch.arange(SIDE) + 0.5) / SIDE
    x, y, size, angle, shape = (column[:, None, None] for column in factors.unbind(1))
    right, down = grid[None, None, :] - x, grid[None, :, None] - y
    u = (right * angle.cos() + down * angle.sin()) / size
    v = (down * angle.cos() - right * angle.sin()) / size
    # distances from the edge, below zero inside; equal areas, so that no shape is a larger one
    ratio, wide, softness = (column[:, None, None] for column in look.unbind(1))
    long, wide = (4 / (math.pi * ratio)).sqrt(), wide.sqrt()
    square = torch.maximum(u.abs() * wide, v.abs() / wide) - 1.0
    ellipse = (u.square() + (v / ratio).square()).sqrt() - long
    triangle = torch.maximum(v, 0.866 * u.abs() - 0.5 * v) - 0.877
    away = torch.stack([(shape - kind) % 3 for kind in range(3)])
    mixture = (1 - torch.minimum(away, 3 - away)).clamp_min(0.0)
    edge = (mixture * torch.stack([square, ellipse, triangle])).sum(0)
    sharp = torch.sigmoid(-4 * edge * size * SIDE)
    soft = nn.functional.avg_pool2d(sharp, 3, 1, 1)
    return torch.lerp(sharp, soft, softness)


def pairs(n: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Draw pairs of pictures and what changes between them.

    Args:
        n: Number of pairs.
        generator: Where the randomness comes from.

    Returns:
        Pictures in [0, 1], (n, 2, 32, 32), and shares of the nine changes, (n, 9), sum one.
    """
    uniform = torch.rand(n, 12, generator=generator)
    often = torch.tensor(OFTEN, dtype=torch.float32).expand(n, -1)
    kinds = torch.multinomial(often, 2, replacement=True, generator=generator)
    either = torch.randint(2, (n, 2), generator=generator) * 2.0 - 1
    columns, signs = torch.tensor(COLUMNS)[kinds], torch.tensor(SIGNS)[kinds]
    # the parts of two changes lie on a circle, as those of an axis between two others do
    two = (columns[:, 0] != columns[:, 1]) & (columns >= 0).all(1) & (uniform[:, 0] < 0.5)
    turn = torch.where(two, (0.2 + 0.6 * uniform[:, 1]) * math.pi / 2, 0.0)
    amounts = SMALLEST + uniform[:, 7:8] * (LARGEST - SMALLEST)
    change, target = torch.zeros(n, 5), torch.zeros(n, len(CHANGES))
    for k, part in enumerate((turn.cos(), turn.sin())):
        target.scatter_add_(1, kinds[:, k : k + 1], part.square()[:, None])
        sign = torch.where(signs[:, k] == 0, either[:, k], signs[:, k])
        moved = nn.functional.one_hot(columns[:, k].clamp_min(0), 5) * (columns[:, k] >= 0)[:, None]
        change += moved * amounts * (part * sign)[:, None]
    before, after = _inside(_factors(uniform[:, 2:7]), change)
    light = 0.6 + 0.4 * uniform[:, 9, None, None]
    look = torch.tensor([0.4, 0.6, 0.0]) + torch.tensor([0.4, 0.4, 1.0]) * uniform[:, [10, 11, 8]]
    pictures = torch.stack([light * draw(f, look) for f in (before, after)], 1)
    return pictures, target


def _factors(uniform: Tensor) -> Tensor:
    low = torch.tensor([0.2, 0.2, 0.09, 0.0, 0.0])
    high = torch.tensor([0.8, 0.8, 0.20, math.pi, 3.0])
    factors = low + uniform * (high - low)
    # half of the shapes are pure, half lie between two
    pure = uniform[:, SHAPE] * 6 % 1 < 0.5
    factors[:, SHAPE] = torch.where(pure, factors[:, SHAPE].floor(), factors[:, SHAPE])
    return factors


def _inside(before: Tensor, change: Tensor) -> tuple[Tensor, Tensor]:
    """Return factors before and after, put back so that both are pictures of a whole shape."""
    before, after = before.clone(), before + change
    for column, low, high in ((X, 0.15, 0.85), (Y, 0.15, 0.85), (SIZE, 0.08, 0.22)):
        both = torch.stack([before[:, column], after[:, column]])
        shift = (low - both.amin(0)).clamp_min(0.0) - (both.amax(0) - high).clamp_min(0.0)
        before[:, column] += shift
        after[:, column] += shift
    return before, after


def train(recipe: Recipe, *, progress: bool = False) -> ChangeNet:
    """Return a network trained on pairs that are drawn as it goes."""
    net = ChangeNet(recipe.seed).train()
    optimiser = torch.optim.Adam(net.parameters(), lr=recipe.learning_rate, fused=True)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, recipe.steps)
    generator = torch.Generator().manual_seed(recipe.seed)
    bar = tqdm(total=recipe.steps, desc="training", unit="step", disable=not progress)
    for _ in range(recipe.steps):
        pictures, target = pairs(recipe.batch_size, generator)
        loss = nn.functional.cross_entropy(net(pictures), target)
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        schedule.step()
        bar.update()
    bar.close()
    return net.eval()


def accuracy(net: ChangeNet, n: int = 4_000, seed: int = HELD_OUT_SEED) -> dict[str, float]:
    """Return the share of changes that the network tells, of those where one factor changes.

    Args:
        net: The network.
        n: Number of pairs; most have one change or none.
        seed: Seed of the pairs, another than that of the training.

    Returns:
        The share by name of the change, and of ``"all"``.
    """
    pictures, target = pairs(n, torch.Generator().manual_seed(seed))
    single = target.amax(1) == 1
    with torch.no_grad():
        right = (net(pictures).argmax(1) == target.argmax(1))[single].double()
    kind = target.argmax(1)[single]
    shares = {name: float(right[kind == k].mean()) for k, name in enumerate(CHANGES)}
    return {"all": float(right.mean()), **shares}


def main(argv: list[str] | None = None) -> None:
    """Run the script with the arguments ``argv``, those of the command line by default."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    default = Recipe()
    parser = argparse.ArgumentParser(
        description="Train the network behind ToyCaptioner.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument("--steps", type=positive, default=default.steps)
    parser.add_argument("--seed", type=natural, default=default.seed)
    parser.add_argument("--output", type=Path, default=Path("toy_captioner.safetensors"))
    given = parser.parse_args(argv)
    recipe = Recipe(given.steps, seed=given.seed)
    with one_thread():
        net = train(recipe, progress=True)
        scores = accuracy(net)
    card = {
        "title": "What changes between two pictures of a shape",
        "architecture": "two pictures of 32 x 32, as they are and centred; convolutions 3 x 3 with "
        "stride 2 to 16, 32 and 32 maps, linear to 64 and 9, ReLU",
        "licence": "Apache-2.0",
        "trained_on": "shapes drawn by the script; no data of others",
        "trained_by": "examples/train_toy_captioner.py",
        "changes": list(CHANGES),
        "recipe": asdict(recipe),
        "held_out_accuracy": scores["all"],
        "held_out_accuracy_by_change": {name: scores[name] for name in CHANGES},
    }
    digest = write_weights(given.output, net.state_dict(), card)
    _log.info("held-out accuracy %.4f; wrote %s, SHA-256 %s", scores["all"], given.output, digest)


if __name__ == "__main__":
    main()
