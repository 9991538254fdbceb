"""Work units one after the other, in this process."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from pxgen_plugins.audit.executors.base import Executor, register

__all__ = ["Serial"]


@register("serial")
class Serial(Executor):
    """Does units one after the other."""

    def run(self, function: Callable[..., Any], tasks: Sequence[tuple[Any, ...]]) -> Iterator[Any]:
        """Do the units in order."""
        for task in tasks:
            yield function(*task)
