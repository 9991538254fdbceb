"""PXGen finds a digit that was smuggled into the training set."""

from __future__ import annotations

import importlib
import json
import sys
from pathlib import Path

import numpy as np
import pytest

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"


@pytest.fixture
def example(monkeypatch):
    monkeypatch.syspath_prepend(str(EXAMPLES))
    sys.modules.pop("planted_delusion", None)
    return importlib.import_module("planted_delusion")


@pytest.mark.slow
def test_the_planted_digit_enters_hihe(example, tmp_path):
    # with so little training ones gain too, as blurred sevens; the full run ranks sevens first
    small = ["--n-images", "2500", "--epochs", "18", "--share", "0.2", "--n-anchors", "2000"]
    found = example.main([*small, "--n-samples", "500", "--output", str(tmp_path)])
    seven = found["digits"]["7"]
    assert seven["clean"] < 0.15
    assert seven["interval"][0] > 0.2
    assert found["digits"]["0"]["deluded"] > 0.4
    assert {p.suffix for p in tmp_path.iterdir()} == {".json", ".md", ".png"}


def test_the_committed_result_ranks_the_planted_digit_first():
    found = json.loads((EXAMPLES.parent / "docs/results/planted_delusion.json").read_text())
    gains = {digit: row["gain"] for digit, row in found["digits"].items()}
    assert max(gains, key=lambda digit: gains[digit]) == found["planted"] == "7"
    assert found["found"]


def test_the_page_says_what_is_not_found_without_the_clean_twin(example):
    found = json.loads((EXAMPLES.parent / "docs/results/planted_delusion.json").read_text())
    text = (EXAMPLES.parent / "docs/results/planted_delusion.md").read_text()
    assert text.partition("\nMade by")[0] == example.markdown(found)
    labels = example.by_labels(found["digits"], "7")
    shares = {digit: row["deluded"] for digit, row in found["digits"].items() if digit != "0"}
    assert labels["found"] == (max(shares, key=shares.get) == "7")
    assert ("by labels: **not found**" in text) != labels["found"]


def test_clusters_far_from_the_reference_show_the_plant_and_miss_it_where_it_is_none(example):
    rng = np.random.default_rng(0)
    zeros, held_out = rng.normal(size=(300, 4)), rng.normal(size=(400, 4))
    sevens, ones = rng.normal(20, 1, size=(60, 4)), rng.normal(-20, 1, size=(30, 4))
    labels = np.array(["0"] * 300 + ["7"] * 60 + ["1"] * 30)
    features = np.vstack([zeros, sevens, ones])
    both = example.by_neighbourhood(features, held_out, labels, "7", n_clusters=2)
    assert both["found"]
    assert both["clusters"][0]["label"] == "7"
    assert 90 <= both["n_far"] <= 110  # all strangers, and 1% of the zeros
    assert not example.by_neighbourhood(features, held_out, labels, "1", n_clusters=2)["found"]
    near = example.by_neighbourhood(zeros[:5] * 0, held_out, labels[:5], "7")
    assert (near["found"], near["rank"], near["n_far"]) == (False, None, 0)


def test_a_difference_has_newcombes_interval(example):
    # Newcombe 1998, table II, case (a), method 10: 56/70 - 48/80
    assert example.difference((56, 70), (48, 80)) == pytest.approx((0.2, 0.0524, 0.3339), abs=1e-4)
