"""The front end's files, as both hosts show them: one script of all its parts."""

from __future__ import annotations

from functools import cache
from importlib.resources import files

__all__ = ["PARTS", "content", "script"]

PARTS = (
    "elements", "requests", "pictures", "anchors", "state", "picture_panel", "start_panel",
    "sliders", "plane", "plane_panel", "nearest", "brush", "painting", "walk", "compare", "task",
    "toolbar", "render",
)  # fmt: skip
"""Files of ``front/parts`` in the order in which they are joined: the last one exports."""


@cache
def script() -> str:
    """Return the explorer as one ES module: its parts, one after the other, in one scope.

    A notebook takes one module, and a page must not run another: so both get this text.

    Example:
        >>> script().count("export default")
        1
    """
    return "\n".join(content(f"parts/{name}.js") for name in PARTS)


def content(name: str) -> str:
    """Return a file of the front end, as ``"page.html"``."""
    return files(__package__).joinpath("front", name).read_text(encoding="utf-8")
