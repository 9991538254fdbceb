"""A world with a stand-in for Alibi, without Alibi, or with one that does not work."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

ABSENT = "ModuleNotFoundError(\"No module named 'alibi'\", name='alibi')"
BROKEN = "RuntimeError('click is missing')"

_FINDER = """
import sys

class Finder:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] == "alibi":
            raise {error}

sys.meta_path.insert(0, Finder())
"""


def run(code: str, *, alibi: str = "", python: str = sys.executable, **environment: str) -> str:
    """Return what a fresh process prints; with ``alibi``, importing that raises this error."""
    head = _FINDER.format(error=alibi) if alibi else ""
    clean = {k: v for k, v in os.environ.items() if k != "PXGEN_WITHOUT_ALIBI"}
    done = subprocess.run(
        [python, "-c", head + code],
        cwd=ROOT,
        env={**clean, **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout
