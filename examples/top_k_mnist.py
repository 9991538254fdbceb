"""The training zeros that PXGen and VAE-TracIn call most representative, side by side.

    python examples/top_k_mnist.py

A VAE is trained on 4,000 MNIST zeros (authors' network, 15 epochs). PXGen's picks are the HIHE
training samples of lowest anchor value and its k-center and k-dispersion representatives;
VAE-TracIn's (Kong and Chaudhuri 2021) those of highest influence on generated images, averaged over
them and summed over checkpoints. Beside the pictures stand the mean distance between the picks and
how much of the training set they cover, in pixels and in the features of a LeNet. VAE-TracIn takes
two minutes or more, the rest seconds.
"""

from __future__ import annotations

import argparse
import logging
from dataclasses import replace
from pathlib import Path
from typing import Any

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import torch
from mnist_zeros import wrap
from removal_mnist import Settings, influence, original
from signature import signature

from pxgen_plugins import PXGen
from pxgen_plugins.datasets import load_mnist, load_mnist_lenet
from pxgen_plugins.evaluation import compare_training_samples, extract_features
from pxgen_plugins.thresholds import MeanMax
from pxgen_plugins.utils.files import write_atomic

_log = logging.getLogger("top_k_mnist")


def main(argv: list[str] | None = None) -> Any:
    """Run the script with ``argv``, those of the command line by default; return the result."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    default = replace(Settings(), checkpoints=2, generated=100)
    parser = argparse.ArgumentParser(description="Most representative training zeros.")
    parser.add_argument("--k", type=int, default=10)
    parser.add_argument("--n-images", type=int, default=default.n_images)
    parser.add_argument("--epochs", type=int, default=default.epochs)
    parser.add_argument("--checkpoints", type=int, default=default.checkpoints)
    parser.add_argument("--generated", type=int, default=default.generated)
    parser.add_argument("--output", type=Path, default=Path("output/top_k_mnist"))
    given = parser.parse_args(argv)
    mpl.use("Agg")
    torch.set_num_threads(1)
    settings = replace(
        default,
        n_images=given.n_images,
        epochs=given.epochs,
        checkpoints=given.checkpoints,
        generated=given.generated,
    )
    images = load_mnist("train", digits=0)[0][: settings.n_images]
    net, states = original(images, settings)
    model = wrap(net)
    explainer = PXGen(
        model,
        extrinsic={"name": "mse", "reduction": "sum"},
        threshold=MeanMax(settings.threshold_samples, settings.threshold_repeats),
        n_representatives=given.k,
        space="pixel",
    )
    found = explainer.fit().explain(images)
    inside = found.groups["HIHE"]
    order = inside["indices"][np.argsort(found.anchor_value[inside["indices"]], kind="stable")]
    traced = influence(images, model, states, settings)
    rng = np.random.default_rng(0)
    picks = {
        "PXGen, lowest anchor value": order[: given.k],
        "PXGen, k-center": inside["representatives"]["k_center"],
        "PXGen, k-dispersion": inside["representatives"]["k_dispersion"],
        "VAE-TracIn, highest influence": np.argsort(-traced, kind="stable")[: given.k],
        "random": rng.choice(len(images), given.k, replace=False),
    }
    lenet = load_mnist_lenet().features
    features = {
        "pixels": images.reshape(len(images), -1) / 255.0,
        "LeNet": extract_features(images, lenet, sample_shape=(1, 28, 28)),
    }
    result = compare_training_samples(images, picks, features)
    given.output.mkdir(parents=True, exist_ok=True)
    write_atomic(given.output / "top_k_mnist.json", result.to_json().encode())
    text = result.to_markdown() + signature(__file__, argv)
    write_atomic(given.output / "top_k_mnist.md", text.encode())
    figure = result.plot()[0].get_figure(root=True)
    figure.savefig(given.output / "top_k_mnist.png", dpi=130, bbox_inches="tight")
    plt.close(figure)
    _log.info("%s", result.to_markdown())
    return result


if __name__ == "__main__":
    main()
