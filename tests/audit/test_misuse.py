"""What must not pass for an audit: other models, other anchors, other people's files, secrets."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
import warnings
from pathlib import Path

import numpy as np
import pytest

from pxgen_plugins.audit import claim, digests, engine, shards
from pxgen_plugins.audit.cli import FAILED, INCOMPLETE, INTERNAL, PASSED, USAGE, run
from pxgen_plugins.audit.run_folder import Run
from pxgen_plugins.audit.settings import load_config

pytest.importorskip("yaml")
pytest.importorskip("jinja2")

MODEL = """
import os, sys
import torch
{before}

class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        {weights}
        self.scale = torch.nn.Parameter(torch.tensor({scale}))

    def encode(self, x):
        {encoding}
        return x.flatten(1)[:, :2] * self.scale, torch.zeros(len(x), 2)

    def decode(self, z):
        return z.repeat(1, 2).reshape(-1, 1, 2, 2) * {factor}

def load(**arguments):
    {loading}
    return Net()
"""
PARTS = {"before": "", "weights": "", "scale": "1.0", "encoding": "", "factor": "1.0",
         "loading": ""}  # fmt: skip
SETTINGS = """
name: mine
allow: [model_of_mine]
model:
  factory: "model_of_mine:load"
  options: {sample_shape: [1, 2, 2], latent_shape: [2], data_range: null}
anchors: {path: anchors.npy}
threshold: {name: Quantile, n_samples: 50, n_repeats: 2}
shard_size: 16
output: run
conditions: ["HIHE.count >= 0"]
"""


ALLOW = ("--allow", "model_of_mine")


class Project:
    """A folder with a model, anchors and settings."""

    def __init__(self, folder: Path, monkeypatch, capsys) -> None:
        self.folder, self.monkeypatch, self.capsys = folder, monkeypatch, capsys
        monkeypatch.syspath_prepend(folder)
        np.save(folder / "anchors.npy", np.random.default_rng(0).random((40, 1, 2, 2), np.float32))
        self.model()
        self.settings(SETTINGS)

    def model(self, **parts: str) -> None:
        sys.modules.pop("model_of_mine", None)
        (self.folder / "model_of_mine.py").write_text(MODEL.format(**PARTS | parts))
        shutil.rmtree(self.folder / "__pycache__", ignore_errors=True)

    def settings(self, text: str) -> None:
        (self.folder / "audit.yaml").write_text(text, encoding="utf-8")

    def audit(self, *extra: str) -> int:
        self.capsys.readouterr()
        return run(["audit", str(self.folder / "audit.yaml"), "--quiet", *ALLOW, *extra])

    @property
    def error(self) -> str:
        return self.capsys.readouterr().err


@pytest.fixture
def project(tmp_path: Path, monkeypatch, capsys) -> Project:
    return Project(tmp_path, monkeypatch, capsys)


@pytest.mark.parametrize(
    ("part", "code"),
    [
        ({"before": "sys.exit(0)"}, USAGE),
        ({"loading": "sys.exit(0)"}, USAGE),
        ({"loading": "raise RuntimeError('no')"}, USAGE),
        ({"encoding": "sys.exit(0)"}, INTERNAL),
    ],
)
def test_code_that_leaves_is_no_pass(project: Project, part: dict[str, str], code: int):
    project.model(**part)
    assert project.audit() == code
    assert project.error


@pytest.mark.parametrize("part", [{"factor": "0.5"}, {"scale": "0.5"}])
def test_another_model_is_another_plan(project: Project, part: dict[str, str]):
    assert project.audit() == PASSED
    project.model(**part)
    assert project.audit() == USAGE
    assert "other model" in project.error
    assert project.audit("--fresh") == PASSED


def test_weights_that_differ_beyond_float32_are_told_apart(project: Project):
    project.model(scale="1.0, dtype=torch.float64", encoding="x = x.double()")
    assert project.audit("--plan") == PASSED
    found = []
    for last in ("1.0", "1.0 + 1e-12"):
        project.model(scale=f"{last}, dtype=torch.float64")
        config = load_config(project.folder / "audit.yaml", allow=ALLOW[1:])
        found.append(engine.make_plan(config)[0].digests["model"])
    assert found[0] != found[1]


def test_other_versions_are_another_plan(project: Project, monkeypatch):
    assert project.audit() == PASSED
    monkeypatch.setattr(digests, "_version", lambda name: "99")
    assert project.audit() == USAGE
    assert "other versions" in project.error


@pytest.mark.slow
def test_a_factory_that_draws_its_weights_anew_is_found_out(project: Project):
    project.model(scale="0.0", loading="net = Net(); net.scale.data.fill_(os.getpid() % 97 + 1.0);"
                  " return net")  # fmt: skip
    assert project.audit("--set", "executor={name: processes, workers: 2}") == USAGE
    assert "the same whenever it is built" in project.error


def test_shards_of_another_plan_are_scored_again(project: Project):
    assert project.audit() == PASSED
    clean = {p.name: p.read_bytes() for p in (project.folder / "run").iterdir() if p.is_file()}
    project.model(factor="0.25")
    assert project.audit("--output", str(project.folder / "other")) == PASSED
    for path in (project.folder / "other" / shards.SHARDS).iterdir():
        shutil.copy(path, project.folder / "run" / shards.SHARDS / path.name)
    project.model()
    assert project.audit() == PASSED
    after = {p.name: p.read_bytes() for p in (project.folder / "run").iterdir() if p.is_file()}
    assert after == clean


def test_of_two_audits_that_begin_at_once_one_goes_on(project: Project, monkeypatch):
    config = load_config(project.folder / "audit.yaml", allow=ALLOW[1:])
    plan, explainer = engine.make_plan(config)
    other = load_config(project.folder / "audit.yaml", ["seed=1"], allow=ALLOW[1:])
    begin = claim.begin

    def late(folder, content, **options):  # the other begins between our look and our plan
        monkeypatch.setattr(claim, "begin", begin)
        assert engine.score(other, *engine.make_plan(other))
        return begin(folder, content, **options)

    monkeypatch.setattr(claim, "begin", late)
    with pytest.raises(engine.ParameterError, match="at the same time"):
        engine.score(config, plan, explainer)


@pytest.mark.slow
def test_workers_end_with_a_driver_that_is_killed(project: Project):
    project.model(encoding="import time; time.sleep(0.3)")
    settings = project.folder / "audit.yaml"
    command = [sys.executable, "-W", "ignore", "-m", "pxgen_plugins.audit.cli", "audit",
               str(settings), "--quiet", *ALLOW, "--set", "shard_size=1",
               "--set", "executor={name: processes, workers: 2}",
               "--set", "threshold={name: Fixed, values: {kld: 1.0, mse: 1.0}}"]  # fmt: skip
    path = os.pathsep.join([str(project.folder), *sys.path])
    driver = subprocess.Popen(command, env=os.environ | {"PYTHONPATH": path})
    written = project.folder / "run" / shards.SHARDS
    while len(list(written.glob("*.safetensors"))) < 2 and driver.poll() is None:
        time.sleep(0.05)
    assert driver.poll() is None
    driver.kill()
    driver.wait()
    time.sleep(1.0)
    left = len(list(written.iterdir()))
    time.sleep(2.0)
    assert len(list(written.iterdir())) == left


@pytest.mark.slow
def test_a_worker_that_dies_leaves_the_audit_incomplete(project: Project):
    project.model(encoding="os._exit(3) if 'spawn_main' in ' '.join(sys.orig_argv) else None")
    assert project.audit("--set", "executor={name: processes, workers: 1}") == INCOMPLETE
    assert "run it again" in project.error


# dies once, in the middle of scoring, as the kernel ends what takes too much memory
DIES = """
        if os.getpid() != {driver}:
            try:
                open({flag!r}, 'x').close()
            except FileExistsError:
                pass
            else:
                import time; time.sleep(0.2); os.kill(os.getpid(), 9)
"""


@pytest.mark.slow
@pytest.mark.parametrize("workers", [1, 2])
def test_a_worker_that_is_killed_in_the_middle_loses_nothing(project: Project, workers: int):
    clean = project.folder / "clean"
    assert project.audit("--output", str(clean), "--set", "shard_size=4") == PASSED
    flag = project.folder / "killed"
    project.model(encoding=DIES.format(flag=str(flag), driver=os.getpid()))
    more = ("--set", f"executor={{name: processes, workers: {workers}}}", "--set", "shard_size=4")
    start = time.monotonic()
    assert project.audit(*more) == INCOMPLETE
    assert time.monotonic() - start < 120  # a pool may wait for ever for a worker that has gone
    assert flag.exists()
    assert "worker process died" in project.error
    assert not (project.folder / "run" / "conditions.json").exists()
    assert project.audit(*more) == PASSED
    found = Run.open(project.folder / "run").result.to_data()
    assert found["values"].tolist() == Run.open(clean).result.to_data()["values"].tolist()


@pytest.mark.slow
def test_ray_scores_again_what_a_killed_worker_had(project: Project, monkeypatch):
    pytest.importorskip("ray")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(project.folder), *sys.path]))
    flag = project.folder / "killed"
    project.model(encoding=DIES.format(flag=str(flag), driver=os.getpid()))
    flag.touch()
    assert project.audit("--output", str(project.folder / "clean")) == PASSED
    flag.unlink()
    assert project.audit("--set", "executor={name: ray, workers: 2}") == PASSED
    assert flag.exists()
    found, clean = (Run.open(project.folder / name).result.values for name in ("run", "clean"))
    assert np.array_equal(found, clean)


def test_runs_of_other_anchors_are_not_compared(project: Project):
    assert project.audit() == PASSED
    anchors = np.random.default_rng(1).random((40, 1, 2, 2), np.float32)
    np.save(project.folder / "anchors.npy", anchors)
    again = ["--output", str(project.folder / "again")]
    assert project.audit(*again, "--set", "baseline=run") == USAGE
    assert "baseline" in project.error
    assert project.audit(*again) == PASSED
    both = [str(project.folder / "run"), str(project.folder / "again")]
    assert run(["compare", *both]) == USAGE
    assert "--partial" in project.error
    assert run(["compare", *both, "--partial"]) == PASSED


def test_a_baseline_of_another_kind_is_refused_before_anything_is_scored(project: Project):
    assert project.audit() == PASSED
    for change in ("rule=any", "intrinsic=[mahalanobis]", "anchors.limit=20"):
        more = ["--set", "baseline=run", "--set", change, "--output", str(project.folder / "b")]
        assert project.audit(*more) == USAGE
        assert "baseline" in project.error
    assert project.audit("--set", "baseline=run") == USAGE
    assert "output itself" in project.error
    assert not (project.folder / "b").exists()


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ("conditions=['threshold.kdl <= 3']", "kdl.*mean 'kld'"),
        ("conditions=['median.HIHE.msee <= 3']", "msee"),
        ("conditions=['HIHE.fraction drop <= 5%']", "no baseline.*first_run: true"),
        ("conditions=['moved.fraction <= 5%']", "no baseline.*first_run: true"),
        ("conditions=['label:z.HIHE.count >= 0']", "anchors that have labels"),
        ("adapters={names: [lrp], groups: [HIXX]}", "HIXX"),
        ("executor.name=processs", "processs"),
        ("executor.workers=100000", "4096"),
        ("model.arguments={day: 2026-01-01}", "datetime.date"),
        ("model.arguments={set: !!set {a}}", "set"),
        ("model.arguments={x: .nan}", "nan"),
        ("model.weights=none.safetensors", "no file"),
        ("anchors.digits=[1]", "anchors.digits"),
        ("anchors.split=test", "anchors.split"),
        ("anchors.limit=${COUNT}", "COUNT"),
    ],
)
def test_what_can_be_known_before_scoring_is_refused_before(project: Project, change, named):
    import re

    assert project.audit("--set", change) == USAGE
    assert re.search(named, project.error)
    assert not (project.folder / "run").exists()


def test_shipped_models_take_no_weights(project: Project):
    project.settings("model: {shipped: mnist_vae, weights: new.safetensors}\n"
                     "anchors: {shipped: mnist}\noutput: run\n")  # fmt: skip
    assert project.audit() == USAGE
    assert "model.weights" in project.error


def test_what_was_only_skipped_is_no_pass(project: Project):
    few = "conditions=[{condition: HIHE.count >= 0, min_count: 1000}]"
    assert project.audit("--set", few) == INCOMPLETE
    assert project.audit("--set", "conditions=[]") == PASSED


def test_warnings_as_errors_are_failures_in_every_file(project: Project):
    warn = "conditions=[{condition: HIHE.count >= 1000, severity: warning}]"
    assert project.audit("--set", warn) == PASSED
    assert project.audit("--set", warn, "--warn-as-error") == FAILED
    assert 'failures="1"' in (project.folder / "run" / "junit.xml").read_text()


def test_fresh_removes_only_a_run(project: Project):
    folder = project.folder / "run"
    (folder / "shards").mkdir(parents=True)
    (folder / "plan.json").write_text('{"chapters": 3}')
    (folder / "shards" / "thesis.tex").write_text("mine")
    (folder / "report.html").write_text("mine")
    for extra in ([], ["--fresh"]):
        assert project.audit(*extra) == USAGE
        assert "none of ours" in project.error
    assert (folder / "shards" / "thesis.tex").read_text() == "mine"
    assert (folder / "report.html").read_text() == "mine"


def test_fresh_and_a_part_exclude_each_other(project: Project):
    assert project.audit("--fresh", "--shard", "0/2") == USAGE
    assert project.audit("--shard", "0/2") == INCOMPLETE
    assert project.audit("--shard", "1/2") == PASSED


@pytest.mark.slow
def test_values_of_the_environment_reach_the_factory_and_no_file(project: Project):
    project.monkeypatch.setenv("TOKEN_OF_MINE", "s3cret-value")
    project.model(loading="assert arguments['token'] == 's3cret-value'")
    text = SETTINGS.replace("  options", '  arguments: {token: "${TOKEN_OF_MINE}"}\n  options')
    project.settings(text)
    workers = ["--set", "executor={name: processes, workers: 1}"]
    assert project.audit(*workers) == PASSED
    for path in project.folder.rglob("*"):
        if path.is_file() and path.suffix not in {".py", ".pyc"}:
            assert b"s3cret-value" not in path.read_bytes(), path
    project.monkeypatch.delenv("TOKEN_OF_MINE")
    assert project.audit() == USAGE
    assert "TOKEN_OF_MINE" in project.error


def test_a_project_may_move(project: Project, tmp_path_factory):
    assert project.audit() == PASSED
    moved = tmp_path_factory.mktemp("elsewhere") / "project"
    shutil.copytree(project.folder, moved)
    assert run(["audit", str(moved / "audit.yaml"), *ALLOW]) == PASSED
    assert "going on" in project.error
    shutil.rmtree(moved / "run")
    assert run(["audit", str(moved / "audit.yaml"), "--quiet", *ALLOW]) == PASSED
    for path in sorted((project.folder / "run").iterdir()):
        if path.is_file() and path.name != "plan.json":
            assert path.read_bytes() == (moved / "run" / path.name).read_bytes(), path.name


def test_a_first_run_skips_what_needs_a_baseline_and_becomes_one(project: Project):
    judged = "conditions=['HIHE.count >= 0', 'HIHE.count drop <= 5', 'moved.count <= 5']"
    assert project.audit("--set", judged, "--set", "first_run=true") == PASSED
    states = [one.state for one in Run.open(project.folder / "run").judgements]
    assert states == ["passed", "skipped", "skipped"]
    alone = ["--set", "conditions=['moved.count <= 5']", "--set", "first_run=true"]
    assert project.audit(*alone) == INCOMPLETE
    assert project.audit("--set", judged, "--set", "first_run=true") == PASSED
    more = ["--output", str(project.folder / "b"), "--set", "baseline=run", "--set", judged]
    assert project.audit(*more, "--set", "first_run=true") == USAGE
    assert "first_run must be false" in project.error
    assert project.audit(*more) == PASSED
    assert {one.state for one in Run.open(project.folder / "b").judgements} == {"passed"}


def test_a_label_that_no_anchor_has_is_refused_before_scoring(project: Project):
    anchors = np.load(project.folder / "anchors.npy")
    labels = np.array(["zero", "one"] * 20)
    np.savez(project.folder / "anchors.npz", anchors=anchors, labels=labels)
    anchored = ["--set", "anchors.path=anchors.npz"]
    for label, code in (("zeroo", USAGE), ("zero", PASSED)):
        judged = f"conditions=['label:{label}.HIHE.count >= 0']"
        assert project.audit(*anchored, "--set", judged) == code
    judged = "conditions=['label:zreo.HIHE.count >= 0']"
    assert project.audit(*anchored, "--set", judged) == USAGE
    assert "'zreo', which none has. Did you mean 'zero'?" in project.error


def test_a_run_says_how_it_was_judged_and_against_what(project: Project):
    assert project.audit() == PASSED
    judged = "conditions=[{condition: HIHE.count >= 0, confidence: 0.8, min_count: 2}]"
    more = ["--output", str(project.folder / "b"), "--set", "baseline=run", "--set", judged]
    assert project.audit(*more) == PASSED
    found = Run.open(project.folder / "b")
    assert found.manifest["baseline"] == Run.open(project.folder / "run").manifest["digests"]
    (one,) = json.loads((project.folder / "b" / "conditions.json").read_text())
    assert (one["confidence"], one["min_count"]) == (0.8, 2)


def test_limits_are_overridden_by_name_first_and_may_be_percent(project: Project):
    conditions = """conditions=[{condition: HIHE.count >= 5000, name: '2'},
        {condition: HIHE.fraction >= 0.99, name: share}]"""
    assert project.audit("--set", conditions, "--limit", "2=0", "--limit", "share=0%") == PASSED
    assert project.audit("--set", conditions, "--limit", "2=0", "--limit", "share=x") == USAGE
    assert project.audit("--set", conditions, "--limit", "3=0") == USAGE


@pytest.mark.parametrize("name", ["changes.foo", "absent/changes.png"])
def test_a_figure_that_cannot_be_written_is_one_clear_error(project: Project, name: str):
    assert project.audit() == PASSED
    folder = str(project.folder / "run")
    assert run(["compare", folder, folder, "--figure", str(project.folder / name)]) == USAGE
    assert "--figure" in project.error


@pytest.mark.parametrize("factory", [
    "joblib:load", "torch:load", "numpy:load", "sklearn.utils:gen_batches", "model_of_mine:system",
    "model_of_mine:torch_load",
])  # fmt: skip
def test_functions_of_libraries_are_no_factories(project: Project, factory: str):
    project.model(before="from os import system\ntorch_load = torch.load")
    assert project.audit("--set", f"model.factory={factory}") == USAGE
    assert "your own code" in project.error


@pytest.mark.parametrize("where", ["neither", "settings", "command line"])
def test_a_factory_is_called_only_where_settings_and_command_line_allow_it(
    project: Project, where: str
):
    if where != "settings":
        project.settings(SETTINGS.replace("allow: [model_of_mine]", "allow: []"))
    allow = ALLOW if where == "command line" else ()
    assert run(["audit", str(project.folder / "audit.yaml"), "--quiet", *allow]) == USAGE
    assert "--allow model_of_mine" in project.error
    assert "model_of_mine" not in sys.modules


@pytest.mark.parametrize("factory", [
    "sympy:sympify", "click:edit", "alibi.saving:load_explainer", "importlib_metadata:entry_points",
    "pxgen_plugins.utils.optional:load", "pxgen_plugins.utils.files:write_atomic",
])  # fmt: skip
def test_no_settings_alone_call_what_is_installed(project: Project, factory: str):
    top = factory.partition(".")[0].partition(":")[0]
    overrides = ["--set", f"model.factory={factory}", "--set", f"allow=[{top}, model_of_mine]"]
    assert project.audit(*overrides) == USAGE
    assert f"--allow {top}" in project.error


def test_a_name_that_an_allowed_module_imports_from_elsewhere_is_not_allowed(project: Project):
    project.model(before="from click import edit")
    assert project.audit("--set", "model.factory=model_of_mine:edit") == USAGE
    assert "of click" in project.error


def test_a_factory_of_an_entry_point_needs_no_leave(project: Project):
    info = project.folder / "mine-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Name: mine\nVersion: 1\n")
    points = "[pxgen_plugins.factories]\nmy_model = model_of_mine:load\n"
    (info / "entry_points.txt").write_text(points)
    text = SETTINGS.replace("model_of_mine:load", "my_model").replace("[model_of_mine]", "[]")
    project.settings(text)
    assert run(["audit", str(project.folder / "audit.yaml"), "--quiet"]) == PASSED, project.error
    assert project.audit("--set", "model.factory=my_modle") == USAGE
    assert "my_model" in project.error


SECRET = 's3cret "value\\'
LEAKS = {
    "an error of the factory": {"loading": "raise ValueError(arguments)"},
    "an error of the model": {"loading": "global T; T = arguments['token']",
                              "encoding": "raise RuntimeError(f'no access: {T!r}')"},
    "a long error": {"loading": "raise ValueError('x' * 190 + arguments['token'])"},
    "a warning": {"loading": "import warnings; warnings.warn(arguments['token'])"},
    "the model's name": {"loading": "Net.__qualname__ = Net.__name__ = arguments['token']"},
}  # fmt: skip


@pytest.mark.parametrize("leak", LEAKS)
def test_a_careless_factory_leaks_no_value_of_the_environment(project: Project, leak: str):
    project.monkeypatch.setenv("TOKEN_OF_MINE", SECRET)
    project.model(**LEAKS[leak])
    text = SETTINGS.replace("  options", '  arguments: {token: "${TOKEN_OF_MINE}"}\n  options')
    text = text.replace("name: mine", 'name: "mine ${TOKEN_OF_MINE}"')
    project.settings(text + "adapters: {names: [lrp]}\n")
    with warnings.catch_warnings(record=True):
        project.audit()
        shown = project.capsys.readouterr()
    texts = [shown.out.encode(), shown.err.encode()]
    written = (path for path in project.folder.rglob("*") if path.is_file())
    texts += [path.read_bytes() for path in written if path.suffix not in {".py", ".pyc"}]
    for form in (SECRET, repr(SECRET)[1:-1], json.dumps(SECRET)[1:-1], "s3cret"):
        assert not [text for text in texts if form.encode() in text], form


@pytest.mark.slow
def test_variables_are_put_in_again_where_a_plan_is_read(project: Project):
    project.monkeypatch.setenv("FOLDER_OF_MINE", str(project.folder))
    text = SETTINGS.replace("anchors.npy", '"${FOLDER_OF_MINE}/anchors.npy"')
    project.settings(text)
    workers = ["--set", "executor={name: processes, workers: 1}"]
    assert project.audit(*workers) == PASSED, project.error
    plan = (project.folder / "run" / "plan.json").read_text()
    assert "${FOLDER_OF_MINE}/anchors.npy" in plan
    assert project.audit() == PASSED
