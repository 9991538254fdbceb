"""The page about axes in words runs as it stands, and its comments are true."""

from __future__ import annotations

import re

import numpy as np
import pytest

from pxgen_plugins.adapters.language.base import LanguageAdapter
from pxgen_plugins.describers import openai_compatible
from tests.pages import read_page, run_page

PAGE = read_page("descriptions.md")


def test_the_code_of_the_page_runs_and_says_what_it_says(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    space = run_page("descriptions.md")
    found, lies, groups = space["found"], space["lies"], space["groups"]
    LatentDescription = space["LatentDescription"]
    estimate = LatentDescription(space["model"], space["ruler"]).estimate()
    said = re.search(r"adapter.estimate\(\)  # (\{.*?), \.\.\.", PAGE)
    assert said is not None
    assert str(estimate).startswith(said[1])
    assert found.sentence[3:] == ["The brightness goes brighter.", "no visible change"]
    assert found.confirmed.tolist() == [True] * 4 + [False]
    assert lies.sentence == ["no clear explanation"] * 4 + ["no visible change"]
    assert lies.hit_rate[0] < 0.5
    assert not lies.confirmed.any()
    assert groups.sentence == ["The squares are larger."]
    assert groups.confirmed.all()
    scores = space["attribute_scores"](found, space["truth"])
    assert set(scores.values()) == {1.0}
    assert not (tmp_path / "descriptions").exists()  # nothing was asked of the endpoint
    assert np.isfinite(space["text_scores"](found, {"z2": "The square grows."})["bleu"])


@pytest.mark.parametrize(
    ("sentence", "value"),
    [
        ("an answer may have {} MiB", openai_compatible._LARGEST_ANSWER / 2**20),
        ("`Retry-After` of up to {} seconds", openai_compatible._LONGEST_WAIT),
        ("at most `alpha` ({})", LanguageAdapter.alpha),
        ("at least `least` ({})", LanguageAdapter.least),
    ],
)
def test_the_numbers_of_the_page_are_those_of_the_code(sentence, value):
    assert sentence.format(f"{value:g}") in " ".join(PAGE.split())
