"""A pool of worker processes that end with the process that started them."""

from __future__ import annotations

import multiprocessing
import os
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from typing import Any

__all__ = ["Pool", "WorkerLostError", "WorkerStartError", "run"]


class WorkerLostError(Exception):
    """A worker died: killed, or out of memory. What it had written is kept."""


class WorkerStartError(WorkerLostError):
    """No worker started: a new process cannot import what it is given."""


class Pool:
    """Fresh processes that take tasks until the pool is closed.

    Each uses one thread, and ends when this process is killed. What a task leaves in its process,
    such as a model, is there for the next one.

    Args:
        workers: How many processes, >= 1.
        shared: First arguments of every call, sent once to each worker.
        environments: Environment variables of the first worker, the second, and so on, in turn; set
            before it imports torch.
    """

    def __init__(
        self,
        workers: int,
        shared: tuple[Any, ...] = (),
        environments: Sequence[Mapping[str, str]] = (),
    ) -> None:
        # spawned, because a fork of a process with torch's threads can hang
        context = multiprocessing.get_context("spawn")
        turns = context.SimpleQueue()
        for at in range(workers):
            turns.put(dict(environments[at % len(environments)]) if environments else {})
        self._pool = ProcessPoolExecutor(workers, context, _start, (shared, turns))
        self._first: Future[int] | None = None

    def __enter__(self) -> Pool:
        return self

    def __exit__(self, *raised: object) -> None:
        self._pool.shutdown(wait=True, cancel_futures=True)

    def run(self, function: Callable[..., Any], tasks: Sequence[tuple[Any, ...]]) -> Iterator[Any]:
        """Yield ``function(*shared, *task)`` of every task as it comes.

        Tasks that have not begun are dropped when the iterator is closed or a task raises.

        Args:
            function: What is done, importable by a new process.
            tasks: Further arguments of each call, sent one by one.

        Raises:
            WorkerStartError: When not one worker started.
            WorkerLostError: When a worker died.
            Exception: Whatever ``function`` raised.
        """
        futures: list[Future[Any]] = []
        try:
            if self._first is None:  # to be answered first: a pool that breaks before ...
                self._first = self._pool.submit(os.getpid)
            futures += [self._pool.submit(_call, function, task) for task in tasks]
            for future in as_completed(futures):
                yield future.result()
        except BrokenProcessPool as error:
            first = self._first  # ... has never started
            if first is None or not first.done() or first.exception() is not None:
                raise WorkerStartError("a process could not be started") from error
            raise WorkerLostError("a worker process died: killed, or out of memory") from error
        finally:
            for future in futures:
                future.cancel()


def run(
    function: Callable[..., Any],
    tasks: Sequence[tuple[Any, ...]],
    workers: int,
    shared: tuple[Any, ...] = (),
) -> Iterator[Any]:
    """Yield ``function(*shared, *task)`` of every task as it comes, from a :class:`Pool`.

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
    with Pool(workers, shared) as pool:
        yield from pool.run(function, tasks)


_SHARED: list[Any] = []  # of this process, where it is a worker


def _start(shared: tuple[Any, ...], turns: Any) -> None:
    os.environ.update(turns.get())
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
