"""Which anchors an audit takes and gives to other methods, and the words about it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pxgen_plugins.audit import engine
from pxgen_plugins.audit.cli import run
from pxgen_plugins.audit.run_folder import Run
from pxgen_plugins.audit.settings import Config, config_of
from tests.audit.test_engine import audited

pytest.importorskip("jinja2")
NAMES = list("abcdefghij")


@pytest.fixture(scope="module")
def pictures(tmp_path_factory) -> Path:
    """A folder of pictures with ten labels, 20 of each, in the order of their names."""
    folder, draws = tmp_path_factory.mktemp("sets"), np.random.default_rng(0)
    for name in NAMES:
        (folder / "in" / name).mkdir(parents=True)
        for i in range(20):
            pixels = draws.integers(0, 256, (28, 28), dtype=np.uint8)
            Image.fromarray(pixels).save(folder / "in" / name / f"{i:02}.png")
    return folder


def settings(folder: Path, name: str, anchors: dict[str, object], **changes: object) -> Config:
    values = {
        "model": {"shipped": "mnist_vae"},
        "anchors": {"path": "in"} | anchors,
        "threshold": {"name": "Quantile", "q": 0.99, "n_samples": 100, "n_repeats": 2},
        "output": name,
    }
    return config_of(values | changes, folder)


def test_a_sample_has_every_label_whatever_the_seed_of_the_audit(pictures):
    results = []
    for seed in (0, 1):
        config = settings(pictures, f"sample{seed}", {"sample": 30}, seed=seed)
        audited(config)
        results.append(Run.open(config.output).result)
    one, other = results
    assert one.ids.tolist() == other.ids.tolist()  # else a baseline would be of other anchors
    assert {name: (one.labels == name).sum() for name in NAMES} == dict.fromkeys(NAMES, 3)
    assert "a random sample of 30 of 200 anchors, stratified by label (seed 0)" in one.notes
    plans = [
        engine.make_plan(settings(pictures, "x", {"sample": 30, "sample_seed": seed}))[0]
        for seed in (0, 5)
    ]
    assert plans[0].digests["anchors"] != plans[1].digests["anchors"]
    assert plans[0].anchors.ids.tolist() != plans[1].anchors.ids.tolist()


def test_labels_that_a_limit_drops_are_said_in_plan_terminal_summary_and_report(pictures, capsys):
    text = (
        "model: {shipped: mnist_vae}\nanchors: {path: in, limit: 50}\noutput: limited\n"
        "threshold: {name: Quantile, q: 0.99, n_samples: 100, n_repeats: 2}\n"
    )
    path = pictures / "audit.yaml"
    path.write_text(text)
    words = "limit: 50 leaves out 7 of 10 labels: 'd', 'e', 'f', 'g', 'h', ...; sample: instead"
    assert run(["audit", str(path), "--plan"]) == 0
    assert words in capsys.readouterr().out
    assert run(["audit", str(path), "--plan", "--json"]) == 0
    assert words in json.loads(capsys.readouterr().out)["notes"][0]
    assert run(["audit", str(path), "--quiet"]) == 0
    assert words in capsys.readouterr().out
    assert words in (pictures / "limited/summary.md").read_text().replace("\\", "")
    assert "leaves out 7 of 10 labels" in (pictures / "limited/report.html").read_text()
    both = engine.make_plan(settings(pictures, "both", {"limit": 60, "sample": 9}))[0].anchors
    assert sorted(set(both.labels.tolist())) == ["a", "b", "c"]
    assert "limit: 60 leaves out" in both.notes[0]


def evidence(config: Config) -> tuple[str, dict[str, list[str]]]:
    audited(config)
    ((title, rows),) = json.loads((config.output / "evidence.json").read_text())
    return title, {row[0]: row for row in rows[1:]}


def test_global_methods_explain_a_sample_of_the_anchors(pictures):
    adapters = {"names": ["saliency", "protodash", "latent_view"], "per_group": 1, "sample": 60}
    config = settings(pictures, "wide", {}, adapters=adapters)
    title, rows = evidence(config)
    count = int(title.split("local methods, ")[1].split()[0])
    assert 60 <= count <= 64  # and the representatives
    assert f"{count} of 200 anchors under global ones" in title
    assert "trustworthiness" in rows["latent_view"][4]
    assert "trustworthiness 1," not in rows["latent_view"][4]
    assert "coverage_radius 0," not in rows["protodash"][4]
    assert not any(row[-1] for row in rows.values())


def test_quality_of_a_few_anchors_is_not_a_number(pictures):
    adapters = {"names": ["protodash", "latent_view"]}
    _, rows = evidence(settings(pictures, "few", {"sample": 12}, adapters=adapters))
    for row in rows.values():
        assert row[4] == "not measured: 12 anchors are fewer than 30"
        assert row[-1] == ""


def test_a_method_of_groups_gets_the_fitted_explainer(pictures):
    pytest.importorskip("alibi")
    adapters = {"names": ["group_anchor_image"], "per_group": 1}
    _, rows = evidence(settings(pictures, "groups", {"sample": 12}, adapters=adapters))
    assert rows["group_anchor_image"][1] == "attribution"
    assert rows["group_anchor_image"][-1] == ""
