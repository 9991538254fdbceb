"""Runs in MLflow: what is written, once, into a store on disk."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from pxgen_plugins.audit.cli import run as command
from pxgen_plugins.audit.run_folder import Run
from pxgen_plugins.audit.writers.mlflow import log_run
from pxgen_plugins.utils.errors import MissingDependencyError, ParameterError
from tests.audit.runs import reseal

pytest.importorskip("yaml")
pytest.importorskip("jinja2")
mlflow = pytest.importorskip("mlflow")

SETTINGS = """
name: zeros
model: {shipped: mnist_vae}
anchors: {shipped: mnist, limit: 100}
threshold: {name: Quantile, q: 0.99, n_samples: 60, n_repeats: 2}
output: run
conditions:
  - "label:0.HIHE.fraction >= 0.1"
  - "label:0.HIHE.fraction <= 0.1"
  - {condition: "HIHE.count >= 1", name: "../..//etc/passwd\\e[31m"}
  - {condition: "HIHE.count >= 1", name: "名前"}
  - {condition: "HILE.fraction <= 1", min_count: 9999, name: skipped}
"""


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("finished")
    (folder / "audit.yaml").write_text(SETTINGS, encoding="utf-8")
    assert command(["audit", str(folder / "audit.yaml"), "--quiet"]) == 1
    return folder / "run"


@pytest.fixture(autouse=True)
def alone(tmp_path, monkeypatch):
    """A folder of its own, nothing of MLflow's left over, and no way out of the machine."""

    def refused(*arguments, **options):
        raise AssertionError("a connection was opened")

    for name in [name for name in os.environ if name.startswith("MLFLOW_")]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(socket.socket, "connect", refused)
    monkeypatch.setattr(socket, "getaddrinfo", refused)
    yield
    mlflow.set_tracking_uri(None)
    os.environ.pop("MLFLOW_EXPERIMENT_ID", None)


@pytest.fixture
def allowed(monkeypatch):
    """What MLflow wants of those who use a file store themselves."""
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")


def stored(uri: Path | str, run_id: str):
    return mlflow.MlflowClient(str(uri)).get_run(run_id)


def test_a_run_is_logged_whole_into_a_folder(finished, tmp_path, allowed):
    uri = tmp_path / "store"
    run_id = log_run(finished, tracking_uri=uri)
    found, run = stored(uri, run_id), Run.open(finished)
    assert found.info.status == "FINISHED"
    assert found.info.run_name == "zeros"
    assert found.data.params["pxgen.threshold.q"] == "0.99"
    assert found.data.params["pxgen.model.shipped"] == "mnist_vae"
    assert found.data.params["pxgen.n_anchors"] == "100"
    assert json.loads(found.data.params["pxgen.intrinsic"]) == [{"name": "kld"}]
    metrics = found.data.metrics
    for name, group in run.result.groups.items():
        assert metrics[f"pxgen/count/{name}"] == group.count
        assert metrics[f"pxgen/fraction/{name}"] == group.count / 100
    for name, value in run.result.to_data()["thresholds"].items():
        assert metrics[f"pxgen/threshold/{name}"] == pytest.approx(value)
    assert metrics["pxgen/conditions/passed"] == 3
    assert metrics["pxgen/conditions/failed"] == 1
    tags = found.data.tags
    assert tags["pxgen.verdict"] == "failed"
    assert tags["pxgen.failing"] == "label:0.HIHE.fraction <= 0.1"
    assert tags["pxgen.digest.model"] == run.manifest["digests"]["model"]
    listed = mlflow.MlflowClient(str(uri)).list_artifacts(run_id, "pxgen")
    written = {path.name for path in finished.iterdir() if path.is_file()} - {"plan.json"}
    assert {Path(one.path).name for one in listed} == written
    assert {"report.html", "summary.md", "anchors.parquet"} <= written
    report = next((tmp_path / "store").rglob("report.html"))
    assert report.read_bytes() == (finished / "report.html").read_bytes()


def test_every_condition_has_a_metric_whatever_its_name(finished, tmp_path, allowed):
    found = stored(tmp_path / "store", log_run(finished, tracking_uri=tmp_path / "store"))
    passed = {
        name.removeprefix("pxgen/condition/"): value
        for name, value in found.data.metrics.items()
        if name.startswith("pxgen/condition/")
    }
    assert passed == {
        "label_0.HIHE.fraction _ 0.1": 1.0,
        "label_0.HIHE.fraction _ 0.1 2": 0.0,
        "_.._etc_passwd_31m": 1.0,
        "名前": 1.0,
    }
    assert sorted(path.name for path in tmp_path.iterdir()) == ["store"]


def test_names_and_values_keep_to_the_limits_of_mlflow(finished, tmp_path, allowed):
    run = Run.open(finished)
    run.manifest["name"] = "n" * 9_999
    run.manifest["settings"] = {
        "model": {"arguments": {"k" * 999: "v" * 99_999, "k" * 998: "\ud800", "é" * 400: [1]}}
    }
    many = [replace(run.judgements[0], name=f"{'语' * 300}{i}") for i in range(250)]
    run.judgements[:] = [*many, replace(many[0], observed=None, state="error", name="")]
    found = stored(tmp_path / "store", log_run(run, tracking_uri=tmp_path / "store"))
    assert len(found.data.params) == 4
    assert {len(value) for value in found.data.params.values()} == {3, 5_000, 6}
    assert sum(name.startswith("pxgen/condition/") for name in found.data.metrics) == 251
    assert sum(name.startswith("pxgen/observed/") for name in found.data.metrics) == 250


def test_a_run_is_logged_once_per_experiment_and_another_anew(finished, tmp_path, allowed):
    uri = tmp_path / "store"
    first = log_run(finished, tracking_uri=uri)
    assert log_run(finished, tracking_uri=uri, run_name="again") == first
    other = log_run(finished, tracking_uri=uri, experiment="nightly")
    assert other != first
    copy = tmp_path / "copy"
    shutil.copytree(finished, copy)
    assert log_run(copy, tracking_uri=uri) == first  # the same results, wherever they lie
    (copy / "conditions.json").write_text("[]", encoding="utf-8")
    reseal(copy)
    assert log_run(copy, tracking_uri=uri) not in {first, other}
    names = {e.name for e in mlflow.MlflowClient(str(uri)).search_experiments()}
    assert {"pxgen", "nightly"} <= names


def test_what_was_cut_off_does_not_count_as_logged(finished, tmp_path, allowed, monkeypatch):
    uri = tmp_path / "store"
    with monkeypatch.context() as patch:
        patch.setattr(mlflow, "log_artifact", lambda *given: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            log_run(finished, tracking_uri=uri)
    client = mlflow.MlflowClient(str(uri))
    (before,) = client.search_runs([e.experiment_id for e in client.search_experiments()])
    assert before.info.status == "FAILED"
    run_id = log_run(finished, tracking_uri=uri)
    assert run_id != before.info.run_id
    assert log_run(finished, tracking_uri=uri) == run_id
    assert stored(uri, run_id).info.status == "FINISHED"


def test_an_active_run_is_written_to_and_left_open(finished, tmp_path, allowed):
    mlflow.set_tracking_uri(str(tmp_path / "store"))
    with mlflow.start_run() as active:
        mlflow.log_param("seed", 7)
        assert log_run(finished) == active.info.run_id
        assert log_run(finished) == active.info.run_id
        assert mlflow.active_run().info.status == "RUNNING"
        mlflow.log_metric("after", 1.0)
        other = Run.open(finished)
        copy = tmp_path / "copy"
        shutil.copytree(finished, copy)
        (copy / "conditions.json").write_text("[]", encoding="utf-8")
        reseal(copy)
        with pytest.raises(ParameterError, match="nested"):
            log_run(copy)
        assert log_run(other, run_name="apart") != active.info.run_id
    found = stored(tmp_path / "store", active.info.run_id)
    assert found.data.params["seed"] == "7"
    assert found.data.params["pxgen.seed"] == "0"
    assert found.data.metrics["after"] == 1.0


def test_the_store_of_the_process_is_as_before(finished, tmp_path, allowed, monkeypatch):
    log_run(finished, tracking_uri=tmp_path / "store")
    assert not mlflow.is_tracking_uri_set()
    mlflow.set_tracking_uri(str(tmp_path / "mine"))
    log_run(finished, tracking_uri=tmp_path / "store")
    assert mlflow.get_tracking_uri() == str(tmp_path / "mine")
    mlflow.set_tracking_uri(None)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", str(tmp_path / "other"))
    log_run(finished, tracking_uri=tmp_path / "store")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", str(tmp_path / "later"))
    assert mlflow.get_tracking_uri() == str(tmp_path / "later")


def test_the_run_and_the_experiment_that_the_environment_names_are_used(
    finished, tmp_path, allowed, monkeypatch
):
    mlflow.set_tracking_uri(str(tmp_path / "store"))
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", "weekly")
    client = mlflow.MlflowClient()
    run_id = log_run(finished)
    where = client.get_experiment_by_name("weekly").experiment_id
    assert client.get_run(run_id).info.experiment_id == where
    mine = client.create_run(where).info.run_id
    monkeypatch.setenv("MLFLOW_RUN_ID", mine)
    assert log_run(finished) == mine


def test_the_command_prints_the_id_and_writes_beside_where_nothing_is_said(
    finished, tmp_path, capsys
):
    assert command(["log", str(finished)]) == 0
    first = capsys.readouterr().out
    assert command(["log", str(finished), "--experiment", "pxgen"]) == 0
    assert capsys.readouterr().out == first
    assert [path.name for path in (tmp_path / "mlruns").rglob(first.strip())] == [first.strip()]
    assert command(["log", str(tmp_path)]) == 2
    assert "finished run" in capsys.readouterr().err


def test_a_database_of_mlflow_is_not_hidden_by_a_new_folder(finished, tmp_path):
    (tmp_path / "mlflow.db").write_bytes(b"no database")
    with pytest.raises(ParameterError, match="store that takes the run"):
        log_run(finished)
    assert not (tmp_path / "mlruns").exists()


def test_a_store_that_does_not_take_it_is_one_clear_error(finished, tmp_path, allowed):
    (tmp_path / "file").write_text("", encoding="utf-8")
    for uri in (tmp_path / "file", "gopher://nowhere"):
        with pytest.raises(ParameterError, match="store that takes the run"):
            log_run(finished, tracking_uri=uri)
    client = mlflow.MlflowClient(str(tmp_path / "store"))
    client.delete_experiment(client.create_experiment("gone"))
    with pytest.raises(ParameterError, match="store that takes the run"):
        log_run(finished, tracking_uri=tmp_path / "store", experiment="gone")


def test_telemetry_is_off_during_the_call_and_the_environment_is_as_before(
    finished, tmp_path, monkeypatch
):
    monkeypatch.setenv("DO_NOT_TRACK", "0")
    before = dict(os.environ)
    during = {}
    original = mlflow.log_params

    def spied(*given, **options):
        during.update(os.environ)
        return original(*given, **options)

    monkeypatch.setattr(mlflow, "log_params", spied)
    log_run(finished, tracking_uri=tmp_path / "store")
    assert during["MLFLOW_DISABLE_TELEMETRY"] == during["DO_NOT_TRACK"] == "true"
    assert dict(os.environ) == before
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "false")  # a house rule stays one
    with pytest.raises(ParameterError, match="MLFLOW_ALLOW_FILE_STORE"):
        log_run(finished, tracking_uri=tmp_path / "other")


SPIED = """
import socket, sys, threading
tried = []
socket.socket.connect = lambda *given: tried.append(given)
socket.getaddrinfo = lambda *given, **options: tried.append(given)
from pxgen_plugins.audit.writers.mlflow import log_run
log_run(sys.argv[1], tracking_uri="store")
print(len(tried), [thread.name for thread in threading.enumerate()])
"""


@pytest.mark.slow
def test_a_process_that_mlflow_would_report_about_reports_nothing(finished, tmp_path):
    quiet = ("CI", "GIT", "PYTEST", "JENKINS", "MLFLOW", "DO_NOT", "TF_", "BUILD")
    environment = {k: v for k, v in os.environ.items() if not k.startswith(quiet)}
    environment["PYTHONPATH"] = os.pathsep.join([str(Path(__file__).parents[2]), *sys.path])
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", SPIED, str(finished)],
        env=environment, cwd=tmp_path, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.stdout.split(maxsplit=1) == ["0", "['MainThread']\n"], done.stderr


def test_a_link_to_elsewhere_is_not_sent(finished, tmp_path, allowed):
    copy = tmp_path / "copy"
    shutil.copytree(finished, copy)
    (tmp_path / "secret").write_text("secret", encoding="utf-8")
    (copy / "summary.md").unlink()
    (copy / "summary.md").symlink_to(tmp_path / "secret")
    log_run(copy, tracking_uri=tmp_path / "store")
    assert list((tmp_path / "store").rglob("report.html"))
    assert not list((tmp_path / "store").rglob("summary.md"))


def test_without_mlflow_the_error_says_what_to_install(finished, monkeypatch):
    monkeypatch.setitem(sys.modules, "mlflow", None)
    with pytest.raises(MissingDependencyError, match=r"pip install .*mlflow"):
        log_run(finished)
