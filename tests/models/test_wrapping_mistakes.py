"""Networks in unusual places, and what is said of calls that fail."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from pxgen_plugins import PXGen
from pxgen_plugins.criteria import Batch, make
from pxgen_plugins.models import GAN, VAE, Autoencoder, Tabular, wrap
from pxgen_plugins.thresholds import Fixed, Quantile
from pxgen_plugins.utils.errors import ModelError, ParameterError


class Plain:
    """No module itself, with networks in train mode, as training left them."""

    def __init__(self, nested: bool) -> None:
        net = nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 4))
        self.parts = {"net": net} if nested else None
        self.net = None if nested else net
        self.up = nn.Linear(2, 4)

    def encode(self, x):
        return (self.net or self.parts["net"])(x).chunk(2, 1)

    def decode(self, z):
        return self.up(z).sigmoid()


@pytest.mark.parametrize("nested", [False, True])
def test_networks_of_a_plain_object_are_evaluated_and_keep_their_statistics(nested):
    made = Plain(nested)
    net = made.net or made.parts["net"]
    before = net[1].running_mean.clone()
    with pytest.raises(ParameterError, match="modules must be given"):
        wrap(made, sample_shape=(4,))
    model = wrap(made, sample_shape=(4,), modules=[net, made.up])
    model.encode(torch.rand(9, 4))
    assert torch.equal(net[1].running_mean, before)
    assert net[1].training
    assert model.layers


def test_a_callable_object_names_its_modules():
    class Encoder:
        def __init__(self):
            self.net = nn.Sequential(nn.Linear(4, 4), nn.Dropout(0.9))

        def __call__(self, x):
            return self.net(x).chunk(2, 1)

    up = nn.Linear(2, 4)
    parts = {"encode": Encoder(), "decode": lambda z: up(z).sigmoid()}
    with pytest.raises(ParameterError, match="modules must be given"):
        VAE(**parts, sample_shape=(4,))
    model = VAE(**parts, modules=[parts["encode"].net, up], sample_shape=(4,))
    assert len(model.modules) == 2


class Net(nn.Module):
    def __init__(self, n_classes: int = 0) -> None:
        super().__init__()
        self.down, self.up = nn.Linear(6, 4), nn.Linear(2, 6)
        self.of_x, self.of_z = nn.Embedding(n_classes or 1, 6), nn.Embedding(n_classes or 1, 2)

    def encode(self, x, *y):
        return self.down(x + self.of_x(y[0]) if y else x).chunk(2, 1)

    def decode(self, z, *y):
        return self.up(z + self.of_z(y[0]) if y else z).sigmoid()


def test_a_conditional_module_is_wrapped():
    net = Net(3)
    model, x = wrap(net, condition=1, sample_shape=(6,)), torch.rand(5, 6)
    y = torch.full((5,), 1)
    assert torch.equal(model.encode(x)[0], net.encode(x, y)[0])
    assert torch.equal(model.reconstruct(x), net.decode(net.encode(x, y)[0], y))
    with pytest.raises(ModelError, match="condition"):
        wrap(net, condition=5, sample_shape=(6,))


def test_why_an_encoder_failed_is_told():
    with pytest.raises(ModelError, match=r"shape \(2, 7\).*RuntimeError") as found:
        wrap(Net(), sample_shape=(7,))
    assert isinstance(found.value.__cause__, RuntimeError)


def test_rows_on_which_a_tables_function_raises_are_invalid_and_the_others_are_not():
    draws = np.random.default_rng(0)
    like = pd.DataFrame({"a": draws.random(200) * 0.95, "c": draws.choice(list("xy"), 200)})

    class Resampled:
        def sample(self, num_rows):
            return like.sample(num_rows, replace=True)

    def rebuild(table):
        if (table["a"] > 0.96).any():
            raise ValueError("too large")
        return table.where(table["a"] < 0.955)  # and gaps for some

    model = Tabular(Resampled(), like, reconstruct=rebuild, modules=())
    explainer = PXGen(
        model, {"name": "sample_rank", "n_fit": 80}, "gower", threshold=Quantile(0.9, 64, 2)
    ).fit()
    odd = pd.DataFrame({"a": [0.97, 0.956], "c": ["x", "y"]})
    found = explainer.explain(pd.concat([like.head(20), odd]))
    assert found.invalid.tolist() == [20, 21]
    assert "ValueError: too large" in found.reasons[0]


def test_an_encoder_that_raises_on_data_to_learn_from_is_told():
    def encode(x):
        if bool((x > 0.99).any()):
            raise ValueError("too bright")
        return x[:, :2]

    model = Autoencoder(
        encode=encode,
        decode=lambda z: torch.cat([z, z], 1),
        modules=(),
        latent_shape=(2,),
        sample_shape=(4,),
        check=False,
    )
    X = np.random.default_rng(0).random((300, 4), dtype=np.float32)
    explainer = PXGen(
        model, "latent_neighbours", threshold=Fixed({"latent_neighbours": 1, "mse": 1})
    )
    with pytest.raises(ModelError, match=r"latent_neighbours.*too bright"):
        explainer.fit(X)


@pytest.mark.parametrize("kind", ["torch", "numpy"])
def test_networks_that_work_in_place_leave_the_anchors_as_they_are(kind):
    down, up = nn.Linear(4, 4), nn.Linear(2, 4)
    activation = nn.ReLU(inplace=True)

    def encode(x):
        if kind == "torch":
            return down(activation(x)).chunk(2, 1)
        np.clip(x, 0, None, out=x)
        return tuple(part.detach().numpy() for part in down(torch.as_tensor(x)).chunk(2, 1))

    def decode(z):
        if kind == "torch":
            return up(activation(z)).tanh()
        np.clip(z, 0, None, out=z)
        return up(torch.as_tensor(z)).tanh().detach().numpy()

    settings = {"latent_shape": (2,), "sample_shape": (4,), "data_range": (-1.0, 1.0)}
    model = VAE(encode=encode, decode=decode, modules=[down, up], **settings)
    copied = VAE(
        encode=lambda x: down(x.relu()).chunk(2, 1),
        decode=lambda z: up(z.relu()).tanh(),
        modules=[down, up],
        **settings,
    )
    x = 2 * torch.rand(30, 4) - 1
    with torch.no_grad():
        for name in ("mse", "kld"):
            given = [Batch(m, x.clone()) for m in (model, copied)]
            values = []
            for batch in given:
                assert batch.reconstruction.shape == x.shape  # before the code is used again
                values.append(make(name)(batch))
                assert torch.equal(batch.x, x)
            torch.testing.assert_close(*values)


def test_a_network_of_features_that_works_in_place_changes_no_anchor():
    class Echo:
        capabilities = frozenset({"reconstruct"})

        def reconstruct(self, x):
            return x + 0.5

    batch = Batch(Echo(), torch.rand(3, 4) - 0.5)
    kept = batch.x.clone()
    make({"name": "feature_distance", "network": nn.ReLU(inplace=True)})(batch)
    assert torch.equal(batch.x, kept)


@pytest.mark.parametrize(
    ("roles", "options", "named"),
    [
        ({"network": lambda x, t: x}, {}, "sample_shape"),
        ({"generator": lambda z: z}, {}, "sample_shape"),
        ({"generator": lambda z: z}, {"sample_shape": (4,)}, "latent_shape"),
        ({"network": lambda x, t: x}, {"sample_shape": (4,), "scale": "std"}, "scale"),
        (
            {"encode": lambda x: (x, x - 3), "decode": torch.sigmoid},
            {"sample_shape": (4,), "prior": torch.rand(3, 4)},
            "prior",
        ),
    ],
)
def test_options_of_another_family_and_missing_ones_are_named(roles, options, named):
    with pytest.raises(ParameterError, match=named):
        wrap(roles, modules=(), **options)


def test_a_generator_whose_backward_pass_fails_is_inverted_by_its_nearest_sample():
    weight = torch.rand(2, 6)

    def generate(z):
        return torch.exp(z @ weight).mul_(0.5).tanh()

    model = GAN(generate, modules=(), latent_shape=(2,), sample_shape=(6,), check=False)
    assert model.inversion.steps == 0


class Pictures(nn.Module):
    """A network of pictures with one channel, whose decoder ends in a tanh."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.Sequential(nn.Conv2d(1, 2, 3, 1, 1), nn.Flatten())
        self.mu, self.logvar = nn.Linear(32, 2), nn.Linear(32, 2)
        self.decoder = nn.Sequential(nn.Linear(2, 16), nn.Tanh(), nn.Unflatten(1, (1, 4, 4)))

    def forward(self, x):
        h = self.encoder(x)
        mean, log_var = self.mu(h), self.logvar(h)
        z = mean + torch.randn_like(mean) * (0.5 * log_var).exp()
        return self.decoder(z), mean, log_var


def test_advice_mends_the_mistake(tmp_path):
    """What each message says to write is right, for mistakes of a first day."""
    torch.manual_seed(0)
    net, steps = Pictures(), torch.linspace(1e-4, 0.02, 50)
    file = tmp_path / "net.pt"
    torch.save(net.state_dict(), file)
    noise = nn.Linear(4, 4)
    scores = {"network": lambda x, t: noise(x)}
    mistakes = [
        (lambda: wrap(net, sample_shape=(4, 4)), "sample_shape=(1, 4, 4)"),
        (lambda: wrap(net, sample_shape=(1, 4, 4)), "data_range=(-1, 1)"),
        (lambda: wrap(file), "load_state_dict"),
        (lambda: wrap(net.state_dict()), "load_state_dict"),
        (lambda: wrap(scores, modules=noise, sample_shape=(4,), schedule=steps), "(1 - betas)"),
        (lambda: PXGen(Pictures), "wrap(Pictures(...)"),
    ]
    for call, advice in mistakes:
        with pytest.raises((ParameterError, ModelError)) as caught:
            call()
        assert advice in str(caught.value)
    assert type(wrap(net, sample_shape=(1, 4, 4), data_range=(-1, 1))) is VAE
    wrap(scores, modules=noise, sample_shape=(4,), schedule=(1 - steps).cumprod(0))
