"""The rules of the house that neither ruff nor import-linter can check (`make lint` runs both)."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

REPOSITORY = Path(__file__).parents[1]
FILES = [
    path
    for folder in ("pxgen_plugins", "adapters")
    for path in sorted((REPOSITORY / folder).rglob("*.py"))
]
LOADERS = {
    "torch.load": ("weights_only", True),
    "np.load": ("allow_pickle", False),
    "numpy.load": ("allow_pickle", False),
}
FORBIDDEN = """
import captum
import pickle
import random

import numpy as np
import torch

pickle.loads(b"")
random.seed(0)
np.random.seed(0)
torch.manual_seed(0)
print(eval("captum"))
"""


def place(path: Path) -> str:
    return str(path.relative_to(REPOSITORY))


def unsafe_loads(source: str) -> list[int]:
    """Lines that load arrays or weights without ruling out pickle in so many words."""
    lines = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call) and ast.unparse(node.func) in LOADERS:
            option, value = LOADERS[ast.unparse(node.func)]
            given = {keyword.arg: ast.unparse(keyword.value) for keyword in node.keywords}
            # NumPy refuses pickle unless told otherwise; torch's default was another once.
            absent_is_safe = option == "allow_pickle"
            if given.get(option, str(value) if absent_is_safe else "") != str(value):
                lines.append(node.lineno)
    return lines


def test_a_file_has_fewer_than_400_lines() -> None:
    lengths = {place(path): path.read_text(encoding="utf-8").count("\n") for path in FILES}
    assert {name: length for name, length in lengths.items() if length >= 400} == {}


def test_weights_and_arrays_are_loaded_without_pickle() -> None:
    sources = {place(path): path.read_text(encoding="utf-8") for path in FILES}
    unsafe = {name: unsafe_loads(text) for name, text in sources.items() if ".load(" in text}
    assert {name: lines for name, lines in unsafe.items() if lines} == {}
    assert unsafe_loads("torch.load(f)\nnp.load(f, allow_pickle=True)\nnp.load(f)") == [1, 2]
    assert unsafe_loads("torch.load(f, weights_only=True)") == []


def test_ruff_refuses_what_runs_code_seeds_the_world_prints_or_imports_early() -> None:
    options = ["--output-format", "concise", "--stdin-filename", "pxgen_plugins/forbidden.py"]
    done = subprocess.run(
        [sys.executable, "-m", "ruff", "check", *options, "-"],
        input=FORBIDDEN,
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=False,
    )
    codes = re.findall(r":\d+: ([A-Z]+\d+) ", done.stdout)
    assert {"NPY002", "S301", "S307", "T201", "TID253"} <= set(codes), done.stderr
    assert codes.count("TID251") == 4  # pickle and three seeds
