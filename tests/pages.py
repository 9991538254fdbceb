"""Runs the code of a page of the documentation, as a reader would."""

from __future__ import annotations

import re
import warnings
from pathlib import Path
from typing import Any

DOCS = Path(__file__).parents[1] / "docs"


def read_page(name: str) -> str:
    """Return the text of a page of ``docs/``."""
    return (DOCS / name).read_text(encoding="utf-8")


def run_page(name: str, *, quiet: bool = False) -> dict[str, Any]:
    """Run the Python blocks of a page from top to bottom; return the names that they made.

    Args:
        name: File name of the page.
        quiet: Whether its warnings, of few samples say, are no matter.
    """
    space: dict[str, Any] = {"__name__": "page"}
    with warnings.catch_warnings():
        if quiet:
            warnings.simplefilter("ignore")
        for block in re.findall(r"```python\n(.*?)```", read_page(name), re.DOTALL):
            exec(compile(block, f"docs/{name}", "exec"), space)
    return space
