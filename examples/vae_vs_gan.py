"""A convolutional VAE and a DCGAN of MNIST side by side: every method, the same anchors.

    python examples/vae_vs_gan.py

Both models ship with the package. The anchors are held-out digits, and instances that no model of
digits should know: two digits in one image, digits on their side, in negative, even greys, noise.
Both models get the same thresholds' rule, ``Conformal(0.05, joint=True)`` on other held-out digits,
so that at most 5% of new digits fall outside HIHE, and what is compared is how the odd ones fare.
Attributions explain each model's intrinsic criterion: the VAE's KL divergence, and minus the score
of the GAN's discriminator. A method that does not fit a model, or is not installed, is a row with
the reason. Written are ``vae_vs_gan.json``, ``.md`` and ``.png``.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import torch
from numpy.typing import NDArray

from pxgen_plugins import PXGen, adapters, compare
from pxgen_plugins.comparison import ModelComparison
from pxgen_plugins.datasets import load_mnist, load_mnist_conv_vae, load_mnist_gan, load_mnist_lenet
from pxgen_plugins.models import GAN, VAE
from pxgen_plugins.models.inversion import Inversion
from pxgen_plugins.thresholds import Conformal
from pxgen_plugins.utils.files import write_atomic

_log = logging.getLogger("vae_vs_gan")
NAME = "vae_vs_gan"
INTRODUCTION = """# A VAE and a GAN of MNIST side by side

`python examples/vae_vs_gan.py`, a part of `make demo-compare`: the convolutional VAE (10 latent
dimensions) and the DCGAN (32) that ship with the package, {n} anchors of the test file: {n_digits}
digits and {n_odd} instances that are none, as the labels say. Groups by `kld` and `mse` for the
VAE, by `discriminator` and `nearest_sample` for the GAN, which need no inversion; thresholds by
`Conformal(0.05, joint=True, source="reference")` on {n_reference} other digits, for both. The GAN's
codes and reconstructions are found by a short inversion (40 steps).
Attributions and effects explain the intrinsic criterion of each. Distances are measured in the
features of a LeNet. Seconds are of one run on a shared machine, one thread.

![The figure](vae_vs_gan.png)

"""


def models() -> dict[str, Any]:
    """Return the shipped VAE and GAN; the inversion is short, so that the demo takes minutes."""
    generator, discriminator = load_mnist_gan()
    inversion = Inversion(steps=40, restarts=1, bank=1_024)
    gan = GAN(
        generator,
        discriminator=discriminator,
        latent_shape=(generator.latent_size,),
        inversion=inversion,
    )
    vae = VAE(load_mnist_conv_vae(), sample_shape=(1, 28, 28), data_range=(0.0, 1.0))
    return {"VAE": vae, "DCGAN": gan}


def anchors(n_digits: int, n_odd: int) -> tuple[NDArray[np.uint8], list[str]]:
    """Return images of test digits and of what is no digit, (n, 28, 28), and their labels."""
    images, digits = load_mnist("test")
    rows = np.concatenate([np.flatnonzero(digits == d)[: n_digits // 10] for d in range(10)])
    known = images[rows]
    some, other = images[-n_odd:], images[-2 * n_odd : -n_odd]
    rng = np.random.default_rng(0)
    odd = {
        "two digits": np.maximum(np.roll(some, 6, axis=2), np.roll(other, -6, axis=2)),
        "on its side": np.rot90(some, axes=(1, 2)),
        "negative": 255 - some,
        "grey": np.broadcast_to(np.linspace(0, 255, n_odd)[:, None, None], some.shape),
        "noise": rng.integers(0, 256, some.shape),
    }
    labels = [str(d) for d in digits[rows]] + [name for name in odd for _ in range(n_odd)]
    parts = [known, *odd.values()]
    return np.concatenate([part.astype(np.uint8) for part in parts]), labels


def methods(pxgen: PXGen, quick: bool) -> dict[str, Callable[[Any], Any]]:
    """Return every adapter as a function of the model, explaining its intrinsic criterion."""
    target = pxgen.criteria[0].name
    training = load_mnist("train")[0][: 30 if quick else 300]

    def of(name: str, *args: Any, **options: Any) -> Callable[[Any], Any]:
        return lambda model: adapters.get(name)(model, *args, **options)

    def fitted(name: str, data: Any, **options: Any) -> Callable[[Any], Any]:
        return lambda model: adapters.get(name)(model, **options).fit(data)

    n_samples = 100 if quick else 500
    found = {
        "t-SNE": of("latent_view", "tsne"),
        "PCA": of("latent_view", "pca"),
        "Saliency": of("saliency", target),
        "Input x gradient": of("input_x_gradient", target),
        "Integrated gradients": of("integrated_gradients", target),
        "DeepLift": of("deep_lift", target),
        "GradientShap": fitted("gradient_shap", training, target=target),
        "Occlusion": of("occlusion", target, window=4, stride=2),
        "LRP": of("lrp", target),
        "GradCAM": of("grad_cam", target),
        "Anchor image": of("group_anchor_image", pxgen),
        "Latent ablation": of("latent_ablation", target),
        "Latent LIME": of("latent_lime", target, n_samples),
        "Latent SHAP": of("latent_shap", target, "kernel"),
        "Alibi KernelShap": of("alibi_kernel_shap", target, n_samples=n_samples),
        "Latent ALE": of("latent_ale", target, features=[0, 1, 2]),
        "Latent PD": of("latent_partial_dependence", target, features=[0, 1, 2]),
        "Latent contrast": of("latent_contrast", pxgen, "HIHE", n_steps=20 if quick else 100),
        "ProtoDash": of("protodash"),
        "ProtoDash AIX360": of("protodash", backend="aix360"),
        "ProtoSelect": of("protoselect"),
        "VAE-TracIn": fitted("vae_tracin", training[:100]),
        "Gradient similarity": fitted("alibi_gradient_similarity", training[:100]),
        "Activation maximum": of("activation_maximisation"),
        "Activation statistics": of("activation_statistics"),
    }
    return found if quick else {**found, "UMAP": of("latent_view", "umap")}


def run(n_digits: int, n_odd: int, n_reference: int, quick: bool) -> ModelComparison:
    """Return the comparison."""
    images, labels = anchors(n_digits, n_odd)
    both = models()
    reference = load_mnist("test")[0][5_000 : 5_000 + n_reference]
    rule = Conformal(0.05, source="reference", joint=True)
    criteria = {"VAE": ("kld", "mse"), "DCGAN": ("discriminator", "nearest_sample")}
    explainers = {
        name: PXGen(model, *criteria[name], rule, n_representatives=7).fit(reference)
        for name, model in both.items()
    }
    options = {
        name: {"methods": methods(explainer, quick), "target": criteria[name][0]}
        for name, explainer in explainers.items()
    }
    features = load_mnist_lenet().features
    found: ModelComparison = compare(
        both,
        images,
        labels,
        groups=explainers,
        n_anchors=5,
        options=options,
        network=features,
        verbose=True,
    )
    return found


def main(argv: list[str] | None = None) -> None:
    """Run the script with the arguments ``argv``, those of the command line by default."""
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    _log.setLevel(logging.INFO)
    parser = argparse.ArgumentParser(
        description="Compare a VAE and a GAN of MNIST by every method.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument("--output", type=Path, default=Path("output") / NAME)
    parser.add_argument("--n-digits", type=int, default=100, help="anchors that are digits")
    parser.add_argument("--n-odd", type=int, default=8, help="anchors of each other kind")
    parser.add_argument("--n-reference", type=int, default=400, help="digits for the thresholds")
    parser.add_argument("--quick", action="store_true", help="small settings, to see that it runs")
    given = parser.parse_args(argv)
    mpl.use("Agg")
    torch.set_num_threads(1)
    found = run(given.n_digits, given.n_odd, given.n_reference, given.quick)
    folder: Path = given.output
    content = json.loads(found.to_json())
    del content["comparisons"]  # megabytes of maps and coordinates; the page needs the tables
    write_atomic(folder / f"{NAME}.json", (json.dumps(content, indent=1) + "\n").encode())
    sizes = {"n_digits": given.n_digits, "n_odd": 5 * given.n_odd}
    page = INTRODUCTION.format(n=sum(sizes.values()), **sizes, n_reference=given.n_reference)
    write_atomic(folder / f"{NAME}.md", (page + found.to_markdown()).encode())
    figure = found.plot()[0].get_figure(root=True)
    figure.savefig(folder / f"{NAME}.png", dpi=110)
    plt.close(figure)
    _log.info("%s\nwrote %s", found.to_markdown(), os.path.relpath(folder))


if __name__ == "__main__":
    main()
