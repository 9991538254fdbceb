"""Shards in processes of this machine."""

from __future__ import annotations

import multiprocessing
import os
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

from pxgen_plugins.audit.executors.base import REGISTRY, Executor, WorkerLostError
from pxgen_plugins.audit.shards import score_shard

__all__ = ["Processes"]


@REGISTRY.register("processes")
class Processes(Executor):
    """Scores shards in fresh processes, which build the model each for themselves."""

    def run(self, folder: Path, shards: Sequence[int]) -> Iterator[int]:
        """Score the shards as workers get free."""
        # spawned, because a fork of a process with torch's threads can hang
        context = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(self.workers, mp_context=context, initializer=_leave) as pool:
            futures = [pool.submit(score_shard, folder, index) for index in shards]
            try:
                for future in as_completed(futures):
                    yield future.result()
            except BrokenProcessPool as error:
                raise WorkerLostError("a process died") from error
            finally:
                for future in futures:
                    future.cancel()


def _leave() -> None:
    """End this process when the one that started it is killed: nobody would gather its work."""
    parent = multiprocessing.parent_process()
    if parent is not None:

        def wait() -> None:
            parent.join()
            os._exit(1)

        threading.Thread(target=wait, daemon=True).start()
