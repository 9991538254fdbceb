"""Diffusion models against closed forms for Gaussian data, and against diffusers."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from pxgen_plugins import PXGen
from pxgen_plugins.criteria import Batch, DenoisingLoss
from pxgen_plugins.models import Diffusion
from pxgen_plugins.models.schedules import cosine, linear
from pxgen_plugins.thresholds import Quantile
from pxgen_plugins.utils.errors import ModelError, ParameterError
from pxgen_plugins.utils.seeds import normal_rows

MEAN, SPREAD = 0.4, 0.3
SHARED = Path(__file__).resolve().parents[2].parent / "shared"
WEIGHTS = SHARED / "models/yichizz_mnist_ddpm.safetensors"


def exact(kind: str, left: Tensor):
    """The best prediction for data N(MEAN, SPREAD^2), in closed form."""

    def network(x: Tensor, t: Tensor) -> Tensor:
        a = left[t].to(x.dtype)[:, None]
        signal, noise = a.sqrt(), (1 - a).sqrt()
        epsilon = noise * (x - signal * MEAN) / (a * SPREAD**2 + 1 - a)
        clean = (x - noise * epsilon) / signal
        return {"epsilon": epsilon, "x0": clean, "v": signal * epsilon - noise * clean}[kind]

    return network


def gaussian(kind: str = "epsilon", **settings) -> Diffusion:
    left = settings.pop("schedule", linear(1000))
    settings = {"steps": 200, "data_range": None} | settings
    return Diffusion(
        exact(kind, left), modules=(), sample_shape=(6,), schedule=left, prediction=kind, **settings
    )


@pytest.mark.parametrize("schedule", [linear(1000), cosine(1000)], ids=["linear", "cosine"])
def test_samples_follow_the_data(schedule):
    drawn = gaussian(schedule=schedule).sample(3000, 0)
    assert float(drawn.mean()) == pytest.approx(MEAN, abs=0.01)
    assert float(drawn.std()) == pytest.approx(SPREAD, rel=0.03)


@pytest.mark.slow
def test_samples_with_the_noise_of_ddpm_follow_the_data_too():
    model = gaussian(eta=1.0, steps=1000)
    drawn = model.sample(3000, 0)
    assert float(drawn.mean()) == pytest.approx(MEAN, abs=0.01)
    assert float(drawn.std()) == pytest.approx(SPREAD, rel=0.03)
    assert not torch.allclose(drawn, gaussian(steps=1000).sample(3000, 0), atol=0.05)


def test_samples_depend_on_the_seed_and_not_on_what_is_drawn_with_them():
    model = gaussian(eta=1.0, steps=20)
    parts = []

    def halves(denoise, z, rows):
        parts.extend((len(z[:30]), len(z[30:])))
        return torch.cat([denoise(z[:30], rows[:30]), denoise(z[30:], rows[30:])])

    whole = model.sample(100, 3)
    model._in_parts = halves
    assert torch.allclose(model.sample(100, 3), whole, atol=1e-6)
    assert parts == [30, 70]


@pytest.mark.slow
def test_noise_and_instance_are_carried_into_each_other_as_the_exact_solution_does():
    model = gaussian(steps=1000, refinements=5)
    z = torch.randn(20, 6, generator=torch.Generator().manual_seed(0))
    x = model.decode(z)
    # the probability-flow solution for Gaussian data is affine, up to the steps' error
    assert torch.allclose(x, MEAN + SPREAD * z, atol=0.02)
    assert torch.allclose(model.embed(MEAN + SPREAD * z), z, atol=0.05)


def test_refined_inversion_comes_back_where_the_plain_one_does_not():
    x = torch.linspace(-1, 1, 30).reshape(5, 6)
    plain = gaussian(steps=20, refinements=0).round_trip(x).mean()
    errors = [float(gaussian(steps=20, refinements=r).round_trip(x).mean()) for r in (1, 3, 8)]
    assert errors[0] < plain / 5
    assert errors[2] < errors[1] < errors[0]


@pytest.mark.parametrize("kind", ["v", "x0"])
def test_what_the_network_predicts_does_not_matter(kind):
    one, other = gaussian(), gaussian(kind)
    x = torch.linspace(-1, 1, 24).reshape(4, 6)
    assert torch.allclose(one.sample(5, 1), other.sample(5, 1), atol=1e-3)
    assert torch.allclose(one.noise_loss(x, 0.4, 2), other.noise_loss(x, 0.4, 2), atol=1e-3)
    assert torch.allclose(one.reconstruct(x), other.reconstruct(x), atol=1e-3)


@pytest.mark.slow
def test_the_simple_loss_is_the_error_of_the_noise():
    model, x = gaussian(), torch.linspace(-1, 1, 24).reshape(4, 6)
    left = float(linear(1000)[round(0.3 * 999)])
    losses = [model.noise_loss(x, 0.3, seed) for seed in range(2000)]
    # epsilon-hat is affine in the noise, so its mean squared error is known
    gain = (1 - left) / (left * SPREAD**2 + 1 - left)
    shift = math.sqrt(left * (1 - left)) * (x - MEAN) / (left * SPREAD**2 + 1 - left)
    expected = ((gain - 1) ** 2 + shift.square()).mean(1)
    assert torch.allclose(torch.stack(losses).mean(0), expected, rtol=0.1)


def test_the_terms_of_the_bound_are_the_divergences_they_stand_for():
    model, x = gaussian(loss="bound"), torch.linspace(-1, 1, 24).reshape(4, 6)
    left, at = linear(1000), 400
    noise = normal_rows(0, 1, (6,), 7)  # one draw for the whole batch
    now, before = float(left[at]), float(left[at - 1])
    noisy = math.sqrt(now) * x + math.sqrt(1 - now) * noise
    predicted = exact("epsilon", left)(noisy, torch.full((4,), at))
    clean = (noisy - math.sqrt(1 - now) * predicted) / math.sqrt(now)
    beta = 1 - now / before
    # the posterior q(x_{t-1} | x_t, x) of Ho et al. 2020, equations 6 and 7
    variance = (1 - before) / (1 - now) * beta
    gap = math.sqrt(before) * beta / (1 - now) * (clean - x)
    divergence = (gap.square() / (2 * variance)).mean(1)
    found = model.noise_loss(x, at / 999, 7)
    assert torch.allclose(found, 1000 * divergence, rtol=1e-3)


def test_the_criterion_is_the_mean_over_the_middles_of_the_levels():
    model, x = gaussian(), torch.linspace(-1, 1, 24).reshape(4, 6)
    asked = []
    original = model.noise_loss

    def listening(x, t, seed):
        asked.append((t, seed))
        return original(x, t, seed)

    model.noise_loss = listening
    value = DenoisingLoss(levels=4, highest=0.8)(Batch(model, x, seed=5))
    assert [t for t, _ in asked] == pytest.approx([0.1, 0.3, 0.5, 0.7])
    assert len({seed for _, seed in asked}) == 4
    slow = np.mean([original(x, t, seed).numpy() for t, seed in asked], axis=0)
    assert value.numpy() == pytest.approx(slow)


def test_a_reconstruction_keeps_more_the_lower_its_level():
    x = torch.full((1, 6), MEAN + 4 * SPREAD)
    far = [float((gaussian(level=level).reconstruct(x) - x).abs().mean()) for level in (0.1, 0.9)]
    assert far[0] < 0.5 * far[1]


def test_diffusers_ddim_scheduler_draws_the_same_samples():
    diffusers = pytest.importorskip("diffusers")
    scheduler = diffusers.DDIMScheduler(
        beta_schedule="linear", clip_sample=False, timestep_spacing="linspace"
    )
    left = scheduler.alphas_cumprod.double()
    # all timesteps, because with fewer theirs takes T/steps for the distance to the next one
    model = Diffusion(
        exact("epsilon", left),
        modules=(),
        sample_shape=(6,),
        schedule=left,
        steps=1000,
        data_range=None,
    )
    x = z = torch.randn(8, 6, generator=torch.Generator().manual_seed(1))
    scheduler.set_timesteps(1000)
    for t in scheduler.timesteps:
        x = scheduler.step(exact("epsilon", left)(x, t.repeat(8)), t, x).prev_sample
    assert torch.allclose(model.decode(z), x, atol=1e-3)


@pytest.mark.parametrize("schedule", ["linear", "squaredcos_cap_v2"])
def test_clipped_sampling_is_that_of_diffusers(schedule):
    diffusers = pytest.importorskip("diffusers")
    scheduler = diffusers.DDIMScheduler(
        beta_schedule=schedule, clip_sample=True, timestep_spacing="linspace"
    )
    left = scheduler.alphas_cumprod.double()
    network = exact("epsilon", left)
    model = Diffusion(
        lambda x, t: network(x, t) + 0.05, modules=(), sample_shape=(6,), schedule=left, steps=1000
    )
    x = z = torch.randn(8, 6, generator=torch.Generator().manual_seed(1))
    scheduler.set_timesteps(1000)
    for t in scheduler.timesteps:
        given = network(x, t.repeat(8)) + 0.05
        x = scheduler.step(given, t, x, use_clipped_model_output=True).prev_sample
    assert torch.allclose(model._denoise(z, clip=True), x, atol=1e-3)


@pytest.mark.parametrize("kind", ["v", "x0"])
def test_a_schedule_may_end_without_any_signal(kind):
    diffusers = pytest.importorskip("diffusers")
    left = diffusers.DDIMScheduler(rescale_betas_zero_snr=True).alphas_cumprod.double()
    assert float(left[-1]) == 0.0

    def network(x: Tensor, t: Tensor) -> Tensor:
        a = left[t].to(x.dtype)[:, None]
        signal, noise = a.sqrt(), (1 - a).sqrt()
        clean = MEAN + signal * SPREAD**2 / (a * SPREAD**2 + 1 - a) * (x - signal * MEAN)
        epsilon = (x - signal * clean) / noise
        return clean if kind == "x0" else signal * epsilon - noise * clean

    model = Diffusion(
        network,
        modules=(),
        sample_shape=(6,),
        schedule=left,
        prediction=kind,
        steps=200,
        data_range=None,
    )
    drawn = model.sample(3000, 0)
    assert float(drawn.mean()) == pytest.approx(MEAN, abs=0.01)
    assert float(drawn.std()) == pytest.approx(SPREAD, rel=0.03)
    assert bool(model.embed(drawn[:5]).isfinite().all())


def test_a_small_error_of_the_network_does_not_push_samples_out_of_the_data():
    left = cosine(1000)
    network = exact("epsilon", left)
    settings = {"sample_shape": (6,), "schedule": left, "data_range": (-1.0, 1.0)}
    clipped, plain = (
        Diffusion(lambda x, t: network(x, t) + 0.01, modules=(), clip=clip, **settings).sample(
            500, 0
        )
        for clip in (True, False)
    )
    assert float(clipped.mean()) == pytest.approx(MEAN, abs=0.05)
    assert float(plain.mean()) < MEAN - 1.0  # all at the edge


def test_named_schedules_are_those_of_diffusers():
    diffusers = pytest.importorskip("diffusers")
    for name, own in (("linear", linear(1000)), ("squaredcos_cap_v2", cosine(1000))):
        theirs = diffusers.DDPMScheduler(beta_schedule=name).alphas_cumprod
        assert torch.allclose(own.float(), theirs, atol=1e-5)


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"schedule": "quadratic"}, "schedule"),
        ({"schedule": [0.5, 0.9]}, "schedule"),
        ({"schedule": [[0.5]]}, "schedule"),
        ({"schedule": [1.0, 0.5]}, "schedule"),
        ({"schedule": [0.5, 0.0]}, "schedule"),
        ({"schedule": [0.5, 0.0], "prediction": "v", "loss": "bound", "steps": 2}, "schedule"),
        ({"schedule": [float("nan"), 0.1]}, "schedule"),
        ({"steps": 0}, "steps"),
        ({"steps": 1001}, "steps"),
        ({"level": 0.0}, "level"),
        ({"eta": 1.5}, "eta"),
        ({"clip": 1}, "clip"),
        ({"prediction": "noise"}, "prediction"),
        ({"loss": "elbo"}, "loss"),
        ({"seed": -1}, "seed"),
        ({"refinements": 1.5}, "refinements"),
    ],
)
def test_what_is_not_allowed_is_named(settings, named):
    with pytest.raises(ParameterError, match=named):
        Diffusion(lambda x, t: x, modules=(), sample_shape=(2,), **settings)


def test_a_network_of_another_shape_or_without_numbers_is_refused():
    with pytest.raises(ModelError, match="network's result"):
        Diffusion(lambda x, t: x[:, :1], modules=(), sample_shape=(2,))
    with pytest.raises(ModelError, match="network"):
        Diffusion(lambda x, t: x * float("nan"), modules=(), sample_shape=(2,))
    with pytest.raises(ModelError, match="network"):
        Diffusion(lambda x: x, modules=(), sample_shape=(2,))
    with pytest.raises(ParameterError, match="t"):
        gaussian().noise_loss(torch.zeros(1, 6), 1.5, 0)


def test_pxgen_explains_a_diffusion_model_end_to_end():
    model = gaussian(steps=100)
    rows = np.random.default_rng(0)
    known = rows.normal(MEAN, SPREAD, (60, 6)).astype(np.float32)
    foreign = rows.normal(MEAN + 2.0, SPREAD, (60, 6)).astype(np.float32)
    explainer = PXGen(
        model, intrinsic="denoising_loss", extrinsic="mse", threshold=Quantile(0.95, 200)
    )
    explainer.fit()
    found = explainer.explain(np.concatenate([known, foreign]))
    group = np.asarray(found.data["group"])
    assert (group[:60] == "HIHE").mean() > 0.8
    assert (group[60:] == "LILE").mean() > 0.8


@pytest.mark.shared
@pytest.mark.skipif(not WEIGHTS.exists(), reason=f"{WEIGHTS} is absent")
def test_a_trained_ddpm_of_mnist_takes_digits_for_its_own_and_noise_not(example):
    load = example("family_models.diffusion").load
    model = load(load_file(WEIGHTS), steps=20)
    x = torch.tensor(np.load(SHARED / "data/mnist.npz")["test_x"][:40]).float()[:, None] / 255 - 0.5
    noise = torch.rand(x.shape, generator=torch.Generator().manual_seed(0)) - 0.5
    with torch.no_grad():
        loss = DenoisingLoss()
        known, upside_down, foreign = (loss(Batch(model, b)) for b in (x, -x, noise))
    assert known.max() < foreign.min()
    assert known.max() < upside_down.min()
    # the loss that it was trained on; 0.03 to 0.05 for networks of this size on MNIST
    assert float(known.mean()) < 0.06
    plain = load(load_file(WEIGHTS), steps=20, refinements=0)
    assert model.round_trip(x[:8]).median() < plain.round_trip(x[:8]).median() / 3
