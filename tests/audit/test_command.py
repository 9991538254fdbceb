"""The command: exit codes, what goes where, and how quick --help is."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from pxgen_plugins.audit import cli
from pxgen_plugins.audit.cli import FAILED, INCOMPLETE, INTERNAL, PASSED, USAGE, run
from pxgen_plugins.utils.remote import place_of
from tests.audit.folders import remove
from tests.audit.runs import finished_run

pytest.importorskip("yaml")
pytest.importorskip("jinja2")

SETTINGS = """
name: zeros
model: {shipped: mnist_vae}
anchors: {shipped: mnist, limit: 200}
threshold: {name: Quantile, q: 0.99, n_samples: 60, n_repeats: 2}
shard_size: 64
output: run
conditions:
  - {condition: "label:0.HIHE.fraction >= 0.1", name: zeros}
  - {condition: "HILE.count <= 1", severity: warning}
"""


@pytest.fixture
def audit(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "audit.yaml"
    path.write_text(SETTINGS, encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> Path:
    return finished_run(tmp_path_factory, SETTINGS)


def test_a_newcomer_gets_from_nothing_to_a_verdict(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert run(["init"]) == PASSED
    assert run(["init"]) == USAGE
    assert run(["init", "--force"]) == PASSED
    rule = "threshold={name: MeanMax, n_samples: 50, n_repeats: 100}"
    options = ["--set", "anchors.limit=100", "--set", rule]
    capsys.readouterr()
    assert run(["audit", "pxgen.yaml", *options, "--limit", "1=0.0"]) == PASSED
    out, err = capsys.readouterr()
    assert err.splitlines()[-1].startswith("took ")  # said, and stored nowhere
    assert "passed" in out
    assert "report.html" in out
    assert "calibrating" in err
    assert "calibrating" not in out


def test_exit_codes_say_what_happened(finished, audit, capsys, monkeypatch):
    settings = str(finished / "audit.yaml")
    assert run(["audit", settings, "--quiet"]) == PASSED
    assert run(["audit", settings, "--quiet", "--limit", "zeros=0.999"]) == FAILED
    assert run(["audit", settings, "--quiet", "--warn-as-error"]) == FAILED
    assert run(["audit", settings, "--quiet", "--set", "seeed=1"]) == USAGE
    assert run(["audit", settings, "--quiet", "--set", "seed=1"]) == USAGE  # another plan
    assert run(["audit", settings, "--quiet", "--limit", "nobody=1"]) == USAGE
    assert run(["audit", settings, "--quiet", "--limit", "zeros=nan"]) == USAGE
    assert run(["audit", "absent.yaml"]) == USAGE
    assert run(["audit"]) == USAGE
    assert run(["adit", settings]) == USAGE
    assert run(["audit", str(audit), "--quiet", "--shard", "0/2"]) == INCOMPLETE
    assert run(["audit", str(audit), "--quiet", "--shard", "2/2"]) == USAGE
    assert run(["audit", str(audit), "--quiet", "--shard", "1/2"]) == PASSED
    monkeypatch.setattr("pxgen_plugins.audit.engine.make_plan", lambda config: 1 / 0)
    assert run(["audit", settings]) == INTERNAL
    out, err = capsys.readouterr()
    assert "Traceback" not in out + err
    assert "ZeroDivisionError" in err


def test_json_stands_alone_on_standard_output(finished, capsys):
    settings = str(finished / "audit.yaml")
    capsys.readouterr()
    run(["audit", settings, "--json"])
    found = json.loads(capsys.readouterr().out)
    assert found["verdict"] == "warning"
    assert [one["state"] for one in found["conditions"]] == ["passed", "warning"]
    run(["audit", settings, "--plan", "--json"])
    assert json.loads(capsys.readouterr().out)["anchors"] == 200
    run(["show", str(finished / "run"), "--json"])
    assert json.loads(capsys.readouterr().out)["groups"] == found["groups"]


def test_a_run_without_conditions_says_that_nothing_was_judged(audit, tmp_path, capsys):
    assert run(["audit", str(audit), "--quiet", "--set", "conditions=[]"]) == PASSED
    assert "nothing was judged: the settings have no conditions" in capsys.readouterr().out
    summary = (tmp_path / "run" / "summary.md").read_text(encoding="utf-8")
    assert "Nothing was judged: the settings have no conditions." in summary


def test_a_run_in_memory_is_said_to_be_gone(audit, capsys):
    pytest.importorskip("fsspec")
    try:
        assert run(["audit", str(audit), "--output", "memory://bucket/run"]) == PASSED
    finally:
        remove(place_of("memory://bucket/run"))
    assert "memory:// is gone with this process" in capsys.readouterr().err


@pytest.mark.parametrize("command", ["show", "compare"])
def test_what_only_prints_says_that_it_judges_nothing(command, finished, capsys):
    settings = str(finished / "audit.yaml")
    assert run(["audit", settings, "--quiet", "--limit", "zeros=0.999"]) == FAILED
    folders = [str(finished / "run")] * (1 + (command == "compare"))
    assert run([command, *folders]) == PASSED
    capsys.readouterr()
    assert run([command, "--help"]) == PASSED
    assert "the exit code is 0 whatever" in " ".join(capsys.readouterr().out.split())


def test_a_plan_scores_nothing(audit, tmp_path, capsys):
    assert run(["audit", str(audit), "--plan"]) == PASSED
    out = capsys.readouterr().out
    assert "200 anchors, to" in out
    assert "scoring: 200 instances in 4 units, 400 passes, about" in out
    assert "a kill loses at most one unit a worker: " in out
    assert "with 1 worker of one thread, about" in out
    assert not (tmp_path / "run").exists()


def test_a_plan_has_an_estimate_of_criteria_that_learn_first_too(audit, capsys):
    learning = "intrinsic=[aggregate_mahalanobis]"
    assert run(["audit", str(audit), "--plan", "--json", "--set", learning]) == PASSED
    found = json.loads(capsys.readouterr().out)
    assert found["seconds"] > 0
    # three passes a sample and two an anchor, and those that the criterion learns from
    assert found["passes"] == 3 * found["samples"] + 2 * found["anchors"] + 2 * 1_000


def test_a_finished_run_is_shown_reported_and_compared(finished, audit, tmp_path, capsys):
    folder = str(finished / "run")
    page = (finished / "run/report.html").read_bytes()
    assert run(["show", folder]) == PASSED
    assert run(["report", folder]) == PASSED
    assert (finished / "run/report.html").read_bytes() == page
    assert run(["audit", str(audit), "--quiet", "--set", "seed=3"]) == PASSED
    capsys.readouterr()
    figure = tmp_path / "moves.png"
    assert run(["compare", folder, str(tmp_path / "run"), "--figure", str(figure)]) == PASSED
    assert "HIHE" in capsys.readouterr().out
    assert figure.stat().st_size > 5_000
    assert run(["compare", folder, str(tmp_path / "run"), "--json"]) == PASSED
    assert json.loads(capsys.readouterr().out)["n"] == 200
    assert run(["compare", folder, str(tmp_path)]) == USAGE


def test_methods_say_what_works(audit, capsys):
    assert run(["methods", str(audit)]) == PASSED
    out = capsys.readouterr().out
    for part in ("VAE", "kld", "k_center", "serial", "latent_contrast (counterfactual)\n"):
        assert part in out


def test_methods_that_cannot_run_say_what_is_missing(monkeypatch):
    from pxgen_plugins.models import BlackBox

    def lacks(name: str) -> str:
        return {one.name: one.lacks for one in cli.available_adapters(model)}[name]

    model = BlackBox(lambda x: x)
    assert lacks("latent_ale") == "the model's decode, encode"
    assert lacks("lrp") == "the model's gradients"
    assert lacks("occlusion") == ("" if cli.find_spec("captum") else "the package captum")
    monkeypatch.setattr(cli, "find_spec", lambda name: None)
    assert lacks("occlusion") == "the package captum"


def test_what_comes_from_data_is_inert_in_the_terminal(audit, capsys, monkeypatch):
    hostile = SETTINGS.replace("name: zeros}", 'name: "\\e]0;owned\\a\\e[31m"}')
    audit.write_text(hostile, encoding="utf-8")
    monkeypatch.setenv("NO_COLOR", "1")
    run(["audit", str(audit), "--quiet"])
    out, err = capsys.readouterr()
    assert "\x1b" not in out + err
    assert "\\x1b" in out
    audit.write_text(SETTINGS + '"\\e[31mkey": 1\n', encoding="utf-8")
    run(["audit", str(audit)])
    assert "\x1b" not in capsys.readouterr().err


def test_help_is_quick_because_nothing_heavy_is_imported():
    code = (
        "import sys; from pxgen_plugins.audit.cli import run; run(['--help']); "
        "print([m for m in ('torch', 'numpy', 'alibi', 'sklearn') if m in sys.modules])"
    )
    root = str(Path(cli.__file__).parents[2])
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([root, *sys.path])}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=True
    )
    assert done.stdout.splitlines()[-1] == "[]"
    assert "Exit codes" in done.stdout


def test_a_reader_that_goes_away_is_no_error():
    code = "import sys; from pxgen_plugins.audit.cli import run; sys.exit(run(['--help']))"
    root = str(Path(cli.__file__).parents[2])
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([root, *sys.path])}
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "w") as gone:
        done = subprocess.run(
            [sys.executable, "-c", code], stdout=gone, stderr=subprocess.PIPE, text=True,
            env=environment, check=False,
        )  # fmt: skip
    assert (done.returncode, done.stderr) == (INCOMPLETE, "")


def test_no_connection_is_opened(audit, monkeypatch):
    import socket

    def refuse(*_, **__):
        raise AssertionError("a connection")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    assert run(["audit", str(audit), "--quiet"]) == PASSED
