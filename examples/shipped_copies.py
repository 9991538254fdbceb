"""Do the models that come with the package give their training data back?

    python examples/shipped_copies.py --output docs/results

The four models were trained on MNIST's training file: a VAE on its zeros, a VAE and a DCGAN on all
digits, and a text-to-image model on digits made smaller and moved aside, with captions. Held-out
data is MNIST's test file. The VAEs and the DCGAN fill in the right half of pictures, too, and the
text-to-image model draws what captions say. It takes some minutes on one core.
"""

from __future__ import annotations

import argparse
import json
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import torch
from train_mnist_text import Captions

from pxgen_plugins.anchors import open_anchors
from pxgen_plugins.datasets import (
    load_mnist,
    load_mnist_conv_vae,
    load_mnist_gan,
    load_mnist_text,
    load_mnist_vae,
)
from pxgen_plugins.evaluation import Copies, copies
from pxgen_plugins.models import GAN, VAE, from_diffusers
from pxgen_plugins.utils.files import write_atomic
from pxgen_plugins.utils.text import markdown_table, number, percent
from pxgen_plugins.utils.threads import one_thread

_log = logging.getLogger("shipped_copies")
N, PARTS = 1_000, 100
GUIDANCE, STEPS = 2.0, 5
Sets = tuple[Any, Any]


def digits(n: int, digit: int | None = None) -> Sets:
    """Return ``n`` training and ``n`` test images, drawn at random."""
    sets = []
    for split in ("train", "test"):
        images = load_mnist(split, digits=digit)[0]
        sets.append(images[np.random.default_rng(0).permutation(len(images))[:n]])
    return sets[0], sets[1]


def of_zeros(n: int, parts: int) -> Copies:
    """Search the VAE of zeros."""
    model = VAE(load_mnist_vae(), sample_shape=(1, 28, 28))
    return copies(model, *digits(n, 0), parts=parts)


def of_digits(n: int, parts: int) -> Copies:
    """Search the VAE of all digits."""
    model = VAE(load_mnist_conv_vae(), sample_shape=(1, 28, 28))
    return copies(model, *digits(n), parts=parts)


def of_gan(n: int, parts: int) -> Copies:
    """Search the DCGAN; its criteria invert it, so of fewer instances."""
    generator, discriminator = load_mnist_gan()
    model = GAN(generator, discriminator=discriminator, latent_shape=(32,))
    return copies(model, *digits(n), parts=parts)


def of_text(n: int, parts: int) -> Copies:
    """Search the text-to-image model, with captions."""
    sets, captions = [], set()
    for split in ("train", "test"):
        data = Captions(*load_mnist(split), left_out=0.0)
        x, texts = data.draw(n // 2, torch.Generator().manual_seed(0))
        captions |= set(texts)
        sets.append((x, texts))
    model = from_diffusers(load_mnist_text(), guidance=GUIDANCE, steps=STEPS).bind(sorted(captions))
    shape = (1, 14, 14)
    anchors = [open_anchors(x, sample_shape=shape, prompts=texts) for x, texts in sets]
    return copies(model, *anchors, criteria=["denoising_loss"], captions=2, n_samples=n // 2)


MODELS: dict[str, tuple[str, Callable[[int, int], Copies]]] = {
    "zeros": ("VAE of zeros", of_zeros),
    "digits": ("VAE of digits", of_digits),
    "dcgan": ("DCGAN", of_gan),
    "text": ("text to image", of_text),
}


def page(found: dict[str, Copies]) -> str:
    """Return the results as Markdown."""
    head = ["model", "training, held-out, samples", "given back", "best criterion: AUC",
            "samples nearest to training", "authentic (new data)", "collapsed (control)",
            "made anew: error (control)"]  # fmt: skip
    rows = [[name, *_cells(one)] for name, one in found.items()]
    lines = [
        "# Copies in the shipped models",
        "",
        "Made by `python examples/shipped_copies.py`; what the columns are: `docs/copies.md`.",
        "",
        *markdown_table(head, rows, n_left=1),
    ]
    for name, one in found.items():
        lines += ["", f"**{name}.** {one.sentence()}"]
        lines += [line for note in one.notes for line in ("", f"- {note}")]
    lines += ["", "![How close samples come to training and to held-out instances](copies.png)"]
    return "\n".join(lines) + "\n"


def _cells(one: Copies) -> list[str]:
    about, near = one.about, one.attraction
    name, best = max(one.membership.items(), key=lambda item: item[1].auc)
    low, high = (number(end, 3) for end in best.interval)
    made = "; ".join(
        f"{row.given}: {number(row.median, 3)} ({number(row.control, 3)}), p = "
        f"{number(row.p_value, 2)}, {len(row.found)} found"
        for row in one.completions
    )
    genuine, fallen = one.authenticity, one.collapse
    return [
        f"{about['n_training']:,}, {about['n_held_out']:,}, {about['n_samples']:,}",
        str(one.count),
        f"{name}: {number(best.auc, 3)} ({low} to {high})",
        f"{percent(near.share)} (p = {number(near.p_value, 2)})",
        f"{percent(genuine.share)} ({percent(genuine.control)})",
        "" if fallen is None else f"{percent(fallen.share)} ({percent(fallen.control)})",
        made,
    ]


def draw(found: dict[str, Copies], path: Path) -> None:
    """Write the lines of all models, and pairs where there are some, as one figure."""
    tall = 2.9 + 2.3 * any(one.count for one in found.values())
    figure = plt.figure(figsize=(12.0, tall * -(-len(found) // 2)))
    parts = figure.subfigures(-(-len(found) // 2), 2, squeeze=False).ravel()
    for part, (name, one) in zip(parts, found.items(), strict=False):
        one.plot(figure=part)
        part.suptitle(name, x=0.02, ha="left", fontsize=10)
    figure.savefig(path, dpi=110, bbox_inches="tight")
    plt.close(figure)


def main(argv: list[str] | None = None) -> None:
    """Run the script with the arguments ``argv``, those of the command line by default."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    parser = argparse.ArgumentParser(description="Look for copies in the shipped models.")
    parser.add_argument("--n", type=int, default=N, help="instances of each set")
    parser.add_argument("--parts", type=int, default=PARTS, help="pictures to fill in")
    parser.add_argument("--only", nargs="+", choices=MODELS, default=list(MODELS))
    parser.add_argument("--output", type=Path, default=Path("outputs/shipped_copies"))
    given = parser.parse_args(argv)
    mpl.use("Agg")
    given.output.mkdir(parents=True, exist_ok=True)
    found = {}
    with one_thread():
        for key in given.only:
            name, search = MODELS[key]
            found[name] = search(given.n, given.parts)
            _log.info("%s: %s", name, found[name].sentence())
    content = {name: json.loads(one.to_json()) for name, one in found.items()}
    write_atomic(given.output / "copies.json", (json.dumps(content, indent=1) + "\n").encode())
    write_atomic(given.output / "copies.md", page(found).encode())
    draw(found, given.output / "copies.png")


if __name__ == "__main__":
    main()
