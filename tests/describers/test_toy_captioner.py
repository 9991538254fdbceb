"""The small captioner on planted factors: what it says, and what it does with a question."""

from __future__ import annotations

import json
from collections import Counter

import numpy as np
import pytest
import torch
from planted_shapes import ATTRIBUTES, DIRECTIONS, PlantedShapes, mixture

from pxgen_plugins.axes import Axis, dimensions
from pxgen_plugins.describers import ToyCaptioner, heading
from pxgen_plugins.describers.base import Question
from pxgen_plugins.describers.frames import film
from pxgen_plugins.utils.errors import ModelError, ParameterError

N_FRAMES = 5
DESCRIBE = heading(Question("describe", N_FRAMES))
COMMON = {
    **{"x position": "horizontal position", "y position": "vertical position"},
    **{"scale": "size", "size of the figure": "size", "form": "shape"},
    **{"orientation": "rotation", "angle": "rotation"},
}


@pytest.fixture(scope="module")
def toy():
    return ToyCaptioner()


def films(axis: Axis, n: int, seed: int, letters: str = "", backwards: bool = False):
    """Films of n anchors, along the axis from -1.64 to 1.64."""
    codes = 0.8 * torch.randn(n, 6, generator=torch.Generator().manual_seed(seed))
    vector = torch.from_numpy(axis.vector)
    amounts = torch.linspace(-1.64, 1.64, N_FRAMES)[:, None]
    amounts = amounts.flip(0) if backwards else amounts
    found = []
    for i, code in enumerate(codes):
        frames = PlantedShapes().decode(code - (code @ vector) * vector + amounts * vector)
        pictures = [(255 * frame[0]).round().byte().numpy() for frame in frames]
        found.append(film(pictures, letters[i] if letters else ""))
    return found


def changes(toy, axis, *, backwards=False, n=12):
    """What it says most often of single films, and in which share of the answers."""
    answers = []
    for seed, picture in enumerate(films(axis, n, 1, backwards=backwards)):
        answer = json.loads(toy([picture], DESCRIBE, seed=seed))
        assert answer["changes"] == bool(answer["attribute"])
        name = COMMON.get(answer["attribute"], answer["attribute"])
        if name == "position":
            name = (
                "horizontal " if answer["direction"] in ("left", "right") else "vertical "
            ) + name
        answers.append((name, answer["direction"]))
    ((most, times),) = Counter(answers).most_common(1)
    return most, times / n


def test_every_planted_factor_is_named_with_its_way_and_the_dead_one_is_not(toy):
    found = [changes(toy, axis) for axis in dimensions((6,))]
    assert [most for most, _ in found] == list(zip(ATTRIBUTES, DIRECTIONS, strict=True))
    assert min(share for _, share in found) >= 0.75


def test_a_film_backwards_goes_the_opposite_way(toy):
    found = [changes(toy, axis, backwards=True)[0] for axis in dimensions((6,))]
    opposite = {"right": "left", "down": "up", "larger": "smaller", "": ""}
    assert found == [(a, opposite[d]) for a, d in zip(ATTRIBUTES, DIRECTIONS, strict=True)]


def test_it_is_less_sure_of_mixtures_than_of_pure_factors(toy):
    pure = [changes(toy, axis)[1] for axis in dimensions((6,), range(5))]
    mixed = [changes(toy, mixture(i, j))[1] for i, j in ((0, 1), (0, 2), (1, 2), (3, 4))]
    assert np.mean(mixed) < min(pure)


@pytest.mark.parametrize("axis", range(5))
def test_a_sentence_picks_its_film_among_four(toy, axis):
    axes = dimensions((6,))
    sentence = json.loads(toy(films(axes[axis], 3, 2), DESCRIBE, seed=0))["sentence"]
    prompt = heading(Question("match", N_FRAMES, sentence))
    hits, draws = 0, np.random.default_rng(axis)
    for trial in range(20):
        others = draws.choice([j for j in range(6) if j != axis], 3, replace=False)
        order = draws.permutation([axis, *others])
        shown = [films(axes[j], 1, 100 + trial, "ABCD"[i])[0] for i, j in enumerate(order)]
        choice = json.loads(toy(shown, prompt, seed=trial))["choice"]
        hits += order["ABCD".index(choice)] == axis
    assert hits >= 18


def test_it_tells_groups_apart(toy):
    draws = torch.Generator().manual_seed(0)
    codes = 0.5 * torch.randn(2 * N_FRAMES, 6, generator=draws)
    codes[:, 2] = torch.tensor([-1.5, 1.5]).repeat_interleave(N_FRAMES)
    pictures = [(255 * frame[0]).byte().numpy() for frame in PlantedShapes().decode(codes)]
    shown = [film(pictures[:N_FRAMES], "A"), film(pictures[N_FRAMES:], "B")]
    prompt = heading(Question("groups", N_FRAMES))
    ways = [json.loads(toy(shown, prompt, seed=seed))["direction"] for seed in range(9)]
    assert Counter(ways).most_common(1)[0][0] == "larger"
    with pytest.raises(ModelError, match="1 films"):
        toy(shown[:1], prompt, seed=0)


def test_colour_and_size_of_frames_do_not_matter(toy):
    frames = np.zeros((3, 48, 48), np.uint8)
    for i in range(3):
        frames[i, 20 - 4 * i : 28 + 4 * i, 20 - 4 * i : 28 + 4 * i] = 255
    prompt = heading(Question("describe", 3))
    coloured = np.stack([frames] * 3, -1)
    large = frames.repeat(4, axis=1).repeat(4, axis=2)
    answers = {toy([film(list(one))], prompt, seed=4) for one in (frames, coloured, large)}
    assert len(answers) == 1
    assert json.loads(answers.pop())["direction"] == "larger"
    assert (
        json.loads(toy([film(list(frames[[0, 2]]))], heading(Question("describe", 2)), seed=1))[
            "direction"
        ]
        == "larger"
    )


def test_the_same_seed_gives_the_same_answer_and_others_other_words(toy):
    shown = films(dimensions((6,))[2], 2, 3)
    state = torch.random.get_rng_state()
    answers = [toy(shown, DESCRIBE, seed=seed) for seed in range(12)]
    assert answers == [ToyCaptioner()(shown, DESCRIBE, seed=seed) for seed in range(12)]
    assert len(set(answers)) > 5
    assert torch.equal(torch.random.get_rng_state(), state)


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ("Well, it becomes BIGGER, I think", ("size", "larger")),
        ("The shape slides rightwards.", ("position", "right")),
        ('{"changes": false', ("", "")),
        ("it gets another outline", ("shape", "")),
    ],
)
def test_it_writes_an_answer_anew(toy, answer, expected):
    form = '{"changes": true or false, "direction": right, left or larger}'
    prompt = f"{heading(Question('repair', 0))}\n{form}\nThe answer: {json.dumps(answer)}"
    found = json.loads(toy([], prompt, seed=0))
    attribute = COMMON.get(found["attribute"], found["attribute"])
    assert expected[0] in attribute
    assert found["direction"] == expected[1]
    assert found["changes"] == bool(expected[0])


def test_it_writes_a_choice_anew(toy):
    form = 'Answer with one JSON object: {"choice": the letter of the film}.'
    prompt = f'{heading(Question("repair", 0))}\n{form}\nThe answer: "I take film C."'
    assert json.loads(toy([], prompt, seed=0)) == {"choice": "C"}


def test_mistakes_are_named(toy):
    with pytest.raises(ModelError, match="heading"):
        toy([], "What is this?", seed=0)
    with pytest.raises(ParameterError, match="film"):
        toy([np.zeros((10, 10), np.uint8)], DESCRIBE, seed=0)
    with pytest.raises(ParameterError, match="temperature"):
        ToyCaptioner(temperature=0)
