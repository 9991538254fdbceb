"""The shipped classifier: what its card says, and that training repeats."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from pxgen_plugins import datasets
from pxgen_plugins.datasets import MNISTLeNet, load_mnist, load_mnist_lenet

CARD = Path(datasets.__file__).parent / "files" / "mnist_lenet.json"


def test_it_has_the_accuracy_on_its_card():
    card = json.loads(CARD.read_text())
    images, labels = load_mnist("test")
    x = torch.from_numpy(images).float().div(255).unsqueeze(1)
    with torch.no_grad():
        found = load_mnist_lenet()(x).argmax(1).numpy()
    assert abs((found == labels).mean() - card["test_accuracy"]) < 1e-3
    assert card["test_accuracy"] > 0.985


def test_initial_weights_come_from_the_seed_alone():
    state = torch.random.get_rng_state()
    one, again, other = MNISTLeNet(1), MNISTLeNet(1), MNISTLeNet(2)
    assert torch.equal(torch.random.get_rng_state(), state)
    x = torch.rand(3, 1, 28, 28, generator=torch.Generator().manual_seed(0))
    assert torch.equal(one(x), again(x))
    assert not torch.equal(one(x), other(x))
    assert torch.equal(one(x), one.head(one.features(x)))


def test_training_repeats_and_learns(example):
    script = example("train_mnist_lenet")
    Recipe, accuracy, train = script.Recipe, script.accuracy, script.train
    images, labels = load_mnist("train")
    nets = [train(images[:1_500], labels[:1_500], Recipe(epochs=2)) for _ in range(2)]
    for one, other in zip(nets[0].parameters(), nets[1].parameters(), strict=True):
        assert torch.equal(one, other)
    assert accuracy(nets[0], *(part[:1_000] for part in load_mnist("test"))) > 0.5
    assert np.isfinite(nets[0].head.weight.detach().numpy()).all()


@pytest.mark.parametrize("shape", [(4, 28, 28), (4, 784)])
def test_images_are_taken_with_any_of_three_shapes_and_never_split_or_joined(shape):
    net = load_mnist_lenet()
    x = torch.rand(4, 1, 28, 28, generator=torch.Generator().manual_seed(0))
    assert torch.equal(net.features(x.reshape(shape)), net.features(x))
    for wrong in (torch.zeros(4, 392), torch.zeros(2, 3, 28, 28)):
        with pytest.raises(RuntimeError, match="invalid for input of size"):
            net(wrong)


def test_the_weights_load_strictly_and_are_finite():
    weights = load_file(CARD.with_suffix(".safetensors"))
    MNISTLeNet().load_state_dict(weights, strict=True)
    assert all(w.dtype == torch.float32 and bool(w.isfinite().all()) for w in weights.values())


def test_the_script_writes_weights_and_a_card_that_fit(tmp_path, example):
    train_mnist_lenet = example("train_mnist_lenet")
    threads = torch.get_num_threads()
    path = tmp_path / "new" / "net.safetensors"
    train_mnist_lenet.main(["--epochs", "1", "--limit", "640", "--output", str(path)])
    assert torch.get_num_threads() == threads
    card = json.loads(path.with_suffix(".json").read_text())
    assert card["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()
    assert card["recipe"] == vars(train_mnist_lenet.Recipe(epochs=1))
    assert json.loads(CARD.read_text())["recipe"] == vars(train_mnist_lenet.Recipe())
    MNISTLeNet().load_state_dict(load_file(path), strict=True)
