"""Train a small text-to-image model of MNIST, to look inside one without downloading any.

python examples/train_mnist_text.py --output mnist_text.safetensors
"""

from __future__ import annotations

import argparse
import copy
import logging
import math
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from train_mnist_vae import natural, positive
from weight_card import write_weights

from pxgen_plugins.datasets import load_mnist, load_mnist_lenet
from pxgen_plugins.datasets.mnist_text import DIGITS, MNISTText, MNISTWords, mnist_text_network
from pxgen_plugins.models.schedules import cosine
from pxgen_plugins.utils.threads import one_thread

_log = logging.getLogger("train_mnist_text")
REPORT = 100


@dataclass(frozen=True)
class Recipe:
    steps: int = 14_000
    batch_size: int = 32
    learning_rate: float = 2e-3
    average: float = 0.999
    seed: int = 0


def thickness(images: Tensor) -> Tensor:
    """Return the mean stroke width of images (n, h, w) in [0, 1], in pixels, (n,).

    Twice the ink over the length of its edge: a stroke of width w and length l has ink w l and an
    edge of about 2 l. The length of the edge is the total variation, root mean over both ways.
    """
    right = (images[:, :, 1:] - images[:, :, :-1]).abs().sum((1, 2))
    down = (images[:, 1:] - images[:, :-1]).abs().sum((1, 2))
    return 2 * images.sum((1, 2)) / (right.square() + down.square()).sqrt().clamp_min(1e-6)


def thirds(images: Tensor, labels: Tensor) -> Tensor:
    """Return 0, 1 or 2, (n,): thin, between or thick among the images of the same digit."""
    width = thickness(images)
    found = torch.empty(len(images), dtype=torch.int64)
    for digit in range(10):
        own = labels == digit
        bounds = width[own].quantile(torch.tensor([1 / 3, 2 / 3]))
        found[own] = torch.bucketize(width[own], bounds)
    return found


def moved(images: Tensor, shift: Tensor) -> Tensor:
    """Return images (n, 28, 28) moved right by ``shift`` pixels, (n,), and halved, (n, 14, 14)."""
    source = torch.arange(28) - shift[:, None]
    inside = (source >= 0) & (source < 28)
    whole = images.gather(2, source.clamp(0, 27)[:, None, :].expand(-1, 28, -1))
    whole = whole * inside[:, None, :]
    return functional.avg_pool2d(whole[:, None], 2)[:, 0]


def draw(images, labels, thick, n, generator):
    rows = torch.randint(len(images), (n,), generator=generator)
    side = torch.randint(2, (n,), generator=generator)
    far = torch.randint(3, 6, (n,), generator=generator)
    picture = moved(images[rows].float() / 255, far * (2 * side - 1)) * 2 - 1
    drop = torch.rand(n, 4, generator=generator) < torch.tensor([0.1, 0.1, 0.1, 0.1])
    prompts = []
    for i, row in enumerate(rows.tolist()):
        t = int(thick[row])
        words = [
            "a",
            "" if t == 1 or drop[i, 1] else ("thin", "", "thick")[t],
            "digit" if drop[i, 2] else DIGITS[int(labels[row])],
            "" if drop[i, 3] else ("left", "right")[int(side[i])],
        ]
        prompts.append("" if drop[i, 0] else " ".join(w for w in words if w))
    return picture[:, None], prompts


@torch.no_grad()
def evaluate(model: MNISTText, n: int, guidance: float, steps: int = 20, seed: int = 1):
    left = cosine(1_000)
    prompts, d = [], torch.arange(n) % 10
    th = (torch.arange(n) // 10) % 2
    sd = (torch.arange(n) // 20) % 2
    prompts = [
        f"a {('thin', 'thick')[b]} {DIGITS[a]} {('left', 'right')[c]}"
        for a, b, c in zip(d.tolist(), th.tolist(), sd.tolist())
    ]
    x = torch.randn(n, 1, 14, 14, generator=torch.Generator().manual_seed(seed))
    c, u = model.words(prompts), model.words([""] * n)
    at = torch.linspace(999, 0, steps).round().long().tolist()
    for k, t in enumerate(at):
        a = float(left[t])
        nxt = float(left[at[k + 1]]) if k + 1 < len(at) else 1.0
        v = model.network(x, t, c).sample
        if guidance != 1:
            v0 = model.network(x, t, u).sample
            v = v0 + guidance * (v - v0)
        x0 = (math.sqrt(a) * x - math.sqrt(1 - a) * v).clamp(-1, 1)
        e = (x - math.sqrt(a) * x0) / math.sqrt(1 - a)
        x = math.sqrt(nxt) * x0 + math.sqrt(1 - nxt) * e
    x = (x.clamp(-1, 1) + 1) / 2
    grid = torch.arange(14.0)
    cx = (x[:, 0].sum(1) * grid).sum(1) / x.sum((1, 2, 3)).clamp_min(1e-6)
    cy = (x[:, 0].sum(2) * grid).sum(1) / x.sum((1, 2, 3)).clamp_min(1e-6)
    big = functional.interpolate(x, size=28, mode="bilinear")
    out = torch.stack(
        [
            torch.roll(
                b,
                (round(13.5 - (2 * float(yy) + 0.5)), round(13.5 - (2 * float(xx) + 0.5))),
                (1, 2),
            )
            for b, xx, yy in zip(big, cx, cy)
        ]
    )
    got = load_mnist_lenet()(out).argmax(1)
    w = thickness(x[:, 0])
    return {
        "digit": float((got == d).float().mean()),
        "side": float(((cx > 6.5) == (sd == 1)).float().mean()),
        "thin": float(w[th == 0].mean()),
        "thick": float(w[th == 1].mean()),
    }


def save(
    path: Path, model: MNISTText, recipe: Recipe, history: list[float], extra: dict[str, Any]
) -> str:
    weights = {
        f"{role}.{name}": tensor.half()
        for role, net in model._asdict().items()
        for name, tensor in net.state_dict().items()
    }
    card = {
        "title": "Text-to-image model of MNIST, 14 x 14",
        "licence": "Apache-2.0",
        "trained_on": "MNIST training file, moved left and right",
        "trained_by": "examples/train_mnist_text.py",
        "recipe": asdict(recipe),
        "losses_per_100_steps": history,
        **extra,
    }
    return write_weights(path, weights, card)


def train(recipe: Recipe, output: Path, minutes=None):
    images, labels = load_mnist("train")
    images, labels = torch.from_numpy(images), torch.from_numpy(labels)
    thick = torch.cat([thirds(images.float() / 255, labels)])
    generator = torch.Generator().manual_seed(recipe.seed)
    model = MNISTText(mnist_text_network(recipe.seed), MNISTWords(recipe.seed))
    weights = [w for net in model for w in net.parameters()]
    _log.info("%d parameters", sum(w.numel() for w in weights))
    averaged = copy.deepcopy(model)
    means = [w.detach() for net in averaged for w in net.parameters()]
    optimiser = torch.optim.AdamW(
        weights, recipe.learning_rate, betas=(0.9, 0.99), weight_decay=0.0, fused=True
    )
    left = cosine(1_000).float()
    history, total, begin = [], 0.0, time.time()
    for net in model:
        net.train()
    for step in range(recipe.steps):
        part = step / recipe.steps
        if minutes:
            part = max(part, (time.time() - begin) / 60 / minutes)
            if part >= 1:
                break
        rate = min(1.0, (step + 1) / 200) * 0.5 * (1 + math.cos(math.pi * part))
        optimiser.param_groups[0]["lr"] = rate * recipe.learning_rate
        x, prompts = draw(images, labels, thick, recipe.batch_size, generator)
        t = torch.randint(1_000, (len(x),), generator=generator)
        noise = torch.randn(x.shape, generator=generator)
        a = left[t][:, None, None, None]
        v = a.sqrt() * noise - (1 - a).sqrt() * x
        predicted = model.network(
            a.sqrt() * x + (1 - a).sqrt() * noise, t, model.words(prompts)
        ).sample
        loss = (predicted - v).square().mean()
        optimiser.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(weights, 1.0)
        optimiser.step()
        total += loss.item()
        decay = min(recipe.average, (step + 1) / (step + 10))
        with torch.no_grad():
            torch._foreach_lerp_(means, weights, 1 - decay)
        if (step + 1) % REPORT == 0:
            history.append(round(total / REPORT, 4))
            total = 0.0
            _log.info("%d %.0fs loss %.4f", step + 1, time.time() - begin, history[-1])
        if (step + 1) % 1000 == 0 or step + 1 == recipe.steps:
            for net in averaged:
                net.eval()
            save(output, averaged, recipe, history, {"steps_done": step + 1})
            if (step + 1) % 2000 == 0 or step == 99:
                _log.info("  guidance 2 %s", evaluate(averaged, 200, 2.0))
    for net in averaged:
        net.eval()
    save(output, averaged, recipe, history, {"steps_done": step})
    _log.info("done %d", step)
    return averaged


def main(argv=None):
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    parser = argparse.ArgumentParser()
    parser.add_argument("--steps", type=positive, default=Recipe.steps)
    parser.add_argument("--minutes", type=float)
    parser.add_argument("--batch", type=positive, default=Recipe.batch_size)
    parser.add_argument("--seed", type=natural, default=0)
    parser.add_argument("--output", type=Path, default=Path("mnist_text.safetensors"))
    given = parser.parse_args(argv)
    with one_thread():
        train(Recipe(given.steps, given.batch, seed=given.seed), given.output, given.minutes)


if __name__ == "__main__":
    main()
