"""The pipelines on the page are valid, and what they run does what the page says."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest

from pxgen_plugins.audit.cli import FAILED, INCOMPLETE, INTERNAL, PASSED, USAGE
from pxgen_plugins.audit.writers.base import file_names

yaml = pytest.importorskip("yaml")
pytest.importorskip("jinja2")
pytest_plugins = ["pytester"]

PAGE = (Path(__file__).parents[2] / "docs" / "audit-ci.md").read_text(encoding="utf-8")
GITHUB, GITLAB = (
    yaml.load(text, yaml.BaseLoader)  # as strings: YAML 1.1 reads the key "on" as true
    for text in re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)
)
SHELL, BASELINE, MONITORING = re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL)
(TEST,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
STEPS = GITHUB["jobs"]["audit"]["steps"]

SETTINGS = """
model: {shipped: mnist_vae}
anchors: {shipped: mnist, limit: 100}
threshold: {name: Quantile, q: 0.99, n_samples: 60, n_repeats: 2}
output: run
conditions: ["HIHE.count >= 10000"]
"""


CALLED = f'exec "{sys.executable}" -W ignore -m pxgen_plugins.audit.cli "$@"'


CALL = "audit audit.yaml --output run --quiet --set {}"


def shell(script: str, folder: Path, *options: str, pxgen: str = CALLED, **environment: str):
    """Run a script as CI does, with the command or a stand-in for it on the path."""
    (folder / "bin").mkdir(exist_ok=True)
    path = folder / "bin" / "pxgen"
    path.write_text(f"#!/bin/sh\n{pxgen}\n", encoding="utf-8")
    path.chmod(0o755)
    settled = os.environ | {
        "PATH": f"{folder / 'bin'}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": os.pathsep.join(sys.path),
        **environment,
    }
    return subprocess.run(
        ["bash", "-e", *options, "-c", script],
        cwd=folder, env=settled, capture_output=True, text=True, check=False,
    )  # fmt: skip


def script_of(name: str) -> str:
    (found,) = [step["run"] for step in STEPS if step.get("name") == name]
    return found


@pytest.fixture(scope="module")
def failed(tmp_path_factory) -> Path:
    """What GitHub's job leaves when the audit fails: its steps that need no server, in order."""
    folder = tmp_path_factory.mktemp("job")
    (folder / "audit.yaml").write_text(SETTINGS, encoding="utf-8")
    done = shell(script_of("Audit"), folder, "-o", "pipefail")
    assert done.returncode == FAILED, done.stderr
    return folder


@pytest.mark.slow
def test_github_shows_the_summary_and_keeps_the_run_of_a_failing_audit(failed, tmp_path):
    page = tmp_path / "summary.md"
    page.write_text("before\n", encoding="utf-8")
    done = shell(script_of("Summary"), failed, "-o", "pipefail", GITHUB_STEP_SUMMARY=str(page))
    assert done.returncode == 0, done.stderr
    summary = (failed / "run/summary.md").read_text(encoding="utf-8")
    assert page.read_text(encoding="utf-8") == "before\n" + summary
    assert "failed" in summary
    after = STEPS[[step.get("name") for step in STEPS].index("Audit") + 1 :]
    assert [step["if"] for step in after] == ["${{ !cancelled() }}"] * 2
    assert (failed / after[-1]["with"]["path"] / "report.html").exists()


def test_github_says_so_when_there_is_no_verdict(tmp_path):
    page = tmp_path / "summary.md"
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "summary.md").write_text("last week: passed", encoding="utf-8")
    assert shell(script_of("Audit"), tmp_path, pxgen="exit 2").returncode == USAGE
    done = shell(script_of("Summary"), tmp_path, GITHUB_STEP_SUMMARY=str(page))
    assert done.returncode == 0
    assert "no verdict" in page.read_text(encoding="utf-8")


def test_the_workflow_may_only_read_and_names_its_actions_with_versions():
    assert GITHUB["permissions"] == {"contents": "read"}
    assert {"pull_request", "schedule"} == set(GITHUB["on"])
    used = [step["uses"] for step in STEPS if "uses" in step]
    assert all(re.fullmatch(r"actions/[a-z-]+@v\d+", name) for name in used)
    assert all(("uses" in step) != ("run" in step) for step in STEPS)


def test_the_installation_names_the_wheel_for_pip(tmp_path):
    (tmp_path / "wheels").mkdir()
    (tmp_path / "wheels" / "pxgen_plugins-9.9.9-py3-none-any.whl").touch()
    stand_in = tmp_path / "bin" / "pip"
    stand_in.parent.mkdir()
    stand_in.write_text('#!/bin/sh\nprintf "%s\\n" "$@"\n', encoding="utf-8")
    stand_in.chmod(0o755)
    done = shell(script_of("Install"), tmp_path)
    wheel = "wheels/pxgen_plugins-9.9.9-py3-none-any.whl"
    assert done.stdout.splitlines() == ["install", wheel], done.stderr


@pytest.mark.slow
def test_gitlab_runs_the_same_and_finds_its_reports(failed):
    job = GITLAB["audit"]
    assert job["script"] == [script_of("Install"), *script_of("Audit").splitlines()]
    kept = job["artifacts"]
    assert kept["when"] == "always"
    assert (failed / kept["paths"][0]).is_dir()
    root = ElementTree.parse(failed / kept["reports"]["junit"]).getroot()
    assert len(root.findall(".//failure")) == 1
    metrics = (failed / kept["reports"]["metrics"]).read_text(encoding="utf-8")
    assert metrics.endswith("# EOF\n")


@pytest.mark.parametrize(
    ("code", "said"),
    [
        (PASSED, "passed"),
        (FAILED, "failed: look"),
        (USAGE, "none: the audit"),
        (INTERNAL, "code 4"),
    ],
)
def test_another_shell_tells_a_failed_model_from_a_broken_audit(code, said, tmp_path):
    done = shell(SHELL, tmp_path, pxgen=f"exit {code}")
    assert done.returncode == 0
    assert said in done.stdout


@pytest.mark.slow
def test_monitoring_gets_a_whole_file(failed, tmp_path):
    done = shell(MONITORING, failed, "-u", TEXTFILE_DIR=str(tmp_path))
    assert done.returncode == 0, done.stderr
    written = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert written == {"pxgen.prom": (failed / "run/metrics.prom").read_bytes()}


@pytest.mark.slow
def test_the_test_on_the_page_runs_and_fails_for_its_conditions(failed, pytester, monkeypatch):
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    pytester.makepyfile(TEST)
    (pytester.path / "audit.yaml").write_text(SETTINGS, encoding="utf-8")
    found = pytester.runpytest_subprocess("-p", "no:cacheprovider")
    found.assert_outcomes(failed=1)
    found.stdout.fnmatch_lines(["*AssertionError: *HIHE.count >= 10000*report.html*"])
    assert (pytester.path / "tested/report.html").exists()


def test_the_first_run_becomes_the_baseline_and_one_that_fails_does_not(tmp_path):
    stand_in = 'echo "$@" >> calls; mkdir run; echo $N > run/summary.md; exit $CODE'
    store = tmp_path / "store" / "baseline"
    store.parent.mkdir()

    def job(n: int, code: int) -> tuple[int, str, str]:
        settled = {"STORE": str(store), "N": str(n), "CODE": str(code)}
        done = shell(BASELINE, tmp_path, pxgen=stand_in, **settled)
        kept = (store / "summary.md").read_text().strip() if store.exists() else "none"
        return done.returncode, (tmp_path / "calls").read_text().splitlines()[-1], kept

    assert job(1, FAILED) == (FAILED, CALL.format("first_run=true"), "none")
    assert job(2, PASSED) == (PASSED, CALL.format("first_run=true"), "2")
    assert job(3, FAILED) == (FAILED, CALL.format("baseline=baseline"), "2")
    assert job(4, PASSED) == (PASSED, CALL.format("baseline=baseline"), "4")
    assert (tmp_path / "baseline" / "summary.md").read_text().strip() == "2"
    assert [path.name for path in store.parent.iterdir()] == ["baseline"]


def test_the_page_names_files_of_a_run_and_exit_codes_as_they_are():
    table = re.findall(r"^\| `([a-z.]+)` \|", PAGE, re.MULTILINE)
    assert set(table) == {"report.html", "summary.md", "junit.xml", "metrics.prom"}
    assert set(table) <= set(file_names())
    rows = re.findall(r"^\| (\d) \|", PAGE, re.MULTILINE)
    assert list(map(int, rows)) == [PASSED, FAILED, USAGE, INCOMPLETE, INTERNAL]
    table = re.compile(r"\| exit code \|.*?\n\n", re.DOTALL)
    other = (Path(__file__).parents[2] / "docs" / "audit.md").read_text(encoding="utf-8")
    assert table.findall(PAGE) == table.findall(other)
