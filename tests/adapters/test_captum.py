"""The gradient, occlusion, ablation and GradCAM adapters against captum called directly."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from pxgen_plugins.adapters.attribution.ablation import LatentAblation
from pxgen_plugins.adapters.attribution.deeplift import DeepLift
from pxgen_plugins.adapters.attribution.gradcam import GradCAM
from pxgen_plugins.adapters.attribution.gradient_shap import GradientShap
from pxgen_plugins.adapters.attribution.gradients import (
    InputXGradient,
    Saliency,
    TorchIntegratedGradients,
)
from pxgen_plugins.adapters.attribution.occlusion import Occlusion
from pxgen_plugins.adapters.targets import Latent, Pixel, resolve
from pxgen_plugins.host import NotFittedError
from pxgen_plugins.models import VAE

from .faces import FACES, face_vae, faces
from .nets import ConvNet, conv_vae, mlp_vae

captum = pytest.importorskip("captum.attr")

X = np.random.default_rng(0).random((5, 1, 8, 8), dtype=np.float32)
MODELS = {"mlp": mlp_vae, "conv": conv_vae}
TARGETS = ["mse", "kld", "elbo", Latent(2), Pixel(0, 3, 4)]
ALL = [Saliency, InputXGradient, TorchIntegratedGradients, DeepLift, GradientShap]
ALL += [Occlusion, GradCAM, LatentAblation]
ONCE = {"name": "elbo", "n_draws": 1}


def anchors():
    return torch.from_numpy(X).clone().requires_grad_()


def forward(model, target):
    resolved = resolve(target, model)
    return lambda x: resolved.value(model, x)


def forward_at(model, target):
    resolved = resolve(target, model)
    return lambda z, x: resolved.value_at(model, z, x)


def codes(model):
    return model.encode(anchors())[0].detach().requires_grad_()


def close(found, expected, rtol=1e-4):
    expected = expected.detach().numpy()
    atol = 1e-6 * max(1.0, float(np.abs(expected).max()))
    np.testing.assert_allclose(found, expected, rtol=rtol, atol=atol)


@pytest.mark.parametrize("target", TARGETS, ids=str)
@pytest.mark.parametrize("name", MODELS)
def test_gradient_methods_equal_captum_at_the_anchor(name, target):
    model, x = MODELS[name](), anchors()
    f = forward(model, target)
    found = Saliency(model, target, batch_size=2).explain(X)
    close(found.attributions, captum.Saliency(f).attribute(x))
    close(found.target_values, f(x))
    signed = Saliency(model, target, absolute=False).explain(X)
    close(signed.attributions, captum.Saliency(f).attribute(x, abs=False))
    product = InputXGradient(model, target, batch_size=3).explain(X)
    close(product.attributions, captum.InputXGradient(f).attribute(x))
    integral = TorchIntegratedGradients(model, target, n_steps=9, batch_size=4).explain(X)
    expected, delta = captum.IntegratedGradients(f).attribute(
        x, baselines=0.0, n_steps=9, return_convergence_delta=True
    )
    close(integral.attributions, expected)
    scale = float(f(x).abs().max())
    np.testing.assert_allclose(integral.convergence_delta, delta, atol=1e-5 * max(1.0, scale))


@pytest.mark.parametrize("target", TARGETS, ids=str)
@pytest.mark.parametrize("name", MODELS)
def test_gradient_methods_equal_captum_at_the_latent_code(name, target):
    model = MODELS[name]()
    z, x = codes(model), anchors().detach()
    f = forward_at(model, target)
    found = Saliency(model, target, space="latent", batch_size=2).explain(X)
    assert found.evidence == "latent_attribution"
    assert found.attributions.shape == (5, 4)
    close(found.attributions, captum.Saliency(f).attribute(z, additional_forward_args=(x,)))
    integral = TorchIntegratedGradients(
        model, target, space="latent", baseline=0.5, n_steps=7, batch_size=3
    ).explain(X)
    expected = captum.IntegratedGradients(f).attribute(
        z, baselines=0.5, n_steps=7, additional_forward_args=(x,)
    )
    close(integral.attributions, expected)


def test_integrated_gradients_sum_to_the_difference_of_values():
    for model in (mlp_vae(), conv_vae()):
        found = TorchIntegratedGradients(model, "kld", n_steps=300).explain(X)
        total = found.attributions.astype(float).sum((1, 2, 3))
        difference = found.target_values - found.baseline_values
        np.testing.assert_allclose(total, difference, rtol=2e-3, atol=2e-3)
        np.testing.assert_allclose(found.convergence_delta, total - difference, atol=1e-4)


class Direct(nn.Module):
    """An encoder mean as one module, as captum wants it."""

    def __init__(self, net):
        super().__init__()
        self.net = net

    def forward(self, x):
        return self.net.mean(self.net.encoder(x))


class Decoder(nn.Module):
    def __init__(self, net):
        super().__init__()
        self.decoder = net.decoder

    def forward(self, z):
        return self.decoder(z)


def test_deep_lift_equals_captum_and_its_sum_is_exact_for_network_outputs():
    net = ConvNet(1).eval()
    model = VAE(net, latent_shape=(4,), sample_shape=(1, 8, 8))
    found = DeepLift(model, Latent(1), baseline=0.2, batch_size=4).explain(X)
    x = anchors()
    expected = captum.DeepLift(Direct(net)).attribute(x, torch.full_like(x, 0.2), target=1)
    close(found.attributions, expected)
    np.testing.assert_allclose(found.convergence_delta, 0.0, atol=1e-5)
    found = DeepLift(model, Pixel(0, 2, 3), space="latent").explain(X)
    z = codes(model)
    expected = captum.DeepLift(Decoder(net)).attribute(z, 0 * z, target=(0, 2, 3))
    close(found.attributions, expected)
    np.testing.assert_allclose(found.convergence_delta, 0.0, atol=1e-5)


def test_deep_lift_runs_for_criteria_and_tells_what_the_sum_misses():
    for model in (mlp_vae(), conv_vae()):
        for target in ("mse", "kld", ONCE):
            found = DeepLift(model, target, batch_size=3).explain(X)
            total = found.attributions.astype(float).sum((1, 2, 3))
            missed = total - (found.target_values - found.baseline_values)
            np.testing.assert_allclose(found.convergence_delta, missed, rtol=1e-3, atol=1e-3)


def test_gradient_shap_equals_captum_for_the_same_draws(monkeypatch):
    model = conv_vae()
    adapter = GradientShap(model, "kld", n_samples=6, batch_size=7, seed=3).fit(X)
    found = adapter.explain(X)
    base, share, _ = adapter._draws(torch.from_numpy(X))
    background = torch.from_numpy(adapter.background)
    chosen = [int((background == row).flatten(1).all(1).nonzero()[0]) for row in base]

    def choice(n, size):
        return np.tile(chosen, len(X))[:size]

    monkeypatch.setattr(np.random, "choice", choice)
    monkeypatch.setattr(np.random, "uniform", lambda low, high, n: np.tile(share, len(X))[:n])
    expected = captum.GradientShap(forward(model, "kld")).attribute(
        anchors(), background, n_samples=6, stdevs=0.0
    )
    close(found.attributions, expected, rtol=1e-3)


def test_gradient_shap_tends_to_integrated_gradients_with_one_baseline():
    model = mlp_vae()
    found = GradientShap(model, "mse", baseline=0.1, n_samples=4000).explain(X[:2])
    exact = TorchIntegratedGradients(model, "mse", baseline=0.1).explain(X[:2])
    scale = np.abs(exact.attributions).max()
    np.testing.assert_allclose(found.attributions, exact.attributions, atol=0.05 * scale)


def test_gradient_shap_takes_noise_and_latent_space_from_its_seed():
    options = {"space": "latent", "noise": 0.3, "n_samples": 4}
    one, two, other = (
        GradientShap(mlp_vae(), "kld", seed=seed, **options).fit(X).explain(X).attributions
        for seed in (1, 1, 2)
    )
    assert one.shape == (5, 4)
    assert np.array_equal(one, two)
    assert not np.array_equal(one, other)


@pytest.mark.parametrize("name", MODELS)
def test_occlusion_equals_captum(name):
    model = MODELS[name]()
    found = Occlusion(model, "mse", window=3, stride=2, baseline=0.5, batch_size=7).explain(X)
    expected = captum.Occlusion(forward(model, "mse")).attribute(
        anchors(), sliding_window_shapes=(1, 3, 3), strides=(1, 2, 2), baselines=0.5
    )
    close(found.attributions, expected)


@pytest.mark.parametrize("name", MODELS)
def test_ablation_equals_changing_one_dimension_at_a_time(name):
    model = MODELS[name]()
    adapter = LatentAblation(model, "elbo", baseline="mean", batch_size=6).fit(X)
    found = adapter.explain(X)
    z, x = codes(model).detach(), anchors().detach()
    f = forward_at(model, "elbo")
    mean = z.mean(0)
    with torch.no_grad():
        before = f(z, x)
        for j in range(4):
            moved = z.clone()
            moved[:, j] = mean[j]
            close(found.attributions[:, j], before - f(moved, x), rtol=1e-3)


@pytest.mark.parametrize(
    ("target", "layer", "sides"),
    [
        ("mse", "decoder.up2", (8, 8)),
        ("kld", "encoder.conv2", (2, 2)),
        ("mse", "decoder.up1", (4, 4)),
        ("mse", "encoder.conv1", (4, 4)),
        (ONCE, "decoder.up2", (8, 8)),
    ],
)
def test_grad_cam_equals_its_formula_and_captum(target, layer, sides):
    model = conv_vae()
    default = layer in ("decoder.up2", "encoder.conv2")
    found = GradCAM(model, target, layer=None if default else layer, batch_size=2).explain(X)
    assert found.layer == layer
    assert found.maps.shape == (5, 1, *sides)
    seen = []
    handle = model.layers[layer].register_forward_hook(lambda m, i, out: seen.append(out))
    values = forward(model, target)(anchors())
    handle.remove()
    (grad,) = torch.autograd.grad(values.sum(), seen[0])
    maps = (grad.mean((2, 3), keepdim=True) * seen[0]).sum(1, keepdim=True)
    close(found.maps, maps, rtol=1e-3)
    method = captum.LayerGradCam(forward(model, target), model.layers[layer])
    close(found.maps, method.attribute(anchors()), rtol=1e-3)
    large = captum.LayerAttribution.interpolate(maps, (8, 8), interpolate_mode="bilinear")
    close(found.attributions, large, rtol=1e-3)
    cut = GradCAM(model, target, layer=layer, relu=True).explain(X)
    close(cut.maps, maps.clamp(min=0), rtol=1e-3)


def test_normalized_attributions_span_zero_to_one_and_can_be_undone():
    for kind in ALL:
        if kind is not GradCAM:
            plain = kind(mlp_vae(), "mse").fit(X).explain(X)
            scaled = kind(mlp_vae(), "mse", normalize=True).fit(X).explain(X)
            flat = scaled.attributions.reshape(5, -1)
            np.testing.assert_allclose(flat.min(1), 0.0, atol=1e-7)
            np.testing.assert_allclose(flat.max(1), 1.0, atol=1e-6)
            low, high = scaled.ranges.T
            back = low[:, None] + flat * (high - low)[:, None]
            np.testing.assert_allclose(back, plain.attributions.reshape(5, -1), atol=1e-4)
    flat = Saliency(mlp_vae(), lambda batch: batch.x.flatten(1).sum(1), normalize=True)
    assert not flat.explain(X).attributions.any()


def test_no_model_call_exceeds_the_batch_size():
    net = ConvNet()
    sizes = []

    def encode(x):
        sizes.append(len(x))
        return net.encode(x)

    def decode(z):
        sizes.append(len(z))
        return net.decode(z)

    shapes = {"latent_shape": (4,), "sample_shape": (1, 8, 8), "modules": net}
    model = VAE(encode=encode, decode=decode, **shapes)
    for kind in ALL:
        for batch_size in (2, 3, 7):
            sizes.clear()
            kind(model, "mse", batch_size=batch_size).fit(X).explain(X)
            assert max(sizes) <= batch_size, kind.__name__
    adapter = GradientShap(model, "mse", batch_size=3, n_samples=10, space="latent").fit(X)
    sizes.clear()
    adapter.explain(X)
    assert max(sizes) <= 3


def test_baselines_are_numbers_arrays_and_means():
    model = mlp_vae()
    array = np.full((1, 8, 8), 0.25)
    one = TorchIntegratedGradients(model, "mse", baseline=0.25).explain(X)
    two = TorchIntegratedGradients(model, "mse", baseline=array).explain(X)
    np.testing.assert_allclose(one.attributions, two.attributions, atol=1e-6)
    for kind in (TorchIntegratedGradients, DeepLift, Occlusion):
        fitted = kind(model, "mse", baseline="mean", batch_size=2).fit(X)
        np.testing.assert_allclose(fitted.reference, X.mean(0), atol=1e-6)
        given = kind(model, "mse", baseline=X.mean(0)).explain(X)
        np.testing.assert_allclose(fitted.explain(X).attributions, given.attributions, atol=1e-5)
        fitted.reset_predictor(mlp_vae(1))
        to_do = r"baseline='mean' needs data\) must be fitted.*Call fit\(X\) first"
        with pytest.raises(NotFittedError, match=to_do):
            fitted.explain(X)
    with pytest.raises(NotFittedError, match="GradientShap"):
        GradientShap(model, "mse").explain(X)


@pytest.mark.shared
@FACES
def test_faces_of_the_published_model_equal_captum():
    model = face_vae()
    X = faces(model, 2)
    x = torch.from_numpy(X).requires_grad_()
    f = forward(model, "mse")
    close(Saliency(model, "mse").explain(X).attributions, captum.Saliency(f).attribute(x))
    found = GradCAM(model, "mse", layer="decoder.convT_64").explain(X)
    method = captum.LayerGradCam(f, model.layers["decoder.convT_64"])
    close(found.maps, method.attribute(x), rtol=1e-3)
    covered = Occlusion(model, "mse", window=16, stride=16).explain(X).attributions
    expected = captum.Occlusion(f).attribute(x, (3, 16, 16), (3, 16, 16), 0.0)
    close(covered, expected)
