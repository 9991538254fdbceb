"""PXGen's scalars as plain functions, alone and in the hands of other toolkits."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
import torch

from pxgen_plugins import PXGen
from pxgen_plugins.adapters.attribution.gradients import Saliency, TorchIntegratedGradients
from pxgen_plugins.adapters.functions import InstanceFunction
from pxgen_plugins.adapters.margins import Margin
from pxgen_plugins.groups import GROUPS
from pxgen_plugins.models import VAE
from pxgen_plugins.thresholds import Fixed, MeanMax
from pxgen_plugins.utils.errors import AnchorError, ParameterError

from .nets import conv_vae, mlp_vae

X = np.random.default_rng(0).random((60, 1, 8, 8), dtype=np.float32)


def fitted(model, **options):
    """An explainer whose thresholds are medians of the anchors: all four groups occur."""
    criteria = {"intrinsic": ["kld", "mahalanobis"], "extrinsic": ["mse", "mae"], **options}
    probe = PXGen(model, **criteria, threshold=MeanMax(50, 2)).fit()
    values = probe.explain(X).values
    names = [criterion.name for criterion in probe.criteria]
    if criteria.get("rule") == "mean":
        probe.calibration.thresholds[:] = np.median(values, axis=0)
        return probe
    cuts = dict(zip(names, np.median(values, axis=0).tolist(), strict=True))
    return PXGen(model, **criteria, threshold=Fixed(cuts)).fit()


@pytest.mark.parametrize("rule", ["all", "any", "mean"])
@pytest.mark.parametrize("reconstruction", ["mean", "sample"])
def test_the_sign_is_the_group_and_the_affinity(rule, reconstruction):
    explainer = fitted(conv_vae(), rule=rule, reconstruction=reconstruction)
    explanation = explainer.explain(X)
    # a drawn reconstruction has the noise of its position, here always that of the first
    rows = slice(0, 1) if reconstruction == "sample" else slice(None)
    counts = 0
    for group in GROUPS:
        inside = InstanceFunction(explainer, group).array(X[rows]) > 0
        np.testing.assert_array_equal(inside, (explanation.group == group)[rows])
        counts += int(inside.any())
    assert counts == (1 if reconstruction == "sample" else 4)
    for j, name in enumerate(explanation.criteria):
        high = InstanceFunction(explainer, f"affinity[{name}]").array(X[rows]) > 0
        np.testing.assert_array_equal(high, explanation.affinity[rows, j])


def test_values_do_not_hang_on_the_batch_or_the_form():
    explainer = fitted(mlp_vae(), reconstruction="sample")
    for target in ("HILE", "mse", "latent[2]", "affinity[extrinsic]"):
        f = InstanceFunction(explainer, target)
        values = f.array(X)
        np.testing.assert_allclose(
            InstanceFunction(explainer, target, batch_size=7).array(X), values
        )
        np.testing.assert_allclose(f.array(X[::-1]), values[::-1], rtol=1e-5, atol=1e-7)
        np.testing.assert_array_equal(f.rows(X.reshape(60, -1)), values)
        pictures = f.images(X.transpose(0, 2, 3, 1))
        np.testing.assert_array_equal(f.images(np.repeat(X.transpose(0, 2, 3, 1), 3, 3)), pictures)
        if f.decides:
            np.testing.assert_array_equal(pictures[:, 1] > 0.5, values > 0)
            np.testing.assert_allclose(pictures.sum(1), 1.0)
            np.testing.assert_array_equal(f.classes(X), pictures)
        else:
            np.testing.assert_array_equal(pictures[:, 0], values)


def test_a_criterion_is_what_pxgen_scores_and_what_the_adapters_explain():
    model = conv_vae()
    explainer = fitted(model)
    values = explainer.explain(X).values
    for j, name in enumerate(["kld", "mahalanobis", "mse", "mae"]):
        np.testing.assert_allclose(InstanceFunction(model, name).array(X), values[:, j], rtol=1e-5)
    x = torch.tensor(X[:4], requires_grad=True)
    (gradient,) = torch.autograd.grad(InstanceFunction(model, "mse")(x).sum(), x)
    ours = Saliency(model, "mse").explain(X[:4]).attributions
    np.testing.assert_allclose(np.abs(gradient.numpy()), np.abs(ours), rtol=1e-4, atol=1e-8)
    margin = Margin(explainer, "affinity[mse]")
    scale = float(margin.scale[2])
    np.testing.assert_allclose(
        scale * Saliency(model, margin).explain(X[:4]).attributions, ours, rtol=1e-3, atol=1e-6
    )
    assert Saliency(model, margin).explain(X[:1]).target == "affinity[mse]"


@pytest.mark.parametrize(
    ("method", "options"),
    [
        ("Saliency", {}),
        ("InputXGradient", {}),
        ("IntegratedGradients", {"n_steps": 20}),
        ("DeepLift", {}),
        ("Occlusion", {"sliding_window_shapes": (1, 4, 4)}),
        ("FeatureAblation", {}),
    ],
)
def test_captum_takes_it_and_leaves_the_model_alone(method, options):
    captum = pytest.importorskip("captum.attr")
    model = conv_vae()
    flags = [module.training for root in model.modules for module in root.modules()]
    f = InstanceFunction(fitted(model), "HILE")
    attributions = getattr(captum, method)(f).attribute(torch.tensor(X[:3]), **options)
    assert attributions.shape == X[:3].shape
    assert bool(attributions.isfinite().all())
    assert bool(attributions.any())
    assert [m.training for root in model.modules for m in root.modules()] == flags
    if method == "IntegratedGradients":
        one = InstanceFunction(model, "mse")
        theirs = captum.IntegratedGradients(one).attribute(torch.tensor(X[:3]), n_steps=50)
        ours = TorchIntegratedGradients(model, "mse", n_steps=50).explain(X[:3]).attributions
        np.testing.assert_allclose(theirs.detach().numpy(), ours, rtol=1e-3, atol=1e-7)


def test_captum_finds_the_layers_of_the_model():
    captum = pytest.importorskip("captum.attr")
    f = InstanceFunction(conv_vae(), "mse")
    layer = dict(f.named_modules())["parts.0.encoder.conv1"]
    maps = captum.LayerGradCam(f, layer).attribute(torch.tensor(X[:2]))
    assert maps.shape == (2, 1, 4, 4)


def test_shap_adds_up():
    shap = pytest.importorskip("shap")
    f = InstanceFunction(fitted(mlp_vae()), "HILE")
    rows = X.reshape(60, -1)
    explainer = shap.KernelExplainer(f.rows, rows[10:15])
    values = explainer.shap_values(rows[:2], nsamples=200, silent=True)
    total = values.sum(1) + explainer.expected_value
    np.testing.assert_allclose(total, f.rows(rows[:2]), rtol=1e-5, atol=1e-6)


def flat_vae():
    """A VAE that rebuilds everything as it is, except the upper half, which becomes black."""
    keep = torch.ones(1, 8, 8)
    keep[:, :4] = 0.0
    return VAE(
        encode=lambda x: (x.flatten(1), torch.full_like(x.flatten(1), -9.0)),
        decode=lambda z: z.reshape(-1, 1, 8, 8).clamp(0, 1) * keep,
        modules=(),
        sample_shape=(1, 8, 8),
        data_range=(0.0, 1.0),
    )


def test_image_explainers_find_the_half_that_decides():
    lime = pytest.importorskip("lime.lime_image")
    explainer = PXGen(flat_vae(), threshold=Fixed({"kld": 1e9, "mse": 0.1})).fit()
    f = InstanceFunction(explainer, "HILE")
    picture = np.ones((8, 8, 3))
    halves = np.repeat([0, 1], 4)[:, None].repeat(8, 1)
    found = lime.LimeImageExplainer(random_state=0).explain_instance(
        picture,
        f.images,
        labels=(1,),
        top_labels=None,
        hide_color=0,
        num_samples=60,
        segmentation_fn=lambda _: halves,
    )
    weights = dict(found.local_exp[1])
    assert weights[0] > 0.01
    assert abs(weights[1]) < 0.1 * weights[0]  # the control: the half that is rebuilt
    alibi = pytest.importorskip("alibi.explainers")
    anchor = alibi.AnchorImage(f.images, (8, 8, 1), segmentation_fn=lambda _: halves, seed=0)
    uneven = np.ones((8, 8, 1))  # alibi hides a segment behind its mean
    uneven[:4] = np.linspace(0, 1, 32).reshape(4, 8, 1)
    kept = anchor.explain(uneven, threshold=0.9).raw["feature"]
    assert 1 not in kept


def test_faults_are_named():
    model = conv_vae()
    explainer = fitted(model)
    f = InstanceFunction(model, "mse")
    cases = [
        (lambda: InstanceFunction(model, "HILE"), ParameterError, "a fitted PXGen"),
        (lambda: InstanceFunction(PXGen(model), "HILE"), ParameterError, "fitted PXGen"),
        (lambda: InstanceFunction(torch.nn.Identity()), ParameterError, "Wrap"),
        (lambda: Margin(explainer, "affinity[ssim]"), ParameterError, "affinity.*kld.*intrinsic"),
        (lambda: Margin(explainer, 3), ParameterError, "a group"),
        (lambda: f.classes(X), ParameterError, "a group or an affinity"),
        (lambda: f.array(X[:, 0]), AnchorError, r"shape \(b, 1, 8, 8\)"),
        (lambda: f.array((X * 255).astype(np.uint8)), AnchorError, "whole numbers up to 254"),
        (lambda: f.images(np.zeros((2, 9, 8, 1))), AnchorError, "channels last"),
        (lambda: f.images(X[:, 0, :, :, None] * [1.0, 0.5, 0.2]), AnchorError, "colours"),
    ]
    for call, error, message in cases:
        with pytest.raises(error, match=message):
            call()
    assert len(f.array(X[:0])) == 0


def test_the_page_runs():
    for name in ("alibi.explainers", "captum", "lime", "shap"):
        pytest.importorskip(name)
    page = Path(__file__).parents[2] / "docs" / "toolkits.md"
    names: dict[str, object] = {}
    for block in re.findall(r"```python\n(.*?)```", page.read_text("utf-8"), re.DOTALL):
        exec(block, names)
    assert names["attributions"].shape == (2, 1, 28, 28)
    assert names["values"].shape == (1, 784)
