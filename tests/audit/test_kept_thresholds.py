"""A model that got worse: thresholds calibrated anew move with it, kept ones do not."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

pytest.importorskip("jinja2")

from pxgen_plugins.audit import engine
from pxgen_plugins.audit.run_comparison import compare_runs
from pxgen_plugins.audit.run_folder import Run
from pxgen_plugins.audit.settings import config_of
from pxgen_plugins.datasets import load_mnist, load_mnist_vae

CONDITION = "HIHE.fraction drop <= 0.05"


def save_damaged(path: Path, noise: float) -> None:
    """Write the shipped weights, with noise of so many of their standard deviations."""
    generator = torch.Generator().manual_seed(0)
    weights = {
        name: value + noise * value.std() * torch.randn(value.shape, generator=generator)
        for name, value in load_mnist_vae().state_dict().items()
    }
    save_file(weights, path)


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    place = tmp_path_factory.mktemp("kept")
    images, labels = load_mnist("test")
    zeros = images[labels == 0][:, None]
    np.save(place / "anchors.npy", zeros[:300])
    np.save(place / "reference.npy", zeros[300:])
    for noise in (0.0, 1.0):
        save_damaged(place / f"{noise}.safetensors", noise)
    audited(place, 0.0, "good")
    return place


def audited(folder: Path, noise: float, output: str, **changes) -> Run:
    values = {
        "model": {
            "factory": "pxgen_plugins.datasets:load_mnist_vae",
            "weights": f"{noise}.safetensors",
            "options": {"sample_shape": [1, 28, 28]},
        },
        "anchors": {"path": "anchors.npy"},
        "reference": {"path": "reference.npy"},
        "threshold": {"name": "Conformal", "alpha": 0.05, "source": "reference", "joint": True},
        "output": output,
    }
    run = engine.audit(config_of(values | changes, folder))
    assert run is not None
    return run


def test_kept_thresholds_fail_a_damaged_model_that_its_own_would_pass(folder):
    kept = {"baseline": "good", "keep_thresholds": True, "conditions": [CONDITION]}
    good = audited(folder, 0.0, "again", **kept)
    bad = audited(folder, 1.0, "bad", **kept)
    own = audited(folder, 1.0, "own", **(kept | {"keep_thresholds": False}))
    before = Run.open(folder / "good").result
    assert [one.state for one in good.judgements + bad.judgements] == ["passed", "failed"]
    for run in (good, bad):
        np.testing.assert_array_equal(run.result.thresholds, before.thresholds)
    assert bad.result.groups["HIHE"].fraction < 0.1
    assert own.result.groups["HIHE"].fraction > before.groups["HIHE"].fraction - 0.05
    assert all(shift.ratio > 1.3 for shift in own.changes.thresholds.values())
    (note,) = own.changes.notes
    assert "The threshold of kld is" in note
    assert "keep_thresholds: true" in note
    assert bad.changes.notes == good.changes.notes == ()
    assert bad.changes.calibrations == "the second run has the thresholds of the first"


def test_the_noise_of_kept_thresholds_is_none_between_the_runs(folder):
    again = audited(
        folder, 0.0, "same", baseline="good", keep_thresholds=True, conditions=[CONDITION]
    )
    n = again.result.n
    changes = compare_runs(Run.open(folder / "good").result, again.result)
    assert changes.moved_interval[1] <= 4 / n  # none of n moved: the rule of three, two-sided
    low, high = again.judgements[0].low, again.judgements[0].high
    assert -4 / n < low <= 0 <= high < 4 / n


def test_without_a_baseline_it_calibrates_as_it_would_else(folder):
    first = audited(folder, 0.0, "first", keep_thresholds=True)
    before = Run.open(folder / "good").result
    np.testing.assert_array_equal(first.result.thresholds, before.thresholds)
