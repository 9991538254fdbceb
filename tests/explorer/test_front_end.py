"""The script of the page is its parts, joined: one module that stands alone."""

from __future__ import annotations

import shutil
import subprocess
from importlib.resources import files

import pytest

from pxgen_plugins.explorer.front_end import PARTS, script

FOLDER = files("pxgen_plugins.explorer") / "front" / "parts"


def test_every_part_is_joined_once_and_short():
    assert sorted(f"{name}.js" for name in PARTS) == sorted(one.name for one in FOLDER.iterdir())
    for name in PARTS:
        text = (FOLDER / f"{name}.js").read_text(encoding="utf-8")
        assert script().count(text) == 1, name
        assert text.count("\n") < 400, name


def test_the_script_imports_nothing_and_exports_once():
    lines = script().splitlines()
    assert not [line for line in lines if line.lstrip().startswith("import")]
    exported = [line for line in lines if line.startswith("export")]
    assert exported == [lines[-1]] == ["export default { initialize() {}, render };"]


@pytest.mark.skipif(shutil.which("node") is None, reason="no node is installed")
def test_the_script_is_read_as_one_module(tmp_path):
    """Two parts that give one name to two things would be an error of the module."""
    path = tmp_path / "explorer.mjs"
    for text, code in ((script(), 0), (script() + "const render = 1;", 1)):
        path.write_text(text, encoding="utf-8")
        done = subprocess.run(["node", "--check", path], capture_output=True, check=False)
        assert done.returncode == code, done.stderr.decode()
