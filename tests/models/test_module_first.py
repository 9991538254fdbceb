"""Every family takes its module first, finds the shapes that it can, and evaluates the module."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from pxgen_plugins.models import GAN, VQVAE, Autoencoder, Diffusion, Flow, LanguageModel, Tabular
from pxgen_plugins.utils.errors import ModelError, ParameterError


class Net(nn.Module):
    """Methods of all families, with dropout, which would show if it were not evaluated."""

    def __init__(self) -> None:
        super().__init__()
        self.drop, self.codebook = nn.Dropout(0.5), nn.Embedding(3, 2)
        self.down, self.up = nn.Linear(4, 2), nn.Linear(2, 4)

    def encode(self, x: Tensor) -> Tensor:
        return self.drop(self.down(x))

    def decode(self, z: Tensor) -> Tensor:
        return self.up(self.drop(z)).sigmoid()

    def log_prob(self, x: Tensor) -> Tensor:
        return -self.drop(x).square().sum(1)

    def embed(self, x: Tensor) -> Tensor:
        return self.drop(x) * 2

    def inverse(self, z: Tensor) -> Tensor:
        return self.drop(z) / 2

    def log_probs(self, texts: list[str]) -> list[Tensor]:
        return [-self.drop(torch.ones(len(text))) for text in texts]

    def vectors(self, texts: list[str]) -> Tensor:
        return self.drop(torch.tensor([[len(text), 1.0] for text in texts]))

    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        return self.drop(x)


@pytest.fixture
def net() -> Net:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return Net().train()


FAMILIES = {
    "autoencoder": lambda net: Autoencoder(net, sample_shape=(4,)),
    "autoencoder from codes": lambda net: Autoencoder(net, latent_shape=(2,)),
    "vqvae": lambda net: VQVAE(net, sample_shape=(4,), prior="uniform"),
    "flow": lambda net: Flow(net, embed="embed", decode="inverse", sample_shape=(4,)),
    "flow from noise": lambda net: Flow(net, decode="inverse", latent_shape=(4,)),
    "flow of a density": lambda net: Flow(net, sample_shape=(4,)),
    "diffusion": lambda net: Diffusion(net, sample_shape=(4,), steps=4),
    "language model": lambda net: LanguageModel(net, embed="vectors", max_chars=6),
}


@pytest.mark.parametrize("name", FAMILIES)
def test_the_module_comes_first_and_is_evaluated_while_it_is_called(name, net):
    model = FAMILIES[name](net)
    assert all(part.training for part in net.modules())
    x = model.rows(["abc", "b"]) if name == "language model" else torch.rand(5, 4)
    for method in ("embed", "reconstruct", "log_prob", "token_loss"):
        if method in model.capabilities:
            one, two = getattr(model, method)(x), getattr(model, method)(x)
            assert torch.equal(one, two)
    assert all(part.training for part in net.modules())
    assert model.sample_shape == ((6,) if name == "language model" else (4,))


def test_latent_shapes_are_found_where_they_can_be(net):
    assert Autoencoder(net, sample_shape=(4,)).latent_shape == (2,)
    assert VQVAE(net, sample_shape=(4,)).latent_shape == (2,)
    assert Flow(net, sample_shape=(4,)).latent_shape == (4,)
    assert GAN(net.decode, encoder=net.encode, sample_shape=(4,)).latent_shape == (2,)
    with pytest.raises(ParameterError, match="latent_shape must be given, where no encoder"):
        GAN(net.decode, sample_shape=(4,))


def test_a_generator_is_asked_for_the_shape_of_an_instance(net):
    assert GAN(net.decode, latent_shape=(2,)).sample_shape == (4,)
    conditional = GAN(
        lambda z, y: net.decode(z + y[:, None]), modules=net, n_classes=2, latent_shape=(2,)
    )
    assert conditional.sample_shape == (4,)
    assert conditional.modules == (net,)


def test_a_codebook_may_be_named(net):
    assert VQVAE(net, sample_shape=(4,)).n_codes == 3
    with pytest.raises(ParameterError, match=r"codebook must be finite entries"):
        VQVAE(net, codebook="book", sample_shape=(4,))


@pytest.mark.parametrize(
    "build",
    [
        lambda f: Autoencoder(encode=f, decode=f, sample_shape=(4,)),
        lambda f: VQVAE(encode=f, decode=f, codebook=torch.eye(4), sample_shape=(4,)),
        lambda f: GAN(f, latent_shape=(4,)),
        lambda f: GAN(nn.Identity(), discriminator=f, latent_shape=(4,)),
        lambda f: Diffusion(f, sample_shape=(4,)),
        lambda f: Flow(log_prob=f, sample_shape=(4,)),
        lambda f: LanguageModel(log_probs=f),
    ],
)
def test_a_function_without_modules_is_one_clear_error(build):
    with pytest.raises(ParameterError, match=r"modules must be given.* modules=\(\) for"):
        build(lambda x, *more: x)


def test_a_synthesizers_functions_are_no_exception():
    pandas = pytest.importorskip("pandas")
    data = pandas.DataFrame({"a": [1.0, 2.0, 3.0]})

    class Bootstrap:
        def sample(self, num_rows):
            return data.sample(num_rows, replace=True)

        def density(self, rows):
            return -rows["a"].to_numpy()

    assert Tabular(Bootstrap(), data, log_prob="density", modules=()).log_prob(torch.ones(1, 1))
    with pytest.raises(ParameterError, match="modules must be given"):
        Tabular(Bootstrap(), data, log_prob="density")


def test_what_draws_for_a_seed_needs_no_word(net):
    model = Autoencoder(net, sample_shape=(4,), prior=lambda n, seed: torch.zeros(n, 2))
    assert model.sample(2, 0).shape == (2, 4)
    with pytest.raises(ModelError, match="prior's result must be of shape"):
        Autoencoder(net, sample_shape=(4,), prior=lambda n, seed: torch.zeros(n, 3)).sample(2, 0)


def test_a_function_beside_a_module_may_hide_a_second_network_and_is_asked_about_it(net):
    other = Net().train()
    hidden = {"encode": lambda x: other.encode(x), "sample_shape": (4,)}
    with pytest.raises(ParameterError, match=r"modules must be given where encode is a function"):
        Autoencoder(net, **hidden)
    model = Autoencoder(net, modules=other, **hidden)
    x = torch.rand(3, 4)
    assert torch.equal(model.embed(x), other.eval().encode(x))
