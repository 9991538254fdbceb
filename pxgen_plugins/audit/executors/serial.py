"""Shards one after the other, in this process."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from pxgen_plugins.audit.executors.base import Executor, register
from pxgen_plugins.audit.shards import score_shard

__all__ = ["Serial"]


@register("serial")
class Serial(Executor):
    """Scores shards one after the other."""

    def run(self, folder: Path, shards: Sequence[int]) -> Iterator[int]:
        """Score the shards in order."""
        for index in shards:
            yield score_shard(folder, index)
