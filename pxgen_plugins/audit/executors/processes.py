"""Work units in processes of this machine."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from pxgen_plugins.audit.devices import cards
from pxgen_plugins.audit.executors.base import REGISTRY, Executor
from pxgen_plugins.utils.processes import Pool

__all__ = ["Processes"]


@REGISTRY.register("processes")
class Processes(Executor):
    """Does units in fresh processes, which build the model each for themselves, once.

    On cards each process sees one: the first process the first card, and so on, in turn where there
    are more processes than cards.
    """

    _pool: Pool | None = None

    def __exit__(self, *raised: object) -> None:
        """End the processes."""
        if self._pool is not None:
            self._pool.__exit__(*raised)
            self._pool = None

    def run(self, function: Callable[..., Any], tasks: Sequence[tuple[Any, ...]]) -> Iterator[Any]:
        """Do the units as workers get free."""
        if tasks:
            self._pool = self._pool or Pool(self.workers, environments=self._environments())
            yield from self._pool.run(function, tasks)

    def _environments(self) -> list[dict[str, str]]:
        names = cards() if self.device == "cuda" else []
        return [{"CUDA_VISIBLE_DEVICES": name} for name in names]
