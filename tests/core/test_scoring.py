"""Scoring loses no anchor, does not depend on the batch, and tells what went wrong."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pxgen_plugins import criteria
from pxgen_plugins.anchors import open_anchors
from pxgen_plugins.criteria import Batch, Criterion
from pxgen_plugins.models import VAE
from pxgen_plugins.result.assembly import examples_of
from pxgen_plugins.scoring import Scorer
from pxgen_plugins.utils.errors import AnchorError, CapabilityError, ModelError, ParameterError
from tests.conftest import TinyNet, tiny_vae


def scorer(vae, *names, **kwargs):
    return Scorer(vae, [criteria.make(n) for n in names or ("kld", "mse")], **kwargs)


def score(vae, X, *names, **kwargs):
    anchors = open_anchors(X, sample_shape=vae.sample_shape)
    return scorer(vae, *names, **kwargs).score(anchors)


@torch.no_grad()
def test_values_are_those_of_each_criterion_alone(vae, images):
    known = criteria.for_model(vae)
    names = [name for name in known if not issubclass(criteria.get(name), criteria.FittedCriterion)]
    table = score(vae, images, *names).values
    x = torch.from_numpy(images)
    for j, name in enumerate(names):
        direct = criteria.get(name)()(Batch(vae, x)).double().numpy()
        np.testing.assert_allclose(table[:, j], direct, rtol=1e-5, err_msg=name)


@settings(max_examples=20, deadline=None)
@given(st.integers(1, 70), st.sampled_from(["mean", "sample"]))
def test_values_do_not_depend_on_the_batch_size(size, mode):
    images = np.random.default_rng(0).random((60, 1, 8, 8), dtype=np.float32)
    vae = tiny_vae()
    names = ("kld", "mse", "elbo")
    one = score(vae, images, *names, batch_size=60, reconstruction=mode).values
    other = score(vae, images, *names, batch_size=size, reconstruction=mode).values
    np.testing.assert_allclose(one, other, rtol=1e-5)


def test_a_drawn_reconstruction_differs_from_the_mean_and_between_seeds(vae, images):
    mean, one, two = (
        score(vae, images, reconstruction=mode, seed=seed).values[:, 1]
        for mode, seed in (("mean", 0), ("sample", 0), ("sample", 1))
    )
    assert (mean != one).all()
    assert (one != two).all()


def test_one_model_pass_serves_all_criteria(images):
    net = TinyNet()
    calls = {"encode": 0, "decode": 0}

    def encode(x):
        calls["encode"] += len(x)
        return net.encode(x)

    def decode(z):
        calls["decode"] += len(z)
        return net.decode(z)

    vae = VAE(encode=encode, decode=decode, modules=net, sample_shape=(1, 8, 8))
    calls.update(encode=0, decode=0)
    score(vae, images, "kld", "mahalanobis", "mse", "mae", "ssim", "dssim", "bce", "psnr")
    assert calls == {"encode": 60, "decode": 60}


def test_bytes_are_scaled_to_the_range_of_the_model(images):
    pixels = (images * 255).round().astype(np.uint8)
    unit = tiny_vae()
    wide = VAE(
        encode=lambda x: unit.encode((x + 1) / 2),
        decode=lambda z: unit.decode(z) * 2 - 1,
        modules=(),
        latent_shape=(3,),
        sample_shape=(1, 8, 8),
        data_range=(-1.0, 1.0),
    )
    for vae, scaled in ((unit, pixels / 255.0), (wide, pixels / 127.5 - 1)):
        np.testing.assert_allclose(
            score(vae, pixels).values, score(vae, scaled.astype(np.float32)).values, rtol=1e-4
        )


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, np.uint8, bool])
def test_any_dtype_is_taken_and_left_alone(vae, images, dtype):
    X = (images * 255).astype(dtype) if dtype == np.uint8 else images.round().astype(dtype)
    before = X.copy()
    X.setflags(write=False)
    assert np.isfinite(score(vae, X[::2]).values).all()
    np.testing.assert_array_equal(X, before)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_an_anchor_that_is_not_finite_is_named_and_the_others_kept(vae, images, bad):
    clean = score(vae, images).values
    broken = images.copy()
    broken[[7, 31], 0, 3, 3] = bad
    found = score(vae, broken)
    assert found.reasons.keys() == {7, 31}
    assert "NaN or infinity" in found.reasons[7]
    assert np.isnan(found.values[[7, 31]]).all()
    keep = np.setdiff1d(np.arange(60), [7, 31])
    np.testing.assert_allclose(found.values[keep], clean[keep], rtol=1e-5)


@pytest.mark.parametrize("scale", [255.0, 1.01, -1.0])
def test_anchors_outside_the_range_are_one_clear_error(vae, images, scale):
    wrong = images.copy()
    wrong[23] *= scale
    wrong[23, 0, 0, 0] = scale
    with pytest.raises(AnchorError, match=r"range \[0, 1\]; got anchor 23 with values"):
        score(vae, wrong)


def test_bytes_given_as_floats_are_recognised(vae, images):
    with pytest.raises(AnchorError, match="astype\\('uint8'\\)"):
        score(vae, images * 255)


def test_a_little_overshoot_is_float_arithmetic(vae, images):
    images[0, 0, 0, 0] = 1 + 1e-6
    assert not score(vae, images).reasons


def throwing_vae(net, when, error=RuntimeError):
    def encode(x):
        if when(x):
            raise error("the encoder has no idea")
        return net.encode(x)

    return VAE(
        encode=encode, decode=net.decode, latent_shape=(3,), sample_shape=(1, 8, 8), modules=net
    )


def test_a_model_that_raises_on_some_anchors_loses_only_those(net, vae, images):
    images[[5, 40, 41]] = 0.0
    clean = score(vae, images).values
    vae = throwing_vae(net, lambda x: bool((x.flatten(1).amax(1) == 0).any()))
    found = score(vae, images, batch_size=16)
    assert found.reasons.keys() == {5, 40, 41}
    assert "RuntimeError: the encoder has no idea" in found.reasons[5]
    keep = np.setdiff1d(np.arange(60), [5, 40, 41])
    np.testing.assert_allclose(found.values[keep], clean[keep], rtol=1e-5)


@pytest.mark.parametrize("mode", ["mean", "sample"])
def test_an_anchor_that_the_model_refuses_has_no_reconstruction_and_no_picture(
    net, vae, images, mode
):
    images[[5, 40]] = 0.0
    anchors = open_anchors(images, sample_shape=vae.sample_shape)
    index = np.array([3, 5, 40, 41])
    clean = scorer(vae, reconstruction=mode).reconstruct(anchors, index)
    refusing = throwing_vae(net, lambda x: bool((x.flatten(1).amax(1) == 0).any()))
    one = scorer(refusing, reconstruction=mode)
    found = one.reconstruct(anchors, index)
    assert np.isnan(found[1:3]).all()
    np.testing.assert_allclose(found[[0, 3]], clean[[0, 3]], rtol=1e-4, atol=1e-6)
    assert examples_of(one, anchors, [index]).indices.tolist() == [3, 41]
    assert examples_of(one, anchors, [index[1:3]]) is None


def test_a_model_that_raises_on_everything_is_one_clear_error(net, images):
    armed = []
    vae = throwing_vae(net, lambda x: bool(armed))
    armed.append(True)
    with pytest.raises(ModelError, match="RuntimeError from VAE: the encoder has no idea"):
        score(vae, images)


@pytest.mark.parametrize("error", [MemoryError, RuntimeError])
def test_out_of_memory_halves_the_batch_and_goes_on(net, vae, images, error, caplog):
    sizes = []
    text = "DefaultCPUAllocator: can't allocate memory"

    def encode(x):
        sizes.append(len(x))
        if len(x) > 10:
            raise error(text)
        return net.encode(x)

    small = VAE(
        encode=encode,
        decode=net.decode,
        latent_shape=(3,),
        sample_shape=(1, 8, 8),
        modules=net,
        check=False,
    )
    sizes.clear()
    found = score(small, images, batch_size=32)
    assert not found.reasons
    np.testing.assert_allclose(found.values, score(vae, images).values, rtol=1e-5)
    assert sum(size > 10 for size in sizes) <= 4  # learnt, not tried again for every batch
    assert "going on with" in caplog.text


def test_out_of_memory_for_one_anchor_is_an_error(net, images):
    def encode(x):
        raise MemoryError

    vae = throwing_vae(net, lambda x: False)
    vae._calls["encode"].function = encode
    with pytest.raises(ModelError, match="enough for one anchor"):
        score(vae, images)


def test_a_model_that_returns_nan_names_the_criterion(net, images):
    vae = VAE(
        net,
        modules=(),
        decode=lambda z: net.decode(z) / 0.0 * 0.0,
        latent_shape=(3,),
        sample_shape=(1, 8, 8),
        check=False,
    )
    found = score(vae, images)
    assert len(found.reasons) == 60
    assert found.reasons[0] == "mse is nan"
    assert np.isfinite(found.values[:, 0]).all()


def test_an_empty_set_gives_an_empty_table(vae):
    assert score(vae, np.empty((0, 1, 8, 8))).values.shape == (0, 2)


def test_one_anchor_is_scored_with_or_without_a_batch_axis(vae, images):
    np.testing.assert_allclose(
        score(vae, images[0]).values, score(vae, images[:1]).values, rtol=1e-6
    )


def test_a_criterion_of_the_wrong_shape_is_named(vae, images):
    class Pixelwise(Criterion):
        name, kind, unit, requires = "pixelwise", "extrinsic", "-", frozenset()

        def __call__(self, batch):
            return batch.x.flatten(1)

    anchors = open_anchors(images, sample_shape=vae.sample_shape)
    with pytest.raises(ModelError, match="criterion 'pixelwise'"):
        Scorer(vae, [Pixelwise()]).score(anchors)


def test_a_missing_capability_is_found_before_anything_is_computed():
    class Sampler:
        capabilities = frozenset({"sample"})
        sample_shape, latent_shape, data_range = (4,), None, None
        device, dtype = torch.device("cpu"), torch.float32

    with pytest.raises(CapabilityError, match="criterion 'kld'"):
        scorer(Sampler(), "kld")


def test_batch_size_must_be_positive(vae):
    with pytest.raises(ParameterError, match="batch_size"):
        scorer(vae, batch_size=0)


def test_bfloat16_is_close_to_float32(vae, images):
    exact = score(vae, images).values
    rough = score(vae, images, precision="bfloat16").values
    assert (rough != exact).any()
    np.testing.assert_allclose(rough, exact, rtol=0.05)


def test_features_come_in_the_order_asked_for(vae, images):
    anchors = open_anchors(images, sample_shape=vae.sample_shape)
    index = np.array([9, 3, 3, 50])
    got = scorer(vae, batch_size=3).features(anchors, index, lambda batch: batch.mean)
    with torch.no_grad():
        expected = vae.encode(torch.from_numpy(images[index]))[0]
    np.testing.assert_allclose(got, expected, rtol=1e-5)


@pytest.mark.parametrize("mode", ["mean", "sample"])
def test_an_instance_has_the_values_of_a_first_anchor_beside_any_others(vae, images, mode):
    one = scorer(vae, "kld", "mse", reconstruction=mode)
    together = one.score_instances(torch.from_numpy(images[:5])).values
    for row, image in enumerate(images[:5]):
        alone = score(vae, image[None], "kld", "mse", reconstruction=mode).values
        np.testing.assert_array_equal(together[row], alone[0])
    bad = torch.full((2, 1, 8, 8), torch.nan)
    bad[1] = 0.5
    values = one.score_instances(bad).values
    assert np.isfinite(values).all(axis=1).tolist() == [False, True]


@pytest.mark.parametrize("mode", ["mean", "sample"])
def test_reconstructions_are_those_that_were_scored(vae, images, mode):
    anchors = open_anchors(images, sample_shape=vae.sample_shape)
    one = scorer(vae, reconstruction=mode)
    index = np.array([0, 13, 59])
    mse = ((one.reconstruct(anchors, index) - images[index]) ** 2).mean((1, 2, 3))
    np.testing.assert_allclose(mse, one.score(anchors).values[index, 1], rtol=1e-4)


def test_the_model_is_left_as_it_was(images):
    net = TinyNet().train()
    net.mean.eval()
    vae = VAE(net, latent_shape=(3,), sample_shape=(1, 8, 8))
    state = {k: v.clone() for k, v in net.state_dict().items()}
    flags = [m.training for m in net.modules()]
    score(vae, images)
    assert [m.training for m in net.modules()] == flags
    assert all(p.grad is None for p in net.parameters())
    assert all(torch.equal(v, state[k]) for k, v in net.state_dict().items())
