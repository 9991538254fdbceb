"""Execute the notebooks of the site, and keep their outputs small.

    python docs/site/notebooks.py              # all, in place
    python docs/site/notebooks.py vae table    # some

Each is committed with its outputs, so that a build executes nothing; a test executes them anew.
Progress and warnings (standard error) are left out, and so is what is only true of one run.
"""

from __future__ import annotations

import base64
import io
import os
import sys
from pathlib import Path
from typing import Any

import nbformat
from nbclient import NotebookClient
from PIL import Image

__all__ = ["FOLDER", "execute"]

FOLDER = Path(__file__).resolve().parents[1] / "start"


def execute(path: Path, seconds: int = 600) -> Any:
    """Execute a notebook from its first cell on, and return it with its outputs.

    Args:
        path: The notebook; it is run in its folder.
        seconds: How long a cell may take.

    Raises:
        nbclient.exceptions.CellExecutionError: When a cell raises.
    """
    notebook = nbformat.read(path, as_version=4)  # type: ignore[no-untyped-call]
    resources = {"metadata": {"path": str(path.parent)}}
    NotebookClient(notebook, timeout=seconds, resources=resources).execute()
    notebook.metadata = {"kernelspec": notebook.metadata["kernelspec"]}
    for cell in notebook.cells:
        cell.metadata = {}
        if cell.cell_type == "code":
            cell.outputs = [one for one in cell.outputs if one.get("name") != "stderr"]
            for data in (one["data"] for one in cell.outputs if "data" in one):
                if "image/png" in data:
                    data["image/png"] = _smaller(data["image/png"])
    return notebook


def _smaller(picture: str) -> str:
    """Return a PNG, in base64, with a palette of 64 colours."""
    content = io.BytesIO()
    with Image.open(io.BytesIO(base64.b64decode(picture))) as image:
        image.convert("RGB").quantize(64, dither=Image.Dither.NONE).save(
            content, format="PNG", optimize=True
        )
    return base64.b64encode(content.getvalue()).decode()


def main(names: list[str]) -> None:
    """Execute notebooks in place, all of them where no name is given."""
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    for path in sorted(FOLDER.glob("*.ipynb")):
        if not names or path.stem in names:
            print(path.name, flush=True)
            nbformat.write(execute(path), path)  # type: ignore[no-untyped-call]


if __name__ == "__main__":
    main(sys.argv[1:])
