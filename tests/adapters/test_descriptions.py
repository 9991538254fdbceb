"""Descriptions: planted factors, a liar, oracles of certainty and p-value, hostile answers."""

from __future__ import annotations

import json
import math
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from html.parser import HTMLParser
from itertools import permutations
from pathlib import Path
from typing import Any

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch

from pxgen_plugins.adapters import ClassDirections, GroupDescription, LatentDescription
from pxgen_plugins.adapters.language.agreement import agreement_table, certainty_of, conformal_p
from pxgen_plugins.adapters.language.answers import (
    Answer,
    Vocabulary,
    opposite,
    read_answer,
    read_choice,
)
from pxgen_plugins.adapters.language.interview import NOT_VISIBLE, UNCLEAR
from pxgen_plugins.adapters.language.matching import match_rate
from pxgen_plugins.axes import Axis, dimensions
from pxgen_plugins.describers import Scripted, read_question
from pxgen_plugins.evaluation import attribute_scores, text_scores
from pxgen_plugins.explorer import Session
from pxgen_plugins.host import Explanation
from pxgen_plugins.plots import plot_descriptions
from pxgen_plugins.testing import ExplainerCase, explainer_checks, parametrize_with_checks
from pxgen_plugins.utils.errors import AnchorError, ModelError, ParameterError, PXGenWarning

from .nets import conv_vae
from .planted import FACTORS, Renderer, Salient, Truthful, liar

mpl.use("Agg")
SAID = {"changes": True, "attribute": "size", "direction": "larger", "sentence": "It grows."}
MIXED = np.array([1, 0, 1, 0, 0], dtype=np.float32)


@pytest.fixture(name="planted", scope="module")
def _planted() -> Explanation:
    axes = [*dimensions((5,)), Axis("mixed", MIXED)]
    return LatentDescription(Renderer(), Truthful(), axes).explain(None)


def images(n: int = 80) -> tuple[Any, Any]:
    """Instances of two groups: squares of HILE are larger."""
    z = torch.randn(n, 5, generator=torch.Generator().manual_seed(3))
    z[: n // 2, 2] += 2.5
    return Renderer().decode(z).numpy(), np.repeat(["HILE", "HIHE"], n // 2)


# ------------------------------------------------------------------ the contract


def vae_case(name: str, cls: Any, **options: Any) -> ExplainerCase:
    X = np.random.default_rng(0).random((10, 1, 8, 8), dtype=np.float32)

    without_model = {"batches_stay_as_small_as_asked": "it looks at anchors, never at the model"}

    def make(predictor: Any, **given: Any) -> Any:
        describe = Scripted({"describe": SAID, "groups": SAID, "match": {"choice": "A"}})
        return cls(predictor, describe, **{"n_answers": 2, **options, **given})

    def groups(X: Any) -> dict[str, Any]:
        return {"groups": np.resize(["HILE", "HIHE"], len(X))} if cls is GroupDescription else {}

    return ExplainerCase(
        name, make=make, make_predictor=conv_vae, X=X, explain_kwargs=groups,
        make_other=None if cls is GroupDescription else other_vae,
        make_grown=grown_vae, module=lambda model: model._evaluating.modules[0],
        data_keys=frozenset(cls.defaults) | {"evidence"}, many=300, rtol=1e-3, atol=1e-5,
        not_in_params=frozenset({"describe"}),
        expected_failures=without_model if cls is GroupDescription else {},
        X_invalid=np.where(np.arange(10)[:, None, None, None] == 1, np.nan, X),
    )  # fmt: skip


def other_vae() -> Any:
    return conv_vae(1)


def grown_vae() -> Any:
    return conv_vae(hidden=160)


CASES = [
    vae_case("LatentDescription", LatentDescription, visible=0.0, n_anchors=2),
    vae_case("GroupDescription", GroupDescription),
]


@parametrize_with_checks(CASES, explainer_checks())
def test_they_are_explainers(subject, check):
    check(subject)


# ------------------------------------------------------------------ planted truth


def test_planted_factors_are_named_confirmed_and_shown(planted):
    truth = dict(FACTORS.items())
    scores = attribute_scores(planted, truth, confirmed=True)
    assert scores == dict.fromkeys(("precision", "recall", "f1", "direction", "dead"), 1.0)
    assert planted.sentence[4] == NOT_VISIBLE
    assert (planted.hit_rate[:4] >= 0.9).all()
    assert planted.chance == 0.25
    assert planted.certainty[5] < planted.certainty[:4].min()
    assert planted.sentence[5] == UNCLEAR
    # the same from JSON, in every place that shows it
    again = type(planted).from_json(planted.to_json())
    for one in (planted, again):
        assert len(plot_descriptions(one)) == 18
        assert "confirmed" in one.summary()
        assert "<img" in one._repr_html_()
        (axis,) = [a for a in session_axes(one) if a["label"] == "z2"]
        assert axis["sentence"] == planted.sentence[2]
        assert axis["certainty"] == planted.certainty[2]
        assert axis["confirmed"]
    plt.close("all")


def session_axes(explanation: Any) -> list[dict[str, Any]]:
    return list(Session(Renderer(), axes=explanation).answer("open").content["axes"])


def test_the_liar_stays_unconfirmed_and_unclear():
    for seed in range(5):
        found = LatentDescription(Renderer(), liar, seed=seed).explain(None)
        assert not found.confirmed.any()
        assert set(found.sentence[:4]) == {UNCLEAR}
        low, high = found.hit_interval[:4].T
        assert ((low <= 0.25) & (high >= 0.25)).all()
    # even one that keeps silent about films with nothing in them, and is clear by that
    truthful = Truthful()

    def cunning(pictures: Any, prompt: str, *, seed: int) -> str:
        answer = read_answer(truthful(pictures, prompt, seed=seed))
        fixed = liar(pictures, prompt, seed=seed)
        return fixed if answer is None or answer.changes else '{"changes": false}'

    found = LatentDescription(Renderer(), cunning, least=0.0).explain(None)
    assert "clear" in found.status
    assert not found.confirmed.any()


def test_who_picks_the_film_that_changes_most_whatever_the_sentence_stays_unconfirmed():
    """Sure of its one sentence, and silent about null films: only the control finds it out."""
    X, groups = images()
    sure = hits = 0
    for seed in range(2):
        for indices in (None, [0], [1], [2], [0, 3]):
            axes = None if indices is None else dimensions((5,), indices)
            found = LatentDescription(Renderer(), Salient(), axes, seed=seed).explain(None)
            sure += found.status.count("clear")
            hits += int((found.hit_interval[:, 0] > found.chance).sum())
            assert not found.confirmed.any(), (seed, indices, found.hit_rate, found.control_rate)
        found = GroupDescription(Renderer(), Salient(), seed=seed).explain(X, groups=groups)
        assert (found.status, found.hit_rate, found.control_rate) == (["clear"], [1.0], [1.0])
        assert not found.confirmed.any()
    assert sure >= 10
    assert hits >= 2


def test_one_axis_or_two_are_still_confirmed_when_the_sentence_is_true():
    for indices in ([0], [2], [1, 3]):
        axes = dimensions((5,), indices)
        adapter = LatentDescription(Renderer(), Truthful(), axes)
        before, found = adapter.estimate(), adapter.explain(None)
        assert (before["calls"], before["images"]) == (found.n_calls, found.n_images)
        assert adapter.bound() == {"calls": before["calls"], "images": before["images"]}
        assert found.confirmed.all(), (found.hit_rate, found.control_rate)
        foils = [one for one in found.questions if one["about"].endswith(": control")]
        assert len(foils) == (6 if len(indices) == 1 else 0)


def test_control_rates_count_the_films_chosen_for_other_sentences(planted):
    """Again from the questions that were kept."""
    chosen: dict[str, list[str]] = {}
    for record in planted.questions:
        label, _, what = record["about"].partition(": ")
        if what == "match":
            chosen.setdefault(label, []).append(read_choice(record["answer"], "ABCD"))
    assert {label: len(rows) for label, rows in chosen.items()} == dict.fromkeys(
        ["z0", "z1", "z2", "z3", "mixed"], 6
    )
    # no other sentence is about z1 or z3; the mixed axis goes sideways, and grows
    assert planted.control_rate[[1, 3]].max() == 0.0
    assert planted.control_rate[[0, 2, 5]].max() > 0.0
    assert np.isnan(planted.control_rate[4])


def test_nothing_is_asked_of_axes_that_change_nothing_and_the_estimate_holds():
    truthful = Truthful()
    adapter = LatentDescription(Renderer(), truthful, dimensions((5,), [4]))
    assert adapter.estimate()["calls"] == 0
    found = adapter.explain(None)
    assert (found.sentence, found.n_calls, truthful.calls) == ([NOT_VISIBLE], 0, 0)
    assert found.status == ["not visible"]
    plot_descriptions(found)
    for options in ({}, {"bias": "combination"}, {"n_null": 19, "alpha": 0.05, "n_choices": 3}):
        adapter = LatentDescription(Renderer(), truthful, **options)
        before, truthful.calls = adapter.estimate(), 0
        assert truthful.calls == 0
        found = adapter.explain(None)
        assert (before["calls"], before["images"]) == (found.n_calls, found.n_images)
        assert truthful.calls == found.n_calls == len(found.questions)
        assert found.attribute[:4] == [factor[0] for factor in list(FACTORS.values())[:4]]


def test_conditional_axes_are_those_of_class_means():
    z = torch.randn(60, 4, generator=torch.Generator().manual_seed(0))
    model = conv_vae()
    with torch.no_grad():
        X = model.decode(z).numpy()
    labels = (z[:, 0] > 0).numpy().astype(str)
    prompts: list[str] = []

    def describe(_: Any, prompt: str, *, seed: int) -> str:
        prompts.append(prompt)
        return json.dumps({"changes": False})

    adapter = LatentDescription(model, describe, bias="conditional", visible=0.0)
    with pytest.raises(ParameterError, match="conditional"):
        adapter.explain(None)
    found = adapter.fit(X, labels).explain(None)
    directions = ClassDirections(model, method="means").fit(X, labels).axes
    assert found.axes == ["False", "True"]
    np.testing.assert_array_equal(found.directions, [axis.vector for axis in directions])
    assert any('stand for "True"' in prompt for prompt in prompts)
    assert set(found.sentence) == {UNCLEAR}


def test_quantiles_of_codes_bound_the_way():
    z = torch.randn(400, 5, generator=torch.Generator().manual_seed(1)) * 0.1 + 2.0

    class Encoding(Renderer):
        capabilities = Renderer.capabilities | {"embed"}

        def embed(self, x: Any) -> Any:
            return z[: len(x)]

    model = Encoding()
    axes = [Axis("x", np.eye(5)[0], 0.5)]
    adapter = LatentDescription(model, Scripted({}), axes, batch_size=400)
    assert adapter.estimate()["axes"] == 1
    fitted = adapter.fit(model.decode(z).numpy())
    spans = fitted._prepare(None)[0].spans
    expected = np.quantile(z[:, 0].numpy() / 0.5, (0.05, 0.95))
    np.testing.assert_allclose(spans[0], expected, rtol=1e-5)
    prior = LatentDescription(Renderer(), liar, axes)._prepare(None)[0]
    np.testing.assert_allclose(prior.spans[0], [-3.2897, 3.2897], rtol=1e-4)


def test_of_many_dimensions_those_are_described_that_change_most():
    class Wide(Renderer):
        latent_shape = (40,)

        def decode(self, z: Any) -> Any:
            return super().decode(z[:, [30, 3, 17, 39, 0]])

    truthful = Truthful()
    with pytest.warns(PXGenWarning, match="24 of 40 axes"):
        found = LatentDescription(Wide(), truthful).explain(None)
    assert len(found.axes) == 24
    named = {axis: word for axis, word in zip(found.axes, found.attribute, strict=True) if word}
    factors = [factor[0] for factor in list(FACTORS.values())[:4]]
    assert named == dict(zip(["z30", "z3", "z17", "z39"], factors, strict=True))


# ------------------------------------------------------------------ groups


def test_groups_are_told_apart_and_a_random_split_is_not():
    X, groups = images()
    found = GroupDescription(Renderer(), Truthful()).explain(X, groups=groups)
    assert (found.attribute, found.direction, found.status) == (["size"], ["larger"], ["clear"])
    assert found.confirmed.all()
    assert len(plot_descriptions(found)) == 3
    turned = GroupDescription(Renderer(), Truthful(), pair=("HIHE", "HILE"))
    assert turned.explain(X, groups=groups).direction == ["smaller"]
    clear = 0
    for seed in range(10):  # groups of one size, and of 16 and 64
        names = groups if seed % 2 else np.repeat(["HILE", "HIHE"], [16, 64])
        mixed = np.random.default_rng(seed).permutation(names)
        adapter = GroupDescription(Renderer(), Truthful(), seed=seed)
        clear += adapter.explain(X, groups=mixed).status == ["clear"]
    assert clear <= 2
    with pytest.raises(AnchorError, match="0 in HILE"):
        GroupDescription(Renderer(), Truthful()).explain(X, groups=["HIHE"] * len(X))
    with pytest.raises(ParameterError, match="groups"):
        GroupDescription(Renderer(), Truthful()).explain(X)


# ------------------------------------------------------------------ agreement

TABLE = {  # of notes/inside.md: sets of five answers, and what the certainty may be
    "agree, same words": (
        [("size", "larger", "The digit becomes larger.")] * 5,
        (0.9, 1.0), (0.9, 1.0),
    ),
    "agree, each in own words": (
        [
            ("size", "larger", "The digit grows."),
            ("scale", "bigger", "Everything gets bigger towards the end."),
            ("the size of the object", "increasing", "Its extent increases steadily."),
            ("Size", "from small to growing", "We zoom in."),
            ("overall scale", "up in scale, larger", "The final frame shows a huge version."),
        ],
        (0.9, 1.0), (0.0, 0.5),
    ),
    "five attributes in one template": (
        [
            (name, "more", f"The {name} of the object in the picture changes from left to right.")
            for name in ("size", "rotation", "shape", "brightness", "slant")
        ],
        (0.0, 0.1), (0.85, 1.0),
    ),
    "left, right, left, right, left": (
        [
            ("position", way, f"The object in the picture moves to the {way} side.")
            for way in ("left", "right", "left", "right", "left")
        ],
        (0.3, 0.6), (0.8, 1.0),
    ),
    "disagree freely": (
        [
            ("size", "larger", "It grows."),
            ("hairstyle", "shorter", "Someone cut her hair."),
            ("background", "red to blue", "Blue replaces red behind them."),
            ("age", "older", "Wrinkles appear."),
            ("slant", "right", "Strokes lean over."),
        ],
        (0.0, 0.1), (0.0, 0.3),
    ),
    "brighter, darker, in words of other scales": (  # not in the notes: opposites all the same
        [
            ("brightness", "increases", "Light grows."),
            ("intensity", "darker", "Fading away."),
            ("luminance", "higher", "Its glow rises."),
            ("brightness", "dimmer", "It dims."),
            ("lighting", "brighter", "Much whiter."),
        ],
        (0.3, 0.6), (0.0, 0.3),
    ),
}  # fmt: skip
# their agreement that nothing changes is none about a change: 0.05 by words in the notes
STILL = ["Nothing changes.", "All frames look the same to me.", "No difference is visible.",
         "It stays as it was.", "I cannot see any variation here."]  # fmt: skip


@pytest.mark.parametrize("name", TABLE)
def test_certainty_is_about_content_not_about_words(name):
    rows, slots, words = TABLE[name]
    answers = [Vocabulary().common(Answer(True, *row)) for row in rows]
    assert slots[0] <= certainty_of(agreement_table(answers)) <= slots[1]
    assert words[0] <= certainty_of(agreement_table(answers, "words")) <= words[1]


def test_who_agrees_that_nothing_changes_is_sure_of_no_change():
    for answers in ([read_answer('{"changes": false}')] * 5, [Answer(False)] * 5):
        assert certainty_of(agreement_table(answers)) == 0.0
        assert certainty_of(agreement_table(answers, "words")) == 0.0
    bags = [Answer(True, "none", "", text) for text in STILL]
    assert certainty_of(agreement_table(bags, "words")) < 0.2


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ("x coordinate of the ring", "horizontal position"), ("Y-axis", "vertical position"),
        ("height", "height"),  # of a thing, or where it is: not ours to say
        ("the overall stroke width", "thickness"), ("hue and size", "colour and size"),
    ],
)  # fmt: skip
def test_words_are_brought_together_where_they_mean_one_thing(said, expected):
    assert Vocabulary().attribute(said) == expected


def test_certainty_equals_a_double_loop_and_the_words_sklearn():
    from sklearn.feature_extraction.text import CountVectorizer
    from sklearn.metrics.pairwise import cosine_similarity

    rng = np.random.default_rng(0)
    sentences = ["It grows and grows.", "A square moves", "moves, right!", "It is a 7", "x"]
    for _ in range(30):
        answers = [
            None if rng.random() < 0.1 else Answer(
                bool(rng.random() < 0.8), str(rng.choice(["size", "shape"])),
                str(rng.choice(["larger", "smaller", "square to ellipse", ""])),
                str(rng.choice(sentences)),
            )
            for _ in range(int(rng.integers(2, 7)))
        ]  # fmt: skip
        total = 0.0
        pairs = list(permutations(range(len(answers)), 2))
        for i, j in pairs:
            a, b = answers[i], answers[j]
            if a and b and a.changes and b.changes and a.attribute == b.attribute:
                total += 0.25 if opposite(a.direction) == b.direction else 1.0
        assert certainty_of(agreement_table(answers)) == pytest.approx(total / len(pairs))
        spoken = [a.sentence for a in answers if a is not None and a.changes]
        if len(spoken) > 1 and any(len(s) > 1 for s in spoken):
            theirs = cosine_similarity(CountVectorizer().fit_transform(spoken))
            np.fill_diagonal(theirs, 0.0)
            ours = agreement_table([Answer(True, "a", "", s) for s in spoken], "words")
            np.testing.assert_allclose(ours, theirs, atol=1e-12)
    assert math.isnan(certainty_of(agreement_table([None])))
    own = agreement_table([Answer(True, "a"), Answer(True, "b")], lambda a, b: 0.25)
    assert certainty_of(own) == 0.25
    with pytest.raises(ModelError, match="agreement"):
        agreement_table([Answer(True, "a"), Answer(True, "b")], lambda a, b: 2.0)


def test_the_p_value_is_a_count_with_the_conformal_guarantee():
    rng = np.random.default_rng(1)
    for _ in range(50):
        null = rng.integers(0, 5, int(rng.integers(1, 20))) / 4
        value = rng.integers(0, 5) / 4
        count = len([one for one in null if one >= value])
        assert conformal_p(value, null.tolist()) == (1 + count) / (1 + len(null))
    draws = rng.integers(0, 6, (4000, 10)) / 5  # exchangeable, with ties
    p = np.array([conformal_p(row[0], row[1:].tolist()) for row in draws])
    for alpha in (0.1, 0.2, 0.5):
        assert (p <= alpha).mean() <= alpha + 3 * math.sqrt(alpha / 4000)


def test_the_threshold_and_the_p_value_say_the_same(planted):
    X, groups = images()
    for seed in range(6):
        mixed = np.random.default_rng(seed).permutation(groups)
        for n_null, alpha in ((9, 0.1), (19, 0.1), (4, 0.25)):
            found = GroupDescription(
                Renderer(), Truthful(), n_null=n_null, alpha=alpha, n_match=1
            ).explain(X, groups=mixed)
            passes = found.p_value[0] <= alpha + 1e-12
            assert passes == (found.certainty[0] > found.threshold)


@pytest.mark.slow
def test_a_describer_that_guesses_is_rarely_clear_and_hardly_ever_finds_its_film():
    """By chance at most alpha of the axes are clear, and 1 in 200 finds 5 of 6 films of four."""

    def guess(pictures: Any, prompt: str, *, seed: int) -> str:
        rng = np.random.default_rng(seed)
        if read_question(prompt).task == "match":
            return json.dumps({"choice": str(rng.choice(list("ABCD")))})
        said = {"attribute": str(rng.choice(["size", "shape"])), "sentence": "It does."}
        way = str(rng.choice(["larger", "smaller"]))
        return json.dumps({"changes": bool(rng.random() < 0.8), "direction": way, **said})

    clear = found_it = 0
    for seed in range(20):
        found = LatentDescription(Renderer(), guess, seed=seed, least=0.0).explain(None)
        clear += found.status.count("clear")
        found_it += int((found.hit_interval[:4, 0] > found.chance).sum())
        assert found.confirmed.sum() <= 1
    # the four axes of a run share their null films, so that the deviation is up to twice as large
    assert clear / 80 <= 0.1 + 2 * 2 * math.sqrt(0.1 * 0.9 / 80)
    assert found_it <= 3


def test_what_is_missing_is_said_also_of_null_films_and_of_the_match_test():
    def fails_in(first: int, last: int) -> Any:
        truthful = Truthful()

        def describe(pictures: Any, prompt: str, *, seed: int) -> str:
            text = truthful(pictures, prompt, seed=seed)
            if first <= truthful.calls < last:
                raise TimeoutError("too slow")
            return text

        return describe

    for first, status in ((21, "missing"), (66, "clear")):  # null films; match questions
        with pytest.warns(PXGenWarning, match="too slow"):
            found = LatentDescription(Renderer(), fails_in(first, 999)).explain(None)
        assert found.status == [status] * 4 + ["not visible"]
        assert ["too slow" in why for why in found.missing] == [True] * 4 + [False]
        assert (found.sentence[0] == "no answer") == (status == "missing")
        assert not found.confirmed.any()
        assert "too slow" in found.summary()
        plot_descriptions(found)
    plt.close("all")


def test_there_are_no_more_match_questions_than_new_anchors():
    """A second question about the same films would be counted as another one."""
    X = torch.randn(7, 5, generator=torch.Generator().manual_seed(1))

    class Encoding(Renderer):
        capabilities = Renderer.capabilities | {"embed"}

        def embed(self, x: Any) -> Any:
            return X[: len(x)]

    model = Encoding()
    adapter = LatentDescription(model, Truthful())
    before = adapter.estimate(model.decode(X).numpy())
    found = adapter.explain(model.decode(X).numpy())
    assert found.n_match.tolist() == [4] * 4 + [0]
    assert before["calls"] == found.n_calls


def test_the_match_interval_is_clopper_and_pearsons():
    """Ends at which one tail has 2.5%, found by counting binomial probabilities."""
    for n in (1, 6, 12):
        for k in range(n + 1):
            found = match_rate([i < k for i in range(n)])
            if k:
                assert tail(n, found.low, range(k, n + 1)) == pytest.approx(0.025, abs=1e-6)
            if k < n:
                assert tail(n, found.high, range(k + 1)) == pytest.approx(0.025, abs=1e-6)


def tail(n: int, p: float, counts: range) -> float:
    return sum(math.comb(n, i) * p**i * (1 - p) ** (n - i) for i in counts)


# ------------------------------------------------------------------ answers


@pytest.mark.parametrize(
    "text",
    [
        "", "no JSON", "{", '{"changes": 1}', '{"changes": true}', '{"changes": "true"}', "[1]",
        '{"changes": true, "attribute": "", "direction": "", "sentence": "x"}',
        '{"changes": true, "attribute": "size", "direction": 3, "sentence": "x"}',
        '{"changes": true, "attribute": "size", "sentence": ""}',
        '{"changes": false, "confidence": 7}', '{"changes": false, "confidence": NaN}',
        json.dumps({**SAID, "sentence": "x" * 301}), json.dumps({**SAID, "attribute": "x" * 81}),
        "{" * 100_000, '{"a":' * 5_000, '{"changes": true, "attribute": ["size"], "sentence": "x"}',
    ],
)  # fmt: skip
def test_what_is_no_answer_is_not_read(text):
    assert read_answer(text) is None
    assert read_choice(text, "ABCD") is None


def test_answers_are_read_out_of_talk_and_cleaned():
    text = "```json\n" + json.dumps({**SAID, "sentence": "It\n grows\u200b.\x1b[31m"}) + "\n``` ok"
    answer = read_answer(text)
    assert answer is not None
    assert answer.sentence == "It grows\\u200b.\\x1b[31m"
    assert read_choice('I think: {"choice": "b"}.', "ABCD") == "B"
    assert read_choice('{"choice": "E"}', "ABCD") is None


def test_one_repair_question_then_unparsed():
    asked: list[str] = []

    def rambling(pictures: Any, prompt: str, *, seed: int) -> str:
        task = read_question(prompt).task
        asked.append(task)
        if task == "repair":
            assert pictures == []
            return json.dumps(SAID) if seed % 2 else "It grows, I said."
        return '{"choice": "A"}' if task == "match" else "It grows."

    found = LatentDescription(Renderer(), rambling, dimensions((5,), [2])).explain(None)
    assert asked.count("repair") == asked.count("describe") == 50
    assert found.n_calls == len(asked) <= found.n_calls
    told = [answer is not None for answer in found.answers[0]]
    assert any(told)
    assert not all(told)
    k = sum(told)
    assert found.certainty[0] == pytest.approx(
        sum(
            1.0 if i % 2 == j % 2 else 0.25
            for i, j in permutations([i for i, one in enumerate(told) if one], 2)
        ) / 20
    ), k  # fmt: skip


class Tags(HTMLParser):
    """Collects the tags of a page."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.tags += [tag, *(name for name, _ in attrs)]


def test_answers_are_inert_wherever_they_are_shown(tmp_path):
    hostile = "<script>alert(1)</script> $\\frac{ \u202e'\"><img src=x onerror=alert(1)>"
    said = {**SAID, "sentence": hostile, "attribute": "<i>size</i>"}
    truthful = Truthful()

    def describe(pictures: Any, prompt: str, *, seed: int) -> str:
        answer = truthful(pictures, prompt, seed=seed)
        is_change = '"changes": true' in answer
        return json.dumps(said) if is_change and "match" not in prompt[:12] else answer

    axes = dimensions((5,), [2])
    adapter = LatentDescription(Renderer(), describe, axes, n_answers=2, least=0.0)
    found = adapter.explain(None)
    assert found.status == ["clear"]
    assert "\u202e" not in found.sentence[0]
    tags = Tags(found._repr_html_()).tags
    assert "script" not in tags
    assert "onerror" not in tags
    assert "i" not in tags
    plot_descriptions(found)[0].figure.savefig(tmp_path / "figure.png")
    plt.close("all")
    # data alone; that the page shows it as text is in tests/explorer/test_page.py
    (axis,) = session_axes(found)[:1]
    assert axis["sentence"] == found.sentence[0]


# ------------------------------------------------------------------ arguments and interruption


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"describe": "a text"}, "describe"), ({"bias": "none"}, "bias"), ({"axes": []}, "axes"),
        ({"axes": [Axis("x", np.ones(3))]}, "shape of a code"), ({"n_answers": 1}, "n_answers"),
        ({"span": (0.9, 0.1)}, "span"), ({"span": 0.5}, "span"), ({"span": (0.1, 1.0)}, "span"),
        ({"alpha": 0.05, "n_null": 9}, "n_null"), ({"alpha": 1.0}, "alpha"),
        ({"agreement": "sentences"}, "agreement"), ({"n_choices": 9}, "n_choices"),
        ({"synonyms": {"a": 1}}, "synonyms"), ({"context": None}, "context"),
    ],
)  # fmt: skip
def test_wrong_arguments_are_one_error(options, words):
    with pytest.raises(ParameterError, match=words):
        LatentDescription(Renderer(), **{"describe": liar, **options})


def test_a_describer_that_fails_is_a_reason_and_one_that_lacks_its_key_an_error(monkeypatch):
    def fails(pictures: Any, prompt: str, *, seed: int) -> str:
        raise ConnectionError("gone")

    with pytest.warns(PXGenWarning, match="gone"):
        found = LatentDescription(Renderer(), fails).explain(None)
    assert found.n_calls == 3
    assert all("gone" in why for why in found.missing[:4])
    assert np.isnan(found.certainty).all()
    with pytest.warns(PXGenWarning, match="must be a text"):
        LatentDescription(Renderer(), lambda *_, **__: 3).explain(None)
    from pxgen_plugins.describers import OpenAICompatible

    monkeypatch.delenv("NO_SUCH_KEY", raising=False)
    lacking = OpenAICompatible("https://localhost:1", "m", key_variable="NO_SUCH_KEY")
    with pytest.raises(ParameterError, match="NO_SUCH_KEY"):
        LatentDescription(Renderer(), lacking).explain(None)


KILLED = """
import sys
from pathlib import Path
from pxgen_plugins.adapters import LatentDescription
from tests.adapters.planted import Renderer, Truthful
truthful = Truthful()
def slow(pictures, prompt, *, seed):
    import time
    time.sleep(0.05)
    return truthful(pictures, prompt, seed=seed)
LatentDescription(Renderer(), slow, folder=sys.argv[1]).explain(None)
"""


def test_a_killed_run_goes_on_where_it_was(tmp_path):
    root = Path(__file__).parents[2]
    log = tmp_path / "questions.jsonl"
    code = KILLED.replace("Renderer(), slow", "Renderer(), Slow()").replace(
        "def slow(pictures, prompt, *, seed):",
        "class Slow:\n  def __repr__(self): return 'Truthful()'\n"
        "  def __call__(self, pictures, prompt, *, seed):",
    )
    run = subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], cwd=root)
    try:
        end = time.monotonic() + 120
        while not log.exists() or log.read_bytes().count(b"\n") < 12:
            assert run.poll() is None, "it ended before it was killed"
            assert time.monotonic() < end
            time.sleep(0.01)
        run.send_signal(signal.SIGKILL)
    finally:
        run.kill()
        run.wait()
    with log.open("ab") as file:  # as a write that was cut off leaves it
        file.write(b'{"key": "abc", "answ')
    kept = sum(b'"answer"' in line for line in log.read_bytes().split(b"\n"))
    truthful = Truthful()
    found = LatentDescription(Renderer(), truthful, folder=tmp_path).explain(None)
    assert truthful.calls == found.n_calls - kept
    whole = LatentDescription(Renderer(), Truthful()).explain(None)
    plain = [json.loads(one.to_json())["data"] for one in (found, whole)]
    assert plain[0] == plain[1]
    # another question gets no old answer
    other = Truthful()
    LatentDescription(Renderer(), other, folder=tmp_path, seed=1).explain(None)
    assert other.calls == whole.n_calls


@pytest.mark.skipif(not hasattr(os, "symlink"), reason="no links here")
def test_a_link_in_the_place_of_the_log_is_not_followed(tmp_path):
    target = tmp_path / "elsewhere"
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "questions.jsonl").symlink_to(target)
    with pytest.raises(ParameterError, match="folder"):
        LatentDescription(Renderer(), Truthful(), folder=tmp_path / "run").explain(None)
    assert not target.exists()


# ------------------------------------------------------------------ evaluation


def test_scores_count_as_by_hand(planted):
    data = {**planted.data, "attribute": ["size", "vertical position", "size", "", "", ""]}
    data["status"] = ["clear", "clear", "clear", "unclear", "clear", "unclear"]
    wrong = replace_data(planted, data)
    scores = attribute_scores(wrong, FACTORS)
    assert scores["precision"] == 2 / 4
    assert scores["recall"] == 2 / 4
    assert scores["dead"] == 0.0
    with pytest.raises(ParameterError, match="z9"):
        attribute_scores(planted, {"z9": "size"})
    same = dict(zip(planted.axes, planted.sentence, strict=True))
    exact = text_scores(planted, {label: same[label] for label in ("z0", "z1", "z2")})
    assert exact == {"bleu": pytest.approx(1.0), "rouge_l": pytest.approx(1.0)}
    # Lin 2004, section 3: "police killed the gunman" against "police kill the gunman": LCS 3 of 4
    told = replace_data(planted, {**planted.data, "sentence": ["police kill the gunman"] * 6})
    assert text_scores(told, {"z0": "police killed the gunman"})["rouge_l"] == 0.75
    # Papineni et al. 2002, example 2: clipped unigram precision 2/7, no bigram: 0
    told = replace_data(planted, {**planted.data, "sentence": ["the " * 7] * 6})
    references = ["the cat is on the mat", "there is a cat on the mat"]
    assert text_scores(told, {"z0": references})["bleu"] == 0.0


def replace_data(explanation: Any, data: dict[str, Any]) -> Any:
    return replace(explanation, data=data) if hasattr(explanation, "__dataclass_fields__") else (
        type(explanation)(meta=explanation.meta, data=data)
    )  # fmt: skip
