"""Features of images: as the network or the model sees them, with flags restored."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from pxgen_plugins.datasets import load_mnist, load_mnist_lenet
from pxgen_plugins.evaluation import extract_features, frechet_distance
from pxgen_plugins.models.base import GenerativeModel
from pxgen_plugins.utils.errors import AnchorError, ModelError, ParameterError
from tests.conftest import TinyNet, tiny_vae


def test_without_a_network_features_are_elements_scaled_as_a_model_sees_them():
    images = np.random.default_rng(0).integers(0, 256, (7, 2, 4, 4), dtype=np.uint8)
    found = extract_features(images, batch_size=3)
    np.testing.assert_allclose(found, images.reshape(7, -1) / 255, rtol=1e-6)
    centred = extract_features(images, data_range=(-1.0, 1.0))
    np.testing.assert_allclose(centred, found * 2 - 1, atol=1e-6)


def test_maps_are_averaged_and_flags_restored():
    net = nn.Sequential(nn.Conv2d(1, 3, 3), nn.Dropout(0.5)).train()
    images = np.random.default_rng(0).random((5, 1, 6, 6), dtype=np.float32)
    found = extract_features(images, net, batch_size=2)
    assert net.training
    with torch.no_grad():
        expected = net[0](torch.from_numpy(images)).mean((2, 3))
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


def test_modules_behind_methods_are_evaluated_too(images):
    net = TinyNet().train()  # with dropout
    with torch.no_grad():
        expected = TinyNet().eval().body(torch.from_numpy(images))
    for function in (net.body.forward, net.body):
        found = extract_features(images, function, batch_size=7)
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)
        assert net.body[3].training


def test_a_network_gets_its_own_floating_type(images):
    net = nn.Conv2d(1, 2, 3)
    single = extract_features(images, net)
    double = extract_features(images, net.double())
    assert double.dtype == np.float32
    np.testing.assert_allclose(double, single, rtol=1e-5, atol=1e-6)


def test_no_instance_gives_no_row():
    assert extract_features(np.empty((0, 4))).shape[0] == 0
    with pytest.raises(ParameterError, match="a must be at least one row"):
        frechet_distance(extract_features(np.empty((0, 4))), np.zeros((9, 4)))


def test_a_model_gives_its_posterior_means(images):
    model, net = tiny_vae(), TinyNet().eval()
    with torch.no_grad():
        expected = net.encode(torch.from_numpy(images))[0]
    np.testing.assert_allclose(extract_features(images, model), expected, rtol=1e-5, atol=1e-6)


def test_what_cannot_be_used_is_named():
    with pytest.raises(ParameterError, match="callable on a batch"):
        extract_features(np.zeros((2, 3)), "inception")
    with pytest.raises(ParameterError, match="returning 2 rows of features"):
        extract_features(np.zeros((2, 3)), lambda x: x.sum())
    with pytest.raises(AnchorError, match="instance 1"):
        extract_features(np.array([[0.0], [np.nan]]))
    with pytest.raises(AnchorError, match="data_range"):
        extract_features(np.array([[0.0], [7.0]]))
    with pytest.raises(ModelError, match=r"batch of shape \(2, 9, 9\); got RuntimeError"):
        extract_features(np.zeros((2, 9, 9)), nn.Conv2d(1, 1, 3))
    with pytest.raises(ParameterError, match=r"data_range must be \(low, high\) or None"):
        extract_features(np.zeros((2, 3)), data_range=(1.0, 0.0))
    with pytest.raises(ParameterError, match="sample_shape must be"):
        extract_features(np.zeros((2, 3)), sample_shape="3")
    with pytest.raises(ParameterError, match="able to encode or embed"):
        extract_features(np.zeros((2, 3)), GenerativeModel())


def test_the_shipped_lenet_tells_digits_apart_and_near_sets_near():
    images, labels = load_mnist("test")
    net = load_mnist_lenet()
    features = {
        name: extract_features(part, net.features, sample_shape=(1, 28, 28))
        for name, part in {
            "zeros": images[labels == 0][:450],
            "other zeros": images[labels == 0][450:900],
            "sixes": images[labels == 6][:450],
        }.items()
    }
    near = frechet_distance(features["zeros"], features["other zeros"])
    assert near < 0.05 * frechet_distance(features["zeros"], features["sixes"])
