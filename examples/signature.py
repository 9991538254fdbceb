"""The line that ends a written page: the command that made it."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

__all__ = ["signature"]


def signature(script: str, argv: Sequence[str] | None) -> str:
    """Return the command of a script as a line of Markdown, without its ``--output``.

    Args:
        script: The script's ``__file__``.
        argv: Its arguments; None stands for those of the command line.

    Example:
        >>> signature("top_k_mnist.py", ["--k", "4", "--output", "here"]).strip()
        'Made by `python examples/top_k_mnist.py --k 4`.'
    """
    words = [*(sys.argv[1:] if argv is None else argv)]
    if "--output" in words:
        place = words.index("--output")
        del words[place : place + 2]
    return f"\nMade by `{shlex.join(['python', f'examples/{Path(script).name}', *words])}`.\n"
