"""Shards in processes of this machine."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from pxgen_plugins.audit.executors.base import REGISTRY, Executor
from pxgen_plugins.audit.shards import score_shard
from pxgen_plugins.utils import processes

__all__ = ["Processes"]


@REGISTRY.register("processes")
class Processes(Executor):
    """Scores shards in fresh processes, which build the model each for themselves."""

    def run(self, folder: Path, shards: Sequence[int]) -> Iterator[int]:
        """Score the shards as workers get free."""
        yield from processes.run(score_shard, [(folder, index) for index in shards], self.workers)
