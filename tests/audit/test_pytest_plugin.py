"""The fixture ``pxgen_audit`` in a test suite of others."""

from __future__ import annotations

import os
import shutil
import sys
from importlib.metadata import entry_points
from pathlib import Path

import pytest

from pxgen_plugins.audit import pytest_plugin
from pxgen_plugins.audit.command import FAILED
from pxgen_plugins.audit.folder import Run
from tests.audit.runs import finished_run

pytest.importorskip("yaml")
pytest.importorskip("jinja2")
pytest_plugins = ["pytester"]

SETTINGS = """
name: zeros
model: {shipped: mnist_vae}
anchors: {shipped: mnist, limit: 60}
threshold: {name: Quantile, q: 0.99, n_samples: 40, n_repeats: 2}
output: run
conditions:
  - {condition: "HIHE.count >= 1", name: knows something}
  - {condition: "HIHE.count >= 10000", name: "knows\\e[31m everything"}
  - {condition: "HILE.count <= 0", severity: warning, name: no delusion}
"""
PASSING = "conditions=['HIHE.count >= 1', {condition: 'HILE.count <= 0', severity: warning}]"


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> Path:
    """A run to go on with; making it imports here what pytester would import and drop again."""
    folder = finished_run(tmp_path_factory, SETTINGS, FAILED)
    Run.open(folder / "run")
    return folder


@pytest.fixture
def suite(pytester, finished, monkeypatch):
    """A folder with settings and a run, and the plugin as the entry point would load it."""
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    shutil.copytree(finished, pytester.path, dirs_exist_ok=True)
    return pytester


def outcome(suite, text: str):
    suite.makepyfile(text)
    return suite.runpytest("-p", "pxgen_plugins.audit.pytest_plugin", "-p", "no:cacheprovider")


def test_a_passing_audit_passes_and_gives_what_it_found(suite):
    found = outcome(
        suite,
        f"""
        def test_model(pxgen_audit):
            result = pxgen_audit("audit.yaml", {PASSING!r})
            assert result.passed
            assert [one["state"] for one in result.conditions] == ["passed", "warning"]
            assert result.failing == []
            assert result.report.read_text().startswith("<!doctype html>")
            assert len(result.run.data["group"]) == 60
            assert result.folder.name == "run"
            assert "none failing" in repr(result)
        """,
    )
    found.assert_outcomes(passed=1)
    assert "pxgen audit" not in found.stdout.str()


def test_a_failing_one_says_which_conditions_and_where_the_report_is(suite):
    found = outcome(
        suite,
        """
        def test_model(pxgen_audit):
            result = pxgen_audit("audit.yaml")
            assert result.passed
        """,
    )
    found.assert_outcomes(failed=1)
    found.stdout.fnmatch_lines(
        [
            r"E*where False = <pxgen audit: 1 of 3 conditions failing: knows\x1b*>.passed",
            "*Captured pxgen audit call*",
            " passed  knows something: *",
            r" failed  knows\x1b[[]31m everything: *; * is not >= 10000",
            "warning  no delusion: *",
            "report: *report.html",
        ]
    )
    assert "\x1b[31m everything" not in found.stdout.str()


def test_a_mistake_in_the_settings_is_named(suite):
    found = outcome(
        suite,
        """
        def test_model(pxgen_audit):
            pxgen_audit("audit.yaml", "seeed=1")
        """,
    )
    found.assert_outcomes(failed=1)
    found.stdout.fnmatch_lines(["E*ParameterError: *seeed*"])


def test_audits_in_folders_of_their_own_are_told_apart(suite):
    before = (suite.path / "run/manifest.json").read_bytes()
    found = outcome(
        suite,
        """
        import pytest

        @pytest.mark.parametrize("seed", [0, 1])
        def test_model(pxgen_audit, seed, tmp_path):
            result = pxgen_audit("audit.yaml", f"seed={seed}", output=tmp_path / "mine")
            assert result.folder == tmp_path / "mine"
            assert result.run.manifest["seed"] == seed
        """,
    )
    found.assert_outcomes(passed=2)
    assert (suite.path / "run/manifest.json").read_bytes() == before


def test_a_condition_that_cannot_be_judged_is_failing():
    states = ["passed", "error", "warning", "skipped", "failed"]
    given = [{"state": state, "name": state, "text": ""} for state in states]
    result = pytest_plugin.AuditResult(Path("run"), given)
    assert [one["name"] for one in result.failing] == ["error", "failed"]
    assert not result.passed
    assert repr(result) == "<pxgen audit: 2 of 5 conditions failing: error, failed>"
    many = pytest_plugin.AuditResult(Path("run"), [given[1]] * 9)
    assert repr(many).endswith("error, error, error, ...>")


def test_loading_the_plugin_brings_in_nothing_heavy(suite, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(sys.path))
    suite.makepyfile(
        """
        import sys

        def test_nothing():
            assert {"torch", "numpy", "alibi", "pyarrow", "yaml"}.isdisjoint(sys.modules)
        """
    )
    found = suite.runpytest_subprocess("-p", "pxgen_plugins.audit.pytest_plugin")
    found.assert_outcomes(passed=1)


def test_the_entry_point_names_the_plugin():
    named = [e.value for e in entry_points(group="pytest11") if e.name == "pxgen"]
    if not named:
        pytest.skip("the package is not installed")
    assert named == [pytest_plugin.__name__]
