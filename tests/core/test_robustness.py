"""Cases that once went wrong: memory, precision, shared networks, swapped models, odd names."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import torch

from pxgen_plugins import PXGen, criteria
from pxgen_plugins.anchors import open_anchors
from pxgen_plugins.models import VAE
from pxgen_plugins.result.explanation import build, from_json
from pxgen_plugins.result.tables import anchor_table
from pxgen_plugins.scoring import Scorer
from pxgen_plugins.thresholds import Conformal, Fixed, MeanMax, Quantile
from pxgen_plugins.utils.errors import ModelError, ParameterError, PXGenWarning
from tests.conftest import TinyNet, tiny_vae

FEW = MeanMax(n_samples=100, n_repeats=2)
SHAPES = {"latent_shape": (3,), "sample_shape": (1, 8, 8)}


def test_sampling_halves_its_batch_when_memory_runs_out_and_draws_the_same(net):
    def decode(z):
        if len(z) > 20:
            raise RuntimeError("CUDA out of memory. Tried to allocate 2 GiB")
        return net.decode(z)

    small = VAE(encode=net.encode, decode=decode, modules=net, **SHAPES)
    found = PXGen(small, threshold=FEW, batch_size=16).fit()
    plain = PXGen(tiny_vae(), threshold=FEW).fit()
    np.testing.assert_allclose(
        found.calibration.thresholds, plain.calibration.thresholds, rtol=1e-5
    )


def test_bfloat16_rounds_the_model_and_not_the_criteria(vae):
    images = np.random.default_rng(0).random((400, 1, 8, 8), dtype=np.float32)
    anchors = open_anchors(images, sample_shape=(1, 8, 8))
    chosen = [criteria.make(name) for name in ("kld", "mse", "mahalanobis")]
    rough = Scorer(vae, chosen, precision="bfloat16").score(anchors).values
    exact = Scorer(vae, chosen).score(anchors).values
    np.testing.assert_allclose(rough, exact, rtol=0.05)
    for column in rough.T:
        assert len(np.unique(column)) > 390  # eight bits would tie


def test_two_models_around_one_network_do_not_disturb_each_other():
    net = TinyNet().train()
    one = VAE(net, **SHAPES)
    other = VAE(net, **SHAPES)
    with one._evaluating():
        with other._evaluating():
            assert not net.training
        assert not net.training
    assert all(module.training for module in net.modules())


def test_an_adapter_beside_an_evaluation_restores_the_flags_of_the_user():
    from pxgen_plugins.adapters.base import traceless

    net = TinyNet().train()
    vae = VAE(net, **SHAPES)
    with vae._evaluating():
        guard = traceless(vae)
        guard.__enter__()
    guard.__exit__(None, None, None)
    assert all(module.training for module in net.modules())


def test_ssim_in_inference_mode_leaves_gradients_possible(vae, images):
    from pxgen_plugins.criteria.ssim import _filter

    _filter.cache_clear()
    explainer = PXGen(vae, extrinsic="ssim", threshold=FEW)
    with torch.inference_mode():
        explainer.fit().explain(images)
    x = torch.from_numpy(images[:2]).requires_grad_()
    criteria.make("ssim")(criteria.Batch(vae, x)).sum().backward()
    assert x.grad is not None


def test_assigning_another_model_drops_the_thresholds(vae):
    explainer = PXGen(vae, threshold=FEW).fit()
    explainer.predictor = vae
    assert explainer.calibration is not None
    explainer.predictor = tiny_vae(1)
    assert explainer.calibration is None


def test_outliers_asked_for_are_cut_to_what_a_small_group_can_spare(vae, images):
    explainer = PXGen(
        vae, threshold=Fixed(1e6), selectors=[{"name": "k_center", "outliers": 20}]
    ).fit()
    found = explainer.explain(images[:12])
    assert len(found.groups["HIHE"]["representatives"]["k_center"]) == 10
    with pytest.raises(ParameterError, match="outliers"):
        PXGen(vae, selectors=[{"name": "k_center", "outliers": -1}])


def test_the_table_of_an_empty_set_is_empty(vae):
    found = PXGen(vae, threshold=FEW).fit().explain(np.empty((0, 1, 8, 8)))
    assert anchor_table(found).num_rows == 0


def test_a_criterion_called_like_a_column_keeps_both():
    explainer = PXGen(
        lambda X: np.stack([X.mean(1), X.std(1)], 1),
        intrinsic="group",
        extrinsic="index",
        threshold=Fixed(0.5),
    ).fit()
    table = anchor_table(explainer.explain(np.random.default_rng(0).random((5, 4))))
    assert table["index"].to_pylist() == list(range(5))
    assert {"criterion_group", "criterion_index"} <= set(table.column_names)


def test_the_mean_rule_is_refused_with_fixed_thresholds_before_anything_is_scored(vae):
    with pytest.raises(ParameterError, match="Fixed"):
        PXGen(vae, intrinsic=["kld", "mahalanobis"], rule="mean", threshold=Fixed(1.0))


def test_an_unknown_device_is_one_clear_error(vae):
    with pytest.raises(ParameterError, match="device must be a torch device"):
        PXGen(vae, device="gpu", threshold=FEW).fit()


def test_numpy_and_torch_callables_can_be_mixed(net):
    def encode(x):
        flat = x.reshape(len(x), -1).astype(np.float64)
        return flat[:, :3] * 2, -flat[:, :3]

    vae = VAE(net, modules=(), encode=encode, **SHAPES)
    assert vae.reconstruct(torch.rand(2, 1, 8, 8)).dtype == torch.float32


def test_a_numpy_number_in_an_option_can_be_saved(vae, tmp_path):
    selectors = [{"name": "k_center", "outliers": np.int64(2)}]
    PXGen(vae, selectors=selectors).save(tmp_path)
    assert PXGen.load(tmp_path, vae).choices[0].options == {"outliers": 2}


def test_labels_with_dots_come_back_as_arrays():
    data = {"examples": {"a": np.arange(2), "a.b": np.arange(3)}}
    found = from_json(build({"name": "PXGen"}, data).to_json())
    assert found.examples["a.b"].tolist() == [0, 1, 2]
    assert found.examples["a"].tolist() == [0, 1]


def test_too_few_finite_samples_for_a_conformal_level_is_an_error(net):
    broken = VAE(
        net,
        modules=(),
        decode=lambda z: net.decode(z) / (z[:, 0] < 0.3).float()[:, None, None, None].sqrt(),
        check=False,
        **SHAPES,
    )
    rule = Conformal(alpha=0.05, n_samples=20, n_repeats=1)
    with pytest.raises(ModelError, match="finite for at least 19 of 20"):
        PXGen(broken, threshold=rule).fit()


def test_unreadable_rows_do_not_count_as_out_of_range(tmp_path):
    class Shifted:
        capabilities = frozenset({"reconstruct"})
        sample_shape, latent_shape, data_range = (4,), None, (1.0, 2.0)
        device, dtype = torch.device("cpu"), torch.float32

        def reconstruct(self, x):
            return x

    import pandas as pd

    frame = pd.DataFrame(np.full((3, 4), 1.5)).astype("Float64")
    frame.columns = list("abcd")
    frame.loc[1, "a"] = pd.NA
    anchors = open_anchors(frame, sample_shape=(4,))
    found = Scorer(Shifted(), [criteria.make("mse")]).score(anchors)
    assert set(found.reasons) == {1}


@pytest.mark.parametrize("selector", ["k_center", "k_dispersion", "k_means", "k_medoids", "top"])
def test_torchs_default_type_does_not_matter(selector):
    def explained():
        model = VAE(
            encode=lambda x: (4 * x[:, :2] - 2, x[:, 2:] - 3),
            decode=lambda z: torch.cat([z, z], 1).sigmoid(), modules=(), sample_shape=(4,),
        )  # fmt: skip
        X = np.random.default_rng(1).random((300, 4))
        explainer = PXGen(model, threshold=Quantile(0.9, 64, 2), selectors=(selector,))
        return explainer.fit().explain(X)

    expected = explained()
    torch.set_default_dtype(torch.float64)
    try:
        found = explained()
    finally:
        torch.set_default_dtype(torch.float32)
    assert np.array_equal(found.values, expected.values)
    assert np.array_equal(found.group, expected.group)
    for name, group in expected.groups.items():
        picked = found.groups[name]["representatives"][selector]
        assert np.array_equal(picked, group["representatives"][selector])


def test_a_wrong_network_of_features_is_named_when_it_fails_for_all():
    model = tiny_vae()
    explainer = PXGen(
        model, "kld", {"name": "feature_distance", "network": torch.nn.Linear(7, 2)},
        threshold=Quantile(0.9, 20, 2),
    )  # fmt: skip
    with pytest.raises(ModelError, match="network must be callable on a batch of shape"):
        explainer.fit()


def test_bytes_that_span_a_few_values_only_are_pointed_at():
    explainer = PXGen(tiny_vae(), threshold=Fixed({"kld": 1.0, "mse": 1.0})).fit()
    X = np.random.default_rng(0).integers(0, 17, (20, 1, 8, 8), dtype=np.uint8)
    with pytest.warns(PXGenWarning, match="the highest here is 16"):
        explainer.explain(X)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        explainer.explain(15 * X)
        explainer.explain(np.zeros_like(X))


def test_a_seed_that_no_generator_takes_is_refused():
    with pytest.raises(ParameterError, match=r"seed must be an integer >= 0 and < 2\*\*63"):
        PXGen(tiny_vae(), seed=2**70)


def test_a_criterion_called_as_a_column_of_the_table_keeps_its_values():
    X = np.random.default_rng(0).random((5, 3))
    X[3, 0] = np.nan
    explainer = PXGen(
        lambda X: X[:, :2],
        intrinsic="reason",
        extrinsic="two",
        threshold=Fixed({"reason": 1, "two": 1}),
    )
    found = anchor_table(explainer.fit().explain(X))
    assert found["criterion_reason"].to_pylist()[0] == X[0, 0]
    assert [why is None for why in found["reason"].to_pylist()] == [True, True, True, False, True]
