"""What the attribution adapters refuse, leave behind and promise."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from pxgen_plugins.adapters.attribution.ablation import LatentAblation
from pxgen_plugins.adapters.attribution.base import DEFAULT_DATA_ATTRIBUTION
from pxgen_plugins.adapters.attribution.deeplift import DeepLift
from pxgen_plugins.adapters.attribution.gradcam import GradCAM
from pxgen_plugins.adapters.attribution.gradient_shap import GradientShap
from pxgen_plugins.adapters.attribution.gradients import (
    InputXGradient,
    Saliency,
    TorchIntegratedGradients,
)
from pxgen_plugins.adapters.attribution.occlusion import Occlusion
from pxgen_plugins.models import VAE
from pxgen_plugins.testing import ExplainerCase, explainer_checks, parametrize_with_checks
from pxgen_plugins.testing.guards import moved_generators, random_state
from pxgen_plugins.utils.errors import CapabilityError, ModelError, ParameterError

from .nets import ConvNet, conv_vae, mlp_vae

captum = pytest.importorskip("captum.attr")

X = np.random.default_rng(0).random((5, 1, 8, 8), dtype=np.float32)
ALL = [Saliency, InputXGradient, TorchIntegratedGradients, DeepLift, GradientShap]
ALL += [Occlusion, GradCAM, LatentAblation]
ONCE = {"name": "elbo", "n_draws": 1}


@pytest.mark.parametrize(
    ("kind", "options", "message"),
    [
        (Saliency, {"target": "msse"}, "Did you mean 'mse'"),
        (Saliency, {"target": "latent[9]"}, "Latent index must be below 4"),
        (Saliency, {"space": "pixel"}, "Saliency: space must be one of"),
        (Saliency, {"normalize": 1}, "normalize must be True or False"),
        (TorchIntegratedGradients, {"n_steps": 0}, "n_steps must be an integer >= 1"),
        (TorchIntegratedGradients, {"baseline": "median"}, "baseline must be None, a finite"),
        (DeepLift, {"baseline": float("nan")}, "baseline must be None, a finite"),
        (GradientShap, {"noise": -1}, "noise must be a finite number >= 0"),
        (Occlusion, {"window": 9}, r"window must be inside the instance's shape \(1, 8, 8\)"),
        (Occlusion, {"window": 2, "stride": 3}, "stride must be at most the window"),
        (Occlusion, {"window": (2, 2)}, "window must be of 3 sizes"),
        (Occlusion, {"stride": 0}, "stride must be an integer >= 1"),
        (GradCAM, {"layer": "decoder.up3"}, "layer must be one of .* Did you mean 'decoder.up2'"),
        (LatentAblation, {"baseline": [1.0, "a"]}, "baseline must be None"),
    ],
)
def test_wrong_arguments_are_refused(kind, options, message):
    with pytest.raises(ParameterError, match=message):
        kind(conv_vae(), **options)


def test_what_cannot_be_explained_is_told():
    model = conv_vae()
    with pytest.raises(ParameterError, match=r"baseline must be of shape \(4,\)"):
        LatentAblation(model, baseline=np.zeros(3)).explain(X)
    with pytest.raises(ModelError, match=r"every nonlinear module runs once.*n_draws"):
        DeepLift(model, "elbo").explain(X)
    with pytest.raises(ModelError, match=r"exactly once.*which runs 8x"):
        GradCAM(model, "elbo").explain(X)
    with pytest.raises(ModelError, match=r"exactly once for the target 'kld'.*runs 0x"):
        GradCAM(model, "kld", layer="decoder.up1").explain(X)
    with pytest.raises(ModelError, match="channels and 2 sides"):
        GradCAM(model, "kld", layer="mean").explain(X)
    with pytest.raises(ModelError, match="no convolution"):
        GradCAM(mlp_vae(), "mse").explain(X)
    with pytest.raises(ParameterError, match="labels and ids"):
        Saliency(model).explain(X, target="kld")
    flat = VAE(
        encode=lambda x: (np.asarray(x).reshape(len(x), -1)[:, :4], np.zeros((len(x), 4), "f4")),
        decode=lambda z: np.zeros((len(z), 1, 8, 8), "f4"),
        modules=(),
        latent_shape=(4,),
        sample_shape=(1, 8, 8),
    )
    with pytest.raises(ModelError, match=r"encode must be differentiable.*Occlusion"):
        Saliency(flat, "kld").explain(X)
    with pytest.raises(ModelError, match=r"encode must be differentiable.*Occlusion"):
        Saliency(flat, "mse").explain(X)  # the anchor's own term in it has a gradient
    down, up = torch.nn.Linear(64, 8), torch.nn.Linear(4, 64)  # weights with gradients
    cut = VAE(
        encode=lambda x: down(x.detach().flatten(1)).chunk(2, 1),
        decode=lambda z: up(z).sigmoid().reshape(-1, 1, 8, 8),
        modules=[down, up],
        latent_shape=(4,),
        sample_shape=(1, 8, 8),
    )
    with pytest.raises(ModelError, match=r"encode must be differentiable"):
        Saliency(cut, "mse").explain(X)
    assert Occlusion(flat, "kld").explain(X).attributions.shape == X.shape

    class Blind:
        capabilities = frozenset({"reconstruct"})
        sample_shape, latent_shape, data_range = (1, 8, 8), None, (0.0, 1.0)
        device, dtype = torch.device("cpu"), torch.float32

        def reconstruct(self, x):
            return x / 2

    assert Saliency(Blind(), "mse").explain(X).attributions.shape == X.shape
    with pytest.raises(CapabilityError, match="latent space"):
        Saliency(Blind(), "mse", space="latent")
    with pytest.raises(CapabilityError, match="layers"):
        GradCAM(Blind(), "mse")


def test_anchors_that_are_not_finite_are_counted_and_the_others_unharmed():
    bad = X.copy()
    bad[1, 0, 0, 0] = np.nan
    for kind in ALL:
        model = conv_vae()
        whole = kind(model, "mse", batch_size=2).fit(X).explain(X, labels=list("abcde"))
        part = kind(model, "mse", batch_size=2).fit(X).explain(bad)
        assert part.invalid.tolist() == [1]
        assert "NaN" in part.reasons[0]
        assert np.isnan(part.attributions[1]).all()
        rest = [0, 2, 3, 4]
        np.testing.assert_allclose(part.attributions[rest], whole.attributions[rest], atol=1e-5)
        assert whole.labels.tolist() == list("abcde")


def test_bytes_and_no_anchors_are_taken():
    raw = (X * 255).astype(np.uint8)
    for kind in ALL:
        adapter = kind(conv_vae(), "mse").fit(X)
        one = adapter.explain(raw).attributions
        two = adapter.explain(raw.astype("f4") / 255).attributions
        np.testing.assert_allclose(one, two, atol=1e-5)
        assert len(adapter.explain(X[:0]).attributions) == 0


class Fails(Exception):
    """Raised by the target of the test below."""


def state(net):
    hooks = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")
    modules = [
        (m.training, sorted(k for k in m.__dict__), [len(getattr(m, h)) for h in hooks])
        for m in net.modules()
    ]
    parameters = [(p.requires_grad, p.grad is None) for p in net.parameters()]
    return modules, parameters


@pytest.mark.parametrize("kind", ALL)
def test_nothing_is_left_behind_also_when_it_raises(kind):
    net = ConvNet()
    net.decoder.train()
    next(iter(net.parameters())).requires_grad_(False)
    model = VAE(net, latent_shape=(4,), sample_shape=(1, 8, 8))
    weights = {name: value.clone() for name, value in net.state_dict().items()}
    before = state(net)
    draws = random_state()

    calls, budget, error = [], 0, Fails

    def target(batch):
        calls.append(1)
        if len(calls) > budget:
            raise error("on purpose")
        return batch.mean.flatten(1)[:, 0] + batch.reconstruction.flatten(1).sum(1)

    for limit, kind_of_error in ((10**9, Fails), (1, Fails), (2, Fails), (2, RuntimeError)):
        calls.clear()
        budget, error = limit, kind_of_error
        adapter = kind(model, target).fit(X)
        if limit < 10**9:
            with pytest.raises((Fails, ModelError)):
                adapter.explain(X)
        else:
            adapter.explain(X)
        assert state(net) == before
    assert all(torch.equal(value, weights[name]) for name, value in net.state_dict().items())
    assert not moved_generators(draws)


KEYS = frozenset(DEFAULT_DATA_ATTRIBUTION) | {"evidence"}
SAME_SIZE = {"json_holds_no_copy_of_the_input": "an attribution has the shape of its anchor"}


def grown_vae():
    return conv_vae(hidden=160)


def other_vae():
    return conv_vae(1)


def module_of(model):
    return model._evaluating.modules[0]


def case(kind, fitted=False, **options):
    def make(predictor, **more):
        return kind(predictor, **{**options, **more})

    small = options.get("space") == "latent" or kind is LatentAblation
    return ExplainerCase(
        kind.__name__,
        make=make,
        make_predictor=conv_vae,
        X=X,
        fit_args=(X,) if fitted else None,
        make_other=other_vae,
        make_grown=grown_vae,
        module=module_of,
        data_keys=KEYS,
        X_invalid=np.where(np.arange(5)[:, None, None, None] == 1, np.nan, X),
        many=300,
        seed_matters=kind is GradientShap,
        rtol=1e-3,
        atol=1e-5,
        expected_failures={} if small else SAME_SIZE,
    )


CASES = [
    case(Saliency, target="kld", space="latent"),
    case(TorchIntegratedGradients, target="mse", n_steps=4, baseline="mean", fitted=True),
    case(DeepLift, target="mse"),
    case(GradientShap, target="mse", n_samples=3, fitted=True),
    case(Occlusion, target="mse", window=4),
    case(GradCAM, target="mse"),
    case(LatentAblation, target="mse", baseline="mean", fitted=True),
]


@parametrize_with_checks(CASES, explainer_checks())
def test_the_adapters_keep_the_contract(subject, check):
    check(subject)
