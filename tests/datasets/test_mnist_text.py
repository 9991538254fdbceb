"""The shipped text-to-image model: its words, its samples, its card, and the script behind it."""

from __future__ import annotations

import itertools
import json

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from pxgen_plugins.datasets import MNISTWords, data_files, load_mnist, load_mnist_text
from pxgen_plugins.datasets.mnist_text import DIGITS, NAME, WORDS
from pxgen_plugins.models import from_diffusers
from pxgen_plugins.utils.errors import ParameterError

pytest.importorskip("diffusers")


@pytest.fixture
def script(example):
    return example("train_mnist_text")


@pytest.fixture
def scores(example):
    return example("digit_scores")


@pytest.fixture(scope="module")
def model():
    return from_diffusers(load_mnist_text(), guidance=2.0, steps=10)


def test_samples_show_what_their_prompt_says(model, scores):
    kinds = list(itertools.product(("thin", "thick"), range(10), ("left", "right")))
    x = model.sample(40, 3, prompt=[f"a {width} {DIGITS[d]} {side}" for width, d, side in kinds])
    x = (x[:, 0] + 1) / 2
    read = scores.digit_probabilities(x).argmax(1)
    assert float((read == torch.tensor([d for _, d, _ in kinds])).float().mean()) >= 0.9
    right = scores.centre(x)[:, 1] > 6.5
    assert right.tolist() == [side == "right" for _, _, side in kinds]
    thin, thick = scores.stroke_width(x).chunk(2)
    assert float((thick > thin).float().mean()) >= 0.9


def test_a_prompt_may_say_less(model, scores):
    x = (model.sample(20, 1, prompt="a digit right")[:, 0] + 1) / 2
    assert float((scores.centre(x)[:, 1] > 6.5).float().mean()) >= 0.9
    assert len(scores.digit_probabilities(x).argmax(1).unique()) >= 4
    assert model.token_positions("A thin seven left", "seven") == [3]
    assert model.n_tokens == 5
    assert len(model.cross_attention) == 6


def test_words_are_known_ones_in_prompts_that_are_short_enough():
    state = torch.random.get_rng_state()
    words = MNISTWords()
    seven, empty = words(["a  Thin seven", ""])
    table = words.table.weight
    ids = [WORDS.index(w) for w in ("<begin>", "a", "thin", "seven", "<fill>")]
    assert torch.equal(seven, table[ids])
    assert torch.equal(empty, table[[0, 1, 1, 1, 1]])
    assert torch.equal(MNISTWords(3)([""]), MNISTWords(3)([""]))
    assert torch.equal(torch.random.get_rng_state(), state)
    for wrong in ("a cat", "<begin>", "a thin thin seven left"):
        with pytest.raises(ParameterError, match="prompt"):
            words([wrong])


def test_the_card_tells_the_size_and_what_samples_show():
    content, card = data_files.read(NAME)
    assert len(content) < 1e6
    assert card["parameters"] < 400_000
    shown = card["samples"]
    assert shown["digit"] >= 0.9
    assert shown["side"] >= 0.9
    assert shown["thicker"] >= 0.9


def test_a_caption_says_what_its_image_shows(script, scores):
    images, labels = load_mnist("train")
    captions = script.Captions(images[:3000], labels[:3000], left_out=0.2)
    x, said = captions.draw(600, torch.Generator().manual_seed(0))
    x = (x[:, 0] + 1) / 2
    words = [set(one.split()) for one in said]
    read, right = scores.digit_probabilities(x).argmax(1), scores.centre(x)[:, 1] > 6.5
    for digit, name in enumerate(DIGITS):
        own = torch.tensor([name in one for one in words])
        assert float((read[own] == digit).float().mean()) > 0.85
    for side, is_right in (("left", False), ("right", True)):
        own = torch.tensor([side in one for one in words])
        assert float((right[own] == is_right).float().mean()) > 0.97
    width = scores.stroke_width(x)
    thin, thick = (width[[word in one for one in words]] for word in ("thin", "thick"))
    assert float((thick[:, None] > thin[None]).float().mean()) > 0.95
    assert 0.14 < np.mean([not one for one in words]) < 0.26
    assert 0.1 < np.mean(["digit" in one for one in words]) < 0.22


def test_the_stroke_width_is_that_of_bars(scores):
    bars = torch.zeros(3, 40, 40)
    for width in (1, 2, 4):
        bars[width // 2, 5:35, 10 : 10 + width] = 1.0
    assert scores.stroke_width(bars).tolist() == pytest.approx([1, 2, 4], rel=0.15)
    assert scores.centre(bars)[:, 1].tolist() == pytest.approx([10, 10.5, 11.5])


def test_training_repeats_and_its_file_loads(script, tmp_path, monkeypatch):
    images, labels = (part[:300] for part in load_mnist("train"))
    state = torch.random.get_rng_state()
    runs = [script.train(images, labels, script.Recipe(), n_steps=2)[0] for _ in range(2)]
    assert torch.equal(torch.random.get_rng_state(), state)
    one, again = (run.network.state_dict() for run in runs)
    assert all(torch.equal(one[name], again[name]) for name in one)
    monkeypatch.setattr(script, "accuracy", lambda parts: {"digit": 0.1})
    monkeypatch.setattr(script, "load_mnist", lambda split: (images, labels))
    script.main(["--steps", "2", "--output", str(tmp_path / "text.safetensors")])
    card = json.loads((tmp_path / "text.json").read_text("utf-8"))
    assert card["recipe"]["steps"] == 2
    shipped = load_file(data_files._FOLDER / NAME)
    written = load_file(tmp_path / "text.safetensors")
    assert {k: v.shape for k, v in written.items()} == {k: v.shape for k, v in shipped.items()}
