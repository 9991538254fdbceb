"""The shipped GAN: its weights, its card, and the script that trained it."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from pxgen_plugins.datasets import (
    MNISTDiscriminator,
    MNISTGenerator,
    load_mnist,
    load_mnist_gan,
    load_mnist_lenet,
)


@pytest.fixture
def script(example):
    return example("train_dcgan")


def test_its_samples_are_digits_of_every_kind():
    generator, _ = load_mnist_gan()
    z = torch.randn(500, generator.latent_size, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        confidence, digit = load_mnist_lenet()(generator(z)).softmax(1).max(1)
    assert float(confidence.mean()) > 0.8  # the LeNet is that sure of what it sees
    assert np.bincount(digit.numpy(), minlength=10).min() > 10


def test_initial_weights_come_from_the_seed_alone():
    state = torch.random.get_rng_state()
    for net in (MNISTGenerator, MNISTDiscriminator):
        one, again, other = (net(seed=seed).state_dict() for seed in (1, 1, 2))
        assert all(torch.equal(one[name], again[name]) for name in one)
        assert not all(torch.equal(one[name], other[name]) for name in one)
    assert torch.equal(torch.random.get_rng_state(), state)


def test_training_repeats_and_its_files_load(script, tmp_path):
    images = load_mnist("train")[0][:200]
    runs = [script.train(images, script.Recipe(), n_steps=4)[0] for _ in range(2)]
    for one, again in zip(*(run.generator.state_dict().values() for run in runs), strict=True):
        assert torch.equal(one, again)
    path = tmp_path / "gan.safetensors"
    digest = script.write(path, runs[0], script.Recipe(), [(1.0, 1.0)])
    assert json.loads(path.with_suffix(".json").read_text())["sha256"] == digest
