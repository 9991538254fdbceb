"""Codes that are kept while several methods ask: never those of another state of the model."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from pxgen_plugins.criteria import Batch
from pxgen_plugins.models import GAN
from pxgen_plugins.models.inversion import Inversion
from pxgen_plugins.models.kept_codes import keep_codes


@pytest.fixture
def gan():
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(3, 8), nn.Tanh(), nn.Linear(8, 5))
    return GAN(
        net, latent_shape=(3,), data_range=None, inversion=Inversion(steps=20, restarts=1, bank=16)
    )


@pytest.fixture
def inverted(gan, monkeypatch):
    """Return the list of how many instances each inversion took."""
    sizes, invert = [], type(gan)._invert

    def count(self, x):
        sizes.append(len(x))
        return invert(self, x)

    monkeypatch.setattr(GAN, "_invert", count)
    return sizes


def code(model, x):
    with torch.no_grad():
        return Batch(model, x).code


def test_an_instance_is_inverted_once_whatever_stands_beside_it(gan, inverted):
    x = gan.sample(6, seed=1)
    alone = code(gan, x)
    inverted.clear()
    with keep_codes():
        assert torch.equal(code(gan, x[:4]), alone[:4])
        assert torch.equal(code(gan, x[[5, 1, 5, 3]]), alone[[5, 1, 5, 3]])
        assert torch.equal(code(gan, x), alone)
        with keep_codes(False):
            code(gan, x)
        code(gan, x.double().float())
    assert inverted == [4, 1, 1, 6]
    code(gan, x)
    assert inverted[4:] == [6]  # nothing is kept outside


def test_other_weights_and_hooks_have_codes_of_their_own(gan, inverted):
    x = gan.sample(4, seed=1)
    last = gan.modules[0][2]
    with keep_codes():
        before = code(gan, x)
        with torch.no_grad():
            last.weight.mul_(0.5)
        after = code(gan, x)
        assert not torch.equal(before, after)
        handle = last.register_forward_hook(lambda module, inputs, output: output * 0)
        assert not torch.equal(code(gan, x), after)
        handle.remove()
        assert torch.equal(code(gan, x), after)
        with torch.no_grad():
            last.weight.mul_(2)
        assert torch.equal(code(gan, x), before)
        last.weight = nn.Parameter(last.weight.detach().clone())
        assert torch.equal(code(gan, x), before)
    assert inverted == [4, 4, 4]


def test_a_comparison_inverts_an_anchor_for_all_methods_together(gan, inverted):
    from pxgen_plugins import PXGen, compare
    from pxgen_plugins.thresholds import Quantile

    groups = PXGen(gan, threshold=Quantile(0.9, 20, 2))
    methods = ["protodash", "latent_view", "activation_directions"]
    found = compare(gan, gan.sample(8, seed=1).numpy(), methods=methods, groups=groups, n_anchors=2)
    assert [row["status"] for row in found.table()[1:4]] == ["ran"] * 3
    # once for the methods; the two local anchors once more, to measure what a code costs
    assert sum(inverted) == 8 + 2
