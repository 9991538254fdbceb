"""The network behind ToyCaptioner: what its card says, and that training repeats."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from pxgen_plugins import datasets
from pxgen_plugins.datasets import CHANGES, ChangeNet, change_net, load_change_net

CARD = Path(str(datasets.__file__)).parent / "files" / "toy_captioner.json"


@pytest.fixture
def script(example):
    return example("train_toy_captioner")


def test_it_tells_changes_of_pairs_that_it_was_not_trained_on(script):
    card = json.loads(CARD.read_text())
    scores = script.accuracy(load_change_net())
    assert scores["all"] == pytest.approx(card["held_out_accuracy"], abs=2e-3)
    assert scores["all"] >= 0.95
    assert min(scores.values()) >= 0.85
    assert scores == {
        "all": scores["all"],
        **{k: pytest.approx(v, abs=0.01) for k, v in card["held_out_accuracy_by_change"].items()},
    }
    assert card["recipe"] == vars(script.Recipe())
    assert CARD.with_suffix(".safetensors").stat().st_size < 200_000


def test_what_is_drawn_is_what_the_target_says(script):
    """Moments of the pictures, computed slowly, move as the single changes say."""
    pictures, target = script.pairs(400, torch.Generator().manual_seed(5))
    torch.testing.assert_close(target.sum(1), torch.ones(400))
    grid = torch.arange(script.SIDE, dtype=torch.float64)
    for pair, share in zip(pictures.double(), target, strict=True):
        if share.max() < 1:
            continue
        mass = pair.sum((1, 2))
        x = (pair.sum(1) * grid).sum(1) / mass
        y = (pair.sum(2) * grid).sum(1) / mass
        right, down = float(x[1] - x[0]), float(y[1] - y[0])
        name = CHANGES[int(share.argmax())]
        moved = {"right": right, "left": -right, "down": down, "up": -down}
        if name in moved:
            assert moved[name] > 2.5, name
        else:
            assert abs(right) + abs(down) < 1.0, name
        ratio = float(mass[1] / mass[0])
        if name in ("larger", "smaller"):
            assert (ratio > 1.1) == (name == "larger")
        else:
            assert 0.8 < ratio < 1.2, name
        assert torch.equal(pair[0], pair[1]) == (name == "none")


def test_what_is_centred_does_not_depend_on_where_a_shape_is():
    pictures = torch.zeros(1, 2, 32, 32)
    blob = torch.rand(6, 5, generator=torch.Generator().manual_seed(0))
    pictures[0, 0, 1:7, 20:25] = pictures[0, 1, 22:28, 3:8] = blob
    left, right = change_net._centred(pictures)[0]
    assert torch.equal(left, right)
    torch.testing.assert_close(left.sum(), blob.sum())
    rows, columns = left.nonzero().double().mean(0).tolist()
    assert abs(rows - 15.5) < 1
    assert abs(columns - 15.5) < 1


def test_initial_weights_come_from_the_seed_alone():
    state = torch.random.get_rng_state()
    one, again, other = (ChangeNet(seed).state_dict() for seed in (1, 1, 2))
    assert all(torch.equal(one[name], again[name]) for name in one)
    assert not any(torch.equal(one[name], other[name]) for name in one)
    assert torch.equal(torch.random.get_rng_state(), state)


def test_two_trainings_write_the_same_bytes_and_a_card_that_fits(script, tmp_path):
    threads = torch.get_num_threads()
    contents = []
    for name in ("one", "other"):
        path = tmp_path / name / "net.safetensors"
        script.main(["--steps", "120", "--output", str(path)])
        contents.append((path.read_bytes(), path.with_suffix(".json").read_bytes()))
    assert contents[0] == contents[1]
    card = json.loads(contents[0][1])
    assert card["sha256"] == hashlib.sha256(contents[0][0]).hexdigest()
    assert card["held_out_accuracy"] > 0.4  # the most frequent change alone would give 0.23
    ChangeNet().load_state_dict(load_file(path), strict=True)
    assert torch.get_num_threads() == threads


def test_the_shipped_weights_are_the_networks_and_finite():
    weights = load_file(CARD.with_suffix(".safetensors"))
    ChangeNet().load_state_dict(weights, strict=True)
    assert all(w.dtype == torch.float32 and bool(w.isfinite().all()) for w in weights.values())
    assert sum(w.numel() for w in weights.values()) == 47_897
