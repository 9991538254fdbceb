"""The VAE family: its protocol, its self-check, and that it leaves the user's module alone."""

from __future__ import annotations

import copy
import functools
import math
import threading
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from pxgen_plugins import models
from pxgen_plugins.criteria import Batch, make
from pxgen_plugins.datasets import load_mnist_vae
from pxgen_plugins.models import VAE, BlackBox, Model, wrap
from pxgen_plugins.utils.errors import CapabilityError, ModelError, ParameterError
from tests.conftest import TinyNet, tiny_vae

SHAPES: dict[str, Any] = {"latent_shape": (3,), "sample_shape": (1, 8, 8)}


def test_it_follows_the_protocol(vae):
    assert isinstance(vae, Model)
    assert models.capabilities(vae) >= {"sample", "encode", "decode", "reconstruct"}
    assert models.get("vae") is VAE


def test_samples_depend_on_the_seed_alone(vae):
    state = torch.get_rng_state()
    one, again, other = vae.sample(5, 3), vae.sample(5, 3), vae.sample(5, 4)
    assert torch.equal(one, again)
    assert not torch.equal(one, other)
    assert torch.equal(torch.get_rng_state(), state)


def test_samples_carry_no_graph(vae):
    assert not vae.sample(2, seed=0).requires_grad
    assert vae.decode(torch.zeros(1, *vae.latent_shape)).requires_grad  # attributions need it


def test_samples_are_decoded_prior_draws(net, vae):
    z = torch.randn(4, 3, generator=torch.Generator().manual_seed(9))
    assert torch.allclose(vae.sample(4, 9), net.eval().decode(z))


@pytest.mark.parametrize(
    "wrap",
    [
        lambda net: {"module": net},
        lambda net: {"encode": net.encode, "decode": net.decode},
        lambda net: {"module": net, "encode": lambda x: net.encode(x), "modules": ()},
        lambda net: {
            "encode": lambda x: net.encode(x),
            "decode": functools.partial(net.decode),
            "modules": net,
        },
    ],
    ids=["module", "methods", "module and function", "functions"],
)
def test_dropout_is_off_during_calls_and_every_flag_restored(wrap):
    net = TinyNet().train()
    net.mean.eval()
    before = [m.training for m in net.modules()]
    vae = VAE(**wrap(net), **SHAPES)
    assert vae.modules == (net,)
    x = torch.rand(3, 1, 8, 8)
    assert torch.equal(vae.encode(x)[0], vae.encode(x)[0])
    assert [m.training for m in net.modules()] == before


NET, HIDDEN = TinyNet().eval(), TinyNet().train()


class Holder:
    def encode(self, x):
        return HIDDEN.encode(x)

    def decode(self, z):
        return HIDDEN.decode(z)


@pytest.mark.parametrize(
    ("encode", "decode"),
    [
        (lambda x: HIDDEN.encode(x), HIDDEN.decode),
        (functools.partial(HIDDEN.encode), HIDDEN.decode),
        (HIDDEN.encode, Holder().decode),
        (torch.sigmoid, torch.sigmoid),
    ],
    ids=["lambda", "partial", "method of a plain object", "built-in"],
)
def test_a_function_that_may_hide_a_network_needs_modules(encode, decode):
    with pytest.raises(ParameterError, match=r"VAE: modules must be given.*modules=\(\) for"):
        VAE(encode=encode, decode=decode, **SHAPES)


def test_the_modules_inside_functions_are_evaluated_and_found():
    held = Holder()
    with pytest.raises(ModelError, match=r"repeatable.*modules="):
        VAE(held, modules=(), **SHAPES)
    vae = VAE(held, modules=HIDDEN, **SHAPES)
    assert HIDDEN.training
    assert vae.layers.keys() >= {"body.0", "mean"}
    for wrong in ("net", 3, [HIDDEN, "net"]):
        with pytest.raises(ParameterError, match="modules must be a torch module"):
            VAE(held, modules=wrong, **SHAPES)


def test_modules_are_counted_once_and_the_outermost_only():
    net = TinyNet()
    vae = VAE(net, encode=net.encode, modules=[net.body, net.out], **SHAPES)
    assert vae.modules == (net,)


class TestShapes:
    def test_one_is_found_from_the_other(self):
        assert VAE(NET, sample_shape=(1, 8, 8)).latent_shape == (3,)
        assert VAE(NET, latent_shape=(3,)).sample_shape == (1, 8, 8)

    def test_one_of_them_is_needed(self):
        with pytest.raises(ParameterError, match="sample_shape must be given, or latent_shape"):
            VAE(NET)

    def test_what_cannot_be_asked_is_named(self):
        with pytest.raises(ModelError, match=r"batch of shape \(2, 3, 3\)"):
            VAE(NET, sample_shape=(3, 3))
        with pytest.raises(ModelError, match="decode must be a callable that returns instances"):
            VAE(NET, modules=(), decode=lambda z: None, latent_shape=(3,))

    def test_both_are_checked_when_given(self):
        with pytest.raises(ModelError, match="decode"):
            VAE(NET, latent_shape=(4,), sample_shape=(1, 8, 8))


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ({}, "'encode' and no module"),
        ({"module": nn.Identity()}, "which Identity has not"),
        ({"module": nn.Identity(), "encode": "forward"}, "decode must be callable"),
    ],
)
def test_a_method_that_is_not_there_is_named(arguments, text):
    with pytest.raises(ParameterError, match=text):
        VAE(**arguments, **SHAPES)


def test_flags_are_restored_after_an_exception():
    net = TinyNet().train()
    vae = VAE(net, **SHAPES)
    with pytest.raises(RuntimeError):
        vae.encode(torch.rand(2, 5))
    assert all(m.training for m in net.modules())


def test_threads_do_not_disturb_each_others_mode():
    net = TinyNet().train()
    vae = VAE(net, **SHAPES)
    x = torch.rand(8, 1, 8, 8)
    expected = vae.encode(x)[0]
    wrong = []

    def work():
        wrong.extend(1 for _ in range(50) if not torch.equal(vae.encode(x)[0], expected))

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
    assert all(m.training for m in net.modules())


def test_a_vae_can_be_copied():
    vae = copy.deepcopy(tiny_vae())
    assert torch.equal(vae.sample(2, 0), tiny_vae().sample(2, 0))


def test_numpy_callables_give_the_same_as_torch_ones(images):
    rng = np.random.default_rng(0)
    w, v = rng.normal(size=(64, 3)).astype(np.float32), rng.normal(size=(3, 64)).astype(np.float32)

    def encode(x):
        assert isinstance(x, np.ndarray)
        flat = x.reshape(len(x), -1)
        return flat @ w, -np.abs(flat @ w) * 0.1

    def decode(z):
        assert isinstance(z, np.ndarray)
        return (1 / (1 + np.exp(-z @ v))).reshape(-1, 1, 8, 8)

    tw, tv = torch.from_numpy(w), torch.from_numpy(v)
    torch_vae = VAE(
        encode=lambda x: (x.flatten(1) @ tw, -(x.flatten(1) @ tw).abs() * 0.1),
        decode=lambda z: torch.sigmoid(z @ tv).reshape(-1, 1, 8, 8),
        modules=(),
        **SHAPES,
    )
    numpy_vae = VAE(encode=encode, decode=decode, modules=(), **SHAPES)
    x = torch.from_numpy(images)
    for a, b in zip(numpy_vae.encode(x), torch_vae.encode(x), strict=True):
        torch.testing.assert_close(a, b)
    torch.testing.assert_close(numpy_vae.reconstruct(x), torch_vae.reconstruct(x))


@pytest.mark.parametrize("scale", ["std", "variance"])
def test_other_spreads_are_turned_into_log_variances(net, vae, scale):
    power = 0.5 if scale == "std" else 1.0

    def encode(x):
        mean, log_var = net.encode(x)
        return mean, (power * log_var).exp()

    other = VAE(net, modules=(), encode=encode, scale=scale, **SHAPES)
    x = torch.rand(4, 1, 8, 8)
    torch.testing.assert_close(other.encode(x)[1], vae.encode(x)[1], rtol=1e-4, atol=1e-4)


def test_a_float64_model_is_fed_float64():
    net = TinyNet().double()
    vae = VAE(net, **SHAPES)
    assert vae.dtype == torch.float64
    assert vae.sample(2, 0).dtype == torch.float64


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"sample_shape": (1, 9, 9)}, "encode must be a callable that takes a batch of shape"),
        ({"latent_shape": (4,)}, r"decode must be a callable|of shape \(16, 4\)"),
        ({"decode": lambda z: NET.decode(z)[:, :, :4]}, "decode's result must be of shape"),
        ({"decode": lambda z: 5 * NET.decode(z)}, r"inside data_range \[0, 1\].*sigmoid"),
        ({"decode": lambda z: NET.out(z).reshape(-1, 1, 8, 8)}, "sigmoid"),
        (
            {"encode": lambda x: (NET.encode(x)[0], NET.encode(x)[1].exp())},
            "scale='std' or scale='variance'",
        ),
        ({"scale": "std"}, "negative or zero std.*log_var"),
        ({"encode": lambda x: (torch.rand(len(x), 3), -torch.ones(len(x), 3))}, "repeatable"),
        ({"encode": lambda x: (*NET.encode(x), x)}, r"\(mean, log_var\).*3 results"),
        ({"encode": lambda x: NET.encode(x)[0]}, r"\(mean, log_var\)"),
        ({"encode": lambda x: (NET.encode(x)[0] * torch.nan, NET.encode(x)[1])}, "finite"),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, dict) else "",
)
def test_the_self_check_names_what_is_wrong(change, text):
    good = {"module": NET, "modules": (), **SHAPES}
    with pytest.raises(ModelError, match=text):
        VAE(**{**good, **change})


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"encode": None}, "encode must be callable"),
        ({"latent_shape": (0,)}, "latent_shape"),
        ({"sample_shape": "28"}, "sample_shape"),
        ({"data_range": (1.0, 0.0)}, "data_range"),
        ({"data_range": 1.0}, "data_range"),
        ({"scale": "sigma"}, "scale must be one of 'log_var'"),
        ({"device": "tpu9"}, "device"),
    ],
)
def test_wrong_arguments_are_named(change, text):
    good = {"module": NET, **SHAPES}
    with pytest.raises(ParameterError, match=text):
        VAE(**{**good, **change})


def test_an_untrained_vae_with_positive_log_variances_is_not_mistaken_for_sigma():
    """Two latent dimensions whose log variances happen to start above zero."""
    head = nn.Linear(4, 2)
    with torch.no_grad():
        head.bias.fill_(1.0)
        head.weight.mul_(0.1)
    VAE(
        encode=lambda x: (head(x).flip(1), head(x)),
        decode=lambda z: torch.cat([z, z], 1).sigmoid(),
        modules=head,
        latent_shape=(2,),
        sample_shape=(4,),
    )


def test_a_conditional_vae_with_such_log_variances_is_not_mistaken_either():
    """They fall below zero only for inputs outside the range."""
    VAE(
        encode=lambda x, y: (x[:, :2], 0.1 - 3.0 * (x[:, :2].abs() > 5)),
        decode=lambda z, y: torch.cat([z, z], 1).sigmoid(),
        modules=(),
        condition=1,
        latent_shape=(2,),
        sample_shape=(4,),
    )


def test_the_same_values_as_mean_and_log_variance_are_refused():
    class Net(nn.Module):
        def encode(self, x):
            return x[:, :2], x[:, :2], x[:, 2:] - 3.0  # (z, mean, log_var), z the mean in eval

        def decode(self, z):
            return torch.cat([z, z], 1).sigmoid()

    with pytest.raises(ModelError, match=r"net\.encode\(x\)\[1:\]"):
        wrap(Net(), sample_shape=(4,))


def test_a_network_without_its_weights_is_not_taken_for_one_of_three_results():
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner, self.outer = nn.Linear(4, 4), nn.Linear(2, 4)

        def encode(self, x):
            return self.inner(x).chunk(2, dim=1)

        def decode(self, z):
            return self.outer(z).sigmoid()

    net = Net()
    assert wrap(net, sample_shape=(4,)).latent_shape == (2,)
    for parameter in net.parameters():
        nn.init.zeros_(parameter)
    with pytest.raises(ModelError, match=r"constants.*are its weights loaded"):
        wrap(net, sample_shape=(4,))


def test_an_encoder_may_return_a_normal_distribution_and_no_other():
    class Net(nn.Module):
        kind = torch.distributions.Normal

        def encode(self, x):
            return self.kind(x[:, :2], 0.5)

        def decode(self, z):
            return torch.cat([z, z], 1).sigmoid()

    x = torch.rand(3, 4)
    mean, log_var = wrap(Net(), sample_shape=(4,)).encode(x)
    assert torch.equal(mean, x[:, :2])
    assert torch.allclose(log_var, torch.full((3, 2), 2 * math.log(0.5)))
    net = Net()
    net.kind = torch.distributions.Laplace  # whose divergence from N(0, I) is another formula
    with pytest.raises(ModelError, match="encode"):
        VAE(net, sample_shape=(4,))


def test_torch_functions_that_return_ndarrays_are_given_tensors():
    down, up = nn.Linear(6, 4), nn.Linear(2, 6)

    def encode(x):
        with torch.no_grad():
            return tuple(part.numpy() for part in down(x).chunk(2, 1))

    model = VAE(
        encode=encode,
        decode=lambda z: up(z).sigmoid(),
        modules=[down, up],
        latent_shape=(2,),
        sample_shape=(6,),
    )
    x = torch.rand(3, 6)
    assert torch.equal(model.encode(x)[0], down(x)[:, :2])


@pytest.mark.parametrize("kind", [torch.bfloat16, torch.float16])
def test_criteria_of_a_half_precision_network_are_computed_in_single_precision(kind):
    down, up = nn.Linear(6, 4).to(kind), nn.Linear(2, 6).to(kind)
    model = VAE(
        encode=lambda x: down(x).chunk(2, 1), decode=lambda z: up(z).sigmoid(),
        modules=[down, up], sample_shape=(6,),
    )  # fmt: skip
    x = torch.rand(400, 6, generator=torch.Generator().manual_seed(0))
    assert model.dtype == torch.float32
    back = up(down(x.to(kind)).chunk(2, 1)[0]).sigmoid()
    assert torch.equal(model.reconstruct(x), back.float())
    with torch.no_grad():
        for name in ("kld", "mse", "psnr", "bce"):
            values = make(name)(Batch(model, x))
            assert values.dtype == torch.float32
            assert len(values.unique()) > 350  # of 400; 53 where bfloat16 rounds


def test_the_type_is_that_of_most_parameters():
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.shift = nn.Parameter(torch.zeros(2, dtype=torch.float64))
            self.down, self.up = nn.Linear(6, 4), nn.Linear(2, 6)

        def encode(self, x):
            return self.down(x).chunk(2, 1)

        def decode(self, z):
            return self.up((z + self.shift).float()).sigmoid()

    assert wrap(Net(), sample_shape=(6,)).dtype == torch.float32


def test_the_check_can_be_left_out():
    VAE(NET, modules=(), decode=lambda z: 5 * NET.decode(z), check=False, **SHAPES)


def test_the_first_error_of_the_callable_is_kept_as_the_cause():
    with pytest.raises(ModelError) as caught:
        VAE(NET, latent_shape=(3,), sample_shape=(2, 8, 8))
    assert isinstance(caught.value.__cause__, RuntimeError)


class TestBlackBox:
    def test_values_and_samples_pass_through(self):
        box = BlackBox(
            lambda X: np.stack([X.sum(1), X.max(1)], 1),
            lambda n, seed: np.random.default_rng(seed).random((n, 4)),
        )
        x = box.sample(6, 1)
        assert torch.equal(box.sample(6, 1), x)
        np.testing.assert_allclose(box.values(x)[:, 0], x.sum(1))

    def test_without_a_sampler_it_cannot_sample(self):
        box = BlackBox(lambda X: X)
        assert "sample" not in models.capabilities(box)
        with pytest.raises(CapabilityError, match="sampler"):
            box.sample(1, 0)

    @pytest.mark.parametrize(
        "result",
        [
            lambda X: torch.zeros(len(X), 2),
            lambda X: np.zeros((len(X), 3)),
            lambda X: np.zeros((len(X) + 1, 2)),
            lambda X: np.array(["a"] * len(X)),
            lambda X: [[0.0, 0.0]] * len(X),
        ],
        ids=["tensor", "columns", "rows", "text", "list"],
    )
    def test_a_wrong_result_is_named(self, result):
        with pytest.raises(ModelError, match="predictor's result"):
            BlackBox(result, n_values=2).values(torch.zeros(4, 3))

    def test_a_sampler_that_returns_too_few_is_named(self):
        with pytest.raises(ModelError, match="sampler's result must be an ndarray of 5"):
            BlackBox(lambda X: X, lambda n, seed: np.zeros((n - 1, 2))).sample(5, 0)


def test_a_conditional_vae_is_called_with_its_class():
    asked = []

    def encode(x, y):
        asked.append(y)
        return x[:, :2] + y[:, None], torch.full((len(x), 2), -1.0)

    def decode(z, y):
        return torch.cat([z, z], 1) * (1 + y[:, None])

    common = {"latent_shape": (2,), "sample_shape": (4,), "data_range": None}
    model = VAE(encode=encode, decode=decode, modules=(), condition=3, **common)
    x = torch.rand(5, 4)
    assert torch.equal(model.embed(x), x[:, :2] + 3)
    assert torch.equal(model.reconstruct(x), decode(x[:, :2] + 3, torch.full((5,), 3)))
    assert all(y.dtype == torch.int64 and bool((y == 3).all()) for y in asked)
    other = VAE(encode=encode, decode=decode, modules=(), condition=1, **common)
    assert torch.allclose(model.sample(2, 0), other.sample(2, 0) * 2)
    with pytest.raises(ParameterError, match="condition"):
        VAE(encode=encode, decode=decode, modules=(), condition=-1, **common)


class Reading(nn.Module):
    """The shipped VAE, read in another way; without ``forward`` where that is not given."""

    def __init__(self, read, forward=None) -> None:
        super().__init__()
        self.net, self.read = load_mnist_vae(), read
        if forward is not None:
            self.forward = lambda x: forward(self, x)

    def encode(self, x):
        return self.read(*self.net.encode(x))

    def decode(self, z):
        return self.net.decode(z)


def swapped_forward(net, x):
    log_var, mean = net.encode(x)
    return net.decode(mean + torch.randn_like(mean) * (0.5 * log_var).exp())


def log_std_forward(net, x):
    mean, log_std = net.encode(x)
    return net.decode(mean + torch.randn_like(mean) * log_std.exp())


def sigmoid_forward(net, x):
    mean, log_var = net.encode(x)
    return net.decode(mean + torch.randn_like(mean) * (0.5 * log_var).exp()).sigmoid()


def swap(mean, log_var):
    return log_var, mean


def halve(mean, log_var):
    return mean, 0.5 * log_var


READINGS = {
    "swapped": (swap, None, "mean as the second result"),
    "swapped, by forward": (swap, swapped_forward, "mean as the second result"),
    "log std, by forward": (halve, log_std_forward, "log_std is result 2"),
    "sigmoid in forward": (lambda *given: given, sigmoid_forward, "through a sigmoid"),
}


@pytest.mark.parametrize("name", READINGS)
def test_results_that_the_network_reads_otherwise_are_refused(name):
    read, forward, said = READINGS[name]
    net = Reading(read, forward)
    with pytest.raises(ModelError, match=said):
        VAE(net, sample_shape=(1, 28, 28))
    assert VAE(net, sample_shape=(1, 28, 28), check=False).latent_shape == (200,)


def test_a_logarithm_of_a_deviation_is_half_a_log_variance():
    net = Reading(halve, log_std_forward)
    x = torch.rand(3, 1, 28, 28, generator=torch.Generator().manual_seed(0))
    one = VAE(net, sample_shape=(1, 28, 28), scale="log_std")
    mean, log_var = VAE(net.net, sample_shape=(1, 28, 28)).encode(x)
    torch.testing.assert_close(one.encode(x), (mean, log_var))
    assert wrap(net, sample_shape=(1, 28, 28)).scale == "log_std"


def test_no_untrained_network_is_taken_for_a_swapped_one():
    for seed in range(300):
        torch.manual_seed(seed)
        k = 1 + seed % 3
        down, up = nn.Linear(6, 2 * k), nn.Linear(k, 6)
        wrapped = VAE(
            encode=lambda x, down=down: down(x).chunk(2, 1),
            decode=lambda z, up=up: up(z).sigmoid(),
            modules=[down, up],
            sample_shape=(6,),
            check=False,
        )
        codes = torch.randn(16, k)
        with torch.no_grad():
            wrapped._check_order(codes, wrapped.decode(codes))
