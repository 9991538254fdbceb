"""The README's code runs as it stands, and its files exist."""

from __future__ import annotations

import re
from pathlib import Path

import matplotlib as mpl

ROOT = Path(__file__).parent.parent
TEXT = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)


def test_python_blocks_run_one_after_the_other(capsys, monkeypatch, tmp_path):
    mpl.use("Agg")
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    for code in BLOCKS:
        exec(compile(code, "README.md", "exec"), names)
    said = capsys.readouterr().out
    assert "HIHE" in said
    assert "protodash" in said


def test_there_is_a_block():
    assert BLOCKS


def test_linked_files_exist():
    targets = re.findall(r"\]\(([^)#]+)\)", TEXT)
    missing = [t for t in targets if "://" not in t and not (ROOT / t).exists()]
    assert not missing


def test_the_two_commands_are_targets_of_the_makefile():
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for command in re.findall(r"^make ([\w-]+)", TEXT, re.MULTILINE):
        assert re.search(rf"^{command}:", makefile, re.MULTILINE), command
