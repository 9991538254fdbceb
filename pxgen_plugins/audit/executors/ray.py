"""Shards on a Ray cluster, or on this machine by Ray."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from pxgen_plugins.audit.executors.base import Executor, WorkerLostError, register
from pxgen_plugins.audit.shards import score_shard
from pxgen_plugins.utils import optional

__all__ = ["RayExecutor"]


@register("ray")
class RayExecutor(Executor):
    """Scores shards as tasks of Ray; the run folder must be one that all machines see.

    A cluster that the process is connected to is used (``ray.init`` before, or ``RAY_ADDRESS``);
    else Ray starts on this machine, without dashboard and without its usage reports, and is shut
    down afterwards.
    """

    def run(self, folder: Path, shards: Sequence[int]) -> Iterator[int]:
        """Score the shards, ``workers`` at a time."""
        before = os.environ.get("RAY_USAGE_STATS_ENABLED")
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        ray: Any = optional.load("ray", "ray")
        started = not ray.is_initialized()
        if started and os.environ.get("RAY_ADDRESS"):
            ray.init(log_to_driver=False)
        elif started:
            ray.init(num_cpus=self.workers, include_dashboard=False, log_to_driver=False)
        try:
            task = ray.remote(num_cpus=1)(score_shard)
            left = list(shards)
            running = [
                task.remote(folder, left.pop(0)) for _ in range(min(self.workers, len(left)))
            ]
            while running:
                done, running = ray.wait(running, num_returns=1)
                yield int(_result(ray, done[0]))
                if left:
                    running.append(task.remote(folder, left.pop(0)))
        finally:
            if started:
                ray.shutdown()
            if before is None:
                os.environ.pop("RAY_USAGE_STATS_ENABLED", None)


def _result(ray: Any, task: Any) -> Any:
    try:
        return ray.get(task)
    except ray.exceptions.RayTaskError as error:
        # as it was raised, without the worker's traceback in its text
        raise error.cause or error from None
    except ray.exceptions.RayError as error:
        text = f"a worker of Ray was lost ({type(error).__name__})"
        raise WorkerLostError(text) from error
