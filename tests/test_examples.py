"""The examples run, in small settings, and write what they say."""

from __future__ import annotations

import importlib
import json
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parent.parent / "examples"


@pytest.fixture
def example(monkeypatch):
    monkeypatch.syspath_prepend(str(EXAMPLES))

    def load(name):
        sys.modules.pop(name, None)
        return importlib.import_module(name)

    return load


def test_the_demo_finds_the_zeros(example, tmp_path):
    arguments = ["--n-samples", "2000", "--n-repeats", "3", "--n-anchors", "3000"]
    example("mnist_zeros").main([*arguments, "--output", str(tmp_path)])
    summary = json.loads((tmp_path / "summary.json").read_text())
    shares = {digit: row["HIHE"]["share"] for digit, row in summary["shares"].items()}
    zeros = shares.pop("0")
    assert zeros > 0.8
    assert max(shares.values()) < zeros / 2
    names = {path.name for path in tmp_path.iterdir()}
    assert {"explanation.json", "anchors.parquet", "groups.png", "delusion.png"} <= names


def test_the_comparison_has_a_row_per_method(example, tmp_path):
    for package in ("captum", "lime", "shap"):
        pytest.importorskip(package)
    module = example("compare_mnist")
    module.main(["--quick", "--n-anchors", "200", "--output", str(tmp_path)])
    content = json.loads((tmp_path / "comparison.json").read_text())
    failed = {row["method"]: row["error"] for row in content["table"] if row["error"]}
    assert set(failed) == {"GradCAM"}  # the network has no convolution
    assert "convolution" in failed["GradCAM"]
    assert len(content["table"]) > 20
    assert (tmp_path / "comparison.png").stat().st_size > 10_000


def test_pxgen_stands_in_a_loop_over_alibis_explainers(example, tmp_path):
    example("alibi_workflow").main(["--n-anchors", "60", "--output", str(tmp_path)])
    found = {path.stem for path in tmp_path.iterdir()}
    assert found == {"ALE", "PartialDependence", "PXGen"}


def test_the_removal_experiment_writes_its_curves_and_goes_on(example, tmp_path):
    module = example("removal_mnist")
    arguments = ["--small", "--output", str(tmp_path), "--folder", str(tmp_path / "points")]
    module.main(arguments)
    text = (tmp_path / "removal_digit0.json").read_text()
    content = json.loads(text)
    assert len(content["points"]) == 2 + 4 * 2 * 2 + 4 * 2  # full set, equal epochs, equal steps
    assert len(content["table"]) == 2 * (4 * 2 + 4)  # in two feature spaces
    assert content["about"]["groups"]["HIHE"] + content["about"]["non_hihe"] == 300
    assert content["plan"]["whole"] == content["about"]["non_hihe"]
    assert content["about"]["cpu_seconds"]["vae_tracin / pxgen_scoring"] > 1
    assert (tmp_path / "removal_digit0.png").stat().st_size > 10_000
    module.main(arguments)
    assert (tmp_path / "removal_digit0.json").read_text() == text  # nothing was trained again
