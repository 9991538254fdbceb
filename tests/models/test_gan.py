"""GANs and their inversion, plain autoencoders and VQ-VAEs, against what is known of them."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.metrics import roc_auc_score
from torch import nn

from pxgen_plugins import PXGen
from pxgen_plugins.datasets import load_mnist, load_mnist_gan
from pxgen_plugins.models import GAN, VQVAE, Autoencoder
from pxgen_plugins.models.inversion import Inversion
from pxgen_plugins.thresholds import Fixed, MeanMax
from pxgen_plugins.utils.errors import CapabilityError, ModelError, ParameterError


def linear_generator(d=8, q=3):
    return torch.randn(q, d, generator=torch.Generator().manual_seed(0))


def linear_gan(weight, **options):
    shapes = {"latent_shape": (len(weight),), "sample_shape": (weight.shape[1],)}
    return GAN(lambda z: z @ weight, modules=(), data_range=None, **shapes, **options)


class TestInversion:
    def test_a_linear_generator_is_inverted_as_ridge_regression_does(self):
        weight = linear_generator()
        d, q = weight.shape[1], len(weight)
        how = Inversion(steps=600, restarts=1, noise=0.3)
        x = torch.randn(6, d, generator=torch.Generator().manual_seed(1))
        found = linear_gan(weight, inversion=how).embed(x)
        # mean squared error + noise^2 |z|^2 / d: the normal equations of the sum of squares
        gram = weight @ weight.T + 0.3**2 * torch.eye(q)
        expected = torch.linalg.solve(gram, weight @ x.T).T
        torch.testing.assert_close(found, expected, atol=0.02, rtol=0.02)

    def test_an_instance_is_inverted_alike_alone_and_among_others(self):
        model = linear_gan(linear_generator())
        x = torch.randn(5, 8, generator=torch.Generator().manual_seed(1))
        whole = model.embed(x)
        assert torch.equal(whole[2:3], model.embed(x[2:3]))
        x[0, 0] = float("nan")
        broken = model.embed(x)
        assert broken[0].isnan().all()
        assert torch.equal(broken[1:], whole[1:])

    def test_without_a_gradient_the_nearest_sample_is_taken(self):
        weight = linear_generator().numpy()
        model = GAN(
            lambda z: np.asarray(z) @ weight,
            modules=(),
            latent_shape=(3,),
            sample_shape=(8,),
            data_range=None,
        )
        x = model.sample(4, seed=5)
        near = (model.reconstruct(x) - x).norm(dim=1)
        far = (model.sample(4, seed=6) - x).norm(dim=1)
        assert near.mean() < 0.5 * far.mean()
        with pytest.raises(ModelError, match="differentiable"):
            GAN(
                lambda z: np.asarray(z) @ weight,
                modules=(),
                latent_shape=(3,),
                sample_shape=(8,),
                data_range=None,
                inversion=Inversion(steps=5),
            )

    def test_the_right_class_of_a_conditional_generator_is_found(self):
        weight = linear_generator()
        centres = torch.eye(8)[:2] * 20.0

        def generate(z, y):
            return z @ weight + centres[y]

        common = {"latent_shape": (3,), "sample_shape": (8,), "data_range": None}
        model = GAN(generate, modules=(), n_classes=2, **common)
        x = generate(torch.zeros(2, 3), torch.tensor([1, 0]))
        assert (model.reconstruct(x) - x).abs().max() < 0.2
        one = GAN(generate, modules=(), n_classes=2, condition=1, **common)
        assert (one.reconstruct(x[:1]) - x[:1]).abs().max() < 0.2
        assert (one.reconstruct(x[1:]) - x[1:]).abs().max() > 1.0
        with pytest.raises(CapabilityError, match="condition"):
            model.decode(torch.zeros(1, 3))

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({"prior": "gaussian"}, "prior"),
            ({"refine": True}, "False without an encoder"),
            ({"condition": 3, "n_classes": 2}, "below n_classes=2"),
            ({"inversion": 5}, "an Inversion or None"),
            ({"discriminator_output": "score"}, "discriminator_output"),
        ],
    )
    def test_wrong_arguments_are_named(self, options, message):
        with pytest.raises(ParameterError, match=message):
            linear_gan(linear_generator(), **options)

    def test_probabilities_become_log_odds(self):
        weight = linear_generator()
        model = linear_gan(
            weight, discriminator=lambda x: x[:, 0].sigmoid(), discriminator_output="probabilities"
        )
        x = torch.randn(5, 8, generator=torch.Generator().manual_seed(1))
        torch.testing.assert_close(model.score(x), x[:, 0], rtol=1e-4, atol=1e-4)


class TestOnTheShippedGAN:
    @pytest.fixture(scope="class")
    def model(self):
        generator, discriminator = load_mnist_gan()
        return GAN(
            generator,
            discriminator=discriminator,
            modules=(),
            latent_shape=(32,),
            sample_shape=(1, 28, 28),
        )

    def test_its_own_samples_are_recovered(self, model):
        x = model.sample(32, seed=3)
        errors = (model.reconstruct(x) - x).square().flatten(1).mean(1)
        assert float(errors.median()) < 0.01

    @pytest.mark.slow
    def test_foreign_images_are_farther_than_digits(self, model):
        rng = np.random.default_rng(0)
        digits = load_mnist("test")[0][:16, None].astype(np.float32) / 255.0
        mixed = rng.permuted(digits.reshape(16, -1), axis=1).reshape(digits.shape)
        noise = rng.random(digits.shape, dtype=np.float32)
        X = np.concatenate([digits, mixed, noise])
        explainer = PXGen(
            model, intrinsic="typicality", extrinsic="mse", threshold=MeanMax(16, 2), seed=1
        ).fit()
        found = explainer.explain(X)
        foreign = np.repeat([0, 1, 1], 16)
        assert roc_auc_score(foreign, found.values[:, 1]) > 0.95
        hihe = found.group == "HIHE"
        assert hihe[foreign == 0].mean() > hihe[foreign == 1].mean()


class TestAutoencoder:
    def make(self, **options):
        return Autoencoder(
            encode=lambda x: x[:, :2],
            decode=lambda z: torch.cat([z, z], 1),
            modules=(),
            latent_shape=(2,),
            sample_shape=(4,),
            data_range=None,
            **options,
        )

    def test_samples_are_decoded_reference_codes(self):
        codes = torch.arange(6.0).reshape(3, 2)
        drawn = self.make(prior=codes).sample(50, seed=0)
        assert {tuple(row) for row in drawn[:, :2].tolist()} == {tuple(c) for c in codes.tolist()}

    def test_without_a_prior_it_needs_fixed_thresholds(self):
        model = self.make()
        assert "sample" not in model.capabilities
        X = np.random.default_rng(0).normal(size=(20, 4)).astype(np.float32)
        common = {"intrinsic": "aggregate_mahalanobis", "extrinsic": "mse"}
        found = PXGen(model, threshold=Fixed(1.0), **common).fit(X).explain(X)
        assert len(found.values) == 20
        with pytest.raises(CapabilityError, match="sample"):
            PXGen(model, threshold=MeanMax(10, 2), **common).fit(X)

    def test_a_wrong_prior_is_named(self):
        with pytest.raises(ParameterError, match="finite codes of shape"):
            self.make(prior=torch.zeros(3, 5))


class TestVQVAE:
    def make(self, **options):
        book = torch.tensor([[0.0, 0.0], [1.0, 1.0], [0.0, 1.0]])
        return VQVAE(
            encode=lambda x: x.reshape(-1, 3, 2),
            decode=lambda z: z.flatten(1),
            modules=(),
            codebook=nn.Embedding.from_pretrained(book),
            axis=-1,
            latent_shape=(3, 2),
            sample_shape=(6,),
            **options,
        ), book

    def test_codes_are_the_nearest_entries(self):
        model, book = self.make()
        x = torch.rand(7, 6, generator=torch.Generator().manual_seed(0))
        vectors = x.reshape(7, 3, 2)
        expected = [[min(range(3), key=lambda k: float((v - book[k]).norm())) for v in row]
                    for row in vectors]  # fmt: skip
        assert model.codes(x).tolist() == expected
        assert torch.equal(model.reconstruct(x), book[torch.tensor(expected)].flatten(1))

    def test_samples_follow_the_reference_codes_position_by_position(self):
        reference = torch.tensor([[0, 1, 2], [0, 1, 1]])
        model, _ = self.make(prior=reference)
        drawn = model.codes(model.sample(400, seed=0))
        assert (drawn[:, 0] == 0).all()
        assert (drawn[:, 1] == 1).all()
        assert 0.4 < float((drawn[:, 2] == 2).float().mean()) < 0.6

    def test_gradients_pass_straight_through(self):
        model, _ = self.make()
        x = torch.rand(2, 6, generator=torch.Generator().manual_seed(0)).requires_grad_(True)
        (gradient,) = torch.autograd.grad(model.reconstruct(x).sum(), x)
        assert torch.equal(gradient, torch.ones_like(x))

    def test_unused_codes_are_far(self):
        model, book = self.make(prior="uniform")
        usual = book[torch.zeros(20, 3, dtype=torch.int64)].flatten(1).numpy()
        rare = book[torch.full((1, 3), 2)].flatten(1).numpy()
        explainer = PXGen(model, intrinsic="code_usage", threshold=Fixed(1.0)).fit(usual)
        values = explainer.explain(np.concatenate([usual, rare])).values[:, 0]
        assert values[-1] > values[:-1].max()

    def test_a_wrong_codebook_or_axis_is_named(self):
        with pytest.raises(ParameterError, match="an axis of latent_shape"):
            VQVAE(
                encode=lambda x: x, decode=lambda z: z, modules=(), codebook=torch.zeros(4, 5),
                latent_shape=(3, 2), sample_shape=(6,),
            )  # fmt: skip
