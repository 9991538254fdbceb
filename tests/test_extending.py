"""The code on the pages about extending runs as it stands, and passes its own checks."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

PAGES = sorted((Path(__file__).parents[1] / "docs" / "extending").glob("*.md"))


def test_there_is_a_page_for_each_part() -> None:
    assert [page.stem for page in PAGES] == ["adapter", "criterion", "model", "selector", "writer"]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_a_page_runs_as_one_module_of_another_package(page: Path, tmp_path: Path) -> None:
    blocks = re.findall(r"```python\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL)
    assert len(blocks) >= 2, "the code, and its check"
    # A module, not a script: saved explainers are loaded by a fresh process that imports it.
    (tmp_path / "a_third_party.py").write_text("\n".join(blocks), encoding="utf-8")
    code = (
        "import a_third_party as m; tests = [f for n, f in vars(m).items() if n.startswith('test')]"
        "; [test() for test in tests]; print(len(tests))"
    )
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == "1\n"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_a_page_names_an_entry_point_group_that_is_read(page: Path) -> None:
    (group,) = re.findall(r'entry-points\."(pxgen_plugins\.\w+)"', page.read_text(encoding="utf-8"))
    assert group == f"pxgen_plugins.{'criteria' if page.stem == 'criterion' else page.stem + 's'}"
