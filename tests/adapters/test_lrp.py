"""LRP against dense matrices, captum, and what the method promises."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from pxgen_plugins.adapters.attribution.lrp import LRP
from pxgen_plugins.adapters.targets import Latent, Pixel
from pxgen_plugins.models import VAE

from .faces import FACES, face_vae, faces
from .nets import ConvNet, MLPNet, _seeded, conv_vae, mlp_vae

X = np.random.default_rng(0).random((3, 1, 8, 8), dtype=np.float32)
LINEAR = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.ConvTranspose1d, nn.ConvTranspose2d)
NORMS = (nn.BatchNorm1d, nn.BatchNorm2d)


def matrix_of(layer, x):
    """The layer as a dense matrix and a bias, by what it does to unit vectors."""
    with torch.no_grad():
        zero = layer(torch.zeros_like(x)).flatten()
        units = torch.eye(x.numel(), dtype=x.dtype).reshape(-1, *x.shape[1:])
        columns = torch.stack([layer(unit[None]).flatten() for unit in units])
    return (columns - zero).numpy(), zero.numpy()


def oracle_layer(a, W, b, z, R, rule, epsilon, gamma):
    """One layer's relevance from the definitions, contribution by contribution."""
    moved = np.zeros_like(W)
    for k in range(W.shape[1]):
        parts, rest = a * W[:, k], b[k]
        if rule == "gamma":
            sign = 1 if z[k] > 0 else -1
            parts = parts + gamma * np.where(sign * parts > 0, parts, 0)
            rest = rest + gamma * (rest if sign * rest > 0 else 0)
        elif rule == "z+":
            parts, rest = np.maximum(parts, 0), 0.0
        total = parts.sum() + rest
        total += epsilon if total >= 0 else -epsilon
        if total != 0:
            moved[:, k] = parts / total * R[k]
    return moved.sum(1)


def oracle(modules, x, start, rule="epsilon", epsilon=1e-6, gamma=0.25):
    """Relevance of one input (1, *shape) of a chain of modules, in float64."""
    steps = []
    for module in modules:
        with torch.no_grad():
            out = module(x)
        steps.append((module, x, out))
        x = out
    R = start(x).flatten().numpy()
    for module, given_, out in reversed(steps):
        if not isinstance(module, LINEAR + NORMS):
            assert given_.numel() == out.numel(), "the oracle has no pooling"
            continue
        W, b = matrix_of(module, given_)
        own = "epsilon" if isinstance(module, NORMS) else rule
        a, z = given_.flatten().numpy(), out.flatten().numpy()
        R = oracle_layer(a, W, b, z, R, own, epsilon, gamma)
    return R


def unit(index):
    def start(out):
        flat = torch.zeros_like(out.flatten())
        flat[index] = out.flatten()[index]
        return flat

    return start


def chains(net):
    net = net.double().eval()
    return [*net.encoder, net.mean], list(net.decoder)


def double(net):
    return VAE(net, latent_shape=(4,), sample_shape=(1, 8, 8))


@pytest.mark.parametrize("rule", ["epsilon", "gamma", "z+"])
@pytest.mark.parametrize("kind", [MLPNet, ConvNet])
def test_relevance_of_a_latent_equals_the_dense_matrices(kind, rule):
    net = kind(3)
    encoder, _ = chains(net)
    found = LRP(double(net), Latent(2), rule=rule, epsilon=1e-3, gamma=0.4).explain(X)
    for x, relevance in zip(torch.from_numpy(X).double(), found.attributions, strict=True):
        expected = oracle(encoder, x[None], unit(2), rule, 1e-3, 0.4)
        np.testing.assert_allclose(relevance.ravel(), expected, rtol=2e-5, atol=1e-6)


@pytest.mark.parametrize("rule", ["epsilon", "gamma", "z+"])
@pytest.mark.parametrize("kind", [MLPNet, ConvNet])
def test_relevance_of_a_pixel_in_latent_space_equals_the_dense_matrices(kind, rule):
    net = kind(4)
    _, decoder = chains(net)
    model = double(net)
    options = {"rule": rule, "epsilon": 1e-3, "gamma": 0.4}
    found = LRP(model, Pixel(0, 3, 5), space="latent", **options).explain(X)
    codes = model.encode(torch.from_numpy(X).double())[0].detach()
    assert found.evidence == "latent_attribution"
    for z, relevance in zip(codes, found.attributions, strict=True):
        expected = oracle(decoder, z[None], unit(29), rule, 1e-3, 0.4)
        np.testing.assert_allclose(relevance, expected, rtol=2e-5, atol=1e-6)


def test_a_criterion_starts_with_output_times_its_derivative():
    net = ConvNet(5)
    _, decoder = chains(net)
    model = double(net)
    found = LRP(model, "mse", space="latent", epsilon=1e-3).explain(X)
    anchors = torch.from_numpy(X).double()
    codes = model.encode(anchors)[0].detach()
    for i in range(len(X)):
        start = lambda out, x=anchors[i]: out * 2 * (out - x) / 64  # noqa: E731
        expected = oracle(decoder, codes[i : i + 1], start, epsilon=1e-3)
        np.testing.assert_allclose(found.attributions[i], expected, rtol=2e-5, atol=1e-7)
        begun = start(model.decode(codes[i : i + 1]).detach()).sum()
        assert found.start_relevance[i] == pytest.approx(float(begun), rel=1e-6)


def test_an_anchor_that_the_criterion_reads_itself_gets_its_own_share():
    net = MLPNet(5).double()
    model = double(net)
    whole = LRP(model, "mse").explain(X).attributions

    def detached(batch):
        return (batch.x.detach() - batch.reconstruction).square().flatten(1).mean(1)

    through = LRP(model, detached).explain(X).attributions
    x = torch.from_numpy(X).double()
    own = x * 2 * (x - model.reconstruct(x).detach()) / 64
    np.testing.assert_allclose(whole, through + own.numpy(), atol=1e-6)


@pytest.mark.parametrize("rule", ["epsilon", "gamma", "z+"])
@pytest.mark.parametrize("space", ["input", "latent"])
def test_the_start_is_the_outputs_own_value(rule, space):
    for model in (mlp_vae(), conv_vae()):
        for target in (Latent(1), Pixel(0, 4, 4)):
            found = LRP(model, target, space=space, rule=rule).explain(X)
            np.testing.assert_allclose(found.start_relevance, found.target_values, rtol=1e-4)
            total = found.relevance_sum + found.absorbed
            np.testing.assert_allclose(total, found.start_relevance, rtol=1e-6)


def chain_vae(*layers, d=6, out=3):
    net = nn.Sequential(*layers).eval()
    return VAE(
        encode=lambda x: (net(x).flatten(1), torch.zeros(len(x), out) - 1),
        decode=lambda z: z.sum(1, keepdim=True).expand(-1, d),
        latent_shape=(out,),
        sample_shape=(d,),
        data_range=None,
        modules=net,
    )


ACTIVATIONS = [nn.ReLU(), nn.LeakyReLU(0.2), nn.ELU(), nn.SiLU(), nn.GELU(), nn.Tanh()]
ACTIVATIONS += [nn.Sigmoid(), nn.Softplus(), nn.Dropout(), nn.Identity(), nn.ReLU(inplace=True)]


@pytest.mark.parametrize("activation", ACTIVATIONS, ids=str)
def test_activations_hand_relevance_through(activation):
    layers = [nn.Linear(6, 5), activation, nn.BatchNorm1d(5), nn.Linear(5, 3)]
    for seed, layer in enumerate(layers):
        _seeded(layer, seed)
    x = np.random.default_rng(1).normal(size=(2, 6)).astype("f4")
    found = LRP(chain_vae(*layers), Latent(1), epsilon=1e-2).explain(x)
    for row, relevance in zip(torch.from_numpy(x), found.attributions, strict=True):
        expected = oracle(layers, row[None], unit(1), epsilon=1e-2)
        np.testing.assert_allclose(relevance, expected, rtol=1e-3, atol=1e-5)


@settings(max_examples=25, deadline=None)
@given(
    transposed=st.booleans(),
    kernel=st.integers(1, 4),
    stride=st.integers(1, 3),
    padding=st.integers(0, 1),
    dilation=st.integers(1, 2),
    groups=st.sampled_from([1, 2]),
    rule=st.sampled_from(["epsilon", "gamma", "z+"]),
    sides=st.integers(1, 2),
    seed=st.integers(0, 99),
)
def test_every_convolution_equals_its_dense_matrix(
    transposed, kernel, stride, padding, dilation, groups, rule, sides, seed
):
    kinds = {
        (False, 1): nn.Conv1d,
        (False, 2): nn.Conv2d,
        (True, 1): nn.ConvTranspose1d,
        (True, 2): nn.ConvTranspose2d,
    }
    padding = min(padding, kernel - 1)
    layer = kinds[transposed, sides](
        2, 4, kernel, stride, padding, groups=groups, dilation=dilation
    ).double()
    shape = (2, *([7] * sides))
    x = np.random.default_rng(seed).normal(size=(1, *shape))
    out = layer(torch.from_numpy(x)).numel()
    model = VAE(
        encode=lambda a: (layer(a).flatten(1), torch.zeros(len(a), out)),
        decode=lambda z: z[:, :1].expand(-1, int(np.prod(shape))).reshape(-1, *shape),
        latent_shape=(out,),
        sample_shape=shape,
        data_range=None,
        modules=layer,
    )
    index = seed % out
    found = LRP(model, Latent(index), rule=rule, epsilon=1e-4).explain(x)
    expected = oracle([layer], torch.from_numpy(x), unit(index), rule, 1e-4)
    np.testing.assert_allclose(found.attributions.ravel(), expected, rtol=1e-5, atol=1e-6)


def test_it_agrees_with_captum_where_captum_has_rules():
    captum = pytest.importorskip("captum.attr")

    class Head(nn.Module):
        def __init__(self):
            super().__init__()
            self.body = nn.Sequential(
                nn.Conv2d(1, 4, 3, padding=1),
                nn.BatchNorm2d(4),
                nn.ReLU(),
                nn.MaxPool2d(2),
                nn.Conv2d(4, 3, 3),
                nn.Tanh(),
                nn.AvgPool2d(2),
            )
            self.adapt = nn.AdaptiveAvgPool2d(1)
            self.linear = nn.Linear(3, 3)
            _seeded(self, 7)

        def forward(self, x):
            return self.linear(self.adapt(self.body(x)).reshape(len(x), -1))

    head = Head().eval()
    model = VAE(
        encode=lambda x: (head(x), torch.zeros(len(x), 3)),
        decode=lambda z: z[:, :1, None, None].expand(-1, 1, 8, 8),
        latent_shape=(3,),
        sample_shape=(1, 8, 8),
        data_range=None,
        modules=head,
    )
    found = LRP(model, Latent(2), epsilon=1e-9).explain(X)
    expected = captum.LRP(head).attribute(torch.from_numpy(X), target=2).detach().numpy()
    scale = np.abs(expected).max()
    np.testing.assert_allclose(found.attributions / scale, expected / scale, atol=1e-4)


@pytest.mark.shared
@FACES
def test_faces_of_the_published_model_conserve_what_biases_do_not_take():
    model = face_vae()
    X = faces(model, 2)
    for rule in ("epsilon", "gamma", "z+"):
        found = LRP(model, "mse", rule=rule, epsilon=1e-4).explain(X)
        assert found.attributions.shape == X.shape
        assert not found.invalid.size
        gap = found.start_relevance - found.relevance_sum - found.absorbed
        np.testing.assert_allclose(gap, 0.0, atol=1e-9)
