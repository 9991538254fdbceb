"""The shipped classifier: what its card says, and that training repeats."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import torch

from pxgen_plugins import datasets
from pxgen_plugins.datasets import MNISTLeNet, load_mnist, load_mnist_lenet

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
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


def test_training_repeats_and_learns(monkeypatch):
    monkeypatch.syspath_prepend(str(EXAMPLES))
    sys.modules.pop("train_mnist_lenet", None)
    from train_mnist_lenet import Recipe, accuracy, train

    images, labels = load_mnist("train")
    nets = [train(images[:1_500], labels[:1_500], Recipe(epochs=2)) for _ in range(2)]
    for one, other in zip(nets[0].parameters(), nets[1].parameters(), strict=True):
        assert torch.equal(one, other)
    assert accuracy(nets[0], *(part[:1_000] for part in load_mnist("test"))) > 0.5
    assert np.isfinite(nets[0].head.weight.detach().numpy()).all()
