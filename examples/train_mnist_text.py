"""Train a small text-to-image model of MNIST, to look inside one without downloading any.

    python examples/train_mnist_text.py --output mnist_text.safetensors

The model draws digits of 14 x 14 pixels that a prompt describes: "a thin seven left". Digits of the
training file are moved 3 to 5 pixels left or right before they are made smaller by half. A digit is
called thin or thick where its mean stroke width is in the lowest or highest third of its class, and
neither in between. Each word is left out of one caption in ten ("digit" stands for the digit's
name), and one caption in ten is empty, for guidance without a classifier (Ho and Salimans 2022).

The network, a ``UNet2DConditionModel`` of diffusers, predicts v (Salimans and Ho 2022) under a
cosine schedule. Adam with a learning rate that falls from 2e-3 to zero along half a cosine, batches
of 32; what is kept is a running average of the weights. All randomness comes from one seed, and one
thread is used, so the same seed gives the same bytes on the same processor, torch and diffusers.
The weights are written in half precision, with a JSON card beside them: settings, losses, and how
many samples show what their prompt says. It takes about twenty minutes on a free core.
"""

from __future__ import annotations

import argparse
import copy
import itertools
import logging
import math
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from digit_scores import centre, digit_probabilities, moved, stroke_width
from torch import Tensor, nn
from tqdm.auto import tqdm
from train_mnist_vae import natural, positive
from weight_card import write_weights

from pxgen_plugins.datasets import MNISTText, MNISTWords, load_mnist
from pxgen_plugins.datasets.mnist_text import DIGITS, SIDE, mnist_text_parts
from pxgen_plugins.models import TextToImage, from_diffusers
from pxgen_plugins.models.schedules import cosine
from pxgen_plugins.utils.threads import one_thread

_log = logging.getLogger("train_mnist_text")
REPORT = 100  # steps over which the losses on the card are averaged
WIDTHS = ("thin", "", "thick")
SIDES = ("left", "right")
GUIDANCE, SAMPLE_STEPS = 2.0, 20  # of the samples on the card


@dataclass(frozen=True)
class Recipe:
    """Settings of a training run; the defaults are those of the shipped weights."""

    steps: int = 3_000
    batch_size: int = 32
    learning_rate: float = 2e-3
    left_out: float = 0.1
    average: float = 0.999
    seed: int = 0


def thirds(images: Tensor, labels: Tensor) -> Tensor:
    """Return 0, 1 or 2, int64 (n,): in which third of its class an image's stroke width is."""
    width = stroke_width(images)
    found = torch.empty(len(images), dtype=torch.int64)
    for digit in set(labels.tolist()):
        own = labels == digit
        bounds = width[own].quantile(torch.tensor([1 / 3, 2 / 3]))
        found[own] = torch.bucketize(width[own], bounds)
    return found


def caption(width: str, digit: str, side: str) -> str:
    """Return a prompt of words, of which width and side may be empty.

    Example:
        >>> caption("", "seven", "left")
        'a seven left'
    """
    return " ".join(word for word in ("a", width, digit, side) if word)


class Captions:
    """Images of the training file, moved aside, with captions.

    Args:
        images: Grey values 0 to 255, (n, 28, 28).
        labels: The digits, (n,).
        left_out: How often each word is left out, and the whole caption.
    """

    def __init__(
        self, images: npt.NDArray[np.uint8], labels: npt.NDArray[np.int64], left_out: float
    ) -> None:
        self._images, self._labels = torch.from_numpy(images), torch.from_numpy(labels)
        self._thirds = thirds(self._images.float() / 255, self._labels)
        self._left_out = left_out

    def draw(self, n: int, generator: torch.Generator) -> tuple[Tensor, list[str]]:
        """Return ``n`` images in [-1, 1], (n, 1, 14, 14), and their captions."""
        rows = torch.randint(len(self._images), (n,), generator=generator)
        side = torch.randint(2, (n,), generator=generator)
        far = torch.randint(3, 6, (n,), generator=generator)
        out = (torch.rand(n, 4, generator=generator) < self._left_out).tolist()
        images = moved(self._images[rows].float() / 255, far * (2 * side - 1)) * 2 - 1
        captions = [
            "" if no_caption else caption(
                "" if no_width else WIDTHS[third],
                "digit" if no_digit else DIGITS[digit],
                "" if no_side else SIDES[where],
            )
            for (no_caption, no_width, no_digit, no_side), third, digit, where in zip(
                out, self._thirds[rows].tolist(), self._labels[rows].tolist(), side.tolist(),
                strict=True,
            )
        ]  # fmt: skip
        return images[:, None], captions


def initial(seed: int) -> MNISTText:
    """Return the parts of the model with the initial weights of torch and diffusers."""
    parts = mnist_text_parts()
    parts.network.to_empty(device="cpu")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        for module in parts.network.modules():
            if hasattr(module, "reset_parameters"):
                module.reset_parameters()
    return parts._replace(words=MNISTWords(seed))


def train(
    images: npt.NDArray[np.uint8],
    labels: npt.NDArray[np.int64],
    recipe: Recipe,
    *,
    n_steps: int | None = None,
    progress: bool = False,
) -> tuple[MNISTText, list[float]]:
    """Train network and words on images with captions, on the CPU.

    Args:
        images: Grey values 0 to 255, (n, 28, 28).
        labels: The digits, (n,).
        recipe: The settings.
        n_steps: Stop after so many steps, with the learning rates of the full length.
        progress: Whether to show a bar on standard error.

    Returns:
        The averaged parts in evaluation mode; and the mean squared error of v over each 100 steps.
    """
    generator = torch.Generator().manual_seed(recipe.seed)
    captions = Captions(images, labels, recipe.left_out)
    model = initial(recipe.seed)
    averaged = copy.deepcopy(model)
    nets = nn.ModuleList([model.network, model.words]).train()
    means = [*averaged.network.parameters(), *averaged.words.parameters()]
    weights: list[Tensor] = list(nets.parameters())
    optimiser = torch.optim.Adam(weights, recipe.learning_rate, betas=(0.9, 0.99), fused=True)
    left = cosine(1_000).float()
    history: list[float] = []
    total = 0.0
    last = recipe.steps if n_steps is None else n_steps
    for step in tqdm(range(last), desc="training", unit="step", disable=not progress):
        rate = min(1.0, (step + 1) / 200) * 0.5 * (1 + math.cos(math.pi * step / recipe.steps))
        optimiser.param_groups[0]["lr"] = rate * recipe.learning_rate
        x, prompts = captions.draw(recipe.batch_size, generator)
        t = torch.randint(len(left), (len(x),), generator=generator)
        noise = torch.randn(x.shape, generator=generator)
        signal, spread = (
            left[t].sqrt()[:, None, None, None],
            (1 - left[t]).sqrt()[:, None, None, None],
        )
        predicted = model.network(signal * x + spread * noise, t, model.words(prompts)).sample
        loss = (predicted - (signal * noise - spread * x)).square().mean()
        optimiser.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(weights, 1.0)
        optimiser.step()
        # a shorter memory at first, so that the initial weights are soon forgotten
        decay = min(recipe.average, (step + 1) / (step + 10))
        with torch.no_grad():
            torch._foreach_lerp_(means, weights, 1 - decay)
        total += loss.item()
        if (step + 1) % REPORT == 0:
            history.append(round(total / REPORT, 4))
            total = 0.0
    averaged.network.eval()
    averaged.words.eval()
    return averaged, history


def accuracy(parts: MNISTText, n: int = 10, seed: int = 1_000_003) -> dict[str, float]:
    """Return how many samples show what their prompt says.

    Args:
        parts: The trained parts.
        n: Samples of each of the 40 prompts.
        seed: Seed of the samples.

    Returns:
        Share of the digits that the shipped LeNet reads as the prompt says, share on the right
        side, mean stroke width under "thin" and "thick" in pixels, and the share of pairs, one of
        each, of which the thick one is thicker.
    """
    model = from_diffusers(parts, guidance=GUIDANCE, steps=SAMPLE_STEPS)
    assert isinstance(model, TextToImage)
    kinds = list(itertools.product(("thin", "thick"), range(10), SIDES))
    prompts = [
        caption(width, DIGITS[digit], side) for width, digit, side in kinds for _ in range(n)
    ]
    x = (model.sample(len(prompts), seed, prompt=prompts)[:, 0] + 1) / 2
    digits = torch.tensor([digit for _, digit, _ in kinds]).repeat_interleave(n)
    right = torch.tensor([side == "right" for _, _, side in kinds]).repeat_interleave(n)
    thin, thick = stroke_width(x).chunk(2)
    return {
        "digit": float((digit_probabilities(x).argmax(1) == digits).float().mean()),
        "side": float(((centre(x)[:, 1] > (SIDE - 1) / 2) == right).float().mean()),
        "thin_pixels": float(thin.mean()),
        "thick_pixels": float(thick.mean()),
        "thicker": float((thick[:, None] > thin[None]).float().mean()),
    }


def main(argv: list[str] | None = None) -> None:
    """Run the script with the arguments ``argv``, those of the command line by default."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    default = Recipe()
    parser = argparse.ArgumentParser(
        description="Train a small text-to-image model of MNIST.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument("--steps", type=positive, default=default.steps)
    parser.add_argument("--seed", type=natural, default=default.seed)
    parser.add_argument("--output", type=Path, default=Path("mnist_text.safetensors"))
    given = parser.parse_args(argv)
    recipe = Recipe(given.steps, seed=given.seed)
    images, labels = load_mnist("train")
    with one_thread():
        parts, history = train(images, labels, recipe, progress=True)
        weights = {
            f"{role}.{name}": tensor.half()
            for role in ("network", "words")
            for name, tensor in getattr(parts, role).state_dict().items()
        }
        for role in ("network", "words"):  # what is measured is what is written
            own = {k[len(role) + 1 :]: w.float() for k, w in weights.items() if k.startswith(role)}
            getattr(parts, role).load_state_dict(own)
        scores = accuracy(parts)
    card = {
        "title": "Text-to-image model of MNIST, 14 x 14",
        "architecture": "diffusers UNet2DConditionModel that predicts v: 16 and 32 maps, six "
        "layers of cross-attention on 7 x 7; a learned vector of 32 numbers for each word",
        "parameters": sum(tensor.numel() for tensor in weights.values()),
        "licence": "Apache-2.0",
        "trained_on": "MNIST training file, moved left and right, with captions of the script",
        "trained_by": "examples/train_mnist_text.py",
        "diffusers": version("diffusers"),
        "recipe": asdict(recipe),
        "error_of_v_per_100_steps": history,
        "samples": {"guidance": GUIDANCE, "steps": SAMPLE_STEPS, **scores},
    }
    digest = write_weights(given.output, weights, card)
    _log.info("samples: %s; wrote %s, SHA-256 %s", scores, given.output, digest)


if __name__ == "__main__":
    main()
