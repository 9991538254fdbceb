"""Where a network ends: codes as diffusion models take them, named results, scores and samples."""

from __future__ import annotations

import copy
import dataclasses
import warnings
from collections import namedtuple

import numpy as np
import pytest
import torch
from torch import nn
from torch.distributions import Independent, Normal

from pxgen_plugins.criteria import Batch, make
from pxgen_plugins.models import GAN, VAE, from_diffusers, from_transformers, wrap
from pxgen_plugins.models.outputs import of_role
from pxgen_plugins.testing import check_model
from pxgen_plugins.utils.errors import ModelError


def uniform(*shape: int, seed: int = 1) -> torch.Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed))


def normal(*shape: int, seed: int = 2) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def blocks(channels: int) -> dict:
    return {
        "down_block_types": ("DownEncoderBlock2D",) * 2,
        "up_block_types": ("UpDecoderBlock2D",) * 2,
        "block_out_channels": (8, 8),
        "norm_num_groups": 4,
        "layers_per_block": 1,
        "sample_size": 16,
        "latent_channels": channels,
    }


class TestCodesOfDiffusers:
    """Against what the pipelines compute around the autoencoder, written out by hand."""

    def test_means_and_deviations_of_latents_are_those_of_the_sdxl_pipelines(self, diffusers):
        mean, std, factor = [1.0, -2.0, 3.0, 0.5], [2.0, 0.5, 1.0, 4.0], 0.5
        net = diffusers.AutoencoderKL(
            **blocks(4), latents_mean=mean, latents_std=std, scaling_factor=factor
        ).eval()
        model, x = from_diffusers(net), uniform(3, 3, 16, 16) * 2 - 1
        m, s = (torch.tensor(one).view(1, 4, 1, 1) for one in (mean, std))
        with torch.no_grad():
            theirs = net.encode(x).latent_dist
            codes, spread = (theirs.mean - m) * factor / s, theirs.std * factor / s
            z = normal(2, 4, 8, 8)
            images = net.decode(z * s / factor + m).sample.clamp(-1, 1)
        got, log_var = model.encode(x)
        assert torch.allclose(got, codes, atol=1e-5)
        assert torch.allclose((0.5 * log_var).exp(), spread, rtol=1e-4)
        assert torch.allclose(model.decode(z), images, atol=1e-5)
        kl = torch.distributions.kl_divergence(Normal(codes, spread), Normal(0.0, 1.0))
        assert torch.allclose(make("kld")(Batch(model, x)), kl.flatten(1).sum(1), rtol=1e-4)
        check_model(model, net)

    @pytest.mark.parametrize(
        ("name", "result", "settings"),
        [
            (
                "AutoencoderTiny",
                "latents",
                {
                    "encoder_block_out_channels": (8, 8),
                    "decoder_block_out_channels": (8, 8),
                    "num_encoder_blocks": (1, 1),
                    "num_decoder_blocks": (1, 1),
                    "shift_factor": 0.25,
                },
            ),
            (
                "AutoencoderDC",
                "latent",
                {
                    "latent_channels": 4,
                    "attention_head_dim": 4,
                    "encoder_block_out_channels": (8, 8),
                    "decoder_block_out_channels": (8, 8),
                    "encoder_layers_per_block": (1, 1),
                    "decoder_layers_per_block": (1, 1),
                    "encoder_qkv_multiscales": ((), ()),
                    "decoder_qkv_multiscales": ((), ()),
                },
            ),
        ],
    )
    def test_networks_that_give_codes_alone_become_autoencoders(
        self, diffusers, name, result, settings
    ):
        net = getattr(diffusers, name)(**settings, scaling_factor=0.5).eval()
        model = from_diffusers(net, sample_shape=(3, 16, 16))
        assert type(model).__name__ == "Autoencoder"
        x = uniform(3, 3, 16, 16) * 2 - 1
        with torch.no_grad():
            theirs = getattr(net.encode(x), result)
            rebuilt = net.decode(theirs).sample.clamp(-1, 1)
        shift = settings.get("shift_factor", 0.0)
        assert torch.allclose(model.embed(x), (theirs - shift) * 0.5, atol=1e-5)
        assert torch.allclose(model.reconstruct(x), rebuilt, atol=1e-5)
        check_model(model, net)

    def test_the_statistics_of_flux_2_are_those_of_its_patches(self, diffusers):
        net = diffusers.AutoencoderKLFlux2(**blocks(4)).eval()
        net.bn.running_mean.copy_(normal(16))
        net.bn.running_var.copy_(uniform(16) + 0.5)
        model, x = from_diffusers(net), uniform(2, 3, 16, 16) * 2 - 1

        def patches(
            latents,
        ):  # (b, c, h, w) to (b, 4 c, h / 2, w / 2): rows of a patch, then columns
            b, c, h, w = latents.shape
            split = latents.view(b, c, h // 2, 2, w // 2, 2)
            return split.permute(0, 1, 3, 5, 2, 4).reshape(b, 4 * c, h // 2, w // 2)

        with torch.no_grad():
            mean = net.encode(x).latent_dist.mean
            codes = nn.functional.batch_norm(
                patches(mean), net.bn.running_mean, net.bn.running_var, eps=net.bn.eps
            )
            rebuilt = net.decode(mean).sample.clamp(-1, 1)
        assert torch.allclose(patches(model.encode(x)[0]), codes, atol=1e-5)
        assert torch.allclose(model.reconstruct(x), rebuilt, atol=1e-5)


def test_a_flow_of_normflows_draws_at_the_temperature_of_its_base():
    flows = pytest.importorskip("normflows")
    base = flows.distributions.base.DiagGaussian(4, trainable=False)
    base.temperature = 0.5
    net = flows.NormalizingFlow(base, [flows.flows.Permute(4, mode="swap")]).eval()
    model = wrap(net, sample_shape=(4,), data_range=None)
    drawn = model.sample(4000, 0)
    assert abs(float(drawn.std()) - 0.5) < 0.02
    assert abs(float(model.embed(drawn).std()) - 1.0) < 0.04


@pytest.mark.parametrize("depth", [1, 2])
def test_the_text_part_of_a_composite_configuration_is_asked(depth):
    transformers = pytest.importorskip("transformers")
    tokenizers = pytest.importorskip("tokenizers")
    config = transformers.GPT2Config(
        vocab_size=3, n_positions=16, n_embd=8, n_layer=1, n_head=2, bos_token_id=0, eos_token_id=1
    )
    plain = transformers.GPT2LMHeadModel(config).eval()
    composite = copy.deepcopy(plain)
    outer = config
    for _ in range(depth):
        outer = transformers.PretrainedConfig(text_config=outer)
    composite.config = outer
    words = tokenizers.models.WordLevel({"<s>": 0, "</s>": 1, "a": 2}, unk_token="a")
    tokenizer = transformers.PreTrainedTokenizerFast(
        tokenizer_object=tokenizers.Tokenizer(words), bos_token="<s>", eos_token="</s>"
    )
    one, two = (from_transformers(net, tokenizer=tokenizer) for net in (plain, composite))
    assert two.origin.endswith(", 3 tokens")
    x = one.open_anchors(["a", "a"]).read(slice(None))[0]
    losses = [model.token_loss(torch.from_numpy(x)) for model in (one, two)]
    assert torch.equal(losses[0], losses[1])


Moments = namedtuple("Moments", "log_var mean")
Named = dataclasses.make_dataclass("Named", ["mu", "logvar", "z"])
Held = dataclasses.make_dataclass("Held", ["loss", "sample"])
MEAN, LOG_VAR = torch.tensor([[1.0, 2.0]]), torch.tensor([[-1.0, 0.5]])
SPREAD = (0.5 * LOG_VAR).exp()


@pytest.mark.parametrize(
    "value",
    [
        {"log_var": LOG_VAR, "mean": MEAN},
        Moments(LOG_VAR, MEAN),
        Named(MEAN, LOG_VAR, MEAN + 1),
        Normal(MEAN, SPREAD),
        Independent(Normal(MEAN, SPREAD), 1),
        {"latent_dist": Normal(MEAN, SPREAD), "loss": torch.zeros(1)},
    ],
)
def test_a_posterior_is_read_by_names_and_not_by_places(value):
    mean, log_var = of_role("encode", value)
    assert torch.equal(mean, MEAN)
    assert torch.allclose(log_var, LOG_VAR, atol=1e-6)


def test_other_results_are_one_part_by_name_or_refused():
    taken = [
        of_role("decode", Held(torch.zeros(1), MEAN)),
        of_role("decode", {"reconstruction": MEAN, "mask": LOG_VAR}),
        of_role("generator", (MEAN, None)),
        of_role("discriminator", {"logits": MEAN, "features": LOG_VAR}),
        of_role("embed", {"z": MEAN, "loss": LOG_VAR}),
    ]
    assert all(torch.equal(one, MEAN) for one in taken)
    with pytest.raises(ModelError, match=r"decode=lambda z: net\.decode\(z\)\['left'\]"):
        of_role("decode", {"left": MEAN, "right": LOG_VAR})
    for value in (MEAN + 1j, np.array([1j]), (MEAN, MEAN + 1j)):
        with pytest.raises(ModelError, match="real numbers"):
            of_role("encode", value)


def test_a_scale_is_refused_beside_a_posterior_that_names_itself():
    net = nn.Linear(4, 4)
    options = {"decode": lambda z: torch.cat([z, z], 1), "modules": net, "data_range": None}
    named = lambda x: Normal(net(x)[:, :2], 1.0 + net(x)[:, 2:].exp())  # noqa: E731
    with pytest.raises(ModelError, match="scale"):
        VAE(encode=named, scale="std", sample_shape=(4,), **options)


class TestDiscriminator:
    """Log odds come out, whether a sigmoid ends the network, or is inside it, or there is none."""

    def gan(self, discriminator, **options):
        return GAN(
            lambda z: torch.cat([z, z], 1), modules=(), latent_shape=(2,), sample_shape=(4,),
            data_range=None, discriminator=discriminator, **options,
        )  # fmt: skip

    def test_a_sigmoid_at_the_end_is_seen_in_silence(self):
        line, x = nn.Linear(4, 1), uniform(5, 4)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            ends = self.gan(nn.Sequential(line, nn.Sigmoid()))
            critic = self.gan(line)
            told = self.gan(nn.Sequential(line, nn.Sigmoid()), discriminator_output="logits")
        assert ends.discriminator_output == "probabilities"
        assert critic.discriminator_output == "logits"
        odds = line(x).detach()[:, 0]
        assert torch.allclose(ends.score(x), odds, atol=1e-4)
        assert torch.allclose(critic.score(x), odds, atol=1e-6)
        assert torch.allclose(told.score(x), odds.sigmoid(), atol=1e-6)  # as the user said

    def test_results_between_0_and_1_are_taken_for_probabilities_with_a_warning(self):
        line, x = nn.Linear(4, 1), uniform(5, 4)
        with pytest.warns(UserWarning, match="discriminator_output='probabilities'"):
            inside = self.gan(lambda x: line(x).detach().sigmoid())
        assert torch.allclose(inside.score(x), line(x).detach()[:, 0], atol=1e-4)

    def test_a_small_critic_is_not_taken_for_probabilities(self):
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            small = self.gan(lambda x: 0.5 + 0.01 * x.mean(1))
            same = self.gan(lambda x: x[:, 0] * 0 + 0.5)
        assert (small.discriminator_output, same.discriminator_output) == ("logits", "logits")


class Generator(nn.Module):
    """Twice the code; ``draw`` says how it samples by itself."""

    encoding_dims = 2

    def __init__(self, draw=None):
        super().__init__()
        self.line = nn.Linear(2, 4)
        if draw is not None:
            self.sample = lambda n: draw(self, n)

    def forward(self, z):
        return self.line(z)


class TestSamplesOfItsOwn:
    def wrapped(self, draw):
        return wrap(Generator(draw), sample_shape=(4,), data_range=None)

    def test_another_way_of_drawing_is_the_models(self):
        model = self.wrapped(lambda net, n: net(2.0 + 0.1 * torch.randn(n, 2)))
        line = model.modules[0].line.requires_grad_(False)
        codes = torch.linalg.lstsq(line.weight, (model.sample(500, 3) - line.bias).T).solution
        assert float((codes.mean(1) - 2.0).abs().max()) < 0.02  # N(2, 0.1^2), not N(0, 1)
        assert torch.equal(model.sample(5, 3), model.sample(5, 3))
        assert not torch.equal(model.sample(5, 3), model.sample(5, 4))
        assert "its own sample" in model.origin
        with pytest.raises(Exception, match="prior"):
            make("prior_nll").check(model)

    @pytest.mark.parametrize(
        ("draw", "origin"),
        [
            (None, ""),
            (lambda net, n: net(torch.randn(n, 2)), ""),  # what the family does anyway
            (lambda net, n: net(torch.randn(n + 1, 2)), "not used"),
            (lambda net, n: net(torch.full((n, 2), float("nan"))), "not used"),
            (lambda net, n: 1 / 0, "not used"),
        ],
    )
    def test_where_it_is_the_same_or_useless_codes_are_drawn_from_the_prior(self, draw, origin):
        model = self.wrapped(draw)
        assert model.own_sample is None
        assert origin in model.origin
        assert ("sample" in model.origin) == bool(origin)
        make("prior_nll").check(model)

    def test_the_global_state_is_not_touched(self):
        before = torch.random.get_rng_state()
        self.wrapped(lambda net, n: net(2.0 + torch.randn(n, 2))).sample(3, 0)
        after = torch.random.get_rng_state()
        # the weights are drawn from it, and nothing else
        torch.random.set_rng_state(before)
        Generator()
        assert torch.equal(torch.random.get_rng_state(), after)

    def test_codes_come_from_a_prior_that_is_a_distribution(self):
        net = Generator()
        net.prior = Independent(Normal(torch.tensor([3.0, -3.0]), torch.tensor([0.1, 0.1])), 1)
        model = wrap(net, sample_shape=(4,), data_range=None)
        means = model.sample(800, 0).mean(0)
        assert torch.allclose(means, net(torch.tensor([3.0, -3.0])).detach(), atol=0.03)


@pytest.mark.parametrize("kind", ["sparse", "nested"])
def test_sparse_and_nested_results_are_plain_ones(kind: str):
    def decode(z):
        x = z.repeat(1, 2).sigmoid()
        return x.to_sparse() if kind == "sparse" else torch.nested.nested_tensor(list(x))

    parts = {"encode": lambda x: (x[:, :2], x[:, 2:] - 1), "modules": (), "sample_shape": (4,)}
    plain = VAE(**parts, latent_shape=(2,), decode=lambda z: z.repeat(1, 2).sigmoid())
    found = VAE(**parts, latent_shape=(2,), decode=decode)
    z = torch.linspace(-1, 1, 6).reshape(3, 2)
    assert torch.equal(found.decode(z), plain.decode(z))
    with pytest.raises(ModelError, match="of one shape"):
        VAE(**parts, latent_shape=(2,), decode=lambda z: torch.nested.nested_tensor(
            [torch.rand(4 + i % 2) for i in range(len(z))]))  # fmt: skip
