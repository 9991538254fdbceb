"""A pool of worker processes that end with the process that started them."""

from __future__ import annotations

import multiprocessing
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from typing import Any

__all__ = ["WorkerLostError", "WorkerStartError", "run"]


class WorkerLostError(Exception):
    """A worker died: killed, or out of memory. What it had written is kept."""


class WorkerStartError(WorkerLostError):
    """No worker started: a new process cannot import what it is given."""


def run(
    function: Callable[..., Any],
    tasks: Sequence[tuple[Any, ...]],
    workers: int,
    shared: tuple[Any, ...] = (),
) -> Iterator[Any]:
    """Yield ``function(*shared, *task)`` of every task as it comes, from fresh processes.

    Each worker uses one thread, and ends when this process is killed. Tasks that have not begun
    are dropped when the iterator is closed or a task raises.

    Args:
        function: What is done, importable by a new process.
        tasks: Further arguments of each call, sent one by one.
        workers: How many processes, >= 1.
        shared: First arguments of every call, sent once to each worker.

    Raises:
        WorkerStartError: When not one worker started.
        WorkerLostError: When a worker died.
        Exception: Whatever ``function`` raised.

    Example:
        >>> sorted(run(pow, [(2, 3), (3, 2)], workers=1))
        [8, 9]
    """
    # spawned, because a fork of a process with torch's threads can hang
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(workers, context, _start, (shared,))
    try:
        ready = pool.submit(os.getpid)  # the first to be answered: a pool that breaks before ...
        futures = [pool.submit(_call, function, task) for task in tasks]
        for future in as_completed(futures):
            yield future.result()
    except BrokenProcessPool as error:
        started = ready.done() and ready.exception() is None  # ... has never started
        if not started:
            raise WorkerStartError("a process could not be started") from error
        raise WorkerLostError("a worker process died: killed, or out of memory") from error
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


_SHARED: list[Any] = []  # of this process, where it is a worker


def _start(shared: tuple[Any, ...]) -> None:
    threading.Thread(target=_end_with_parent, daemon=True).start()
    import torch

    torch.set_num_threads(1)
    _SHARED[:] = shared


def _end_with_parent() -> None:
    """End this process when its parent is killed, which the pool itself does not notice."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _call(function: Callable[..., Any], task: tuple[Any, ...]) -> Any:
    return function(*_SHARED, *task)
