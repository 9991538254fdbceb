"""PXGen finds a digit that was smuggled into the training set."""

from __future__ import annotations

import importlib
import json
import sys
from pathlib import Path

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
    assert seven["clean"] < 0.1
    assert seven["interval"][0] > 0.2
    assert found["digits"]["0"]["deluded"] > 0.4
    assert {p.suffix for p in tmp_path.iterdir()} == {".json", ".md", ".png"}


def test_the_committed_result_ranks_the_planted_digit_first():
    found = json.loads((EXAMPLES.parent / "docs/results/planted_delusion.json").read_text())
    gains = {digit: row["gain"] for digit, row in found["digits"].items()}
    assert max(gains, key=lambda digit: gains[digit]) == found["planted"] == "7"
    assert found["found"]


def test_a_difference_has_newcombes_interval(example):
    # Newcombe 1998, table II, case (a), method 10: 56/70 - 48/80
    assert example.difference((56, 70), (48, 80)) == pytest.approx((0.2, 0.0524, 0.3339), abs=1e-4)
