"""What one world writes, with Alibi or without it, the other reads, and finds the same in it."""

from __future__ import annotations

import importlib.util
import os
import subprocess
from pathlib import Path

import pytest

from .read_files import check
from .support import ROOT
from .write_files import write

FILES = Path(__file__).parent / "files"
HERE = "with_alibi" if importlib.util.find_spec("alibi") else "without_alibi"
OTHER = {"with_alibi": ".venv-current", "without_alibi": ".venv"}[HERE]

pytestmark = pytest.mark.filterwarnings("ignore::pxgen_plugins.utils.errors.PXGenWarning")


@pytest.mark.parametrize("world", ["with_alibi", "without_alibi"])
def test_files_of_both_worlds_are_read_and_say_the_same(world):
    written = (FILES / world / "alibi.txt").read_text(encoding="utf-8").strip()
    assert (written == "None") is (world == "without_alibi")
    check(FILES / world)


@pytest.fixture(scope="module")
def other() -> str:
    """The interpreter of the other world: as PXGEN_OTHER_PYTHON says, or as make sets it up."""
    python = os.environ.get("PXGEN_OTHER_PYTHON") or str(ROOT / OTHER / "bin" / "python")
    if not Path(python).exists():
        pytest.skip(f"the other world is not set up: there is no {python}")
    code = "import importlib.util as i; print(bool(i.find_spec('alibi')))"
    alibi = subprocess.run([python, "-c", code], capture_output=True, text=True, check=True)
    if (alibi.stdout.strip() == "True") is (HERE == "with_alibi"):
        pytest.skip(f"{python} is of the same world")
    return python


def run(python: str, script: str, folder: Path) -> None:
    command = [python, "-W", "ignore", str(Path(__file__).parent / script), str(folder)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_what_the_other_world_writes_is_read_here(other, tmp_path):
    run(other, "write_files.py", tmp_path / "files")
    check(tmp_path / "files")


def test_what_is_written_here_is_read_in_the_other_world(other, tmp_path):
    write(tmp_path / "files")
    run(other, "read_files.py", tmp_path / "files")
