"""Every command of the tutorial runs, in order, and does what the page says."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import numpy as np
import pytest

from pxgen_plugins.anchors import open_anchors
from pxgen_plugins.audit.cli import USAGE, run
from pxgen_plugins.audit.conditions import Condition
from pxgen_plugins.audit.settings import load_config

yaml = pytest.importorskip("yaml")
pytest.importorskip("jinja2")
PAGE = (Path(__file__).parents[2] / "docs" / "audit.md").read_text(encoding="utf-8")


def test_the_commands_run_as_written(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    codes = []
    for block in re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL):
        for line in block.strip().splitlines():
            command, _, note = line.partition("#")
            words = shlex.split(command)
            assert words[0] == "pxgen"
            wanted = int(note.rsplit(maxsplit=1)[-1]) if note else 0
            code = run(words[1:])
            assert code == wanted, capsys.readouterr()
            codes.append(code)
    assert codes.count(1) == 1
    for name in ("report.html", "summary.md", "junit.xml", "metrics.prom", "anchors.parquet"):
        assert (tmp_path / "runs/first" / name).stat().st_size > 100
    assert (tmp_path / "changes.png").exists()


def test_the_settings_on_the_page_are_valid(tmp_path):
    blocks = [yaml.safe_load(b) for b in re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)]
    for given in next(block["conditions"] for block in blocks if "conditions" in block):
        Condition.of(given)
    path = tmp_path / "audit.yaml"
    whole = next(block for block in blocks if "model" in block) | {"output": "run"}
    path.write_text(yaml.safe_dump(whole), encoding="utf-8")
    assert load_config(path)["model"]["factory"] == "my_package.models:load"
    for condition in re.findall(r"`([^`]*(?:drop|moved)[^`]* <= [^`]*)`", PAGE):
        Condition(condition)


def test_the_arrays_of_an_archive_have_the_names_on_the_page(tmp_path):
    (names,) = re.findall(r"`\.npz` of one array, or with (.*?); `\.parquet`", PAGE)
    anchors, labels, ids = (re.findall(r"`(\w+)`", part) for part in names.split(" as ")[1:])
    assert (len(anchors), len(labels), len(ids)) == (4, 2, 2)
    for x in anchors:
        for label in labels:
            for name in ids:
                path = tmp_path / "anchors.npz"
                texts = {label: ["a", "b", "c"], name: ["1", "2", "3"]}
                np.savez(path, **{x: np.zeros((3, 4))}, **texts)
                found = open_anchors(path, sample_shape=(4,))
                assert found.labels.tolist() == ["a", "b", "c"]
                assert found.ids.tolist() == ["1", "2", "3"]


def test_the_message_on_the_page_is_the_one_that_is_printed(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (block,) = re.findall(r"```\n(pxgen: .*?)```", PAGE, re.DOTALL)
    faults = {"anchors": {"shipped": "mnist", "lmit": 4}, "seed": -1}
    settings = {"model": {"shipped": "mnist_vae"}, "output": "run"} | faults
    (tmp_path / "audit.yaml").write_text(yaml.safe_dump(settings), encoding="utf-8")
    assert run(["audit", "audit.yaml"]) == USAGE
    assert capsys.readouterr().err == block
