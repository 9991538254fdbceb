"""Activation maximisation and activation statistics, against closed forms and slow loops."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from scipy.stats import chi2
from torch import nn

from pxgen_plugins.adapters.units.activation_maximisation import (
    DEFAULT_DATA_ACTIVATION_MAXIMISATION,
    ActivationMaximisation,
)
from pxgen_plugins.adapters.units.activation_statistics import (
    DEFAULT_DATA_ACTIVATION_STATISTICS,
    ActivationStatistics,
)
from pxgen_plugins.models import VAE
from pxgen_plugins.testing import ExplainerCase, explainer_checks, parametrize_with_checks
from pxgen_plugins.testing.guards import module_changes, module_state, random_state
from pxgen_plugins.utils.errors import AnchorError, CapabilityError, ModelError, ParameterError

from .nets import conv_vae, mlp_vae

X = np.random.default_rng(0).random((12, 1, 8, 8)).astype(np.float32)
GROUPS = ["HIHE", "HILE", "LILE"] * 4
MODELS = [mlp_vae, conv_vae]


def net_of(model: Any) -> Any:
    return model._evaluating.modules[0]


def run(model: Any, layer: str, z: torch.Tensor) -> np.ndarray:
    """The layer's channel means when decoding z, by running the decoder's layers one by one."""
    net = net_of(model).eval()
    x = z
    for name, module in net.decoder.named_children():
        with torch.no_grad():
            x = module(x)
        if f"decoder.{name}" == layer:
            return x.flatten(2).mean(2).numpy() if x.ndim > 2 else x.numpy()
    raise AssertionError(layer)


def test_a_linear_unit_is_maximised_along_its_weights_at_the_border():
    model = mlp_vae()
    found = ActivationMaximisation(model, "decoder.0", [0, 5], n_steps=200).explain(None)
    weight = net_of(model).decoder[0].weight.detach()[[0, 5]]
    bias = net_of(model).decoder[0].bias.detach()[[0, 5]]
    radius = chi2.ppf(0.99, 4) ** 0.5
    assert found.radius == pytest.approx(radius)
    expected = weight / weight.norm(dim=1, keepdim=True) * radius
    np.testing.assert_allclose(found.codes, expected.numpy(), atol=0.05)
    best = (weight.norm(dim=1) * radius + bias).numpy()
    np.testing.assert_allclose(np.asarray(found.activation).max(axis=1), best, rtol=1e-3)


@pytest.mark.parametrize("make", MODELS)
def test_the_reported_activation_is_that_of_the_reported_code(make):
    model = make()
    found = ActivationMaximisation(model, units=[1, 2], n_steps=40).explain(None)
    z = torch.from_numpy(np.asarray(found.codes))
    values = run(model, found.layer, z)[[0, 1], [1, 2]]
    reached = np.asarray(found.activation)[[0, 1], found.best]
    np.testing.assert_allclose(values, reached, rtol=1e-4)
    np.testing.assert_allclose(np.asarray(found.history).max(axis=1), reached)
    with torch.no_grad():
        np.testing.assert_allclose(found.images, model.decode(z).numpy(), atol=1e-6)


@pytest.mark.parametrize("make", MODELS)
def test_ascent_climbs_and_beats_random_search_inside_the_region(make):
    model = make()
    found = ActivationMaximisation(model, n_steps=150).explain(None)
    activation, start = np.asarray(found.activation), np.asarray(found.start_activation)
    assert (activation >= start).all()
    assert (np.linalg.norm(np.asarray(found.codes), axis=1) <= found.radius * (1 + 1e-5)).all()
    z = torch.randn(3000, 4, generator=torch.Generator().manual_seed(0))
    z = z * (found.radius / z.norm(dim=1, keepdim=True)).clamp(max=1.0)
    by_chance = run(model, found.layer, z)[:, np.asarray(found.units)].max(axis=0)
    assert (activation.max(axis=1) >= by_chance - 1e-3 * np.abs(by_chance) - 1e-3).all()


def test_the_default_layer_is_the_last_one_before_the_output():
    assert ActivationMaximisation(mlp_vae(), n_steps=1).explain(None).layer == "decoder.0"
    assert ActivationMaximisation(conv_vae(), n_steps=1).explain(None).layer == "decoder.up1"


def test_anchors_are_ranked_by_what_their_own_codes_excite():
    model = conv_vae()
    rows = X.copy()
    rows[4, 0, 0, 0] = np.nan
    found = ActivationMaximisation(model, units=[3], n_steps=2, n_prototypes=20).explain(rows)
    with torch.no_grad():
        codes = model.encode(torch.from_numpy(X))[0]
    expected = run(model, found.layer, codes)[:, 3]
    usable = np.delete(np.arange(12), 4)
    np.testing.assert_allclose(found.anchor_activation[usable, 0], expected[usable], rtol=1e-4)
    assert np.isnan(found.anchor_activation[4, 0])
    assert found.prototypes[0].tolist() == usable[np.argsort(-expected[usable])].tolist()
    assert found.invalid.tolist() == [4]


def test_without_anchors_there_are_no_prototypes():
    found = ActivationMaximisation(mlp_vae(), n_steps=1).explain(None)
    assert found.anchor_activation is None
    assert found.prototypes is None


def activations_of(model: Any, layer: str) -> np.ndarray:
    seen: list[np.ndarray] = []

    def keep(_module, _inputs, output):
        seen.append(output.flatten(2).mean(2).numpy() if output.ndim > 2 else output.numpy())

    handle = model.layers[layer].register_forward_hook(keep)
    with torch.no_grad():
        model.reconstruct(torch.from_numpy(X))
    handle.remove()
    return seen[-1]


@pytest.mark.parametrize("make", MODELS)
def test_statistics_are_those_of_a_loop_over_groups(make):
    model = make()
    found = ActivationStatistics(model, batch_size=5).explain(X, groups=GROUPS)
    assert found.group_names == ["HIHE", "HILE", "LILE"]
    assert found.counts.tolist() == [4, 4, 4]
    assert found.contrast == ["HIHE", "HILE"]
    assert not any("flat" in name or "cube" in name for name in found.layers)
    for layer, table in found.layers.items():
        values = activations_of(model, layer).astype(np.float64)
        threshold = np.quantile(values, 0.75, axis=0)
        for position, name in enumerate(found.group_names):
            rows = values[[group == name for group in GROUPS]]
            np.testing.assert_allclose(table["mean"][position], rows.mean(0), atol=1e-5)
            np.testing.assert_allclose(table["std"][position], rows.std(0), atol=1e-5)
            near = np.abs(rows - threshold).min(axis=0) < 1e-6  # rounding decides such a channel
            fires = (rows > threshold).mean(axis=0)
            np.testing.assert_allclose(table["fires"][position][~near], fires[~near])
        contrast = found.contrasts[layer]
        np.testing.assert_allclose(contrast["difference"], table["fires"][0] - table["fires"][1])


def test_a_channel_that_tells_two_groups_apart_is_found():
    net = nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.Linear(3, 4), nn.Sigmoid())
    with torch.no_grad():
        net[0].weight.copy_(torch.tensor([[1.0, 0.0], [0.0, 1.0], [-1.0, 0.0]]))
        net[0].bias.zero_()
    model = VAE(
        encode=lambda x: (x[:, :2] * 2 - 1, torch.zeros_like(x[:, :2])),
        decode=net.forward,
        latent_shape=(2,),
        sample_shape=(4,),
        modules=[net],
    )
    rng = np.random.default_rng(1)
    rows = rng.random((40, 4)).astype(np.float32) * 0.4
    rows[:20, 0] += 0.6  # the first half has a positive first coordinate
    groups = ["HIHE"] * 20 + ["HILE"] * 20
    found = ActivationStatistics(model, ["1"], quantile=0.5).explain(rows, groups=groups)
    contrast = found.contrasts["1"]
    assert contrast["only_first"].tolist() == [0]
    assert contrast["only_second"].tolist() == [2]
    assert contrast["effect"][0] > 1
    values = found.layers["1"]
    pooled = np.sqrt((20 * values["std"][0] ** 2 + 20 * values["std"][1] ** 2) / 38)
    expected = (values["mean"][0, 0] - values["mean"][1, 0]) / pooled[0]
    assert contrast["effect"][0] == pytest.approx(expected)


def test_without_groups_all_anchors_are_one():
    found = ActivationStatistics(mlp_vae()).explain(X)
    assert found.group_names == ["all"]
    assert found.contrast == []
    assert found.contrasts == {}


@pytest.mark.parametrize("kind", ["maximisation", "statistics"])
def test_nothing_is_left_behind_even_when_it_raises(kind):
    model = conv_vae()
    net = net_of(model)
    net.train()
    net.decoder.eval()
    next(net.parameters()).grad = torch.ones_like(next(net.parameters()))
    made = ActivationMaximisation if kind == "maximisation" else ActivationStatistics
    explainer = made(model, n_steps=3) if kind == "maximisation" else made(model)
    before, state = module_state(net), random_state()
    explainer.explain(X)

    calls = 0

    def fail(*_: Any) -> None:
        nonlocal calls
        calls += 1
        if calls > 2:
            raise FloatingPointError("inside a layer")

    hook = net.decoder.up2.register_forward_hook(fail)
    explainer.batch_size = 4
    with pytest.raises(FloatingPointError):
        explainer.explain(X)
    hook.remove()
    assert not module_changes(before, module_state(net))
    assert torch.equal(state["torch"], random_state()["torch"])


def test_errors_name_parameter_place_and_remedy():
    model = conv_vae()
    with pytest.raises(ParameterError, match=r"one of decoder.first.*'decoder.up3', unknown"):
        ActivationMaximisation(model, "decoder.up3").explain(None)
    with pytest.raises(ParameterError, match="unused while decoding"):
        ActivationMaximisation(model, "encoder.conv1").explain(None)
    with pytest.raises(ParameterError, match="units must be below 8"):
        ActivationMaximisation(model, units=8).explain(None)
    with pytest.raises(ParameterError, match="plausible must be"):
        ActivationMaximisation(model, plausible=1.0)
    with pytest.raises(ParameterError, match="layers that are called"):
        ActivationStatistics(model, ["decoder.none"]).explain(X)
    with pytest.raises(ParameterError, match="contrast must be two groups"):
        ActivationStatistics(model, contrast=["HIHE"])
    with pytest.raises(ParameterError, match="groups that occur: HIHE"):
        ActivationStatistics(model, contrast=["HIHE", "LIHE"]).explain(X, groups=["HIHE"] * 12)
    with pytest.raises(AnchorError, match="groups must be 12 names"):
        ActivationStatistics(model).explain(X, groups=["HIHE"])

    class Encoder:
        capabilities = frozenset({"encode"})
        sample_shape, latent_shape, data_range = (4,), (2,), None
        device, dtype = torch.device("cpu"), torch.float32

    with pytest.raises(CapabilityError, match="ActivationMaximisation"):
        ActivationMaximisation(Encoder())


def test_a_decoder_without_gradient_is_refused():
    net = nn.Sequential(nn.Linear(2, 4), nn.Sigmoid())

    def decode(z):
        with torch.no_grad():
            return net(z)

    model = VAE(
        encode=lambda x: (x[:, :2], -x[:, 2:]),
        decode=decode,
        latent_shape=(2,),
        sample_shape=(4,),
        modules=[net],
    )
    with pytest.raises(ModelError, match="differentiable"):
        ActivationMaximisation(model).explain(None)


def test_the_shipped_vae_is_explained():
    from pxgen_plugins.datasets import load_mnist, load_mnist_vae

    net = load_mnist_vae()
    model = VAE(net, latent_shape=(200,), sample_shape=(1, 28, 28))
    images = load_mnist()[0][:40]
    found = ActivationMaximisation(model, units=[0, 1], n_steps=30, n_restarts=2).explain(images)
    assert found.layer == "decoder.2"
    assert (np.asarray(found.activation) > np.asarray(found.start_activation)).all()
    groups = [("HIHE", "HILE")[i % 2] for i in range(40)]
    statistics = ActivationStatistics(model).explain(images, groups=groups)
    assert statistics.layers["decoder.1"]["fires"].shape == (2, 400)


def plain() -> Any:
    return mlp_vae()


def other() -> Any:
    return mlp_vae(seed=1)


def wide() -> Any:
    return mlp_vae(hidden=1000)


def make_maximisation(predictor: Any, **options: Any) -> Any:
    fixed = {"units": [0, 3], "n_steps": 10, "n_restarts": 3}
    return ActivationMaximisation(predictor, "decoder.2", **{**fixed, **options})


def make_statistics(predictor: Any, **options: Any) -> Any:
    return ActivationStatistics(predictor, **options)


def groups_of(rows: np.ndarray) -> dict[str, Any]:
    return {"groups": [("HIHE", "HILE")[i % 2] for i in range(len(rows))]}


def _case(name: str, make: Any, keys: dict[str, Any], **more: Any) -> ExplainerCase:
    return ExplainerCase(
        name,
        make,
        plain,
        X[:6],
        make_other=other,
        make_grown=wide,
        module=net_of,
        data_keys=frozenset({*keys, "evidence"}),
        rtol=1e-3,
        atol=1e-5,
        **more,
    )


CASES = [
    _case(
        "ActivationMaximisation",
        make_maximisation,
        DEFAULT_DATA_ACTIVATION_MAXIMISATION,
        seed_matters=True,
        many=400,
    ),
    _case(
        "ActivationStatistics",
        make_statistics,
        DEFAULT_DATA_ACTIVATION_STATISTICS,
        explain_kwargs=groups_of,
        many=60,
    ),
]


@parametrize_with_checks(CASES, explainer_checks())
def test_the_adapters_keep_the_contract(subject, check):
    check(subject)
