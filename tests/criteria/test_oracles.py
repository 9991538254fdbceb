"""Every criterion against a slow, independent computation in float64."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from skimage.metrics import structural_similarity
from torch.distributions import Independent, Normal, kl_divergence

from pxgen_plugins import criteria
from pxgen_plugins.criteria import ELBO, MSE, PSNR, Batch, FittedCriterion
from pxgen_plugins.criteria.ssim import similarity
from pxgen_plugins.models import VAE
from pxgen_plugins.testing.examples import EchoModel
from pxgen_plugins.utils.errors import CapabilityError, ModelError, ParameterError
from tests.conftest import tiny_vae


def of(name: str, vae: VAE, images: NDArray[np.float32], **params: Any) -> NDArray[np.float64]:
    with torch.no_grad():
        values = criteria.get(name)(**params)(Batch(vae, torch.from_numpy(images)))
    return values.double().numpy()


def rebuilt(vae: VAE, images: NDArray[np.float32]) -> NDArray[np.float64]:
    with torch.no_grad():
        return vae.reconstruct(torch.from_numpy(images)).double().numpy()


def test_kld_is_the_divergence_that_torch_distributions_computes(vae, images):
    mean, log_var = vae.encode(torch.from_numpy(images))
    mean, std = mean.detach().double(), (0.5 * log_var.detach().double()).exp()
    posterior = Independent(Normal(mean, std), 1)
    prior = Independent(Normal(torch.zeros_like(mean), torch.ones_like(std)), 1)
    expected = kl_divergence(posterior, prior).numpy()
    np.testing.assert_allclose(of("kld", vae, images), expected, rtol=1e-5)


def test_kld_keeps_its_digits_at_a_posterior_close_to_the_prior():
    close = VAE(
        encode=lambda x: (torch.zeros(len(x), 1), torch.full((len(x), 1), 1e-3)),
        decode=lambda z: z.expand(-1, 4).sigmoid(),
        modules=(),
        latent_shape=(1,),
        sample_shape=(4,),
        check=False,
    )
    exact = 0.5 * (math.expm1(1e-3) - 1e-3)
    assert of("kld", close, np.zeros((1, 4), np.float32))[0] == pytest.approx(exact, rel=1e-3)


def test_mahalanobis_is_the_norm_of_the_posterior_mean(vae, images):
    mean = vae.encode(torch.from_numpy(images))[0].detach().double().numpy()
    expected = [math.sqrt(sum(c * c for c in row)) for row in mean]
    np.testing.assert_allclose(of("mahalanobis", vae, images), expected, rtol=1e-5)


@pytest.mark.parametrize("reduction", ["mean", "sum"])
@pytest.mark.parametrize(("name", "power"), [("mse", 2), ("mae", 1)])
def test_elementwise_errors_agree_with_a_loop(vae, images, name, power, reduction):
    back = rebuilt(vae, images)
    expected = []
    for x, r in zip(images.astype(np.float64), back, strict=True):
        total = sum(abs(a - b) ** power for a, b in zip(x.ravel(), r.ravel(), strict=True))
        expected.append(total / x.size if reduction == "mean" else total)
    np.testing.assert_allclose(of(name, vae, images, reduction=reduction), expected, rtol=1e-5)


def test_bce_agrees_with_torch(vae, images):
    back = torch.from_numpy(rebuilt(vae, images))
    x = torch.from_numpy(images).double()
    loss = torch.nn.functional.binary_cross_entropy(back, x, reduction="none")
    np.testing.assert_allclose(of("bce", vae, images), loss.flatten(1).mean(1), rtol=1e-5)


def test_bce_scales_by_the_range_of_the_model(images):
    unit = tiny_vae()
    wide = VAE(
        encode=lambda x: unit.encode((x + 1) / 2),
        decode=lambda z: unit.decode(z) * 2 - 1,
        modules=(),
        latent_shape=(3,),
        sample_shape=(1, 8, 8),
        data_range=(-1.0, 1.0),
    )
    np.testing.assert_allclose(of("bce", wide, images * 2 - 1), of("bce", unit, images), rtol=1e-4)


def test_psnr_is_the_negated_decibels_of_the_mse(vae, images):
    mse = of("mse", vae, images)
    np.testing.assert_allclose(of("psnr", vae, images), -10 * np.log10(1 / mse), rtol=1e-5)


def test_psnr_of_an_exact_reconstruction_is_finite():
    class Echo:
        capabilities = frozenset({"reconstruct"})
        data_range = (0.0, 1.0)

        def reconstruct(self, x):
            return x.clone()

    assert PSNR()(Batch(Echo(), torch.rand(2, 4))).tolist() == [-120.0, -120.0]


def slow_ssim(x: NDArray[np.float64], y: NDArray[np.float64], window: int) -> float:
    """Wang et al. 2004, one window at a time."""
    offsets = np.arange(window) - (window - 1) / 2
    kernel = np.exp(-(offsets[:, None] ** 2 + offsets[None] ** 2) / (2 * 1.5**2))
    kernel /= kernel.sum()
    found = []
    for a, b in zip(x, y, strict=True):
        for i in range(a.shape[0] - window + 1):
            for j in range(a.shape[1] - window + 1):
                p, q = (im[i : i + window, j : j + window] for im in (a, b))
                mp, mq = (kernel * p).sum(), (kernel * q).sum()
                vp, vq = (kernel * (p - mp) ** 2).sum(), (kernel * (q - mq) ** 2).sum()
                cov = (kernel * (p - mp) * (q - mq)).sum()
                top = (2 * mp * mq + 1e-4) * (2 * cov + 9e-4)
                found.append(top / ((mp**2 + mq**2 + 1e-4) * (vp + vq + 9e-4)))
    return float(np.mean(found))


def pair(
    h: int, w: int, c: int, seed: int, constant: bool
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    rng = np.random.default_rng(seed)
    x = np.full((c, h, w), rng.random()) if constant else rng.random((c, h, w))
    return x, np.clip(x + rng.normal(0, 0.2, x.shape), 0, 1)


@settings(max_examples=30, deadline=None)
@given(
    st.integers(1, 16), st.integers(1, 16), st.integers(1, 3), st.integers(0, 10**6), st.booleans()
)
def test_ssim_agrees_with_a_loop_over_windows(h, w, c, seed, constant):
    x, y = pair(h, w, c, seed, constant)
    smallest = min(h, w)
    expected = slow_ssim(x, y, min(11, smallest if smallest % 2 else smallest - 1))
    ours = similarity(torch.from_numpy(x[None]), torch.from_numpy(y[None]), 1.0)
    assert ours.item() == pytest.approx(expected, abs=1e-9)


@settings(max_examples=20, deadline=None)
@given(
    st.integers(11, 30),
    st.integers(11, 30),
    st.integers(1, 3),
    st.integers(0, 10**6),
    st.booleans(),
)
def test_ssim_agrees_with_scikit_image(h, w, c, seed, constant):
    x, y = pair(h, w, c, seed, constant)
    expected = structural_similarity(
        x,
        y,
        data_range=1.0,
        gaussian_weights=True,
        sigma=1.5,
        use_sample_covariance=False,
        channel_axis=0,
    )
    ours = similarity(torch.from_numpy(x[None]), torch.from_numpy(y[None]), 1.0)
    assert ours.item() == pytest.approx(expected, abs=1e-9)


def test_ssim_in_float32_is_within_a_millionth_of_float64(vae, images):
    back = rebuilt(vae, images)
    exact = similarity(torch.from_numpy(images).double(), torch.from_numpy(back), 1.0)
    np.testing.assert_allclose(of("ssim", vae, images), -exact.numpy(), atol=2e-6)


def test_dssim_is_half_of_one_minus_ssim(vae, images):
    expected = (1 + of("ssim", vae, images)) / 2
    np.testing.assert_allclose(of("dssim", vae, images), expected, rtol=1e-6)


@pytest.mark.parametrize("side", [1, 2, 3, 10, 11, 12])
def test_ssim_shrinks_its_window_to_the_image(side):
    x = torch.rand(2, 1, side, side, generator=torch.Generator().manual_seed(0))
    assert torch.allclose(similarity(x, x, 1.0), torch.ones(2), atol=1e-5)


@pytest.mark.parametrize("name", ["ssim", "ms_ssim"])
def test_similarities_of_constant_pictures_stay_within_their_range(name):
    """In float32 the variances of a constant picture are rounding, and -1 is for equal ones."""
    ends = []
    levels = (0.0, 0.1, 0.5, 0.999)
    for side, level, dent in itertools.product((1, 2, 16, 40), levels, (0.0, 1e-3)):
        x = torch.full((2, 1, side, side), level)
        y = x.clone()
        y[0, 0, side // 2, side // 2] += dent if level < 0.5 else -dent
        model = EchoModel((1, side, side))
        model.reconstruct = lambda _, y=y: y
        values = criteria.get(name)()(Batch(model, x))
        assert bool(((values >= -1.0) & (values <= 1.0)).all()), (side, level, dent)
        ends.append(values[1])  # where nothing differs
    assert torch.allclose(torch.stack(ends), torch.tensor(-1.0), atol=1e-6)


def test_elbo_with_many_draws_approaches_the_integral():
    """One latent dimension, so the expectation is an integral that quadrature gives exactly."""
    weight = torch.tensor([[1.5, -2.0, 0.5]])
    model = VAE(
        encode=lambda x: (x[:, :1] - 0.5, torch.full((len(x), 1), -1.0)),
        decode=lambda z: torch.sigmoid(z @ weight),
        modules=(),
        latent_shape=(1,),
        sample_shape=(3,),
    )
    x = torch.tensor([[0.9, 0.2, 0.6]])
    nodes, weights = np.polynomial.hermite_e.hermegauss(60)
    mean, std = 0.4, math.exp(-0.5)
    p = 1 / (1 + np.exp(-np.outer(mean + std * nodes, weight[0].numpy())))
    log_lik = (x.numpy() * np.log(p) + (1 - x.numpy()) * np.log1p(-p)).sum(1)
    kld = 0.5 * (mean**2 + std**2 - 1 - 2 * math.log(std))
    expected = -(weights @ log_lik) / weights.sum() + kld
    ours = ELBO(n_draws=20_000)(Batch(model, x)).item()
    assert ours == pytest.approx(expected, rel=2e-3)


def test_gaussian_elbo_uses_the_full_density():
    model = tiny_vae()
    x = torch.rand(3, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    one = ELBO(n_draws=1, likelihood="gaussian", scale=0.5)(Batch(model, x, seed=3)).detach()
    from pxgen_plugins.utils.seeds import derive, normal_rows

    mean, log_var = model.encode(x)
    z = mean + (0.5 * log_var).exp() * normal_rows(0, 1, (3,), derive(3, "elbo"))
    density = Normal(model.decode(z), 0.5).log_prob(x).flatten(1).sum(1)
    kld = criteria.get("kld")()(Batch(model, x))
    np.testing.assert_allclose(one, (kld - density).detach(), rtol=1e-5)


def test_elbo_does_not_depend_on_position_or_batch(vae, images):
    together = of("elbo", vae, images)
    with torch.no_grad():
        apart = [
            ELBO()(Batch(vae, torch.from_numpy(images[i : i + 1]), first=i)).item()
            for i in range(len(images))
        ]
    np.testing.assert_allclose(together, apart, rtol=1e-5)


def test_smaller_is_closer_for_every_extrinsic_criterion(vae, images):
    class Blend:
        capabilities = frozenset({"reconstruct"})
        data_range = (0.0, 1.0)

        def __init__(self, share):
            self.share = share

        def reconstruct(self, x):
            return (1 - self.share) * x + self.share * 0.5

    x = torch.from_numpy(images)
    for name in criteria.for_model(Blend(0.0), "extrinsic"):
        criterion = criteria.get(name)()
        near, far = (criterion(Batch(Blend(share), x)) for share in (0.05, 0.9))
        assert bool((near < far).all()), name


def test_a_missing_capability_names_criterion_capability_and_alternatives():
    class Sampler:
        capabilities = frozenset({"sample", "reconstruct"})

    with pytest.raises(CapabilityError, match=r"criterion 'kld'.*'encode'.*mae, .*mse"):
        criteria.get("kld")().check(Sampler())


def test_an_unknown_criterion_is_refused_with_the_nearest_name():
    with pytest.raises(ParameterError, match="Did you mean 'kld'"):
        criteria.get("klld")


@pytest.mark.parametrize(
    ("build", "text"),
    [
        (lambda: MSE(reduction="median"), "reduction"),
        (lambda: ELBO(n_draws=0), "n_draws"),
        (lambda: ELBO(likelihood="poisson"), "likelihood"),
        (lambda: ELBO(scale=-1.0), "scale"),
        (lambda: criteria.make({"name": "mse", "reducton": "sum"}), "reducton"),
        (lambda: criteria.make(3), "Registered names"),
    ],
)
def test_wrong_parameters_are_named(build, text):
    with pytest.raises(ParameterError, match=text):
        build()


def test_an_error_begins_with_the_name_of_the_criterion_or_of_its_class():
    density = criteria.get("density")(k=2)
    density.name = "mine"
    with pytest.raises(ParameterError, match=r"^criterion 'mine': what it learned must be there"):
        density(Batch(EchoModel(), torch.rand(2, 1, 8, 8)))
    with pytest.raises(ModelError, match=r"^criterion 'mine': the number of samples"):
        density.fit(iter([]))
    with pytest.raises(ParameterError, match=r"^MAE: reduction must be one of"):
        criteria.get("mae")(reduction="median")
    with pytest.raises(CapabilityError, match=r"^criterion 'bce': model must be"):
        criteria.get("bce")()(Batch(EchoModel((3,), None), torch.rand(2, 3)))


def test_image_criteria_refuse_models_of_vectors():
    class Echo:
        capabilities = frozenset({"reconstruct"})
        data_range = (0.0, 1.0)

        def reconstruct(self, x):
            return x

    with pytest.raises(CapabilityError, match="images"):
        criteria.get("ssim")()(Batch(Echo(), torch.rand(2, 5)))


def test_range_criteria_refuse_models_without_a_range():
    class Echo:
        capabilities = frozenset({"reconstruct"})
        data_range = None

        def reconstruct(self, x):
            return x

    with pytest.raises(CapabilityError, match="data_range"):
        PSNR()(Batch(Echo(), torch.rand(2, 5)))


def test_gradients_reach_the_anchor_through_every_criterion(vae, images):
    counts = {"density", "sample_rank"}  # which are flat nearly everywhere
    for name in sorted({*criteria.for_model(vae)} - counts):
        x = torch.from_numpy(images[:3]).requires_grad_()
        criterion = criteria.get(name)()
        if isinstance(criterion, FittedCriterion):
            criterion.fit(iter([Batch(vae, torch.from_numpy(images))]))
        criterion(Batch(vae, x)).sum().backward()
        assert bool(x.grad.abs().sum() > 0), name
