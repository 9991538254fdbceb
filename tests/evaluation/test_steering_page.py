"""docs/steering.md runs as it stands, and its sentences are what the file of results says."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pytest

from tests.pages import read_page, run_page

DOCS = Path(__file__).parents[2] / "docs"
PAGE = read_page("steering.md")
RESULTS: dict[str, Any] = json.loads((DOCS / "results" / "steering.json").read_text("utf-8"))


def test_the_code_of_the_page_runs_and_says_what_it_says(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    mpl.use("Agg")
    space = run_page("steering.md", quiet=True)
    assert f"task.goal  # {space['task'].goal:.1f}:" in PAGE
    assert space["rotated"].goal == pytest.approx(space["task"].goal, abs=1e-3)
    assert space["found"].row("drags")["n"] == 4
    log = space["order"][0].session("participant_7.jsonl", participant=7).log
    assert [row["event"] for row in log.rows].count("resume") == 1
    kept = [row["agreement"] for row in log.rows if "agreement" in row]
    np.testing.assert_allclose(space["again"], kept[: len(space["again"])], atol=1e-6)
    plt.close("all")


def of(model: str, user: str, measure: str, label: str) -> dict[str, float]:
    row: dict[str, float] = RESULTS[model]["users"][user]["representations"][label][measure]
    return row


def ratio(model: str, label: str) -> dict[str, float]:
    """The ratio of the drags of a sweeper to those behind the model's own axes."""
    pairs = RESULTS[model]["users"]["sweeper"]["pairs"]
    found: dict[str, float] = next(
        r for r in pairs if r["measure"] == "drags" and r["representation"] == label
    )
    return found


def test_a_sweeper_sees_a_full_mixture_and_no_walker_succeeds():
    mixture = ratio("planted renderer", "all mixed")
    assert mixture["ratio"] >= 1.4
    assert mixture["ratio_low"] > 1
    for found in RESULTS.values():
        for measures in found["users"]["random"]["representations"].values():
            assert measures["solved"]["mean"] <= 0.1


def test_the_page_repeats_the_results():
    words = " ".join(PAGE.split())
    for label in ("all mixed", "place mixed"):
        row = ratio("planted renderer", label)
        ends = f"{row['ratio_low']:.1f} to {row['ratio_high']:.1f}"
        assert f"{row['ratio']:.1f} times the drags ({ends})" in words
    shares = [
        of("dSprites VAE", "sweeper", "solved", label)["mean"] for label in ("own", "rotated")
    ]
    assert "{:.2f} of the targets behind its own axes and {:.2f} behind".format(*shares) in words
    for model in ("dSprites VAE", "digit VAE", "zeros VAE"):
        row = ratio(model, "rotated")
        assert f"{row['ratio']:.2f} ({row['ratio_low']:.2f} to {row['ratio_high']:.2f})" in words
