"""How the groups of the MNIST zeros move with the anchor set and with the threshold rule.

    python examples/mnist_anchor_study.py --output docs/results

The model and the 56,000 anchors are those of ``mnist_zeros.py``. Smaller sets are drawn from them,
and sets without one digit; thresholds stay. Then the whole set is grouped under other rules.
Written are ``mnist_anchor_study`` and ``mnist_threshold_study``, each as JSON, Markdown and figure.
It takes about a minute.
"""

from __future__ import annotations

import argparse
import logging
from pathlib import Path

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import torch
from mnist_zeros import anchors, wrap
from signature import signature

from pxgen_plugins import PXGen
from pxgen_plugins.datasets import load_mnist_vae
from pxgen_plugins.evaluation import Study, anchor_study, threshold_study
from pxgen_plugins.thresholds import Conformal, MeanMax, Median, Quantile
from pxgen_plugins.utils.files import write_atomic

_log = logging.getLogger("mnist_anchor_study")


def write(study: Study, folder: Path, name: str, command: str) -> None:
    """Write the study as JSON, Markdown that ends in the line ``command``, and figure."""
    write_atomic(folder / f"{name}.json", study.to_json().encode())
    write_atomic(folder / f"{name}.md", (study.to_markdown() + command).encode())
    figure = study.plot()[0].get_figure(root=True)
    figure.savefig(folder / f"{name}.png", dpi=110, bbox_inches="tight")
    plt.close(figure)
    _log.info("%s", study.to_markdown())


def main(argv: list[str] | None = None) -> None:
    """Run the script with the arguments ``argv``, those of the command line by default."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    parser = argparse.ArgumentParser(description="Study anchor sets of the MNIST zeros.")
    parser.add_argument("--output", type=Path, default=Path("output/mnist_anchor_study"))
    parser.add_argument("--n-anchors", type=int, help="only so many anchors, evenly spaced")
    parser.add_argument("--n-samples", type=int, default=1_000, help="model samples per repeat")
    given = parser.parse_args(argv)
    mpl.use("Agg")
    torch.set_num_threads(1)
    images, labels = anchors()
    if given.n_anchors is not None:
        some = np.linspace(0, len(images) - 1, given.n_anchors).round().astype(int)
        images, labels = images[some], labels[some]
    n = given.n_samples
    explainer = PXGen(wrap(load_mnist_vae()), threshold=MeanMax(n, 100)).fit()
    given.output.mkdir(parents=True, exist_ok=True)
    zeros = labels == 0
    compositions = {"zeros alone": zeros} if zeros.any() else {}
    sizes = (100, 300, 1_000, 3_000, 10_000)
    study = anchor_study(explainer, images, labels, sizes=sizes, compositions=compositions)
    write(study, given.output, "mnist_anchor_study", signature(__file__, argv))
    rules = [MeanMax(10 * n, 10), Quantile(0.99, n, 100), Conformal(0.01, 20 * n, 5)]
    rules.append(Median(3.0, n, 100))
    study = threshold_study(explainer, images, rules, labels, verbose=True)
    write(study, given.output, "mnist_threshold_study", signature(__file__, argv))


if __name__ == "__main__":
    main()
