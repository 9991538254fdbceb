"""The pages on extending are true: their code runs, and is one file and no edit elsewhere."""

from __future__ import annotations

import importlib
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

REPOSITORY = Path(__file__).parents[1]
PAGES = sorted((REPOSITORY / "docs" / "extending").glob("*.md"))
each_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)


def blocks(text: str) -> list[str]:
    return re.findall(r"```python\n(.*?)```", text, re.DOTALL)


def folder_of(page: Path) -> str:
    """The folder that the page says the file goes to: the first one that it names."""
    (folder, *_) = re.findall(r"`((?:pxgen_plugins|adapters)[\w/]*)/`", page.read_text("utf-8"))
    return str(folder)


def part_of(page: Path) -> tuple[str, str]:
    """The name under which the page registers its part, and the code before it is checked."""
    (code,) = blocks(page.read_text("utf-8").partition("\n## Checking")[0])
    (name,) = re.findall(r'^@register\("(\w+)"', code, re.MULTILINE)
    return name, code


def registry_of(folder: str, root: Path = REPOSITORY) -> str:
    """The module whose REGISTRY is filled from a folder: the nearest base.py that has one."""
    above = [root / folder, *(root / folder).parents]
    bases = [path / "base.py" for path in above if (path / "base.py").is_file()]
    (base, *_) = [path for path in bases if "REGISTRY" in path.read_text("utf-8")]
    parts = base.relative_to(root).with_suffix("").parts
    return ".".join(["pxgen_plugins", *parts] if parts[0] == "adapters" else parts)


def python(*arguments: str, cwd: Path, path: Path) -> subprocess.CompletedProcess[str]:
    """Run Python with ``path`` before everything that is installed."""
    return subprocess.run(
        [sys.executable, "-W", "ignore", *arguments],
        cwd=cwd,
        env=os.environ | {"PYTHONPATH": str(path), "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        check=False,
        timeout=1800,
    )


@pytest.mark.slow
def test_the_pages_run_as_modules_of_another_package(tmp_path: Path) -> None:
    for page in PAGES:
        code = blocks(page.read_text("utf-8"))
        assert len(code) >= 2, f"{page.name}: the code, and its check"
        # A module, not a script: saved explainers are loaded by a fresh process that imports it.
        (tmp_path / f"third_party_{page.stem}.py").write_text("\n".join(code), "utf-8")
        test = tmp_path / f"test_{page.stem}.py"
        test.write_text(f"from third_party_{page.stem} import *\n", "utf-8")
    options = ["-q", "-p", "no:cacheprovider", "--tb=short", "--rootdir", str(tmp_path)]
    done = python("-m", "pytest", *options, str(tmp_path), cwd=tmp_path, path=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(rf"^{len(PAGES)} passed", done.stdout, re.MULTILINE), done.stdout


def test_the_code_of_every_page_is_run_and_registers_its_part(tmp_path: Path) -> None:
    # In a process of its own: what is registered here would be there for the other tests.
    registered = []
    for page in PAGES:
        module = tmp_path / f"third_party_{page.stem}.py"
        module.write_text("\n".join(blocks(page.read_text("utf-8"))), "utf-8")
        registry, name = registry_of(folder_of(page)), part_of(page)[0]
        registered.append(
            f"import {module.stem}; from {registry} import REGISTRY as r; "
            f"assert r.get({name!r}).__module__ == {module.stem!r}"
        )
    done = python("-c", "\n".join(registered), cwd=tmp_path, path=tmp_path)
    assert done.returncode == 0, done.stderr


@each_page
def test_a_page_names_the_entry_point_group_that_is_read(page: Path) -> None:
    (group,) = re.findall(r'entry-points\."(pxgen_plugins[\w.]+)"', page.read_text("utf-8"))
    registry: Any = importlib.import_module(registry_of(folder_of(page))).REGISTRY
    assert registry.group == group


@pytest.fixture(scope="module")
def extended(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the tree, as installed, with the code of every page dropped in: one file each."""
    root = tmp_path_factory.mktemp("extended")
    ignored = shutil.ignore_patterns("__pycache__", ".*")
    for name in ("pxgen_plugins", "adapters", "tests", "examples", "docs"):
        shutil.copytree(REPOSITORY / name, root / name, ignore=ignored)
    for name in ("pyproject.toml", "conftest.py", "README.md"):
        shutil.copy(REPOSITORY / name, root / name)
    (root / "pxgen_plugins" / "adapters").symlink_to(root / "adapters")
    for page in PAGES:
        path = root / folder_of(page) / f"from_the_page_on_a_{page.stem}.py"
        path.write_text(f'"""{page.stem}."""\n\n{part_of(page)[1]}', encoding="utf-8")
    return root


@pytest.mark.slow
@each_page
def test_a_file_that_is_dropped_in_registers_its_part(page: Path, extended: Path) -> None:
    module, name = registry_of(folder_of(page), extended), part_of(page)[0]
    code = f"from {module} import REGISTRY as r; print(r.get({name!r}).__module__)"
    done = python("-c", code, cwd=extended, path=extended)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip().endswith(f"from_the_page_on_a_{page.stem}")


@pytest.mark.parametrize(
    "everything",
    [
        pytest.param(False, marks=pytest.mark.slow, id="new-parts"),
        pytest.param(True, marks=pytest.mark.long, id="all-parts"),
    ],
)
def test_whatever_is_registered_is_tested_and_passes_without_an_edit(
    extended: Path, everything: bool
) -> None:
    # All of the conformance suite, and every other test module that asks a registry for its names.
    files = sorted((extended / "tests").glob("*/test_*.py"))
    asks = [file for file in files if re.search(r"\.names\(\)|REGISTRY", file.read_text("utf-8"))]
    others = [str(file) for file in asks if file.parent.name != "conformance"]
    # what an adapter has to equal is a row that a pull request adds: docs/extending/adapter.md
    row = "tests/adapters/test_odd_nets.py::test_every_adapter_has_a_row"
    options = ["-q", "-p", "no:cacheprovider", "--tb=short", "-rfE", f"--deselect={row}"]
    if not everything:  # what the new parts are named in
        options += ["-k", " or ".join(part_of(page)[0] for page in PAGES)]
    command = ["-m", "pytest", *options, str(extended / "tests" / "conformance"), *others]
    done = python(*command, cwd=extended, path=extended)
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    passed = re.search(r"(\d+) passed", done.stdout)
    assert passed is not None, done.stdout[-2000:]
    assert int(passed[1]) >= 5 * len(PAGES), done.stdout[-2000:]
