"""What ``wrap`` makes of modules as public repositories write them, and what it says of others."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from sklearn.mixture import BayesianGaussianMixture, GaussianMixture
from sklearn.neighbors import KernelDensity
from torch import nn
from torch.distributions import Independent, Normal

from pxgen_plugins import PXGen, describe, models
from pxgen_plugins.datasets import load_mnist_gan
from pxgen_plugins.models import wrap
from pxgen_plugins.models.outputs import of_role
from pxgen_plugins.testing import check_model
from pxgen_plugins.utils.errors import CapabilityError, ModelError, ParameterError
from tests.models import architectures as kinds

IMAGES = {"sample_shape": kinds.IMAGE}
SIGNED = {"data_range": (-1.0, 1.0)}


def images(n: int = 5) -> torch.Tensor:
    return torch.rand(n, *kinds.IMAGE, generator=torch.Generator().manual_seed(1))


POSTERIORS = {
    "methods on flat pixels": lambda: kinds.TutorialVAE(),
    "heads": lambda: kinds.HeadsVAE(),
    "a reconstruction alone, by rsample": lambda: kinds.LightningVAE(),
    "an encoder of both, standard deviation second": lambda: kinds.PairVAE(),
    "halves of the encoder, logits decoded": lambda: kinds.HalvesVAE(),
    "an encode with the log variance first": lambda: kinds.SwappedVAE(),
    "DataParallel": lambda: nn.DataParallel(kinds.HeadsVAE()),
    "compiled": lambda: torch.compile(kinds.HeadsVAE()),
}


@pytest.mark.parametrize("name", POSTERIORS)
def test_the_posterior_is_that_of_the_networks_own_training(name):
    made = POSTERIORS[name]()
    net = getattr(made, "module", getattr(made, "_orig_mod", made))
    model, x = wrap(made, **IMAGES), images()
    assert type(model) is models.VAE
    assert all(part.training for part in net.modules())
    net.eval()
    mean, log_var = net.truth(x)
    found = model.encode(x)
    assert torch.allclose(found[0], mean, atol=1e-6)
    assert torch.allclose(found[1], log_var, atol=1e-5)
    assert model.modules == (net,)
    check_model(model, net)


class Whole(kinds.HeadsVAE):
    """Its heads take more than the encoder gives, so that forward alone gives codes."""

    def truth(self, x):
        h = self.encoder(x) * 2.0 + 1.0
        return self.fc_mu(h), self.fc_logvar(h)


@pytest.mark.slow
@pytest.mark.parametrize("noisy", [True, False])
def test_any_order_of_forwards_results_is_found_out_or_refused(noisy):
    for order in list(itertools.permutations(range(5), 4))[::3]:
        net = Whole(order, noisy)
        whole = {0, 2} < set(order) and (1 in order or not noisy)  # a drawn code is no mean
        if not whole and 0 in order and not noisy:  # in evaluation mode that is all there is
            assert type(wrap(net, **IMAGES)) is models.Autoencoder
            continue
        if not whole:
            with pytest.raises(ParameterError, match="forward of"):
                wrap(net, **IMAGES)
            continue
        model = wrap(net, **IMAGES)
        mean, log_var = net.eval().truth(images())
        assert "forward (each code costs a whole pass)" in model.origin
        assert torch.allclose(model.encode(images())[0], mean, atol=1e-6), order
        assert torch.allclose(model.encode(images())[1], log_var, atol=1e-5), order
        assert torch.allclose(model.reconstruct(images()), net.decoder(mean), atol=1e-6), order


def test_what_was_concluded_is_said():
    assert "mean is fc_mu, log_var is fc_logvar" in wrap(kinds.HeadsVAE(), **IMAGES).origin
    assert "taken out of DataParallel" in wrap(nn.DataParallel(kinds.HeadsVAE()), **IMAGES).origin
    assert "through a sigmoid" in wrap(kinds.HalvesVAE(), **IMAGES).origin
    assert "mean is result 2" in wrap(kinds.SwappedVAE(), **IMAGES).origin


def test_a_network_of_mixed_types_is_looked_at_too():
    class Mixed(kinds.TutorialVAE):
        def encode(self, x):
            mean, log_var = super().encode(x)
            return mean.double(), log_var

    assert type(wrap(Mixed(), sample_shape=(64,), check=False)) is models.VAE


def test_looking_leaves_a_network_and_the_generators_as_they_were():
    net = kinds.HeadsVAE()
    before, state = {k: v.clone() for k, v in net.state_dict().items()}, torch.get_rng_state()
    wrap(net, **IMAGES)
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())
    assert torch.equal(torch.get_rng_state(), state)


def test_an_autoencoder_has_codes_alone_and_the_shape_that_it_decodes():
    net = kinds.PlainAutoencoder()
    for options in (IMAGES, {"latent_shape": (kinds.D,)}):
        model = wrap(net, **options)
        assert type(model) is models.Autoencoder
        assert model.sample_shape == kinds.IMAGE
        assert torch.allclose(model.reconstruct(images()), net.eval()(images()), atol=1e-6)
    with pytest.raises(ParameterError, match="sample_shape must be given"):
        wrap(net)


def test_a_denoising_autoencoder_has_codes_alone_too():
    class Denoising(kinds.PlainAutoencoder):
        def forward(self, x):
            x = x + 0.1 * torch.randn_like(x) if self.training else x
            return super().forward(x)

    assert type(wrap(Denoising(), **IMAGES)) is models.Autoencoder


class TestGenerators:
    def test_a_bare_one_needs_the_shape_of_its_codes(self):
        net = kinds.DCGenerator()
        model = wrap(net, latent_shape=(kinds.D, 1, 1), **SIGNED)
        assert (type(model), model.sample_shape) == (models.GAN, kinds.IMAGE)
        for options in ({}, IMAGES):
            with pytest.raises(ParameterError, match=r"wrap\(net, latent_shape=\(3, 1, 1\)\)"):
                wrap(net, **SIGNED, **options)

    def test_both_networks_of_a_gan_are_taken_and_a_sigmoid_is_said(self):
        net = kinds.LightningGAN()
        model = wrap(net, **SIGNED)
        assert (type(model), model.latent_shape) == (models.GAN, (kinds.D, 1, 1))
        assert "its discriminator gives probabilities" in model.origin
        odds = net.discriminator[:2](images())[:, 0]
        assert torch.allclose(model.score(images()), odds, atol=1e-4)

    def test_two_networks_in_a_tuple_are_those_of_a_gan(self):
        nets = load_mnist_gan()
        model = wrap(nets)
        assert (type(model), model.sample_shape) == (models.GAN, (1, 28, 28))
        assert "score" in model.capabilities


class TestSamples:
    """A module's own way of sampling is the model's."""

    def moved(self, base=kinds.HeadsVAE, **methods):
        net = base()
        for name, value in methods.items():
            setattr(net, name, value(net) if callable(value) else value)
        return net

    @pytest.mark.parametrize("base", [kinds.HeadsVAE, kinds.PlainAutoencoder])
    def test_by_its_method(self, base):
        net = self.moved(base, sample=lambda net: lambda n: net.decoder(torch.randn(n, 3) + 5))
        model = wrap(net, **IMAGES)
        assert "samples are drawn by its own sample(n)" in model.origin
        with torch.random.fork_rng():
            torch.set_rng_state(torch.Generator().manual_seed(4).get_state())
            expected = net.eval().sample(6)
        assert torch.allclose(model.sample(6, 4), expected, atol=1e-6)

    def test_by_its_method_with_a_device(self):
        def own(net):
            return lambda n, current_device: net.decoder(torch.randn(n, 3).to(current_device) - 5)

        model = wrap(self.moved(sample=own), **IMAGES)
        assert "its own sample(n, device)" in model.origin
        assert model.sample(3, 0).shape == (3, *kinds.IMAGE)

    @pytest.mark.parametrize(
        "draw",
        [
            lambda n: torch.randn(n, 3),
            lambda n: Normal(0.0, 1.0).sample((n, 3)),
            lambda n: torch.empty(n, 3).normal_(),
            lambda n: torch.normal(torch.zeros(n, 3), 1.0),
        ],
    )
    def test_standard_noise_is_the_familys_prior_whoever_draws_it(self, draw):
        net = self.moved(sample=lambda net: lambda n: net.decoder(draw(n)))
        net.prior = Independent(Normal(torch.zeros(3), torch.ones(3)), 1)
        model = wrap(net, **IMAGES)
        assert "sample" not in model.origin
        assert "prior_nll" in describe(model).intrinsic
        del net.sample
        assert "prior" not in wrap(net, **IMAGES).origin

    def test_by_its_prior(self):
        prior = Independent(Normal(torch.full((3,), 4.0), torch.full((3,), 0.01)), 1)
        net = self.moved()
        net.prior = prior
        model = wrap(net, **IMAGES)
        assert "its own prior" in model.origin
        expected = net.eval().decoder(prior.mean[None])
        assert float((model.sample(50, 0).mean(0) - expected.detach()).abs().max()) < 0.02


def test_a_posterior_that_is_a_distribution_is_proven_and_its_pixels_are_said():
    class Both(kinds.HeadsVAE):
        def __init__(self):
            super().__init__()
            inner = self.encoder
            self.encoder = kinds.Posterior(inner, self.fc_mu, self.fc_logvar)
            self.decoder = kinds.Pixels(self.decoder)

        def forward(self, x):
            posterior = self.encoder(x)
            return self.decoder(posterior.rsample()), posterior

        def truth(self, x):
            h = self.encoder.net(x)
            return self.fc_mu(h), self.fc_logvar(h)

    net = Both()
    model = wrap(net, **IMAGES)
    mean, log_var = net.eval().truth(images())
    assert torch.allclose(model.encode(images())[0], mean, atol=1e-6)
    assert torch.allclose(model.encode(images())[1], log_var, atol=1e-5)
    assert "decode gives a Bernoulli distribution, of which the mean is taken" in model.origin


def test_distributions_give_their_mean_and_it_is_said():
    net = kinds.Distributed()
    model = wrap(net, **IMAGES)
    assert "decode gives a Bernoulli distribution, of which the mean is taken" in model.origin
    assert "encode gives a Laplace distribution, of which the mean is taken" in model.origin
    assert torch.equal(model.decode(torch.ones(1, 3)), net.decode(torch.ones(1, 3)).mean)


@pytest.mark.parametrize(
    ("value", "line"),
    [
        ((torch.ones(2, 3), torch.zeros(2, 3)), r"decode=lambda z: net\.decode\(z\)\[0\]"),
        ({"a": torch.ones(2), "b": torch.ones(2)}, r"decode=lambda z: net\.decode\(z\)\['a'\]"),
        (
            torch.distributions.TransformedDistribution(
                Normal(torch.zeros(2), torch.ones(2)), torch.distributions.SigmoidTransform()
            ),
            r"decode=lambda z: net\.decode\(z\)\.mode",
        ),
    ],
)
def test_a_result_of_several_parts_is_answered_with_the_line_that_picks_one(value, line):
    with pytest.raises(ModelError, match=line):
        of_role("decode", value)


class TestDiffusion:
    def test_a_network_needs_its_schedule(self):
        with pytest.raises(ParameterError, match=r"Diffusion\(net, schedule='linear', n_timesteps"):
            wrap(kinds.UNet(), **IMAGES)
        model = wrap(kinds.UNet(), schedule="linear", n_timesteps=50, **IMAGES, **SIGNED)
        assert (type(model), model.n_timesteps) == (models.Diffusion, 50)

    def test_a_module_that_holds_both_is_answered_with_the_line_that_works(self):
        net = kinds.DDPM()
        with pytest.raises(ParameterError) as found:
            wrap(net, **IMAGES)
        line = found.value.hint.partition("write ")[2].partition(", with the schedule")[0]
        model = eval(line, {"net": net, "Diffusion": models.Diffusion})
        assert model.n_timesteps == 50


class TestFlows:
    def test_a_density_and_the_way_that_it_proves(self):
        net = kinds.RealNVP()
        model, x = wrap(net, sample_shape=(4,)), torch.randn(6, 4)
        assert type(model) is models.Flow
        assert torch.allclose(model.log_prob(x), net.log_prob(x))
        assert torch.allclose(model.embed(x), net(x)[0])
        assert torch.allclose(model.reconstruct(x), x, atol=1e-4)
        check_model(model, net)

    def test_another_density_than_that_of_normal_noise_leaves_the_way_out(self):
        net = kinds.RealNVP()
        net.log_prob = lambda x: net._log_prob(x) - 1.0
        model = wrap(net, sample_shape=(4,), modules=net)
        assert "embed" not in model.capabilities
        assert model.sample(3, 0).shape == (3, 4)

    def test_without_a_density_the_line_for_one_is_given(self):
        with pytest.raises(ParameterError, match=r"Flow\(log_prob=.*decode=net\.inverse"):
            wrap(kinds.RealNVP(density=False), sample_shape=(4,))


@pytest.mark.parametrize(
    "density",
    [
        GaussianMixture(3, random_state=0),
        BayesianGaussianMixture(n_components=2, random_state=0),
        KernelDensity(bandwidth=0.3),
    ],
    ids=lambda one: type(one).__name__,
)
def test_densities_of_scikit_learn(density):
    draws = np.random.default_rng(0)
    points = np.concatenate([draws.normal(-3, 1, (200, 4)), draws.normal(3, 0.5, (100, 4))])
    with pytest.raises(ParameterError, match=r"fitted.*fit\(X\)"):
        wrap(density)
    density.fit(points)
    for shape in (None, (1, 2, 2)):
        model = wrap(density, **({} if shape is None else {"sample_shape": shape}))
        assert type(model) is models.Flow
        x = torch.tensor(points[:7], dtype=torch.float32).reshape(7, *model.sample_shape)
        expected = density.score_samples(points[:7])
        assert np.allclose(model.log_prob(x).numpy(), expected, atol=1e-4)
        check_model(model)
    one, other = model.sample(4000, 1).flatten(1), model.sample(4000, 2).flatten(1)
    assert not torch.equal(one, other)  # whatever random_state it was fitted with
    assert torch.equal(one, model.sample(4000, 1).flatten(1))
    assert np.allclose(one.mean(0), points.mean(0), atol=0.25)
    halves = one[:2000].mean(0) - one[2000:].mean(0)
    assert float(halves.abs().max()) < 0.6  # not sorted by component: that would be 6
    with pytest.raises(ParameterError, match="of 4 elements"):
        wrap(density, sample_shape=(5,))


class Losses(kinds.HeadsVAE):
    """Its forward gives the loss alone."""

    def forward(self, x):
        return super().forward(x)[0].mean()


class Hidden:
    """A synthesizer of arrays."""

    def sample(self, n):
        return np.zeros((n, 3))


@pytest.mark.parametrize(
    ("obj", "options", "saw", "line"),
    [
        (kinds.HiddenVAE, IMAGES, r"decoder_input \(Linear\).*gave \(n, 1, 8, 8\)",
         r"VAE\(encode=lambda x: \(net\(x\)\[2\], net\(x\)\[3\]\), decode=lambda z: net\.decoder"),
        (kinds.Quantised, IMAGES, r"encoder \(Sequential\), decoder",
         r"Autoencoder\(encode=net\.encoder, decode=lambda z: net\.decoder\(f\(z\)\)"),
        (kinds.UNet, IMAGES, r"missing 1 required positional argument: 't'", "Diffusion"),
        (Hidden, {"sample_shape": (3,)}, "unknown option", r"SampleBank\(obj\.sample\)"),
        (Hidden, {}, "nothing", r"SampleBank\(obj\.sample\)"),
        (Losses, IMAGES, "no tensor with a row", r"for f in \(net\.fc_mu, net\.fc_logvar\)"),
        (lambda: kinds.HeadsVAE, IMAGES, "the class HeadsVAE", r"wrap\(HeadsVAE\(\), "),
        (lambda: [1, 2], {}, "a list of 2", r"np\.stack"),
        (object, {}, "a object with no methods", "by role"),
        (lambda: "nowhere.npy", {}, "nowhere.npy.*where nothing is", "Check the path"),
    ],
)  # fmt: skip
def test_an_error_says_what_was_seen_and_what_to_write(obj, options, saw, line):
    with pytest.raises(ParameterError, match=saw) as found:
        wrap(obj(), **options)
    message = str(found.value)
    assert found.match(line)
    assert len(message) < 700
    assert "nflows" not in message  # no list of all that there is
    assert "object at 0x" not in message


def test_a_missing_capability_is_answered_with_what_gives_it():
    model = wrap(kinds.PlainAutoencoder(), **IMAGES)
    with pytest.raises(CapabilityError, match=r"prior=codes"):
        PXGen(model, "latent_neighbours", "mse", "Quantile").fit(images(300))


def test_the_line_for_heads_works():
    net = Losses()
    with pytest.raises(ParameterError) as found:
        wrap(net, **IMAGES)
    line = found.value.hint.partition("write ")[2].rstrip(".")
    model = eval(line, {"net": net, "VAE": models.VAE})
    assert torch.equal(model.embed(images()), net.eval().truth(images())[0])


def test_a_network_of_flat_instances_is_answered_with_their_shape():
    class Flat(nn.Module):
        def __init__(self):
            super().__init__()
            self.down, self.up = nn.Linear(64, 6), nn.Linear(3, 64)

        def encode(self, x):
            return self.down(x).chunk(2, 1)

        def decode(self, z):
            return self.up(z).sigmoid()

    with pytest.raises(ModelError, match=r"wrap\(net, sample_shape=\(64,\)\)"):
        wrap(Flat(), **IMAGES)
    assert type(wrap(Flat(), sample_shape=(64,))) is models.VAE


class MovingAverage(nn.Module):
    """Draws, and moves averages and weights, in training mode alone."""

    def __init__(self) -> None:
        super().__init__()
        self.ends, self.decoder = nn.Linear(6, 4), nn.Linear(2, 6)
        self.inner = nn.BatchNorm1d(2)

    def encode(self, x):
        return self.ends(x).chunk(2, 1)

    def decode(self, z):
        return self.decoder(z).sigmoid()

    def forward(self, x):
        mean, log_var = self.encode(x)
        if not self.training:
            return self.decode(mean), mean, log_var
        self.inner.running_mean += 1.0
        self.ends.weight.data += 1.0
        noise = torch.randn_like(mean)
        return self.decode(mean + noise * (0.5 * log_var).exp()), mean, log_var


def test_nothing_of_a_module_changes_where_it_is_looked_at_in_training_mode():
    net = MovingAverage().eval()
    before = {name: value.clone() for name, value in net.state_dict().items()}
    wrap(net, sample_shape=(6,))
    assert not net.training
    for name, value in net.state_dict().items():
        assert torch.equal(value, before[name]), name
