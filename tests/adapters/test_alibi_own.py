"""Alibi's own methods on a model's criteria, against alibi called directly."""

from __future__ import annotations

from typing import Any

import matplotlib as mpl
import numpy as np
import pytest
import torch

from pxgen_plugins import PXGen
from pxgen_plugins.adapters.attribution.group_anchor import (
    DEFAULT_DATA_GROUP_ANCHOR,
    GroupAnchorImage,
)
from pxgen_plugins.adapters.base import NotFittedError
from pxgen_plugins.adapters.example_based.gradient_similarity import (
    DEFAULT_DATA_GRADIENT_SIMILARITY,
    AlibiGradientSimilarity,
)
from pxgen_plugins.adapters.latent.effects import (
    DEFAULT_DATA_LATENT_ALE,
    DEFAULT_DATA_LATENT_PD,
    LatentALE,
    LatentPartialDependence,
)
from pxgen_plugins.adapters.targets import Latent, resolve
from pxgen_plugins.groups import assign
from pxgen_plugins.models import VAE
from pxgen_plugins.testing import ExplainerCase, explainer_checks, parametrize_with_checks
from pxgen_plugins.testing.guards import (
    kept_random_state,
    module_changes,
    module_state,
    random_state,
)
from pxgen_plugins.thresholds import MeanMax
from pxgen_plugins.utils.errors import (
    AnchorError,
    CapabilityError,
    ParameterError,
)

from .nets import conv_vae, mlp_vae

alibi = pytest.importorskip("alibi.explainers")
mpl.use("Agg")

X = np.random.default_rng(0).random((12, 1, 8, 8)).astype(np.float32)
MODELS = [mlp_vae, conv_vae]
BOUNDS = {"kld": 1.0, "mse": 0.098}


@pytest.fixture(autouse=True)
def _global_state_survives_the_libraries():
    with kept_random_state():
        yield


def net_of(model: Any) -> Any:
    return model._evaluating.modules[0]


def criteria_of(
    model: Any, rows: np.ndarray, names: tuple[str, ...] = ("kld", "mse")
) -> np.ndarray:
    x = torch.from_numpy(np.ascontiguousarray(rows, dtype=np.float32))
    with torch.no_grad():
        columns = [resolve(name, model).value(model, x) for name in ("kld", "mse")]
    return torch.stack(columns, dim=1).double().numpy()


def codes_of(model: Any, rows: np.ndarray) -> np.ndarray:
    with torch.no_grad():
        return model.encode(torch.from_numpy(rows))[0].double().numpy()


def surface_of(model: Any, x: np.ndarray, target: Any) -> Any:
    """The target over codes, for anchors that are all the same one."""
    resolved = resolve(target, model)

    def function(rows: np.ndarray) -> np.ndarray:
        z = torch.tensor(rows, dtype=torch.float32)
        with torch.no_grad():
            held = torch.from_numpy(x)[None].expand(len(z), *x.shape)
            return resolved.value_at(model, z, held).double().numpy()[:, None]

    return function


def copies() -> np.ndarray:
    """Anchors that share pixels but for noise that the encoder hardly sees."""
    rng = np.random.default_rng(5)
    return np.clip(X[:1] + rng.normal(size=(30, 1, 8, 8)) * 0.2, 0, 1).astype(np.float32)


@pytest.mark.parametrize("make", MODELS)
def test_ale_of_a_decoder_quantity_is_what_alibi_gives_directly(make):
    # a target that looks at the code only, so that alibi needs no anchor either
    model, rows = make(), copies()

    def brightness(batch):
        return batch.reconstruction.flatten(1).mean(1)

    found = LatentALE(model, brightness).explain(rows)
    theirs = alibi.ALE(surface_of(model, rows[0], brightness)).explain(codes_of(model, rows))
    for j in range(4):
        np.testing.assert_allclose(found.feature_values[j], theirs.feature_values[j])
        np.testing.assert_allclose(found.ale_values[j], theirs.ale_values[j], atol=1e-6)
        np.testing.assert_allclose(found.ale0[j], theirs.ale0[j], atol=1e-6)
        np.testing.assert_allclose(found.feature_deciles[j], theirs.feature_deciles[j])
    assert found.constant_value == pytest.approx(theirs.constant_value, rel=1e-5)


@pytest.mark.parametrize("make", MODELS)
def test_partial_dependence_is_the_mean_over_anchors_each_held_by_a_slow_loop(make):
    model = make()
    effect = LatentPartialDependence(model, ["mse", "kld"], [1], kind="both", grid_resolution=5)
    found = effect.explain(X)
    codes = codes_of(model, X)
    for t, target in enumerate(["mse", "kld"]):
        for i in range(len(X)):
            function = surface_of(model, X[i], target)
            moved = np.repeat(codes[i : i + 1], 5, axis=0)
            moved[:, 1] = found.feature_values[0]
            expected = function(moved)[:, 0]
            np.testing.assert_allclose(found.ice_values[0][t, i], expected, rtol=1e-5, atol=1e-6)
    mean = np.asarray(found.ice_values[0]).mean(axis=1)
    np.testing.assert_allclose(found.pd_values[0], mean, rtol=1e-6)
    np.testing.assert_allclose(found.effect_range[0], np.ptp(mean, axis=1), rtol=1e-6)


def test_partial_dependence_of_a_decoder_quantity_is_what_alibi_gives_directly():
    model, rows = conv_vae(), copies()

    def brightness(batch):
        return batch.reconstruction.flatten(1).mean(1)

    found = LatentPartialDependence(model, brightness, grid_resolution=6).explain(rows)
    theirs = alibi.PartialDependence(surface_of(model, rows[0], brightness)).explain(
        codes_of(model, rows), grid_resolution=6
    )
    for j in range(4):
        np.testing.assert_allclose(found.feature_values[j], theirs.feature_values[j])
        np.testing.assert_allclose(found.pd_values[j], theirs.pd_values[j], atol=1e-6)


def test_ale_holds_every_anchor_when_the_target_looks_at_its_pixels():
    # mse of a moved code against the anchor's own pixels, by the definition of ALE
    model = mlp_vae()
    found = LatentALE(model, "mse", [2], min_bin_points=3).explain(X)
    codes, grid = codes_of(model, X), np.asarray(found.feature_values[0])
    place = np.clip(np.searchsorted(grid, codes[:, 2], side="left") - 1, 0, len(grid) - 2)
    steps = np.zeros(len(grid) - 1)
    for interval in range(len(grid) - 1):
        inside = np.flatnonzero(place == interval)
        gaps = []
        for i in inside:
            low, high = codes[[i]].copy(), codes[[i]].copy()
            low[0, 2], high[0, 2] = grid[interval], grid[interval + 1]
            function = surface_of(model, X[i], "mse")
            gaps.append(function(high)[0, 0] - function(low)[0, 0])
        steps[interval] = np.mean(gaps)
    expected = np.concatenate([[0.0], np.cumsum(steps)])
    curve = np.asarray(found.ale_values[0])[:, 0]
    np.testing.assert_allclose(curve - curve[0], expected, atol=1e-6)


def test_alibis_own_plots_draw_the_curves():
    import matplotlib.pyplot as plt

    ale = LatentALE(mlp_vae(), ["mse", "kld"], [0, 3]).explain(X)
    assert np.asarray(alibi.plot_ale(ale)).size == 2
    pd = LatentPartialDependence(mlp_vae(), "mse", [0, 3]).explain(X)
    alibi.plot_pd(pd)
    plt.close("all")


def test_a_collapsed_dimension_has_a_flat_effect_and_no_error():
    model = VAE(
        encode=lambda x: (torch.stack([x[:, 0], x[:, 0] * 0 + 0.3], 1), torch.zeros(len(x), 2)),
        decode=lambda z: torch.cat([z, z], 1).sigmoid(),
        modules=(),
        latent_shape=(2,),
        sample_shape=(4,),
    )
    rows = np.random.default_rng(0).random((40, 4)).astype(np.float32)
    assert LatentPartialDependence(model, "mse").explain(rows).effect_range[1, 0] == 0
    assert LatentALE(model, Latent(0)).explain(rows).effect_range[1, 0] == 0


def test_effects_leave_out_broken_anchors_and_refuse_to_average_over_none():
    rows = X.copy()
    rows[3, 0, 0, 0] = np.inf
    found = LatentALE(mlp_vae(), "mse").explain(rows)
    assert found.invalid.tolist() == [3]
    assert found.n_anchors == 11
    expected = LatentALE(mlp_vae(), "mse").explain(np.delete(X, 3, axis=0))
    np.testing.assert_allclose(found.effect_range, expected.effect_range)
    with pytest.raises(AnchorError, match="at least one finite anchor"):
        LatentALE(mlp_vae()).explain(X[:0])


def grid_of_four(image: np.ndarray) -> np.ndarray:
    rows, columns = np.indices(image.shape[:2]) // 4
    return 2 * rows + columns


@pytest.mark.parametrize("make", MODELS)
def test_group_anchors_are_what_alibi_gives_directly(make):
    model = make()
    values = criteria_of(model, X)
    bounds = {"kld": float(np.median(values[:, 0])), "mse": float(np.median(values[:, 1]))}
    ours = GroupAnchorImage(model, bounds, segmentation="grid", n_segments=4, seed=7)
    found = ours.explain(X[:3])
    groups = assign(values, np.array(list(bounds.values())), ["intrinsic", "extrinsic"])
    assert found.group.tolist() == groups[:3].tolist()
    for i in range(3):

        def inside(images: np.ndarray, group: str = str(groups[i])) -> np.ndarray:
            rows = criteria_of(model, np.moveaxis(images, -1, 1))
            same = assign(rows, np.array(list(bounds.values())), ["intrinsic", "extrinsic"])
            return np.column_stack([same != group, same == group]).astype(float)

        theirs = alibi.AnchorImage(inside, (8, 8, 1), segmentation_fn=grid_of_four, seed=7)
        expected = theirs.explain(np.moveaxis(X[i], 0, -1), threshold=0.95, coverage_samples=1000)
        mask = np.isin(expected.segments, expected.raw["feature"])
        np.testing.assert_array_equal(found.attributions[i, 0], mask.astype(np.float32))
        assert found.precision[i] == pytest.approx(float(np.ravel(expected.precision)[0]))
        assert found.coverage[i] == pytest.approx(float(np.ravel(expected.coverage)[0]))


def test_group_anchors_use_the_superpixels_of_slic_as_alibi_does():
    found = GroupAnchorImage(mlp_vae(), {"kld": 1e9, "mse": 1e9}).explain(X[:1])
    theirs = alibi.AnchorImage(
        lambda x: np.zeros((len(x), 2)), (8, 8, 1), segmentation_fn="slic", seed=0
    )
    expected = theirs.generate_superpixels(np.moveaxis(X[0], 0, -1))
    np.testing.assert_array_equal(found.segments[0], expected)


def test_a_kept_region_really_keeps_the_answer():
    # only the upper left quarter decides about the group
    model = VAE(
        encode=lambda x: (x[:, 0, :4, :4].flatten(1), torch.zeros(len(x), 16)),
        decode=lambda z: torch.full((len(z), 1, 8, 8), 0.5) + 0 * z.sum(),
        modules=(),
        latent_shape=(16,),
        sample_shape=(1, 8, 8),
    )
    bright = np.full((1, 1, 8, 8), 0.9, dtype=np.float32)
    dark = np.full((5, 1, 8, 8), 0.1, dtype=np.float32)
    bounds = {"kld": 1.0, "mse": 1e9}  # the norm of the quarter, squared and halved
    ours = GroupAnchorImage(model, bounds, segmentation="grid", n_segments=4).fit(dark)
    found = ours.explain(bright)
    assert found.group.tolist() == ["LIHE"]
    assert found.success.tolist() == [True]
    expected = np.zeros((8, 8))
    expected[:4, :4] = 1
    np.testing.assert_array_equal(found.attributions[0, 0], expected)


def test_another_group_explains_why_an_anchor_is_not_in_it():
    found = GroupAnchorImage(mlp_vae(), BOUNDS, "HIHE", segmentation="grid").explain(X[:2])
    assert found.asked.tolist() == ["HIHE", "HIHE"]
    np.testing.assert_array_equal(found.in_group, found.group == "HIHE")


def test_an_anchor_that_is_left_out_is_in_no_group():
    rows = X[:2].copy()
    rows[1, 0, 0, 0] = np.nan
    found = GroupAnchorImage(mlp_vae(), BOUNDS, segmentation="grid").explain(rows)
    assert found.invalid.tolist() == [1]
    assert found.group[1] == "invalid"
    assert found.in_group.tolist() == [True, False]


def test_thresholds_come_from_a_fitted_pxgen_of_the_same_model():
    model = mlp_vae()
    pxgen = PXGen(model, threshold=MeanMax(n_samples=64, n_repeats=2)).fit()
    ours = GroupAnchorImage(model, pxgen, segmentation="grid")
    found = ours.explain(X[:3])
    expected = pxgen.explain(X[:3])
    assert found.group.tolist() == expected.group.tolist()
    assert found.thresholds == pytest.approx(expected.thresholds)
    with pytest.raises(ParameterError, match="of the same model"):
        GroupAnchorImage(mlp_vae(), pxgen)
    with pytest.raises(ParameterError, match=r"Call its fit\(\)"):
        GroupAnchorImage(model, PXGen(model))
    ours.reset_predictor(mlp_vae(seed=1))
    with pytest.raises(NotFittedError):
        ours.explain(X[:1])


@pytest.mark.parametrize("make", MODELS)
@pytest.mark.parametrize("similarity", ["grad_dot", "grad_cos", "grad_asym_dot"])
def test_gradient_similarity_is_what_alibi_gives_directly(make, similarity):
    model = make()
    found = AlibiGradientSimilarity(model, "mse", similarity, batch_size=5).fit(X).explain(X[:2])
    net = net_of(make())
    net.eval()

    class Loss(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.net = net

        def forward(self, x):
            return (x - self.net.decode(self.net.encode(x)[0])).square().flatten(1).mean(1)

    zeros = np.zeros((12, 1), dtype=np.float32)
    theirs = alibi.GradientSimilarity(
        Loss(),
        lambda values, _: values.sum(),
        sim_fn=similarity,
        task="regression",
        backend="pytorch",
    )
    expected = theirs.fit(X, zeros).explain(X[:2], zeros[:2])
    scores = np.take_along_axis(np.asarray(found.scores), expected.ordered_indices, axis=1)
    np.testing.assert_allclose(scores, expected.scores, rtol=1e-4, atol=1e-7)
    order = np.argsort(-np.asarray(found.scores), axis=1)
    np.testing.assert_array_equal(found.most_similar, order[:, :5])
    np.testing.assert_array_equal(found.least_similar, order[:, ::-1][:, :5])


def test_gradient_similarity_is_the_product_of_gradients():
    model = conv_vae()
    found = AlibiGradientSimilarity(model, "elbo").fit(X[:4]).explain(X[:4])
    parameters = list(net_of(model).parameters())
    gradients = []
    for i in range(4):
        value = resolve("elbo", model).value(model, torch.from_numpy(X[i : i + 1])).sum()
        parts = torch.autograd.grad(value, parameters)
        gradients.append(torch.cat([part.flatten() for part in parts]))
    table = torch.stack(gradients)
    np.testing.assert_allclose(found.scores, (table @ table.T).numpy(), rtol=1e-3)


def test_gradient_similarity_leaves_alibis_shared_device_alone():
    from alibi.explainers.similarity.backends.pytorch.base import _PytorchBackend

    before = _PytorchBackend.device
    AlibiGradientSimilarity(mlp_vae()).fit(X[:3]).explain(X[:1])
    assert _PytorchBackend.device is before


def test_targets_without_gradient_and_models_without_parameters_are_refused():
    fitted = AlibiGradientSimilarity(mlp_vae(), lambda batch: batch.mean.detach().sum(1)).fit(X[:3])
    with pytest.raises(CapabilityError, match="differentiable"):
        fitted.explain(X[:1])
    frozen = mlp_vae()
    net_of(frozen).requires_grad_(False)
    with pytest.raises(CapabilityError, match="no trainable parameter"):
        AlibiGradientSimilarity(frozen)


@pytest.mark.parametrize("kind", ["ale", "pd", "anchor", "similarity"])
def test_nothing_is_left_behind_even_when_it_raises(kind):
    model = conv_vae()

    def fail(batch):
        if batch.x[0, 0, 0, 0] == 0.123 or len(batch) > 3:
            raise FloatingPointError("inside the target")
        return batch.mean.flatten(1)[:, 0]

    made = {
        "ale": lambda target: LatentALE(model, target),
        "pd": lambda target: LatentPartialDependence(model, target),
        "anchor": lambda _: GroupAnchorImage(model, BOUNDS, segmentation="grid"),
        "similarity": lambda target: AlibiGradientSimilarity(model, target).fit(X),
    }[kind]
    net = net_of(model)
    net.train()
    net.decoder.eval()
    next(net.parameters()).grad = torch.ones_like(next(net.parameters()))
    before, state = module_state(net), random_state()
    rows = X[:4].copy()
    made("mse").explain(rows)
    rows[0, 0, 0, 0] = 0.123
    if kind != "anchor":
        with pytest.raises(FloatingPointError):
            made(fail).explain(rows)
    assert not module_changes(before, module_state(net))
    for one, other_state in zip(state["numpy"], random_state()["numpy"], strict=True):
        assert np.array_equal(one, other_state)
    assert torch.equal(state["torch"], random_state()["torch"])


def test_errors_name_parameter_place_and_remedy():
    model = mlp_vae()
    with pytest.raises(ParameterError, match="LatentALE: features must be below 4"):
        LatentALE(model, features=[4])
    with pytest.raises(ParameterError, match="different dimensions"):
        LatentALE(model, features=[1, 1])
    with pytest.raises(ParameterError, match="kind must be one of 'average'"):
        LatentPartialDependence(model, kind="mean")
    with pytest.raises(ParameterError, match="group must be one of 'HIHE'"):
        GroupAnchorImage(model, BOUNDS, "HEHI")
    with pytest.raises(ParameterError, match="with an extrinsic criterion"):
        GroupAnchorImage(model, {"kld": 1.0})
    with pytest.raises(ParameterError, match="a fitted PXGen or a mapping"):
        GroupAnchorImage(model, 3.0)
    with pytest.raises(ParameterError, match="similarity must be one of 'grad_dot'"):
        AlibiGradientSimilarity(model, similarity="dot")
    with pytest.raises(AnchorError, match="the training instances"):
        AlibiGradientSimilarity(model).fit()
    with pytest.raises(NotFittedError):
        AlibiGradientSimilarity(model).explain(X)
    flat = VAE(
        encode=lambda x: (x, x),
        decode=lambda z: z.sigmoid(),
        modules=(),
        latent_shape=(4,),
        sample_shape=(4,),
        check=False,
    )
    with pytest.raises(ParameterError, match="of images"):
        GroupAnchorImage(flat, BOUNDS)


def test_the_shipped_vae_is_explained():
    from pxgen_plugins.datasets import load_mnist, load_mnist_vae

    net = load_mnist_vae()
    model = VAE(net, latent_shape=(200,), sample_shape=(1, 28, 28))
    images = load_mnist()[0][:12]
    ale = LatentALE(model, ["kld", "mse"], [0, 1]).explain(images)
    assert np.isfinite(ale.effect_range).all()
    values = criteria_of(
        model, images[:, None] / np.float32(255) if images.ndim == 3 else images / np.float32(255)
    )
    bounds = dict(zip(("kld", "mse"), np.median(values, axis=0).tolist(), strict=True))
    anchor = GroupAnchorImage(model, bounds, n_segments=6, n_draws=50).explain(images[:1])
    assert anchor.attributions.shape == (1, 1, 28, 28)
    similar = AlibiGradientSimilarity(model, "mse", "grad_cos").fit(images[:4]).explain(images[:1])
    assert similar.most_similar[0, 0] == 0


def plain() -> Any:
    return mlp_vae()


def other() -> Any:
    return mlp_vae(seed=1)


def grown() -> Any:
    return mlp_vae(hidden=1000)


def make_ale(predictor: Any, **options: Any) -> Any:
    return LatentALE(predictor, "mse", **options)


def make_pd(predictor: Any, **options: Any) -> Any:
    return LatentPartialDependence(predictor, "mse", **{"grid_resolution": 5, **options})


def make_anchor(predictor: Any, **options: Any) -> Any:
    fixed = {"segmentation": "grid", "n_segments": 4, "n_draws": 20, "coverage_samples": 50}
    return GroupAnchorImage(predictor, BOUNDS, **{**fixed, "precision": 0.6, **options})


def make_similarity(predictor: Any, **options: Any) -> Any:
    return AlibiGradientSimilarity(predictor, "mse", **{"n_similar": 2, **options})


def _case(name: str, make: Any, keys: dict[str, Any], **more: Any) -> ExplainerCase:
    return ExplainerCase(
        name,
        make,
        plain,
        **{"X": X[:5], **more},
        make_other=other,
        make_grown=grown,
        module=net_of,
        data_keys=frozenset({*keys, "evidence"}),
        rtol=1e-3,
        atol=1e-5,
    )


CASES = [
    _case("LatentALE", make_ale, DEFAULT_DATA_LATENT_ALE, many=24),
    _case("LatentPartialDependence", make_pd, DEFAULT_DATA_LATENT_PD, many=24),
    _case("GroupAnchorImage", make_anchor, DEFAULT_DATA_GROUP_ANCHOR, X=X[:2], many=6),
    _case(
        "AlibiGradientSimilarity",
        make_similarity,
        DEFAULT_DATA_GRADIENT_SIMILARITY,
        fit_args=(X[5:],),
        many=24,
    ),
]


@parametrize_with_checks(CASES, explainer_checks())
def test_the_adapters_keep_the_contract(subject, check):
    check(subject)
