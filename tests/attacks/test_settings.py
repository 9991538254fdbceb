"""Hostile settings: one clear error, quickly, and nothing runs."""

from __future__ import annotations

import json
import sys
import time
import traceback
from pathlib import Path

import pytest

from pxgen_plugins.audit.cli import USAGE, run
from pxgen_plugins.audit.settings import config_of, load_config
from pxgen_plugins.utils.errors import ParameterError
from tests.attacks.corpus import MARKER

pytest.importorskip("yaml")
LEAST = "model: {shipped: mnist_vae}\nanchors: {shipped: mnist}\noutput: run\n"
BOMB = "a: &a [x, x, x, x, x, x, x, x, x, x]\n" + "\n".join(
    f"{new}: &{new} [*{old}, *{old}, *{old}, *{old}, *{old}, *{old}, *{old}, *{old}]"
    for old, new in zip("abcdefghijk", "bcdefghijkl", strict=True)
)
YAML = {
    "call": "!!python/object/apply:os.system ['touch {marker}']",
    "call in a value": LEAST + "name: !!python/object/apply:os.system ['touch {marker}']",
    "new object": LEAST + "name: !!python/object/new:os.system ['touch {marker}']",
    "name": LEAST + "name: !!python/name:os.system",
    "module": LEAST + "name: !!python/module:os",
    "own tag": LEAST + "name: !include /etc/passwd",
    "aliases of aliases": LEAST + BOMB,
    "alias of itself": LEAST + "adapters: &x {names: [*x]}",
    "merge of itself": LEAST + "adapters: &x {<<: *x}",
    "400 lists": LEAST + "name: " + "[" * 400 + "]" * 400,
    "100,000 lists": LEAST + "name: " + "[" * 100_000,
    "100,000 tables": LEAST + "name: " + "{a: " * 100_000,
    "key that is a list": LEAST + "? [a, b]\n: c",
    "key twice": LEAST + "output: elsewhere",
    "not a number": LEAST + "seed: .nan",
    "endless number": LEAST + "seed: .inf",
    "number of 100,000 digits": LEAST + "seed: " + "9" * 100_000,
    "number in base 60": LEAST + "seed: " + "59:" * 50_000 + "59",
    "date that is none": LEAST + "name: 2026-99-99",
    "NUL": "\0",
    "path with NUL": LEAST.replace("run", '"a\\0b"'),
    "several documents": LEAST + "---\n" + LEAST,
    "text": "just text",
    "a list": "- a list",
    "broken line": "a: b: c",
    "nothing": "",
}
TOML = {
    "key twice": 'output = "a"\noutput = "b"',
    "100,000 lists": "name = " + "[" * 100_000,
    "number of 100,000 digits": "seed = " + "9" * 100_000,
    "not a number": "seed = nan",
    "NUL": "\0",
}


@pytest.mark.parametrize("name", YAML)
def test_hostile_yaml(name: str, tmp_path: Path):
    _refused(tmp_path / "audit.yaml", YAML[name].replace("{marker}", str(tmp_path / MARKER)))


@pytest.mark.skipif(sys.version_info < (3, 11), reason="TOML needs Python 3.11")
@pytest.mark.parametrize("name", TOML)
def test_hostile_toml(name: str, tmp_path: Path):
    _refused(tmp_path / "audit.toml", TOML[name])


def _refused(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8")
    start = time.process_time()
    with pytest.raises(ParameterError) as found:
        load_config(path)
    assert time.process_time() - start < 20
    assert len(str(found.value)) < 2000
    assert not (path.parent / MARKER).exists()


@pytest.mark.parametrize("override", [
    "name=!!python/object/apply:os.system ['touch {marker}']",
    "model.factory=os:system",
    "seed=" + "9" * 100_000,
    "name=" + "[" * 100_000,
    "a" * 100_000 + "=1",
    "." * 1000 + "=1",
    "name=\x1b[2J\n\0",
])  # fmt: skip
def test_hostile_overrides(override: str, tmp_path: Path, capsys):
    (tmp_path / "audit.yaml").write_text(LEAST, encoding="utf-8")
    text = override.replace("{marker}", str(tmp_path / MARKER))
    assert run(["audit", str(tmp_path / "audit.yaml"), "--plan", "--set", text]) == USAGE
    shown = capsys.readouterr().err
    assert len(shown) < 5000
    assert shown.replace("\n", "").isprintable()
    assert not (tmp_path / MARKER).exists()


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("intrinsic", ["os:system"]),
        ("intrinsic", [{"name": "../kld"}]),
        ("extrinsic", [{"name": "mse", "__class__": "x"}]),
        ("threshold", {"name": "builtins.eval"}),
        ("threshold", {"name": "Quantile", "n_samples": "10**18"}),
        ("selectors", ["subprocess"]),
        ("selectors", [{"name": "k_center", "space": "__import__('os')"}]),
        ("executor", {"name": "../serial", "workers": 1}),
        ("adapters", {"names": ["os.system"]}),
        ("conditions", ["__import__('os').system('true') < 1"]),
        ("conditions", ["HIHE.fraction <= " + "9" * 5000]),
    ],
)
def test_settings_name_only_what_is_registered(key: str, value, tmp_path: Path, capsys):
    (tmp_path / "audit.yaml").write_text(LEAST + f"{key}: {json.dumps(value)}", encoding="utf-8")
    code = run(["audit", str(tmp_path / "audit.yaml"), "--plan", "--quiet"])
    assert code == USAGE, capsys.readouterr().out
    assert len(capsys.readouterr().err) < 3000


def test_paths_of_the_settings_may_leave_the_folder_because_the_user_wrote_them(tmp_path: Path):
    content = {"model": {"shipped": "mnist_vae"}, "anchors": {"path": "../a.npy"}, "output": "/x"}
    found = config_of(content, tmp_path / "inner")
    assert Path(found["anchors"]["path"]).resolve() == tmp_path / "a.npy"
    assert found.output == Path("/x")


@pytest.mark.parametrize(
    "model",
    [
        '[{factory: "a:b", arguments: {token: "${SECRET}"}}]',
        '"${SECRET}"',
        '{factory: "a:b", arguments: ["${SECRET}"]}',
        "{shipped: mnist_vae}\nseed: ${SECRET}",
        '{shipped: mnist_vae}\nconditions: ["${SECRET}"]',
    ],
)
def test_no_fault_repeats_what_an_environment_variable_holds(model, tmp_path, monkeypatch):
    monkeypatch.setenv("SECRET", "hunter2")
    path = tmp_path / "audit.yaml"
    path.write_text(f"model: {model}\nanchors: {{shipped: mnist}}\noutput: run\n", "utf-8")
    with pytest.raises(ParameterError) as caught:
        load_config(path)
    assert "${SECRET}" in str(caught.value)
    assert "hunter2" not in "".join(traceback.format_exception(caught.value))
