"""The base class of executors, and their registry."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from pathlib import Path

from pxgen_plugins.utils.processes import WorkerLostError
from pxgen_plugins.utils.registry import Registry

__all__ = ["REGISTRY", "Executor", "WorkerLostError", "register"]


class Executor(ABC):
    """Scores shards, in any order; results do not depend on which one does.

    Args:
        workers: How many at once.
    """

    def __init__(self, workers: int = 1) -> None:
        self.workers = workers

    @abstractmethod
    def run(self, folder: Path, shards: Sequence[int]) -> Iterator[int]:
        """Score shards of a run folder by :func:`~pxgen_plugins.audit.shards.score_shard`.

        Yields:
            The index of each shard, once it is written.

        Raises:
            WorkerLostError: When a worker died.
            Exception: Whatever a shard raised.
        """


REGISTRY: Registry[type[Executor]] = Registry("executor", "pxgen_plugins.audit.executors")
register = REGISTRY.register
