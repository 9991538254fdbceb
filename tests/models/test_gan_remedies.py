"""A GAN's networks that refuse their first batch: the error says what to pass, and that works."""

from __future__ import annotations

import re

import pytest
import torch
from torch import nn
from torch.nn.functional import one_hot

from pxgen_plugins.adapters import UnitDissection, WeightDirections
from pxgen_plugins.models import GAN
from pxgen_plugins.utils.errors import CapabilityError, ModelError

CODES = {"latent_shape": (6,)}


class Conditional(nn.Module):
    """From codes and classes to pictures; the classes as numbers, or one-hot."""

    def __init__(self, hot: bool = False) -> None:
        super().__init__()
        self.classes = nn.Linear(3, 4) if hot else nn.Embedding(3, 4)
        self.net = nn.Sequential(nn.Linear(10, 16), nn.Sigmoid())

    def forward(self, z, y):
        return self.net(torch.cat([z, self.classes(y)], 1)).reshape(-1, 1, 4, 4)


class Critic(nn.Module):
    """A discriminator of pictures and one-hot classes."""

    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Linear(19, 1)

    def forward(self, x, y):
        return self.net(torch.cat([x.flatten(1), y], 1))


def convolutional():
    return nn.Sequential(nn.ConvTranspose2d(6, 1, 4), nn.Sigmoid())


def message(build):
    with pytest.raises(ModelError) as caught:
        build()
    assert caught.value.__cause__ is not None  # the network's own exception is told, too
    return str(caught.value)


@pytest.mark.parametrize("shape", [None, (1, 4, 4)])
def test_a_generator_of_codes_and_classes_is_told_of_n_classes(shape):
    net = Conditional()
    text = message(lambda: GAN(net, sample_shape=shape, **CODES))
    assert "missing 1 required positional argument: 'y'" in text
    assert "n_classes=10" in text
    assert "condition=3" in text
    GAN(net, n_classes=3, **CODES)
    y = torch.zeros(1, dtype=torch.int64)
    GAN(lambda z: net(z, y.expand(len(z))), modules=net, **CODES)


def test_classes_that_are_wanted_one_hot_are_told_with_the_lambda_that_makes_them():
    net = Conditional(hot=True)
    text = message(lambda: GAN(net, n_classes=3, **CODES))
    source = re.search(r"generator=(lambda.*), modules=net\.$", text)[1]
    made = eval(source, {"net": net, "torch": torch})  # what the message says, as it is typed
    model = GAN(generator=made, modules=net, n_classes=3, condition=1, **CODES)
    z = torch.randn(2, 6, generator=torch.Generator().manual_seed(0))
    truth = net(z, one_hot(torch.tensor([1, 1]), 3).float())
    torch.testing.assert_close(model.decode(z), truth)
    # how many there are is not known by condition= alone, and so only said as a possibility
    assert "where it takes classes one-hot" in message(lambda: GAN(net, condition=1, **CODES))
    both = {"n_classes": 3, "discriminator": Critic()}
    text = message(lambda: GAN(Conditional(), **both, **CODES))
    assert "discriminator=lambda x, y: net(x, torch.nn.functional.one_hot(y, 3)" in text


def test_a_latent_shape_that_would_do_is_named_and_no_other():
    for net, wrong, right in (
        (convolutional(), (6,), (6, 1, 1)),
        (nn.Sequential(nn.Linear(6, 4), nn.Sigmoid()), (6, 1, 1), (6,)),
    ):
        text = message(lambda net=net, wrong=wrong: GAN(net, latent_shape=wrong))
        assert text.endswith(f"pass latent_shape={right}.")
        GAN(net, latent_shape=right)
    for hopeless in ((5,), (7, 1, 1)):
        text = message(lambda hopeless=hopeless: GAN(convolutional(), latent_shape=hopeless))
        assert "latent_shape=(" not in text
        assert "Check sample_shape, latent_shape" in text


def test_an_adapter_asks_a_conditional_gan_for_its_condition():
    several, one = GAN(Conditional(), n_classes=3, **CODES), GAN(
        Conditional(), n_classes=3, condition=0, **CODES
    )  # fmt: skip
    for adapter in (UnitDissection, WeightDirections):
        with pytest.raises(CapabilityError, match=r"condition=0, say, .* one of its 3 classes"):
            adapter(several)
        adapter(one)
