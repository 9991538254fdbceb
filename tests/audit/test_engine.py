"""Runs of an audit: resumed, sharded, in processes, always the same bytes."""

from __future__ import annotations

import base64
import errno
import html
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from pxgen_plugins import PXGen
from pxgen_plugins.audit import engine, units
from pxgen_plugins.audit.run_folder import Run, mark_complete, write_results
from pxgen_plugins.audit.settings import Config, config_of
from pxgen_plugins.audit.terminal import print_run
from pxgen_plugins.audit.work import work_of
from pxgen_plugins.audit.writers.report import ReportWriter
from pxgen_plugins.datasets import load_mnist, load_mnist_vae
from pxgen_plugins.models import wrap
from pxgen_plugins.thresholds import Quantile
from pxgen_plugins.utils.errors import ParameterError
from pxgen_plugins.utils.remote import Remote
from pxgen_plugins.utils.storage import Place, storage_of
from tests.audit.folders import content as every_file
from tests.audit.runs import reseal

pytest.importorskip("jinja2")
FINAL = {
    "anchors.parquet", "calibration.json", "conditions.json", "evidence.json", "explanation.json",
    "junit.xml",
    "manifest.json", "metrics.prom", "pictures.safetensors", "report.html", "summary.md",
}  # fmt: skip


def settings(folder: Place, **changes) -> Config:
    values = {
        "model": {"shipped": "mnist_vae"},
        "anchors": {"shipped": "mnist", "limit": 300},
        "threshold": {"name": "Quantile", "q": 0.99, "n_samples": 100, "n_repeats": 2},
        "shard_size": 64,
        "conditions": ["label:0.HIHE.fraction >= 0.2", "HIHE.count >= 1"],
        "output": str(folder),
    }
    return config_of(values | changes, folder.parent if isinstance(folder, Path) else Path("/"))


def audited(config: Config, **options) -> list[str]:
    plan, explainer = engine.make_plan(config)
    assert engine.score(config, plan, explainer, **options)
    return [judgement.state for judgement in engine.finish(config, plan).judgements]


def content(folder: Place) -> dict[str, bytes]:
    return {name: bytes_ for name, bytes_ in every_file(folder).items() if name in FINAL}


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("audit") / "run"
    audited(settings(folder))
    return folder


def test_a_run_has_every_file_and_says_what_pxgen_says(undisturbed):
    assert set(content(undisturbed)) == FINAL
    images, labels = load_mnist("test")
    model = wrap(load_mnist_vae(), sample_shape=(1, 28, 28))
    explainer = PXGen(model, threshold=Quantile(0.99, 100, 2), selectors=["k_center"])
    direct = explainer.fit().explain(images[:300, None], labels=labels[:300])
    found = Run.open(undisturbed)
    assert np.array_equal(found.result.group, direct.group)
    assert np.allclose(found.result.values, direct.values, rtol=1e-5)
    assert found.result.to_data()["thresholds"] == pytest.approx(direct.thresholds, rel=1e-5)
    assert found.result.labels.tolist() == direct.labels.tolist()
    for name, group in direct.groups.items():
        picked = group["representatives"]["k_center"]
        assert found.result.groups[name].representatives["k_center"].tolist() == picked.tolist()
        assert np.array_equal(found.result.groups[name].indices, group["indices"])
    assert [one.state for one in found.judgements] == ["passed", "passed"]
    assert found.manifest["n_anchors"] == 300


def test_a_second_run_of_the_same_plan_scores_nothing_and_gives_the_same_bytes(
    undisturbed, run: Place, monkeypatch
):
    audited(settings(run))
    monkeypatch.setattr("pxgen_plugins.audit.crew.do_unit", None)
    audited(settings(run))
    assert content(run) == content(undisturbed)


def test_a_run_that_cannot_write_all_its_files_leaves_none_that_shows_a_verdict(
    undisturbed, run: Place, monkeypatch
):
    config = settings(run)
    plan, explainer = engine.make_plan(config)
    assert engine.score(config, plan, explainer)
    write = Remote.write

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    def full_at_report(self, name, content):
        return full() if name == "report.html" else write(self, name, content)

    for place, failing in ((ReportWriter, full), (Remote, full_at_report)):
        if place is Remote and isinstance(run, Path):
            continue
        with monkeypatch.context() as patch:
            patch.setattr(place, "write", failing)
            with pytest.raises(OSError, match="No space left"):
                engine.finish(config, plan)
        shown = {"checksums.json", "conditions.json", "junit.xml", "metrics.prom", "summary.md"}
        assert not shown & set(storage_of(run).names())
    engine.finish(config, plan)
    assert content(run) == content(undisturbed)


def test_parts_come_together_in_any_order(undisturbed, run: Place):
    config = settings(run)
    plan, explainer = engine.make_plan(config)
    assert not engine.score(config, plan, explainer, part=(1, 2))
    with pytest.raises(FileNotFoundError):
        engine.finish(config, plan)
    assert engine.score(config, plan, explainer, part=(0, 2))
    engine.finish(config, plan)
    assert content(run) == content(undisturbed)


@pytest.mark.parametrize(
    ("name", "workers"),
    [
        ("serial", 4),
        ("processes", 1),
        pytest.param("processes", 4, marks=pytest.mark.slow),
        pytest.param("ray", 2, marks=pytest.mark.slow),
    ],
)
def test_every_executor_gives_the_same_bytes(name, workers, undisturbed, tmp_path):
    if name == "ray":
        pytest.importorskip("ray")
    config = settings(tmp_path / "run", executor={"name": name, "workers": workers})
    audited(config)
    assert content(tmp_path / "run") == content(undisturbed)


def test_what_a_killed_write_left_is_removed_once_it_is_old(undisturbed, tmp_path):
    run = tmp_path / "run"
    shutil.copytree(undisturbed, run)
    old = [run / f".report.html.{'0' * 16}", run / "shards" / f".000001.safetensors.{'a' * 16}"]
    kept = [run / f".report.html.{'1' * 16}", run / ".hidden", run / f".notes.{'0' * 15}"]
    for path in [*old, *kept]:
        path.write_bytes(b"half")
    for path in [*old, *kept[1:]]:
        os.utime(path, (0, 0))
    audited(settings(run))
    assert not any(path.exists() for path in old)
    assert all(path.exists() for path in kept)


def test_a_damaged_shard_is_scored_again(undisturbed, run: Place):
    config = settings(run)
    plan, explainer = engine.make_plan(config)
    engine.score(config, plan, explainer)
    storage = storage_of(run)
    files = [f"shards/{name}" for name in storage.names("shards")]
    storage.write(files[0], storage.read(files[0])[:50])
    storage.write(files[1], b"")
    storage.remove(files[2])
    storage.write(files[3], storage.read(files[4]))  # another shard's, of another length
    left = units.missing(run, work_of(run).shards, plan.digest)
    assert left[:3] == [0, 1, 2]
    audited(config)
    assert content(run) == content(undisturbed)


@pytest.mark.slow
def test_another_plan_is_refused_and_fresh_starts_over(undisturbed, run: Place):
    audited(settings(run))
    for change in (
        {"seed": 1},
        {"anchors": {"shipped": "mnist", "limit": 200}},
        {"shard_size": 32},
    ):
        with pytest.raises(ParameterError, match="same plan"):
            audited(settings(run, **change))
    audited(settings(run, seed=1), fresh=True)
    assert Run.open(run).manifest["seed"] == 1
    audited(settings(run), fresh=True)
    assert content(run) == content(undisturbed)


@pytest.mark.parametrize("run", ["local", "memory"], indirect=True)
def test_files_of_others_are_not_written_over(run: Place):
    storage_of(run).write("thesis.tex", b"years of work")
    with pytest.raises(ParameterError, match="other files"):
        audited(settings(run))
    assert storage_of(run).read("thesis.tex") == b"years of work"


def test_other_conditions_are_judged_without_scoring(undisturbed, run: Place, monkeypatch):
    audited(settings(run))
    monkeypatch.setattr("pxgen_plugins.audit.crew.do_unit", None)
    changed = settings(run, conditions=["HILE.count < 1"])
    assert audited(changed) == ["failed"]
    assert [one.state for one in Run.open(run).judgements] == ["failed"]


def test_anchors_that_moved_have_pictures(undisturbed, tmp_path):
    strict = {"name": "Quantile", "q": 0.5, "n_samples": 100, "n_repeats": 2}
    none = {"n_representatives": 1, "conditions": []}
    config = settings(tmp_path / "run", threshold=strict, baseline=str(undisturbed), **none)
    audited(config)
    ways = json.loads((config.output / "changes.json").read_text())["moved"]
    pictured = set(Run.open(config.output).result.examples.indices.tolist())
    assert ways
    counts = [len(moved) for moved in ways.values()]
    assert counts == sorted(counts, reverse=True)
    for moved in list(ways.values())[:4]:
        assert len(pictured & set(moved)) >= min(len(moved), 12)


def test_what_readers_must_know_of_the_baseline_stands_in_every_output(tmp_path, capsys):
    audited(settings(tmp_path / "before", conditions=["HIHE.count >= 300"]))
    strict = {"name": "Quantile", "q": 0.5, "n_samples": 100, "n_repeats": 2}
    config = settings(tmp_path / "run", threshold=strict, baseline=str(tmp_path / "before"))
    audited(config)
    capsys.readouterr()
    print_run(Run.open(config.output), as_json=False)
    outputs = [capsys.readouterr().out]
    print_run(Run.open(config.output), as_json=True)
    outputs.append("\n".join(json.loads(capsys.readouterr().out)["notes"]))
    files = ("summary.md", "report.html", "changes.json")
    for text in [*outputs, *((tmp_path / "run" / name).read_text() for name in files)]:
        assert "different rules, Quantile(" in text
        assert "q=0.99" in text
        assert "q=0.5" in text
        assert "verdict of the baseline is failed" in text


@pytest.mark.slow
def test_a_baseline_of_the_same_anchors_is_compared_with(undisturbed, tmp_path):
    # two repeats say so little of calibration that no change could be judged
    threshold = {"name": "Quantile", "q": 0.99, "n_samples": 100, "n_repeats": 10}
    audited(settings(tmp_path / "before", threshold=threshold))
    config = settings(
        tmp_path / "run",
        seed=5,
        threshold=threshold,
        baseline=str(tmp_path / "before"),
        conditions=["HIHE.fraction drop <= 0.5", "moved.fraction <= 0.9"],
    )
    assert audited(config) == ["passed", "passed"]
    assert (tmp_path / "run/changes.json").exists()
    few = settings(
        tmp_path / "few", anchors={"shipped": "mnist", "limit": 9}, baseline=str(undisturbed)
    )
    with pytest.raises(ParameterError, match="baseline"):
        engine.make_plan(few)
    with pytest.raises(ParameterError, match="run"):
        engine.make_plan(settings(tmp_path / "none", baseline=str(tmp_path / "absent")))


@pytest.mark.slow
def test_adapters_stand_in_the_report_and_a_failing_one_is_a_row(undisturbed, tmp_path):
    config = settings(
        tmp_path / "run",
        adapters={"names": ["protodash", "grad_cam"], "groups": ["HILE"], "per_group": 3},
    )
    audited(config)
    ((title, rows),) = json.loads((tmp_path / "run/evidence.json").read_text())
    assert "3 representatives of HILE under local methods" in title
    assert rows[0][0] == "method"
    assert [row[0] for row in rows[1:]] == ["protodash", "grad_cam"]
    assert rows[1][-1] == ""
    assert rows[2][-1]  # the network has no convolution
    page = (tmp_path / "run/report.html").read_text()
    assert "protodash" in page
    figure = (tmp_path / "run/evidence.png").read_bytes()
    assert base64.b64encode(figure).decode() in html.unescape(page)
    audited(config)
    assert (tmp_path / "run/evidence.png").read_bytes() == figure
    audited(settings(tmp_path / "run"))
    assert not (tmp_path / "run/evidence.png").exists()
    with pytest.raises(ParameterError, match="saliency"):
        engine.make_plan(settings(tmp_path / "other", adapters={"names": ["salience"]}))


def test_bad_anchors_are_named_and_counted(tmp_path):
    x = np.random.default_rng(0).random((20, 1, 28, 28), dtype=np.float32)
    x[3] = np.nan
    np.save(tmp_path / "anchors.npy", x)
    config = settings(
        tmp_path / "run", anchors={"path": "anchors.npy"}, conditions=["invalid.count < 1"]
    )
    assert audited(config) == ["failed"]
    found = Run.open(tmp_path / "run")
    assert found.result.invalid.tolist() == [3]
    assert "NaN" in found.result.reasons[0]


KILLED = """
import sys
from pathlib import Path
from tests.audit.test_engine import audited, settings
audited(settings(Path(sys.argv[1])))
"""


@pytest.mark.slow
def test_a_run_that_is_killed_again_and_again_ends_with_the_same_bytes(undisturbed, tmp_path):
    folder = tmp_path / "run"
    root = Path(__file__).parents[2]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(root), *sys.path])}
    draws = np.random.default_rng(0)
    for _ in range(4):
        process = subprocess.Popen(
            [sys.executable, "-W", "ignore", "-c", KILLED, str(folder)], env=environment
        )
        deadline = time.monotonic() + 60
        while not (folder / "plan.json").exists() and time.monotonic() < deadline:
            time.sleep(0.02)
        time.sleep(draws.uniform(0.0, 1.5))
        process.send_signal(signal.SIGKILL)
        process.wait()
    audited(settings(folder))
    assert content(folder) == content(undisturbed)


def test_a_folder_that_is_no_run_is_refused(undisturbed, tmp_path):
    with pytest.raises(ParameterError, match="finished run"):
        Run.open(tmp_path)
    copy = tmp_path / "copy"
    copy.mkdir()
    for path in undisturbed.iterdir():
        if path.is_file():
            (copy / path.name).write_bytes(path.read_bytes())
    Run.open(copy)
    for name in ("anchors.parquet", "manifest.json", "pictures.safetensors", "conditions.json"):
        kept = (copy / name).read_bytes()
        (copy / name).write_bytes(kept[: len(kept) // 2])
        with pytest.raises(ParameterError, match="run"):
            Run.open(copy)
        (copy / name).write_bytes(kept)
    manifest = json.loads((copy / "manifest.json").read_text())
    (copy / "manifest.json").write_text(json.dumps(manifest | {"format": 99}))
    with pytest.raises(ParameterError, match=r"manifest.json was changed"):
        Run.open(copy)
    reseal(copy)
    with pytest.raises(ParameterError, match="format"):
        Run.open(copy)


def test_a_criterion_may_have_the_name_of_a_column(undisturbed, tmp_path):
    run = Run.open(undisturbed)
    named = replace(run, path=tmp_path, result=replace(run.result, criteria=["reason", "group"]))
    write_results(tmp_path, named)
    mark_complete(tmp_path, named)
    found = Run.open(tmp_path).result
    assert found.criteria == ["reason", "group"]
    assert np.array_equal(found.values, run.result.values)
    assert np.array_equal(found.affinity, run.result.affinity)
    assert np.array_equal(found.group, run.result.group)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (lambda found: found.pop("name"), "'name'"),
        (lambda found: found.update(seed="1"), "'seed'"),
        (lambda found: found.update(digests=[1]), "'digests'"),
        (lambda found: found.update(format=9), "of format 1"),
    ],
)
def test_a_manifest_that_lacks_what_is_read_from_it_is_no_run(undisturbed, tmp_path, change, named):
    shutil.copytree(undisturbed, tmp_path / "run")
    found = json.loads((tmp_path / "run/manifest.json").read_text())
    change(found)
    (tmp_path / "run/manifest.json").write_text(json.dumps(found))
    reseal(tmp_path / "run")
    with pytest.raises(ParameterError, match=named):
        Run.open(tmp_path / "run")


JOINT = {"name": "Conformal", "alpha": 0.1, "source": "reference", "joint": True}


class TestReference:
    """Thresholds from data that the settings name."""

    def test_the_thresholds_are_those_of_fit(self, tmp_path):
        zeros = {"shipped": "mnist", "digits": [0], "limit": 60}
        config = settings(tmp_path / "run", threshold=JOINT, reference=zeros)
        plan, _ = engine.make_plan(config)
        assert plan.n_samples == 60
        audited(config)
        result = Run.open(tmp_path / "run").result
        images = load_mnist("test", digits=[0])[0][:60, None]
        explainer = PXGen(wrap(load_mnist_vae(), sample_shape=(1, 28, 28)), threshold=JOINT)
        expected = explainer.fit(images).calibration.thresholds
        np.testing.assert_allclose(result.thresholds, expected, rtol=1e-5)
        assert result.calibration.source == "reference"

    def test_missing_reference_data_is_one_error_before_anything_is_scored(self, tmp_path):
        with pytest.raises(ParameterError, match=r"reference must be given for Conformal"):
            engine.make_plan(settings(tmp_path / "run", threshold=JOINT))
