"""The notebooks of the site are kept as they were executed, are small, and run to their end."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

FOLDER = Path(__file__).parents[1] / "docs" / "start"
NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))
each_notebook = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
NEEDS = {
    "diffusion": ["diffusers"], "language_model": ["transformers"], "table": ["pandas"],
    "text_to_image": ["diffusers"],
}  # fmt: skip


def code_cells(path: Path) -> list[dict[str, Any]]:
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    return [cell for cell in cells if cell["cell_type"] == "code"]


def test_there_is_one_for_each_kind_of_model():
    kinds = ["diffusion", "gan", "language_model", "table", "text_to_image", "vae"]
    assert [path.stem for path in NOTEBOOKS] == kinds


@each_notebook
def test_it_is_committed_as_it_was_executed_and_is_small(path: Path):
    assert path.stat().st_size < 200_000
    cells = code_cells(path)
    assert [cell["execution_count"] for cell in cells] == list(range(1, len(cells) + 1))
    outputs = [one for cell in cells for one in cell["outputs"]]
    assert {one["output_type"] for one in outputs} <= {"stream", "display_data", "execute_result"}
    assert {one.get("name", "stdout") for one in outputs} == {"stdout"}
    assert any("image/png" in one.get("data", {}) for one in outputs)
    assert "HIHE" in json.dumps(outputs)


@each_notebook
def test_it_names_no_place_of_the_machine_that_executed_it(path: Path):
    assert not re.search(r"/(?:home|root|work|tmp|Users)/", path.read_text(encoding="utf-8"))


@pytest.mark.slow
@each_notebook
def test_it_runs_to_its_end(path: Path, monkeypatch: pytest.MonkeyPatch):
    for package in ("ipykernel", "nbclient", "nbformat", *NEEDS.get(path.stem, [])):
        pytest.importorskip(package)
    from notebooks import execute

    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    before = path.read_bytes()
    cells = [cell for cell in execute(path).cells if cell.cell_type == "code"]
    kinds = [[one["output_type"] for one in cell.outputs] for cell in cells]
    assert kinds == [[one["output_type"] for one in cell["outputs"]] for cell in code_cells(path)]
    assert path.read_bytes() == before
