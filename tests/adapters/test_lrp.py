"""LRP against dense matrices, captum, and what the method promises."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F

from pxgen_plugins.adapters.lrp import DEFAULT_DATA_LRP, LRP
from pxgen_plugins.adapters.targets import Latent, Pixel
from pxgen_plugins.errors import ModelError, ParameterError
from pxgen_plugins.models import VAE
from pxgen_plugins.testing import ExplainerCase, explainer_checks, parametrize_with_checks

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
    return VAE(net.encode, net.decode, latent_shape=(4,), sample_shape=(1, 8, 8))


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


class Plain(nn.Module):
    """Without biases, so nothing is absorbed; residual, pooled and concatenated on the way."""

    def __init__(self):
        super().__init__()
        self.inner = nn.Conv2d(2, 2, 3, padding=1, bias=False)
        self.first = nn.Conv2d(1, 2, 3, padding=1, bias=False)
        self.head = nn.Linear(2 * (16 + 4), 3, bias=False)
        self.tail = nn.ConvTranspose2d(3, 1, 8, bias=False)
        self.other = nn.Linear(3, 3)
        _seeded(self, 1)

    def encode(self, x):
        h = torch.relu(self.first(x))
        h = h + F.leaky_relu(self.inner(h), 0.1)
        one, two = F.avg_pool2d(h, 2), F.max_pool2d(h, 4)
        h = torch.cat([one.flatten(1), two.flatten(1)], 1)
        mean = self.head(h)
        return mean, self.other(torch.softmax(mean, 1))

    def decode(self, z):
        return self.tail(z[:, :, None, None])


def plain_vae():
    net = Plain().double()
    shapes = {"latent_shape": (3,), "sample_shape": (1, 8, 8), "data_range": None}
    return VAE(net.encode, net.decode, **shapes)


@pytest.mark.parametrize("rule", ["epsilon", "gamma"])
def test_nothing_is_lost_in_a_network_without_biases(rule):
    for target in (Latent(0), Pixel(0, 2, 2), "mse"):
        found = LRP(plain_vae(), target, rule=rule, epsilon=0.0).explain(X)
        assert np.abs(found.absorbed).max() < 1e-12 * np.abs(found.start_relevance).max() + 1e-14
        np.testing.assert_allclose(found.relevance_sum, found.start_relevance, rtol=1e-10)


def test_without_biases_and_epsilon_it_is_input_times_gradient():
    model = plain_vae()
    found = LRP(model, Latent(1), epsilon=0.0).explain(X)
    x = torch.from_numpy(X).double().requires_grad_()
    (grad,) = torch.autograd.grad(model.encode(x)[0][:, 1].sum(), x)
    np.testing.assert_allclose(found.attributions, (x * grad).detach(), rtol=1e-5, atol=1e-7)


def test_gamma_zero_is_epsilon():
    one = LRP(conv_vae(), "mse", rule="gamma", gamma=0.0, epsilon=0.01).explain(X)
    two = LRP(conv_vae(), "mse", rule="epsilon", epsilon=0.01).explain(X)
    np.testing.assert_allclose(one.attributions, two.attributions, rtol=1e-3, atol=1e-5)


def test_a_sum_shares_relevance_in_proportion_to_the_summands():
    model = VAE(
        lambda x: (3 * x + x.flip(1), 0 * x - 1),
        lambda z: z,
        latent_shape=(2,),
        sample_shape=(2,),
        data_range=None,
    )
    found = LRP(model, Latent(0), epsilon=0.0).explain(np.array([[2.0, 5.0]], "f4"))
    assert found.attributions.tolist() == [[6.0, 5.0]]


def test_functional_code_is_followed_as_modules_are():
    net = ConvNet(2)

    def encode(x):
        c1, c2, norm = net.encoder.conv1, net.encoder.conv2, net.encoder.norm1
        h = F.conv2d(input=x, weight=c1.weight, bias=c1.bias, stride=2, padding=1)
        h = F.batch_norm(h, norm.running_mean, norm.running_var, norm.weight, norm.bias)
        h = h.relu_()
        h = F.relu(F.conv2d(h, c2.weight, c2.bias, 2, 1), inplace=True).reshape(len(x), -1)
        mean = h @ net.mean.weight.T + net.mean.bias
        return mean, net.log_var(h)

    shapes = {"latent_shape": (4,), "sample_shape": (1, 8, 8)}
    functional = VAE(encode, net.decode, modules=net, **shapes)
    one = LRP(functional, "kld", epsilon=0.0).explain(X)
    two = LRP(VAE(net.encode, net.decode, **shapes), "kld", epsilon=0.0).explain(X)
    np.testing.assert_allclose(one.attributions, two.attributions, rtol=1e-3, atol=1e-5)


def chain_vae(*layers, d=6, out=3):
    net = nn.Sequential(*layers).eval()
    return VAE(
        lambda x: (net(x).flatten(1), torch.zeros(len(x), out) - 1),
        lambda z: z.sum(1, keepdim=True).expand(-1, d),
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
        lambda a: (layer(a).flatten(1), torch.zeros(len(a), out)),
        lambda z: z[:, :1].expand(-1, int(np.prod(shape))).reshape(-1, *shape),
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
        lambda x: (head(x), torch.zeros(len(x), 3)),
        lambda z: z[:, :1, None, None].expand(-1, 1, 8, 8),
        latent_shape=(3,),
        sample_shape=(1, 8, 8),
        data_range=None,
        modules=head,
    )
    found = LRP(model, Latent(2), epsilon=1e-9).explain(X)
    expected = captum.LRP(head).attribute(torch.from_numpy(X), target=2).detach().numpy()
    scale = np.abs(expected).max()
    np.testing.assert_allclose(found.attributions / scale, expected / scale, atol=1e-4)


class Odd(nn.Module):
    """A network with one layer that has no rule."""

    def __init__(self, odd):
        super().__init__()
        self.first, self.odd, self.head = nn.Linear(6, 4), odd, nn.Linear(4, 3)
        _seeded(self, 0)

    def encode(self, x):
        h = self.first(x)
        return self.head(self.odd(h)), h[:, :3].exp().log()

    def decode(self, z):
        return z.sum(1, keepdim=True).expand(-1, 6)


class Gate(nn.Module):
    def forward(self, x):
        return x * torch.sigmoid(x)


class Overwrites(nn.Module):
    def forward(self, x):
        torch.relu_(x)
        return x


def odd_vae(odd):
    net = Odd(odd)
    shapes = {"latent_shape": (3,), "sample_shape": (6,), "data_range": None}
    return VAE(net.encode, net.decode, **shapes), net


Z = np.random.default_rng(2).normal(size=(2, 6)).astype("f4")


@pytest.mark.parametrize(
    ("odd", "named"),
    [
        (nn.LayerNorm(4), "'odd' (LayerNorm), layer_norm"),
        (nn.Softmax(1), "'odd' (Softmax), softmax"),
        (Gate(), "'odd' (Gate), mul"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_layer_without_a_rule_is_named(odd, named):
    model, net = odd_vae(odd)
    before = {name: value.clone() for name, value in net.state_dict().items()}
    with pytest.raises(ModelError, match="layer must be one that has a rule") as caught:
        LRP(model, Latent(0)).explain(Z)
    assert named in str(caught.value)
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())
    assert all(not m._forward_hooks and "forward" not in m.__dict__ for m in net.modules())
    assert torch.equal(torch.relu(torch.tensor([-1.0])), torch.zeros(1))  # no mode is left


def test_a_layer_without_a_rule_off_the_path_is_harmless():
    model, _ = odd_vae(nn.ReLU())
    assert LRP(model, Latent(0)).explain(Z).invalid.size == 0  # exp and log lead to the variance
    with pytest.raises(ModelError, match="got log"):
        LRP(model, "kld").explain(Z)


def test_what_cannot_be_followed_is_refused():
    model, _ = odd_vae(Overwrites())
    with pytest.raises(ModelError, match="in-place"):
        LRP(model, Latent(0)).explain(Z)
    scripted = torch.jit.trace(nn.ReLU(), torch.zeros(2, 4))
    model, _ = odd_vae(scripted)
    with pytest.raises(ModelError, match="eager torch module"):
        LRP(model, Latent(0)).explain(Z)
    flat = VAE(
        lambda x: (np.asarray(x)[:, :3], np.zeros((len(x), 3), "f4")),
        lambda z: np.repeat(np.asarray(z), 2, 1),
        latent_shape=(3,),
        sample_shape=(6,),
        data_range=None,
    )
    with pytest.raises(ModelError, match="differentiable"):
        LRP(flat, Latent(0)).explain(Z)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"rule": "gama"}, "LRP: rule must be one of .* Did you mean 'gamma'"),
        ({"epsilon": -1.0}, "LRP: epsilon must be a finite number >= 0"),
        ({"gamma": float("nan")}, "LRP: gamma must be"),
        ({"target": "latent[9]"}, "LRP: Latent index must be below 4"),
        ({"target": "pixel[0, 1]"}, "Pixel position must be inside"),
        ({"space": "pixels"}, "LRP: space must be one of"),
    ],
)
def test_wrong_arguments_are_refused(options, message):
    with pytest.raises(ParameterError, match=message):
        LRP(mlp_vae(), **options)


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


def make(predictor, **options):
    return LRP(predictor, "mse", rule="gamma", **options)


def grown_vae():
    return mlp_vae(hidden=1200)


CASES = [
    ExplainerCase(
        "LRP",
        make=make,
        make_predictor=conv_vae,
        X=X,
        make_other=lambda: conv_vae(1),
        make_grown=grown_vae,
        module=lambda model: model._evaluating.modules[0],
        data_keys=frozenset(DEFAULT_DATA_LRP) | {"evidence"},
        X_invalid=np.where(np.arange(3)[:, None, None, None] == 1, np.nan, X),
        many=400,
        expected_failures={
            "json_holds_no_copy_of_the_input": "an attribution has the shape of its anchor",
        },
    )
]


@parametrize_with_checks(CASES, explainer_checks())
def test_lrp_keeps_the_contract(subject, check):
    check(subject)
