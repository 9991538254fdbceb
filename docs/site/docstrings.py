"""Docstrings as reStructuredText: what they write as plain text stays plain text.

A docstring of the package says ``(b, *sample_shape)`` and ``|a - b|`` without thinking of markup,
and lists arguments that are documented elsewhere over two lines. Both are mended in the build.
"""

from __future__ import annotations

import re
from typing import Any

__all__ = ["escape", "process"]

_LITERAL = re.compile(r"(``.*?``|:\w+(?::\w+)*:`[^`]*`|`[^`]*`_*)")
_EMPHASIS = re.compile(r"(?<![\w*\\])(\*{1,2})(?=[^\s*])[^*\n]*?(?<=[^\s*])\1(?![\w*])")
_NAMES = re.compile(r"^\s+\w+(, \w+)+,$")
_EXAMPLE = re.compile(r"^\s*(>>>|\.\.\. )")


def escape(line: str) -> str:
    r"""Return a line with those stars and bars escaped that mark nothing.

    Example:
        >>> escape("*groups* of (b, *shape) by |a - b|, ``|z|``")
        '*groups* of (b, \\*shape) by \\|a - b\\|, ``|z|``'
    """
    parts = _LITERAL.split(line)
    parts[::2] = [_escape_text(text) for text in parts[::2]]
    return "".join(parts)


def _escape_text(text: str) -> str:
    kept = [match.span() for match in _EMPHASIS.finditer(text)]
    return "".join(
        f"\\{sign}"
        if sign == "|" or (sign == "*" and not any(a <= i < b for a, b in kept))
        else sign
        for i, sign in enumerate(text)
    )


def process(_app: Any, _kind: str, _name: str, _item: Any, _options: Any, lines: list[str]) -> None:
    """Mend the lines of a docstring in place (``autodoc-process-docstring``)."""
    mended: list[str] = []
    example = False
    for line in lines:
        if mended and _NAMES.match(mended[-1]):
            mended[-1] = f"{mended[-1]} {line.strip()}"
            continue
        example = bool(line.strip()) and (example or bool(_EXAMPLE.match(line)))
        mended.append(line if example else escape(line))
    lines[:] = mended
