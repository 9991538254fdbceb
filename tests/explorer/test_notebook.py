"""The notebook of the examples, run to its end by a real kernel."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from pxgen_plugins.explorer import front_end

NOTEBOOK = Path(__file__).parents[2] / "examples" / "explore.ipynb"


def test_it_is_kept_without_outputs():
    cells = json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"]
    code = [cell for cell in cells if cell["cell_type"] == "code"]
    assert [(cell["outputs"], cell["execution_count"]) for cell in code] == [([], None)] * len(code)


@pytest.mark.slow
def test_it_runs_and_shows_the_widget(tmp_path, monkeypatch):
    for package in ("anywidget", "ipykernel", "nbclient", "nbformat"):
        pytest.importorskip(package)
    import nbformat
    from nbclient import NotebookClient

    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    nbformat.validate(notebook)
    client: Any = NotebookClient(
        notebook, timeout=300, resources={"metadata": {"path": str(tmp_path)}}
    )
    client.execute()
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    assert [one for one in outputs if one.output_type == "error"] == []
    (view,) = [
        one["data"]["application/vnd.jupyter.widget-view+json"]
        for one in outputs
        if "application/vnd.jupyter.widget-view+json" in one.get("data", {})
    ]
    state = client.widget_state[view["model_id"]]
    assert state["_esm"] == front_end.script()
    assert len(state["code"]) > 1
    assert len(state["selected"]) == 5
    said = "".join(one["text"] for one in outputs if one.output_type == "stream")
    assert re.search(r"\b(HIHE|HILE|LIHE|LILE) \[", said)
    assert "model.decode" in said
    page = (tmp_path / "explorer.html").read_text(encoding="utf-8")
    assert page.count("<img") >= 3
    assert "<script" not in page
