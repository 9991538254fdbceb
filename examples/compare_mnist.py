"""Every method beside PXGen's groups: the VAE of MNIST zeros, one anchor set, one table and figure.

    python examples/compare_mnist.py

Into ``output/compare_mnist`` go ``comparison.png``, and the table as JSON, Markdown and HTML; the
table is also printed. A method that cannot run here (no convolution for GradCAM, no TensorFlow) is
a row with the reason.
"""

from __future__ import annotations

import argparse
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import torch
from mnist_zeros import N_TRAINED, anchors, wrap

from pxgen_plugins import PXGen, adapters, compare
from pxgen_plugins.datasets import load_mnist, load_mnist_vae
from pxgen_plugins.models import VAE
from pxgen_plugins.thresholds import MeanMax


def methods(model: VAE, pxgen: PXGen, quick: bool) -> dict[str, Any]:
    """Return every adapter, ready to be made; TracIn and gradient similarity get training data."""
    zeros, _ = load_mnist("train", digits=0)
    n_train = 60 if quick else 500
    trained = zeros[:N_TRAINED][:: N_TRAINED // n_train]

    def of(name: str, *args: Any, **options: Any) -> Callable[[], Any]:
        return lambda: adapters.get(name)(model, *args, **options)

    def fitted(name: str, data: Any, **options: Any) -> Callable[[], Any]:
        return lambda: adapters.get(name)(model, **options).fit(data)

    found: dict[str, Any] = {
        "Saliency": of("saliency"),
        "Input x gradient": of("input_x_gradient"),
        "Integrated gradients": of("integrated_gradients"),
        "DeepLift": of("deep_lift"),
        "GradientShap": of("gradient_shap"),
        "Occlusion": of("occlusion", window=4, stride=2),
        "LRP": of("lrp"),
        "GradCAM": of("grad_cam"),
        "Anchor image": of("group_anchor_image", pxgen),
        "Latent ablation": of("latent_ablation"),
        "Latent LIME": of("latent_lime", "mse", n_samples=200 if quick else 2000),
        "Latent SHAP": of("latent_shap", "mse", method="gradient" if quick else "kernel"),
        "Latent ALE": of("latent_ale", "mse", features=[0, 1, 2]),
        "Latent PD": of("latent_partial_dependence", "mse", features=[0, 1, 2]),
        "Latent contrast": of("latent_contrast", pxgen, "HIHE", n_steps=20 if quick else 200),
        "ProtoDash": of("protodash", n_prototypes=10),
        "ProtoSelect": of("protoselect"),
        "VAE-TracIn": fitted("vae_tracin", trained),
        "Gradient similarity": fitted("alibi_gradient_similarity", trained),
        "Activation maximum": of("activation_maximisation"),
        "Activation statistics": of("activation_statistics"),
        "PCA": of("latent_view", "pca"),
    }
    if not quick:
        found["t-SNE"] = of("latent_view", "tsne")
        found["UMAP"] = of("latent_view", "umap")
        found["Alibi KernelShap"] = of("alibi_kernel_shap", "mse", n_samples=500)
    return found


def main(argv: list[str] | None = None) -> None:
    """Run the script with the arguments ``argv``, those of the command line by default."""
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    logging.getLogger("compare_mnist").setLevel(logging.INFO)
    parser = argparse.ArgumentParser(
        description="Compare every method on the VAE of MNIST zeros.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument("--output", type=Path, default=Path("output/compare_mnist"))
    parser.add_argument("--n-anchors", type=int, default=1_000)
    parser.add_argument("--quick", action="store_true", help="small settings, to see that it runs")
    given = parser.parse_args(argv)
    mpl.use("Agg")
    torch.set_num_threads(1)
    images, labels = anchors()
    some = np.linspace(0, len(images) - 1, given.n_anchors).round().astype(int)
    model = wrap(load_mnist_vae())
    rule = MeanMax(1_000, 3) if given.quick else MeanMax()
    pxgen = PXGen(
        model,
        threshold=rule,
        space="latent",
        selectors=[{"name": "k_center", "refine": True}, "k_dispersion", "k_medoids"],
    ).fit()
    found = compare(
        model,
        images[some],
        labels[some],
        methods(model, pxgen, given.quick),
        pxgen,
        verbose=True,
    )
    folder: Path = given.output
    for suffix in ("json", "md", "html"):
        found.write(folder / f"comparison.{suffix}")
    figure = found.plot()[0].get_figure(root=True)
    figure.savefig(folder / "comparison.png", dpi=110, bbox_inches="tight")
    plt.close(figure)
    logging.getLogger("compare_mnist").info("%s", found.to_markdown())


if __name__ == "__main__":
    main()
