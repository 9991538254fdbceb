"""LatentLIME, LatentSHAP and AlibiKernelShap against their libraries called directly."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import pytest
import torch

from pxgen_plugins.adapters._groups import by_group
from pxgen_plugins.adapters._isolation import numpy_seed
from pxgen_plugins.adapters._latent_target import LatentTarget
from pxgen_plugins.adapters.base import NotFittedError
from pxgen_plugins.adapters.latent.alibi_shap import DEFAULT_DATA_ALIBI_KERNEL_SHAP, AlibiKernelShap
from pxgen_plugins.adapters.latent.lime import DEFAULT_DATA_LATENT_LIME, LatentLIME
from pxgen_plugins.adapters.latent.shap import DEFAULT_DATA_LATENT_SHAP, LatentSHAP
from pxgen_plugins.adapters.targets import Latent, Pixel, resolve
from pxgen_plugins.result.explanation import from_json
from pxgen_plugins.testing import ExplainerCase, explainer_checks, parametrize_with_checks
from pxgen_plugins.testing.guards import (
    kept_random_state,
    module_changes,
    module_state,
    random_state,
)
from pxgen_plugins.utils.errors import (
    AnchorError,
    CapabilityError,
    MissingDependencyError,
    ParameterError,
)

from .nets import conv_vae, mlp_vae

lime_tabular = pytest.importorskip("lime.lime_tabular")
shap = pytest.importorskip("shap")

X = np.random.default_rng(0).random((6, 1, 8, 8)).astype(np.float32)
REFERENCE = np.random.default_rng(1).random((30, 1, 8, 8)).astype(np.float32)
GROUPS = ["HIHE", "HILE", "HIHE", "LILE", "HILE", "HIHE"]
MODELS = [mlp_vae, conv_vae]
TARGETS = ["kld", "mse", "elbo", Latent(2), Pixel(0, 3, 3)]


@pytest.fixture(autouse=True)
def _global_state_survives_the_libraries():
    with kept_random_state():
        yield


def net_of(model: Any) -> Any:
    return model._evaluating.modules[0]


def function_of(model: Any, target: Any, x: np.ndarray) -> Any:
    """The explained function by Target.value_at, with the anchor repeated."""
    resolved = resolve(target, model)

    def function(codes: np.ndarray) -> np.ndarray:
        z = torch.tensor(np.asarray(codes), dtype=torch.float32)
        held = torch.from_numpy(x)[None].expand(len(z), *x.shape)
        with torch.no_grad():
            return resolved.value_at(model, z, held).double().numpy()

    return function


def codes_of(model: Any, rows: np.ndarray) -> np.ndarray:
    with torch.no_grad():
        return model.encode(torch.from_numpy(rows))[0].numpy()


@pytest.mark.parametrize("make", MODELS)
@pytest.mark.parametrize("target", TARGETS, ids=str)
def test_the_explained_function_is_value_at_with_the_anchor_held(make, target):
    model = make()
    moved = LatentTarget(
        resolve(target, model), model, torch.from_numpy(X[:1]), seed=0, batch_size=7
    )
    z = np.random.default_rng(2).normal(size=(20, 4)).astype(np.float32)
    np.testing.assert_allclose(moved(z), function_of(model, target, X[0])(z), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("make", MODELS)
@pytest.mark.parametrize("discretize", [True, False])
def test_lime_gives_what_lime_gives_directly(make, discretize):
    model = make()
    ours = LatentLIME(model, "mse", n_samples=80, discretize=discretize, seed=3).fit(REFERENCE)
    found = ours.explain(X[:3])
    training = codes_of(model, REFERENCE).astype(np.float64)
    for i in range(3):
        theirs = lime_tabular.LimeTabularExplainer(
            training,
            mode="regression",
            feature_names=["z0", "z1", "z2", "z3"],
            discretize_continuous=discretize,
            random_state=3,
        ).explain_instance(
            codes_of(model, X)[i].astype(np.float64),
            function_of(model, "mse", X[i]),
            num_features=4,
            num_samples=80,
        )
        expected = np.zeros(4)
        for dimension, weight in theirs.local_exp[1]:
            expected[dimension] = weight
        np.testing.assert_allclose(found.weights[i], expected, rtol=1e-4, atol=1e-8)
        assert found.conditions[i].tolist() == [text for text, _ in theirs.as_list(label=1)]
        assert found.score[i] == pytest.approx(theirs.score, rel=1e-4)
        assert found.prediction[i] == pytest.approx(theirs.predicted_value, rel=1e-5)


def test_lime_keeps_its_conditions_and_as_many_dimensions_as_asked():
    found = LatentLIME(mlp_vae(), "mse", 80, n_features=2).fit(REFERENCE).explain(X)
    assert found.conditions.shape == (6, 2)
    assert all("z" in text and ("<" in text or ">" in text) for text in found.conditions.flat)
    assert ((found.weights != 0).sum(axis=1) <= 2).all()
    rows = np.arange(6)[:, None]
    np.testing.assert_array_equal(
        found.weights[rows, found.condition_dimensions], found.condition_weights
    )


def test_lime_of_a_latent_dimension_puts_all_weight_on_it():
    found = LatentLIME(mlp_vae(), Latent(2), 200, discretize=False).fit(REFERENCE).explain(X[:2])
    assert (np.abs(found.weights).argmax(axis=1) == 2).all()
    np.testing.assert_allclose(found.weights[:, [0, 1, 3]], 0.0, atol=1e-2)
    assert (found.score > 0.99).all()


def test_lime_falls_back_on_the_prior_without_data():
    fitted = LatentLIME(mlp_vae(), n_samples=50, n_background=400).fit()
    assert fitted.background.shape == (400, 4)
    assert abs(fitted.background.mean()) < 0.2
    assert fitted.background.std() == pytest.approx(1.0, abs=0.1)


def kernel_directly(function: Any, background: np.ndarray, code: np.ndarray) -> np.ndarray:
    with numpy_seed(0):
        explainer = shap.KernelExplainer(function, background)
        return explainer.shap_values(code[None], l1_reg=False, silent=True)[0]


@pytest.mark.parametrize("make", MODELS)
def test_kernel_shap_gives_what_shap_gives_directly(make):
    model = make()
    found = LatentSHAP(model, "mse", n_background=10).fit(REFERENCE[:10]).explain(X[:2])
    background = codes_of(model, REFERENCE[:10]).astype(np.float64)
    for i in range(2):
        code = codes_of(model, X)[i].astype(np.float64)
        expected = kernel_directly(function_of(model, "mse", X[i]), background, code)
        np.testing.assert_allclose(found.weights[i], expected, rtol=1e-4, atol=1e-7)


def shapley(function: Any, background: np.ndarray, code: np.ndarray) -> np.ndarray:
    """Shapley values from their definition, by all coalitions."""
    d = len(code)

    def value(coalition: set[int]) -> float:
        rows = background.copy()
        rows[:, sorted(coalition)] = code[sorted(coalition)]
        return float(function(rows).mean())

    values = np.zeros(d)
    for j in range(d):
        others = [k for k in range(d) if k != j]
        for size in range(d):
            weight = math.factorial(size) * math.factorial(d - size - 1) / math.factorial(d)
            for coalition in itertools.combinations(others, size):
                values[j] += weight * (value({*coalition, j}) - value(set(coalition)))
    return values


@pytest.mark.slow
@pytest.mark.parametrize("method", ["kernel", "permutation"])
def test_shapley_values_are_those_of_the_definition(method):
    model = conv_vae()
    n_samples = 300 if method == "permutation" else None
    ours = LatentSHAP(model, "mse", method, n_samples, n_background=6).fit(REFERENCE[:6])
    found = ours.explain(X[:2])
    for i in range(2):
        function = function_of(model, "mse", X[i])
        expected = shapley(function, codes_of(model, REFERENCE[:6]), codes_of(model, X)[i])
        tolerance = 1e-6 if method == "kernel" else 0.05 * np.abs(expected).max()
        np.testing.assert_allclose(found.weights[i], expected, atol=tolerance)


@pytest.mark.parametrize("make", MODELS)
def test_permutation_shap_gives_what_shap_gives_directly(make):
    model = make()
    ours = LatentSHAP(model, "kld", "permutation", 3, n_background=8, seed=5).fit(REFERENCE[:8])
    found = ours.explain(X[:1])
    background = codes_of(model, REFERENCE[:8]).astype(np.float64)
    masker = shap.maskers.Independent(background, max_samples=8)
    theirs = shap.PermutationExplainer(function_of(model, "kld", X[0]), masker, seed=5)
    code = codes_of(model, X)[:1].astype(np.float64)
    expected = theirs(code, max_evals=3 * 9, silent=True).values
    np.testing.assert_allclose(found.weights, expected, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("make", MODELS)
def test_gradient_shap_gives_what_shap_gives_directly(make):
    model = make()
    ours = LatentSHAP(model, "mse", "gradient", 40, n_background=8, seed=4).fit(REFERENCE[:8])
    found = ours.explain(X[:1])
    resolved = resolve("mse", model)

    class Column(torch.nn.Module):
        def forward(self, z):
            x = torch.from_numpy(X[:1]).expand(len(z), 1, 8, 8)
            return resolved.value_at(model, z, x)[:, None]

    background = torch.from_numpy(codes_of(model, REFERENCE[:8]))
    theirs = shap.GradientExplainer(Column(), background)
    code = torch.from_numpy(codes_of(model, X)[:1])
    expected = theirs.shap_values(code, nsamples=40, rseed=4)
    np.testing.assert_allclose(found.weights, expected[..., 0], rtol=1e-4, atol=1e-6)


def test_kernel_and_permutation_are_additive_and_the_gradient_method_reports_its_gap():
    for method, bound in [("kernel", 1e-6), ("permutation", 1e-5), ("gradient", 0.5)]:
        found = LatentSHAP(mlp_vae(), "mse", method).fit(REFERENCE).explain(X[:3])
        gap = found.prediction - found.base_value - found.weights.sum(axis=1)
        np.testing.assert_allclose(found.additivity_gap, gap)
        assert (np.abs(gap) <= bound * np.abs(found.weights).sum(axis=1) + 1e-6).all()


def test_kernel_shap_keeps_more_than_ten_dimensions():
    from pxgen_plugins.models import VAE

    pixels = VAE(
        encode=lambda x: (x[:, :16], torch.zeros_like(x[:, :16])),
        decode=lambda z: torch.cat([z, z], dim=1).sigmoid(),
        modules=(),
        latent_shape=(16,),
        sample_shape=(32,),
    )
    rows = np.random.default_rng(3).random((8, 32)).astype(np.float32)
    found = LatentSHAP(pixels, "kld", n_samples=200).fit(rows).explain(rows[:1])
    assert (np.abs(found.weights) > 1e-6).sum() == 16


@pytest.mark.parametrize("make", MODELS)
def test_alibis_kernel_shap_gives_what_alibi_gives_directly(make):
    pytest.importorskip("alibi")
    from alibi.explainers import KernelShap

    model = make()
    players = {"even": [0, 2], "odd": [1, 3]}
    ours = AlibiKernelShap(model, "mse", players, n_background=8).fit(REFERENCE[:8])
    found = ours.explain(X[:2])
    background = codes_of(model, REFERENCE[:8]).astype(np.float64)
    for i in range(2):
        function = function_of(model, "mse", X[i])
        theirs = KernelShap(function, task="regression", seed=0)
        theirs.fit(background, group_names=list(players), groups=list(players.values()))
        code = codes_of(model, X)[i : i + 1].astype(np.float64)
        expected = theirs.explain(code, silent=True, l1_reg=False).shap_values[0]
        np.testing.assert_allclose(found.weights[i : i + 1], expected, rtol=1e-4, atol=1e-7)
    assert found.dimensions == [[0, 2], [1, 3]]
    np.testing.assert_allclose(found.additivity_gap, 0.0, atol=1e-6)


def test_alibis_kernel_shap_without_players_is_kernel_shap():
    pytest.importorskip("alibi")
    model = mlp_vae()
    one = AlibiKernelShap(model, "mse", n_background=8).fit(REFERENCE[:8]).explain(X[:2])
    other = LatentSHAP(model, "mse", n_background=8).fit(REFERENCE[:8]).explain(X[:2])
    np.testing.assert_allclose(one.weights, other.weights, rtol=1e-5, atol=1e-8)


def test_groups_are_mean_absolute_weights_per_dimension():
    found = LatentSHAP(mlp_vae(), "mse", n_background=5).fit(REFERENCE).explain(X, groups=GROUPS)
    assert list(found.groups) == ["HIHE", "HILE", "LILE"]
    for name, group in found.groups.items():
        rows = found.weights[[g == name for g in GROUPS]]
        assert group["count"] == len(rows)
        np.testing.assert_allclose(group["mean_abs_weight"], np.abs(rows).mean(axis=0))
        np.testing.assert_allclose(group["mean_weight"], rows.mean(axis=0))


def test_groups_leave_out_anchors_without_weights():
    weights = np.array([[1.0, 2.0], [np.nan, np.nan]])
    found = by_group(weights, np.array(["HIHE", "LILE"]))
    assert found["HIHE"]["count"] == 1
    assert found["LILE"]["count"] == 0


def test_invalid_anchors_are_named_and_the_others_explained():
    broken = X.copy()
    broken[1, 0, 0, 0] = np.nan
    found = LatentLIME(mlp_vae(), "mse", 50).fit(REFERENCE).explain(broken)
    assert found.invalid.tolist() == [1]
    assert "NaN" in found.reasons[0]
    assert np.isnan(found.weights[1]).all()
    assert np.isfinite(np.delete(found.weights, 1, axis=0)).all()
    np.testing.assert_array_equal(from_json(found.to_json()).weights, found.weights)


def test_an_anchor_is_explained_alike_wherever_it_stands():
    fitted = LatentSHAP(mlp_vae(), "mse").fit(REFERENCE)
    np.testing.assert_allclose(fitted.explain(X).weights[3:4], fitted.explain(X[3:4]).weights)


@pytest.mark.parametrize("method", ["kernel", "permutation", "gradient", "lime"])
def test_nothing_is_left_behind_even_when_it_raises(method):
    model = conv_vae()
    make = (
        LatentLIME(model, "mse", 30) if method == "lime" else LatentSHAP(model, "mse", method, 20)
    )
    fitted = make.fit(REFERENCE)
    net = net_of(model)
    net.train()
    before, state = module_state(net), random_state()
    fitted.explain(X[:2])

    def fail(batch):
        if len(batch) > 1:
            raise FloatingPointError("inside the target")
        return batch.mean.flatten(1)[:, 0]

    fitted.target = fail
    with pytest.raises(FloatingPointError):
        fitted.explain(X[:2])
    assert not module_changes(before, module_state(net))
    for one, other in zip(state["numpy"], random_state()["numpy"], strict=True):
        assert np.array_equal(one, other)
    assert torch.equal(state["torch"], random_state()["torch"])


def test_errors_name_parameter_place_and_remedy(monkeypatch):
    model = mlp_vae()
    with pytest.raises(ParameterError, match="LatentSHAP: method must be one of 'kernel'"):
        LatentSHAP(model, method="kernal")
    with pytest.raises(ParameterError, match="LatentLIME: n_samples must be"):
        LatentLIME(model, n_samples=1)
    with pytest.raises(ParameterError, match="Latent index must be below 4"):
        LatentLIME(model, Latent(4))
    with pytest.raises(ParameterError, match="players must be a partition of dimensions 0 to 3"):
        AlibiKernelShap(model, players={"some": [0, 1]})
    with pytest.raises(NotFittedError):
        LatentLIME(model).explain(X)
    fitted = LatentSHAP(model).fit(REFERENCE)
    with pytest.raises(AnchorError, match="groups must be 6 names"):
        fitted.explain(X, groups=["HIHE"])
    with pytest.raises(AnchorError, match="at least 2 finite anchors"):
        LatentLIME(model).fit(X[:1])

    class Sampler:
        capabilities = frozenset({"sample"})
        sample_shape, latent_shape, data_range = (4,), None, None
        device, dtype = torch.device("cpu"), torch.float32

    with pytest.raises(CapabilityError, match="LatentLIME"):
        LatentLIME(Sampler())
    monkeypatch.setitem(__import__("sys").modules, "shap", None)
    with pytest.raises(MissingDependencyError, match="shap must be installed"):
        fitted.explain(X)


@pytest.mark.parametrize("method", ["kernel", "lime"])
def test_the_shipped_vae_is_explained(method):
    from pxgen_plugins.datasets import load_mnist, load_mnist_vae
    from pxgen_plugins.models import VAE

    net = load_mnist_vae()
    model = VAE(net, latent_shape=(200,), sample_shape=(1, 28, 28))
    images = load_mnist()[0][:14]
    if method == "lime":
        found = LatentLIME(model, "kld", 300, n_features=5).fit(images).explain(images[:1])
        assert found.conditions.shape == (1, 5)
    else:
        shapes = LatentSHAP(model, "kld", n_samples=600, n_background=4).fit(images)
        found = shapes.explain(images[:1])
        assert abs(found.additivity_gap[0]) < 1e-3 * abs(found.prediction[0])
        # the KLD is a sum over dimensions, so its Shapley values have a closed form
        code, background = np.asarray(found.codes[0], float), shapes.background.astype(float)
        exact = 0.5 * (code**2 - (background**2).mean(axis=0))
        np.testing.assert_allclose(found.weights[0], exact, atol=0.02 * np.abs(exact).max())
    assert np.isfinite(found.weights).all()


def plain() -> Any:
    return mlp_vae()


def other() -> Any:
    return mlp_vae(seed=1)


def grown() -> Any:
    return mlp_vae(hidden=1000)


def make_lime(predictor: Any, **options: Any) -> Any:
    return LatentLIME(predictor, "mse", **{"n_samples": 40, "n_background": 20, **options})


def make_shap(predictor: Any, **options: Any) -> Any:
    return LatentSHAP(predictor, "mse", **{"n_samples": 40, "n_background": 5, **options})


def make_gradient(predictor: Any, **options: Any) -> Any:
    return make_shap(predictor, method="gradient", **options)


def make_alibi(predictor: Any, **options: Any) -> Any:
    return AlibiKernelShap(predictor, "mse", **{"n_samples": 40, "n_background": 5, **options})


def groups_of(rows: np.ndarray) -> dict[str, Any]:
    return {"groups": [("HIHE", "HILE")[i % 2] for i in range(len(rows))]}


def _case(name: str, make: Any, keys: dict[str, Any], **more: Any) -> ExplainerCase:
    return ExplainerCase(
        name,
        make,
        plain,
        X[:3],
        fit_args=(REFERENCE,),
        make_other=other,
        make_grown=grown,
        module=net_of,
        data_keys=frozenset({*keys, "evidence"}),
        many=24,
        rtol=1e-3,
        atol=1e-5,
        **more,
    )


CASES = [
    _case("LatentLIME", make_lime, DEFAULT_DATA_LATENT_LIME, explain_kwargs=groups_of),
    _case("LatentSHAP", make_shap, DEFAULT_DATA_LATENT_SHAP),
    _case("LatentSHAP by gradients", make_gradient, DEFAULT_DATA_LATENT_SHAP, seed_matters=True),
    _case("AlibiKernelShap", make_alibi, DEFAULT_DATA_ALIBI_KERNEL_SHAP),
]


@parametrize_with_checks(CASES, explainer_checks())
def test_the_adapters_keep_the_contract(subject, check):
    if subject.name.startswith("Alibi"):
        pytest.importorskip("alibi")
    check(subject)
