"""Files of torch.export against the modules they were exported from."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from captum.attr import Saliency
from torch import Tensor, nn
from torch.nn import functional

from pxgen_plugins import PXGen, models
from pxgen_plugins.datasets import load_mnist, load_mnist_gan, load_mnist_vae
from pxgen_plugins.errors import ModelError, ParameterError
from pxgen_plugins.models import from_torch_export, wrap
from pxgen_plugins.models.inversion import Inversion
from pxgen_plugins.models.sources.torch_export import ExportedFile
from pxgen_plugins.testing import check_model
from pxgen_plugins.thresholds import Quantile

FREE = torch.export.Dim("n", min=1, max=4096)


@pytest.fixture(autouse=True)
def seeded_weights():
    with torch.random.fork_rng():
        torch.random.set_rng_state(torch.Generator().manual_seed(0).get_state())
        yield


def export(
    net: nn.Module, path: Path, *given: Tensor, free: bool = True, train: bool = False
) -> Path:
    """Write a module, with a free batch axis or the example's."""
    sizes: Any = tuple({0: FREE} for _ in given) if free else None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        program = torch.export.export(net.train(train), given, dynamic_shapes=sizes)
        torch.export.save(program, path)
    return path


class Half(nn.Module):
    def __init__(self, net: nn.Module, method: str) -> None:
        super().__init__()
        self.net, self.method = net, method

    def forward(self, x):
        return getattr(self.net, self.method)(x)


class Residual(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.a, self.norm = nn.Conv2d(3, 8, 3, 1, 1), nn.GroupNorm(2, 8)
        self.b, self.batch = nn.Conv2d(8, 3, 3, 1, 1), nn.BatchNorm2d(3)
        self.relu, self.drop = nn.ReLU(inplace=True), nn.Dropout(0.3)

    def forward(self, x):
        h = self.drop(self.relu(self.norm(self.a(x))))
        return functional.adaptive_avg_pool2d(x + self.batch(self.b(h)), 4).flatten(1)


class Attention(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        layer = nn.TransformerEncoderLayer(16, 4, 32, batch_first=True)
        self.layers, self.places = nn.TransformerEncoder(layer, 2), nn.Embedding(10, 16)

    def forward(self, x):
        return self.layers(self.places(torch.arange(5, device=x.device))[None] + x)


class Recurrent(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.gru, self.lstm = nn.GRU(16, 8, batch_first=True), nn.LSTM(8, 4, batch_first=True)

    def forward(self, x):
        return self.lstm(self.gru(x)[0])[0]


class Assorted(nn.Module):
    """Parts, sizes as numbers, several results, buffers that are not kept."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(16, 16))
        self.tied = self.weight
        self.register_buffer("waves", torch.arange(8.0))
        self.register_buffer("ones", torch.ones(16), persistent=False)

    def forward(self, x):
        n = x.shape[0]
        left, right = torch.einsum("bsd,de->bse", x, self.weight * self.tied).chunk(2, -1)
        both = torch.cat([left.sin() * self.waves, right.masked_fill(right > 1, 0.5)], -1)
        highest, place = (both * self.ones).max(1)
        rows = torch.stack([highest, both.mean(1), both.std(1), x.new_zeros(n, 16)], 1)
        return rows.reshape(n, -1)[:, ::2], place.float(), functional.pad(rows, (1, 1)).double()


class Timed(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.line = nn.Linear(16, 16)

    def forward(self, x, t):
        waves = t[:, None] * torch.exp(torch.arange(8, device=t.device) * -0.5)
        return self.line(x) + torch.cat([waves.sin(), waves.cos()], 1)[:, None]


NETS = {
    "residual": (Residual, (3, 16, 16)),
    "attention": (Attention, (5, 16)),
    "recurrent": (Recurrent, (5, 16)),
    "assorted": (Assorted, (5, 16)),
}


@pytest.mark.parametrize("free", [True, False])
@pytest.mark.parametrize("name", NETS)
def test_a_file_computes_what_its_module_does(name, free, tmp_path):
    build, shape = NETS[name]
    net = build().eval()
    stored = ExportedFile(
        export(net, tmp_path / "net.pt2", torch.rand(3, *shape), free=free), "net"
    )
    assert stored.shape == shape
    for n in (1, 3, 7):
        x = torch.rand(n, *shape)
        kept = x.clone()
        with torch.no_grad():
            found, expected = stored(x), net(x)
        assert torch.equal(x, kept)  # also where the graph works in place
        pairs = zip(found, expected, strict=True) if name == "assorted" else [(found, expected)]
        for one, other in pairs:
            assert one.dtype == other.dtype
            torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-6)


def test_gradients_of_a_file_are_those_of_its_module(tmp_path):
    net = Residual()
    stored = ExportedFile(export(net, tmp_path / "net.pt2", torch.rand(2, 3, 16, 16)), "net")
    x = torch.rand(4, 3, 16, 16)
    found, expected = (Saliency(f).attribute(x.clone(), target=5) for f in (stored, net))
    torch.testing.assert_close(found, expected)
    assert sum(p.numel() for p in stored.parameters()) == sum(p.numel() for p in net.parameters())


def test_it_agrees_with_torchs_own_reader(tmp_path):
    path = export(Attention(), tmp_path / "net.pt2", torch.rand(2, 5, 16))
    own = torch.export.load(path).module()
    x = torch.rand(6, 5, 16)
    with torch.no_grad():
        assert torch.equal(ExportedFile(path, "net")(x), own(x))


def test_the_shipped_vae_is_the_same_as_files(tmp_path):
    net = load_mnist_vae()
    files = {
        "encoder": export(Half(net, "encode"), tmp_path / "encoder.pt2", torch.rand(2, 1, 28, 28)),
        "decoder": export(Half(net, "decode"), tmp_path / "d.pt2", torch.rand(2, net.latent_size)),
    }
    stored, live = wrap(files), wrap(net, sample_shape=(1, 28, 28))
    assert type(stored) is models.VAE
    assert stored.origin == "torch.export files: encoder encoder.pt2, decoder d.pt2"
    check_model(stored)
    x = load_mnist("test", digits=[0, 6])[0][:60, None] / np.float32(255)
    threshold = Quantile(0.99, 200, 2)
    first, second = (PXGen(m, threshold=threshold).fit().explain(x) for m in (stored, live))
    assert np.allclose(first.values, second.values, rtol=1e-5)
    assert np.array_equal(np.asarray(first.group), np.asarray(second.group))


def test_a_generator_is_inverted_by_descent(tmp_path):
    path = export(load_mnist_gan().generator, tmp_path / "generator.pt2", torch.rand(2, 32))
    model = wrap({"generator": path}, inversion=Inversion(steps=60, bank=64))
    assert type(model) is models.GAN
    assert model.inversion.steps == 60
    drawn = model.sample(4, 0)
    from_bank = wrap({"generator": path}, inversion=Inversion(steps=0, bank=64))
    errors = [(m.reconstruct(drawn) - drawn).square().mean() for m in (model, from_bank)]
    assert errors[0] < 0.5 * errors[1]


def test_a_network_of_time_makes_a_diffusion_model(tmp_path):
    path = export(Timed(), tmp_path / "n.pt2", torch.rand(2, 4, 16), torch.tensor([1, 2]))
    model = wrap({"network": path}, data_range=None, n_timesteps=20, steps=5)
    assert (type(model), model.sample_shape) == (models.Diffusion, (4, 16))
    check_model(model)


def test_an_encoder_with_one_result_makes_an_autoencoder(tmp_path):
    files = {
        "encoder": export(nn.Linear(6, 2), tmp_path / "e.pt2", torch.rand(2, 6)),
        "decoder": export(nn.Linear(2, 6), tmp_path / "d.pt2", torch.rand(2, 2)),
    }
    model = from_torch_export(files, data_range=None)
    assert (type(model), model.latent_shape) == (models.Autoencoder, (2,))


class Drawing(nn.Module):
    def forward(self, x):
        return x + torch.randn_like(x)


class Counting(nn.Module):
    def __init__(self, part: slice) -> None:
        super().__init__()
        self.part = part
        self.register_buffer("seen", torch.zeros(3))

    def forward(self, x):
        self.seen[self.part].add_(1)
        return x + self.seen.sum()


class WithoutGradient(nn.Module):
    def forward(self, x):
        with torch.no_grad():
            y = x * 2
        return y + 1


@pytest.mark.parametrize(
    ("net", "train", "named"),
    [
        (Drawing(), False, "randn_like"),
        (nn.Dropout(0.5), True, "dropout"),
        (nn.BatchNorm1d(6), True, "batch_norm"),
        (WithoutGradient(), False, "higher_order"),
    ],
)
def test_what_draws_or_learns_or_is_no_operator_is_refused(net, train, named, tmp_path):
    path = export(net, tmp_path / "net.pt2", torch.rand(2, 6), train=train)
    with pytest.raises(ModelError, match=named) as found:
        ExportedFile(path, "encoder")
    assert "eval()" in str(found.value)


@pytest.mark.parametrize("part", [slice(None), slice(1, None)])
def test_a_graph_that_changes_its_weights_is_refused_when_it_does(part, tmp_path):
    path = export(Counting(part), tmp_path / "net.pt2", torch.rand(2, 3))
    files = {"encoder": path, "decoder": path}
    with pytest.raises(ModelError, match="changes its own weights"):
        from_torch_export(files, data_range=None)


def test_a_functional_graph_that_keeps_a_state_is_refused(tmp_path):
    program = torch.export.export(Counting(slice(None)), (torch.rand(2, 3),))
    torch.export.save(program.run_decompositions(), tmp_path / "net.pt2")
    with pytest.raises(ModelError, match="buffer_mutation"):
        ExportedFile(tmp_path / "net.pt2", "encoder")


def test_a_shape_that_files_leave_open_must_be_given(tmp_path):
    sizes = ({0: FREE, 1: torch.export.Dim("d", min=2, max=64)},)
    program = torch.export.export(nn.Tanh(), (torch.rand(2, 6),), dynamic_shapes=sizes)
    torch.export.save(program, tmp_path / "net.pt2")
    files = {"encoder": tmp_path / "net.pt2", "decoder": tmp_path / "net.pt2"}
    with pytest.raises(ParameterError, match="sample_shape"):
        from_torch_export(files)
    model = from_torch_export(files, sample_shape=(6,), latent_shape=(6,), data_range=None)
    assert torch.equal(model.embed(torch.ones(2, 6)), torch.ones(2, 6).tanh())


@pytest.mark.parametrize(
    ("files", "named"),
    [
        ({"encoder": "absent.pt2"}, "encoder"),
        ({"coder": "absent.pt2"}, "coder"),
        ({}, "obj"),
    ],
)
def test_wrong_roles_and_paths_are_named(files, named):
    with pytest.raises(ParameterError, match=named):
        from_torch_export(files)
