"""Work units in processes of this machine."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from pxgen_plugins.audit.executors.base import REGISTRY, Executor
from pxgen_plugins.utils.processes import Pool

__all__ = ["Processes"]


@REGISTRY.register("processes")
class Processes(Executor):
    """Does units in fresh processes, which build the model each for themselves, once."""

    _pool: Pool | None = None

    def __exit__(self, *raised: object) -> None:
        """End the processes."""
        if self._pool is not None:
            self._pool.__exit__(*raised)
            self._pool = None

    def run(self, function: Callable[..., Any], tasks: Sequence[tuple[Any, ...]]) -> Iterator[Any]:
        """Do the units as workers get free."""
        if tasks:
            self._pool = self._pool or Pool(self.workers)
            yield from self._pool.run(function, tasks)
