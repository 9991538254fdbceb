"""Check that PXGen's groups are true of the shipped VAE of MNIST zeros.

    python examples/evaluate_mnist.py

Runs every sanity check on 2,000 images of the MNIST test file: groups of models with permuted
weights, other calibration seeds, perturbed anchors, and planted ones (training zeros, the model's
own samples, noise, permuted pixels, other digits). The table is printed; with the figure
and the JSON it goes to ``--output``. It takes about a minute.
"""

from __future__ import annotations

import argparse
import logging
from pathlib import Path

import matplotlib as mpl
import matplotlib.pyplot as plt
import torch
from mnist_zeros import N_TRAINED, wrap
from signature import signature

from pxgen_plugins import PXGen
from pxgen_plugins.datasets import load_mnist, load_mnist_vae
from pxgen_plugins.evaluation import evaluate
from pxgen_plugins.thresholds import MeanMax
from pxgen_plugins.utils.files import write_atomic

_log = logging.getLogger("evaluate_mnist")


def main(argv: list[str] | None = None) -> None:
    """Run the script with the arguments ``argv``, those of the command line by default."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    parser = argparse.ArgumentParser(description="Check PXGen's groups on MNIST zeros.")
    parser.add_argument("--output", type=Path, default=Path("output/evaluate_mnist"))
    parser.add_argument("--n-anchors", type=int, default=2_000)
    parser.add_argument("--n-samples", type=int, default=1_000, help="model samples per repeat")
    parser.add_argument("--n-repeats", type=int, default=100)
    given = parser.parse_args(argv)
    mpl.use("Agg")
    torch.set_num_threads(1)
    images, labels = load_mnist("test")
    zeros, _ = load_mnist("train", digits=0)
    rule = MeanMax(n_samples=given.n_samples, n_repeats=given.n_repeats)
    explainer = PXGen(wrap(load_mnist_vae()), threshold=rule).fit()
    n = given.n_anchors
    card = evaluate(
        explainer,
        images[:n],
        labels[:n],
        training=zeros[: min(N_TRAINED, n)],
        out_of_domain={"digits 1 to 9": images[labels != 0][:n]},
        verbose=True,
    )
    given.output.mkdir(parents=True, exist_ok=True)
    write_atomic(given.output / "scorecard_mnist.json", card.to_json().encode())
    text = card.to_markdown() + signature(__file__, argv)
    write_atomic(given.output / "scorecard_mnist.md", text.encode())
    figure = card.plot()[0].get_figure(root=True)
    figure.savefig(given.output / "scorecard_mnist.png", dpi=120, bbox_inches="tight")
    plt.close(figure)
    _log.info("%s\n%s", card.to_markdown(), card.counts())


if __name__ == "__main__":
    main()
