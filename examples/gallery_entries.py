"""The entries of the gallery: every method on the shipped models, in a few lines each.

The body of a function is the code that the page shows, and what it leaves as the current figure is
the picture. ``gallery.py`` runs them and writes the page.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import torch
from digit_scores import digit_probabilities
from gallery_pictures import show_bars, show_curves, show_maps, show_rows

from pxgen_plugins import PXGen, adapters, compare, plots
from pxgen_plugins.comparison import Migration
from pxgen_plugins.concepts import Edge, Threshold
from pxgen_plugins.datasets import load_mnist, load_mnist_conv_vae, load_mnist_gan, load_mnist_text
from pxgen_plugins.describers import ToyCaptioner
from pxgen_plugins.models import GAN, VAE, from_diffusers
from pxgen_plugins.thresholds import Quantile

__all__ = ["ENTRIES", "X", "anchor_set", "explained", "explainer", "model"]


@cache
def model() -> VAE:
    """Return the shipped VAE of all digits."""
    return VAE(load_mnist_conv_vae(), sample_shape=(1, 28, 28), data_range=(0.0, 1.0))


@cache
def gan() -> GAN:
    """Return the shipped DCGAN of all digits."""
    generator, discriminator = load_mnist_gan()
    return GAN(generator, discriminator=discriminator, latent_shape=(32,))


@cache
def writer() -> Any:
    """Return the shipped text-to-image model."""
    return from_diffusers(load_mnist_text(), guidance=2.0, steps=5)


@cache
def anchor_set() -> tuple[Any, Any]:
    """Return 300 digits of the test file, as the model takes them, and their labels."""
    images, labels = load_mnist("test")
    return (images[:300, None] / np.float32(255)), labels[:300]


@cache
def explainer() -> PXGen:
    """Return PXGen, fitted to the VAE."""
    return PXGen(model(), threshold=Quantile(0.95, n_samples=1_000, n_repeats=5)).fit()


@cache
def explained() -> Any:
    """Return the groups of the anchors."""
    X, labels = anchor_set()
    return explainer().explain(X, labels=labels)


def X(n: int = 4) -> Any:
    """Return the first anchors."""
    return anchor_set()[0][:n]


def ink(x: Any) -> Any:
    """Return the mean brightness of instances."""
    return x.mean((1, 2, 3))


def darker(x: Any) -> Any:
    """Return the ink of pictures in [-1, 1], as a number in [0, 1]."""
    return (x.mean((1, 2, 3)) + 1) / 2


def seven(x: Any) -> Any:
    """Return the probability of a seven, by the shipped LeNet, of pictures in [-1, 1]."""
    return digit_probabilities((x[:, 0] + 1) / 2)[:, 7]


def draw_square(z: Any) -> Any:
    """Return drawn squares: the axes are position across and down, and size."""
    grid = torch.arange(32.0)
    across = (grid[None, None, :] - 15.5 - 3 * z[:, 0, None, None]).abs()
    down = (grid[None, :, None] - 15.5 - 3 * z[:, 1, None, None]).abs()
    return (-2 * (torch.maximum(across, down) - 5.5 - z[:, 2, None, None])).sigmoid()[:, None]


def plot_label_shares() -> None:
    """How much of every label is in which group, with intervals."""
    plots.plot_label_shares(explained())


def plot_representatives() -> None:
    """A few anchors that stand for each group, and what the model makes of them."""
    plots.plot_representatives(explained(), n=5)


def plot_delusion() -> None:
    """What the model takes for something else: HILE anchors, sure and wrong first."""
    plots.plot_delusion(explained(), n=6)


def plot_alignment() -> None:
    """Anchors with the smallest error, the least usual last (the paper's strip)."""
    plots.plot_alignment(explained(), n=6, selection="lowest")


def plot_calibration() -> None:
    """Where a threshold comes from, and how it grows with the samples."""
    plots.plot_calibration(explained())


def plot_migration() -> None:
    """Who changes group from one model, or one week, to the next."""
    strict = PXGen(model(), threshold=Quantile(0.8, n_samples=1_000, n_repeats=5)).fit()
    names = ("95% quantile", "80% quantile")
    after = strict.explain(anchor_set()[0]).group
    plots.plot_migration(Migration.of(names, explained().group, after))


def plot_comparison() -> None:
    """Several methods on the same anchors, in one figure."""
    found = compare(model(), X(60), None, ["saliency", "protodash", "latent_view"], explainer())
    plots.plot_comparison(found)


def saliency() -> None:
    """Which pixels raise the error, by the gradient alone."""
    show_maps(X(), adapters.Saliency(model(), target="mse").explain(X()).attributions)


def input_x_gradient() -> None:
    """The gradient times the pixel."""
    show_maps(X(), adapters.InputXGradient(model(), target="mse").explain(X()).attributions)


def integrated_gradients() -> None:
    """Gradients along the way from black: their sum is the change of the target."""
    method = adapters.TorchIntegratedGradients(model(), target="mse")
    show_maps(X(), method.explain(X()).attributions)


def deep_lift() -> None:
    """Differences from a baseline, carried back layer by layer."""
    show_maps(X(), adapters.DeepLift(model(), target="kld").explain(X()).attributions)


def gradient_shap() -> None:
    """Gradients on the way from random baselines."""
    method = adapters.GradientShap(model(), target="mse").fit(anchor_set()[0][:20])
    show_maps(X(), method.explain(X()).attributions)


def occlusion() -> None:
    """What the target loses when a window is covered; no gradient is needed."""
    method = adapters.Occlusion(model(), target="mse", window=4, stride=2)
    show_maps(X(), method.explain(X()).attributions)


def grad_cam() -> None:
    """Where the last convolution of the encoder looks for the target."""
    show_maps(X(), adapters.GradCAM(model(), target="kld").explain(X()).attributions)


def lrp() -> None:
    """Relevance, shared out layer by layer so that nothing is lost."""
    show_maps(X(), adapters.LRP(model(), target="kld").explain(X()).attributions)


def group_anchor_image() -> None:
    """Parts of the picture that suffice to keep it in its group (Alibi)."""
    method = adapters.GroupAnchorImage(model(), explainer(), segmentation="grid")
    show_maps(X(2), method.explain(X(2)).attributions)


def latent_ablation() -> None:
    """What each latent dimension does to the error: it is set to the prior's mean."""
    show_bars(adapters.LatentAblation(model(), target="mse").explain(X(2)).attributions)


def latent_lime() -> None:
    """A local linear model of the error in latent dimensions."""
    method = adapters.LatentLIME(model(), target="mse", n_samples=300)
    show_bars(method.fit(anchor_set()[0]).explain(X(2)).weights)


def latent_shap() -> None:
    """The error shared among latent dimensions by Shapley values."""
    method = adapters.LatentSHAP(model(), target="mse", method="gradient").fit(anchor_set()[0][:50])
    show_bars(method.explain(X(2)).weights)


def alibi_kernel_shap() -> None:
    """The same by Alibi's KernelShap."""
    method = adapters.AlibiKernelShap(model(), target="mse", n_samples=200)
    show_bars(method.fit(anchor_set()[0][:50]).explain(X(2)).weights)


def latent_ale() -> None:
    """How the error moves along a dimension, around where anchors are (ALE)."""
    found = adapters.LatentALE(model(), "mse", features=[0, 1, 2]).explain(anchor_set()[0][:100])
    show_curves(found.feature_values, [values[:, 0] for values in found.ale_values])


def latent_partial_dependence() -> None:
    """The same, averaged over all anchors."""
    method = adapters.LatentPartialDependence(model(), "mse", features=[0, 1, 2])
    found = method.explain(anchor_set()[0][:50])
    show_curves(found.feature_values, [values[0] for values in found.pd_values])


def latent_contrast() -> None:
    """The smallest change of the code that leads into another group."""
    found = adapters.LatentContrast(model(), explainer(), n_steps=60).explain(X(2))
    show_rows({f"anchor {i}": found.examples["path"][i] for i in (0, 1)})


def protodash() -> None:
    """Anchors that stand for all, with weights."""
    found = adapters.ProtoDash(model(), n_prototypes=6).explain(anchor_set()[0])
    show_rows({"prototypes": anchor_set()[0][found.indices]})


def protoselect() -> None:
    """Anchors that cover the others within a radius (Alibi)."""
    found = adapters.AlibiProtoSelect(model(), 6).explain(anchor_set()[0])
    show_rows({"prototypes": anchor_set()[0][found.indices]})


def training_neighbours() -> None:
    """Samples, the training images nearest to each, and whether a new image comes as near."""
    sets = (load_mnist(name)[0][:500, None] for name in ("train", "test"))
    training, new = (images / np.float32(255) for images in sets)
    method = adapters.TrainingNeighbours(model(), 4, space="latent").fit(training, held_out=new)
    samples = model().sample(3, seed=0).numpy()
    found = method.explain(samples)
    near = [training[rows] for rows in found.indices]
    show_rows({f"p = {found.p_values[i]:.2f}": [samples[i], *near[i]] for i in range(3)})


def vae_tracin() -> None:
    """Training images that helped to rebuild an anchor."""
    training = load_mnist("train")[0][:100, None] / np.float32(255)
    found = adapters.VAETracIn(model()).fit(training).explain(X(1))
    show_rows({"anchor": X(1), "helpful": training[found.helpful.ravel()[:5]]})


def alibi_gradient_similarity() -> None:
    """Training images whose gradient points the same way (Alibi)."""
    training = load_mnist("train")[0][:100, None] / np.float32(255)
    found = adapters.AlibiGradientSimilarity(model(), "mse").fit(training).explain(X(1))
    show_rows({"anchor": X(1), "similar": training[found.most_similar.ravel()[:5]]})


def latent_view() -> None:
    """The codes in a plane: PCA here; t-SNE and UMAP by name."""
    found = adapters.LatentView(model()).explain(anchor_set()[0], labels=anchor_set()[1])
    plots.plot_views(found, colour_by="label")


def activation_statistics() -> None:
    """Channels that fire for one group and not for another."""
    method = adapters.ActivationStatistics(model())
    found = method.explain(anchor_set()[0], groups=explained().group)
    changes = {name: one["difference"] for name, one in found.contrasts.items()}
    layer = next(name for name in reversed(changes) if len(changes[name]) > 1)
    show_bars([changes[layer]], f"channels of {layer}: HIHE less HILE")


def activation_maximisation() -> None:
    """Images that excite a channel of the decoder most."""
    found = adapters.ActivationMaximisation(model(), units=[0, 1, 2, 3, 4]).explain(None)
    show_rows({"channel 0 to 4": found.images})


def assessor_direction() -> None:
    """The direction along which a number rises (GANalyze), beside random ones."""
    method = adapters.AssessorDirection(gan(), {"ink": ink}, n_steps=40, n_codes=40)
    plots.plot_directions(method.explain(None))


def activation_directions() -> None:
    """What changes most: components of a layer's activations (GANSpace)."""
    method = adapters.ActivationDirections(gan(), n_components=2, n_samples=200, n_codes=40)
    plots.plot_directions(method.explain(None))


def weight_directions() -> None:
    """What changes most: eigenvectors of the first weights (SeFa)."""
    method = adapters.WeightDirections(gan(), n_components=2, n_codes=40)
    plots.plot_directions(method.explain(None))


def class_directions() -> None:
    """From all others to a class."""
    instances, labels = anchor_set()
    few = labels < 3
    method = adapters.ClassDirections(model(), n_codes=40).fit(instances[few], labels[few])
    plots.plot_directions(method.explain(None))


def predictable_directions() -> None:
    """Directions that a network can tell apart by what they change."""
    method = adapters.PredictableDirections(gan(), n_directions=3, n_train=60, n_codes=40)
    plots.plot_directions(method.explain(None))


def unit_dissection() -> None:
    """Which channels are where a concept is (GAN Dissection)."""
    concepts = {"ink": Threshold(0.5), "horizontal edge": Edge("horizontal")}
    method = adapters.UnitDissection(gan(), concepts, n_codes=60, n_effect=10)
    plots.plot_units(method.explain(None), "horizontal edge")


def unit_effects() -> None:
    """Which channels together make a concept, and what else goes without them."""
    method = adapters.UnitEffects(gan(), Edge("horizontal"), n_units=3, n_codes=40)
    plots.plot_units(method.explain(None))


def latent_description() -> None:
    """What an axis does, in words, and how far to believe them."""
    squares = GAN(draw_square, latent_shape=(3,), sample_shape=(1, 32, 32), modules=())
    plots.plot_descriptions(adapters.LatentDescription(squares, ToyCaptioner()).explain(None))


def group_description() -> None:
    """What tells two groups apart, in words."""
    squares = GAN(draw_square, latent_shape=(3,), sample_shape=(1, 32, 32), modules=())
    z = torch.randn(40, 3, generator=torch.Generator().manual_seed(0))
    z[:20, 2] += 3.0
    names = ["HILE"] * 20 + ["HIHE"] * 20
    method = adapters.GroupDescription(squares, ToyCaptioner())
    found = method.explain(draw_square(z).numpy(), groups=names)
    plots.plot_descriptions(found)


def cross_attention_localisation() -> None:
    """Which layers read a word of the prompt (LocoGen)."""
    method = adapters.CrossAttentionLocalisation(
        writer(),
        concept="thick",
        target="thin",
        scorer=darker,
        prompts=["a thick seven left"],
        control=("left", "right"),
        window=2,
        n_seeds=6,
    )
    plots.plot_localisation(method.explain(None))


def causal_trace() -> None:
    """Which layer's clean output brings back a word that noise took away; seeds are few here."""
    method = adapters.CausalTrace(
        writer(), "seven", scorer=seven, prompts=["a thick seven left"], sites="unet", n_seeds=10
    )
    plots.plot_localisation(method.explain(None))


def cross_attention_maps() -> None:
    """Where attention to a word lies (DAAM), and where the word acts."""
    method = adapters.CrossAttentionMaps(writer(), "a thick seven left", words=["thick", "seven"])
    plots.plot_word_maps(method.explain(None))


ENTRIES = {
    name: value
    for name, value in list(globals().items())
    if callable(value) and getattr(value, "__module__", "") == __name__
    and (name.startswith("plot_") or name in adapters.names())
}  # fmt: skip
plt.rcParams["figure.max_open_warning"] = 0
