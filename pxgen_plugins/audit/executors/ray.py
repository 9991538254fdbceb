"""Work units on a Ray cluster, or on this machine by Ray."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

from pxgen_plugins.audit.executors.base import Executor, WorkerLostError, register
from pxgen_plugins.utils import optional

__all__ = ["RayExecutor"]

_QUIET = "RAY_USAGE_STATS_ENABLED"


@register("ray")
class RayExecutor(Executor):
    """Does units as tasks of Ray; the run folder must be one that all machines see, or a URL.

    A cluster that the process is connected to is used (``ray.init`` before, or ``RAY_ADDRESS``);
    else Ray starts on this machine, without dashboard and without its usage reports, and is shut
    down afterwards. The model is built once in each of Ray's processes. On cards units are done by
    actors, one with a card for each worker, because Ray ends the process of a task with a card.
    """

    _ray: Any = None
    _started = _silenced = False
    _actors: Sequence[Any] = ()  # which end when nothing refers to them

    def __exit__(self, *raised: object) -> None:
        """Shut down what was started."""
        self._actors = ()
        if self._started:
            self._ray.shutdown()
        if self._silenced:
            os.environ.pop(_QUIET, None)
        self._ray, self._started, self._silenced = None, False, False

    def run(self, function: Callable[..., Any], tasks: Sequence[tuple[Any, ...]]) -> Iterator[Any]:
        """Do the units, ``workers`` at a time."""
        if not tasks:
            return
        ray = self._connected()
        left = deque(tasks)
        starts = self._starts(ray, function)
        running = {start(*left.popleft()): start for start in starts[: len(left)]}
        while running:
            (done,), _ = ray.wait(list(running), num_returns=1)
            start = running.pop(done)
            yield _result(ray, done)
            if left:
                running[start(*left.popleft())] = start

    def _starts(self, ray: Any, function: Callable[..., Any]) -> list[Callable[..., Any]]:
        """Return for each worker what starts a unit there."""
        if self.device != "cuda":
            return [ray.remote(num_cpus=1)(function).remote] * self.workers
        if not self._actors:
            kind = ray.remote(num_cpus=1, num_gpus=1, max_restarts=3, max_task_retries=3)(_Worker)
            self._actors = [kind.remote() for _ in range(self.workers)]
        return [partial(actor.call.remote, function) for actor in self._actors]

    def _connected(self) -> Any:
        """Return the module, connected to a cluster."""
        if self._ray is None:
            if _QUIET not in os.environ:
                os.environ[_QUIET], self._silenced = "0", True
            ray: Any = optional.load("ray", "ray")
            starts = not ray.is_initialized()
            if starts and os.environ.get("RAY_ADDRESS"):
                ray.init(log_to_driver=False)
            elif starts:
                ray.init(num_cpus=self.workers, include_dashboard=False, log_to_driver=False)
            self._ray, self._started = ray, starts
        return self._ray


class _Worker:
    """What an actor is: it keeps what a unit leaves in its process, such as the model."""

    def call(self, function: Callable[..., Any], *task: Any) -> Any:
        return function(*task)


def _result(ray: Any, task: Any) -> Any:
    try:
        return ray.get(task)
    except ray.exceptions.RayTaskError as error:
        # as it was raised, without the worker's traceback in its text
        raise error.cause or error from None
    except ray.exceptions.RayError as error:
        text = f"a worker of Ray was lost ({type(error).__name__})"
        raise WorkerLostError(text) from error
