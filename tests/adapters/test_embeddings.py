"""Adapters that need one code per anchor take any model that gives one: encode, or embed."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from pxgen_plugins.adapters.example_based.protodash import ProtoDash
from pxgen_plugins.adapters.example_based.protoselect import AlibiProtoSelect
from pxgen_plugins.adapters.latent.view import LatentView
from pxgen_plugins.adapters.units.activation_maximisation import ActivationMaximisation
from pxgen_plugins.adapters.units.activation_statistics import ActivationStatistics
from pxgen_plugins.models import GAN, VAE, Autoencoder, SampleBank
from pxgen_plugins.models.inversion import Inversion
from pxgen_plugins.utils.errors import CapabilityError

from .odd_nets import NETS, build

NET = "two_heads"
X = NETS[NET].anchors(12)
KINDS = {
    LatentView: {},
    ProtoDash: {"n_prototypes": 3},
    AlibiProtoSelect: {"n_prototypes": 3},
    ActivationStatistics: {},
    ActivationMaximisation: {"units": [0], "n_steps": 5},
}
SHAPES = {"latent_shape": (3,), "sample_shape": (1, 6, 6)}


def vae() -> VAE:
    return VAE(build(NET), **SHAPES)


def autoencoder() -> Autoencoder:
    net = build(NET)
    return Autoencoder(encode=lambda x: net.encode(x)[0], decode=net.decode, modules=net, **SHAPES)


def gan(**options) -> GAN:
    net = build(NET)
    return GAN(net.decode, modules=net, **SHAPES, **options)


def encoding_gan() -> GAN:
    net = build(NET)
    return GAN(net.decode, encoder=lambda x: net.encode(x)[0], modules=net, **SHAPES)


@pytest.mark.parametrize("make", [autoencoder, encoding_gan])
@pytest.mark.parametrize("kind", KINDS)
def test_embeddings_count_as_posterior_means_do(kind, make):
    if kind is AlibiProtoSelect:
        pytest.importorskip("alibi")
    one, two = (kind(model, **KINDS[kind]).explain(X) for model in (vae(), make()))
    for key in ("coordinates", "indices", "weights", "anchor_activation", "activation"):
        if key in one.data:
            np.testing.assert_allclose(two.data[key], one.data[key], rtol=1e-4, atol=1e-5)
    for layer, table in (getattr(one, "layers", None) or {}).items():
        if layer not in ("v", "m"):  # heads that a plain autoencoder may not run
            np.testing.assert_allclose(two.layers[layer]["mean"], table["mean"], atol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_a_generator_is_inverted(kind):
    if kind is AlibiProtoSelect:
        pytest.importorskip("alibi")
    model = gan(inversion=Inversion(steps=20, restarts=1))
    with torch.no_grad():
        codes = model.embed(torch.from_numpy(X)).flatten(1).double().numpy()
    result = kind(model, **KINDS[kind]).explain(X)
    if kind is LatentView:
        centred = codes - codes.mean(0)
        axes = np.linalg.svd(centred, full_matrices=False)[2][:2]
        np.testing.assert_allclose(
            np.abs(result.coordinates), np.abs(centred @ axes.T), rtol=1e-3, atol=1e-3
        )
    elif kind is ActivationStatistics:
        with torch.no_grad():
            expected = model.modules[0].u(torch.from_numpy(codes).float()).numpy()
        np.testing.assert_allclose(result.layers["u"]["mean"][0], expected.mean(0), atol=1e-3)
    elif kind is ActivationMaximisation:
        assert np.isfinite(result.anchor_activation).all()
    else:
        rows = model.decode(torch.from_numpy(codes).float()).detach().numpy().reshape(len(X), -1)
        assert len(rows) == result.n_explained
        own = kind(vae(), **KINDS[kind], space=lambda x: codes[: len(x)])
        assert own.explain(X).indices.tolist() == result.indices.tolist()


@pytest.mark.parametrize("kind", [LatentView, ProtoDash, AlibiProtoSelect])
def test_who_gives_no_code_is_refused_by_name(kind):
    if kind is AlibiProtoSelect:
        pytest.importorskip("alibi")
    bank = SampleBank(np.random.default_rng(0).random((20, 1, 6, 6), dtype=np.float32))
    with pytest.raises(CapabilityError, match="able to 'embed'"):
        kind(bank)
    assert kind(bank, space="pixel").explain(X) is not None
