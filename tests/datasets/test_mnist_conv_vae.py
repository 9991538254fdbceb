"""The shipped convolutional VAE: its weights, its card, and the script that trained it."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from pxgen_plugins import datasets
from pxgen_plugins.datasets import (
    MNISTConvVAE,
    load_mnist,
    load_mnist_conv_vae,
    load_mnist_lenet,
)

CARD = Path(str(datasets.__file__)).parent / "files" / "mnist_conv_vae_z10.json"


@pytest.fixture
def script(example):
    return example("train_mnist_conv_vae")


def test_it_does_on_test_images_what_its_card_says(script):
    card = json.loads(CARD.read_text())
    assert card["recipe"] == vars(script.Recipe())
    found = script.held_out(load_mnist_conv_vae(), load_mnist("test")[0])
    assert found == {name: pytest.approx(card[name], rel=1e-3) for name in found}
    assert found["test_mse_per_pixel"] < 0.015  # a fifth of an image's variance, 0.067
    assert CARD.with_suffix(".safetensors").stat().st_size < 2**20


def test_its_samples_are_digits_of_every_kind():
    net = load_mnist_conv_vae()
    z = torch.randn(500, net.latent_size, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        confidence, digit = load_mnist_lenet()(net.decode(z)).softmax(1).max(1)
    assert float(confidence.mean()) > 0.8
    assert np.bincount(digit.numpy(), minlength=10).min() > 10


def test_the_divergence_on_the_card_is_that_of_normal_distributions(script):
    generator = torch.Generator().manual_seed(0)
    mean, log_var = torch.randn(2, 5, 10, generator=generator)
    posterior = torch.distributions.Normal(mean, (0.5 * log_var).exp())
    slow = torch.distributions.kl_divergence(posterior, torch.distributions.Normal(0.0, 1.0))
    torch.testing.assert_close(script._divergence(mean, log_var), slow.sum(1))


def test_initial_weights_come_from_the_seed_alone():
    state = torch.random.get_rng_state()
    one, again, other = (MNISTConvVAE(seed=seed).state_dict() for seed in (1, 1, 2))
    assert all(torch.equal(one[name], again[name]) for name in one)
    assert not any(torch.equal(one[name], other[name]) for name in one)
    assert torch.equal(torch.random.get_rng_state(), state)


def test_training_repeats_and_its_files_load(script, tmp_path):
    images = load_mnist("train")[0][:200]
    recipe = replace(script.Recipe(), epochs=2)
    (net, losses), (again, same) = (script.train(images, recipe) for _ in range(2))
    for a, b in zip(net.parameters(), again.parameters(), strict=True):
        assert torch.equal(a, b)
    assert losses == same
    assert losses[1] < losses[0]
    path = tmp_path / "vae.safetensors"
    digest = script.write(path, net, recipe, losses, script.held_out(net, images))
    assert json.loads(path.with_suffix(".json").read_text())["sha256"] == digest
