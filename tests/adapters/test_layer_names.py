"""Layers are named as the model lists them, or as their own network does where that is enough."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from torch import nn

from pxgen_plugins.adapters import (
    ActivationDirections,
    ActivationStatistics,
    UnitDissection,
    WeightDirections,
)
from pxgen_plugins.models import GAN, VAE
from pxgen_plugins.utils.errors import ParameterError, PXGenWarning


def positive(x):
    """A concept of rows: where they are positive."""
    return (x > 0).float()[:, None]


class Net(nn.Module):
    """A seeded network whose layers are ``net.0``, ``net.1`` and so on."""

    def __init__(self, sizes, *, nested=False):
        super().__init__()
        generator = torch.Generator().manual_seed(sizes[0])
        layers = []
        for one, other in itertools.pairwise(sizes):
            layers += [nn.Linear(one, other), nn.Tanh()]
            layers[-2].weight.data = torch.randn(other, one, generator=generator)
        net = nn.Sequential(*layers)
        self.net = nn.Sequential(net, nn.Sequential(nn.Identity(), nn.Tanh())) if nested else net

    def forward(self, x):
        return self.net(x)


def test_a_generators_own_names_of_layers_hold_with_a_discriminator_and_without():
    net, other = Net((4, 8, 8, 6)), Net((6, 5, 1))
    options = {"latent_shape": (4,), "data_range": (-1.0, 1.0)}
    few = {"n_codes": 20, "n_random": 2, "realism": None, "n_components": 3}
    alone = GAN(net, **options)
    both = GAN(net, discriminator=other, discriminator_output="logits", **options)
    for cls, layer in ((WeightDirections, "net.0"), (ActivationDirections, "net.2")):
        truth = cls(alone, layer=layer, **few).explain(None).directions
        for name in (layer, f"0.{layer}"):
            found = cls(both, layer=name, **few).explain(None)
            np.testing.assert_allclose(found.directions, truth, atol=1e-6)
    # a block, a unit's layer, and what both networks have
    first = UnitDissection(alone, [positive], layer="net.3", n_codes=20, n_effect=4)
    again = UnitDissection(both, [positive], layer="net.3", n_codes=20, n_effect=4)
    np.testing.assert_allclose(again.explain(None).iou, first.explain(None).iou)
    assert again.explain(None).layer == "0.net.3"
    # the discriminator's are refused as before, and so is what nobody has
    for name in ("1.net.0", "net.9"):
        with pytest.raises(ParameterError, match=r"one of 0\.net|a layer that decoding calls: 0"):
            WeightDirections(both, layer=name, **few).fit()
    # with one network nothing is guessed: "1" is no layer, though "net.1" is one
    with pytest.raises(ParameterError, match="layer must be"):
        WeightDirections(alone, layer="0", **few).fit()


def test_a_name_with_two_meanings_keeps_the_old_one_and_says_so():
    net = Net((4, 8, 6), nested=True).net  # "0.1" is a layer of its own first block
    options = {"latent_shape": (4,), "data_range": (-1.0, 1.0)}
    both = GAN(net, discriminator=Net((6, 5, 1)), discriminator_output="logits", **options)
    few = {"n_codes": 20, "n_random": 2, "realism": None, "n_components": 2}
    with pytest.warns(PXGenWarning, match=r"'0\.1' is layer '1' of network 0.*'0\.0\.1'"):
        old = ActivationDirections(both, layer="0.1", **few).explain(None)
    same = ActivationDirections(GAN(net, **options), layer="1", **few).explain(None)
    np.testing.assert_allclose(old.directions, same.directions, atol=1e-6)


def test_activation_statistics_take_the_decoders_own_names():
    down = nn.Linear(6, 4)
    up = nn.Sequential(nn.Linear(2, 8), nn.Tanh(), nn.Linear(8, 6), nn.Sigmoid())
    model = VAE(
        encode=lambda x: down(x).chunk(2, 1), decode=up, modules=[down, up],
        sample_shape=(6,), check=False,
    )  # fmt: skip
    x = torch.rand(12, 6, generator=torch.Generator().manual_seed(0))
    found = [ActivationStatistics(model, [name]).explain(x).layers["1.1"] for name in ("1.1", "1")]
    for key, value in found[0].items():
        np.testing.assert_array_equal(found[1][key], value)
