"""LRP on whole networks: what it conserves, follows, refuses and promises."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from pxgen_plugins.adapters.attribution.lrp import DEFAULT_DATA_LRP, LRP
from pxgen_plugins.adapters.targets import Latent, Pixel
from pxgen_plugins.models import VAE
from pxgen_plugins.testing import ExplainerCase, explainer_checks, parametrize_with_checks
from pxgen_plugins.utils.errors import ModelError, ParameterError

from .nets import ConvNet, _seeded, conv_vae, mlp_vae

X = np.random.default_rng(0).random((3, 1, 8, 8), dtype=np.float32)


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
    return VAE(net, **shapes)


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
        encode=lambda x: (3 * x + x.flip(1), 0 * x - 1),
        decode=lambda z: z,
        modules=(),
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
    functional = VAE(encode=encode, decode=net.decode, modules=net, **shapes)
    one = LRP(functional, "kld", epsilon=0.0).explain(X)
    two = LRP(VAE(net, **shapes), "kld", epsilon=0.0).explain(X)
    np.testing.assert_allclose(one.attributions, two.attributions, rtol=1e-3, atol=1e-5)


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
    return VAE(net, **shapes), net


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


def test_what_is_overwritten_and_not_returned_is_followed():
    one, two = (LRP(odd_vae(odd)[0], Latent(0)).explain(Z) for odd in (Overwrites(), nn.ReLU()))
    np.testing.assert_allclose(one.attributions, two.attributions, rtol=1e-5, atol=1e-7)


def test_what_cannot_be_followed_is_refused():
    scripted = torch.jit.trace(nn.ReLU(), torch.zeros(2, 4))
    model, _ = odd_vae(scripted)
    with pytest.raises(ModelError, match="eager torch module"):
        LRP(model, Latent(0)).explain(Z)
    flat = VAE(
        encode=lambda x: (np.asarray(x)[:, :3], np.zeros((len(x), 3), "f4")),
        decode=lambda z: np.repeat(np.asarray(z), 2, 1),
        modules=(),
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
