"""Work units on a Ray cluster, or on this machine by Ray."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from pxgen_plugins.audit.executors.base import Executor, WorkerLostError, register
from pxgen_plugins.utils import optional

__all__ = ["RayExecutor"]

_QUIET = "RAY_USAGE_STATS_ENABLED"


@register("ray")
class RayExecutor(Executor):
    """Does units as tasks of Ray; the run folder must be one that all machines see.

    A cluster that the process is connected to is used (``ray.init`` before, or ``RAY_ADDRESS``);
    else Ray starts on this machine, without dashboard and without its usage reports, and is shut
    down afterwards. The model is built once in each of Ray's processes.
    """

    _ray: Any = None
    _started = _silenced = False

    def __exit__(self, *raised: object) -> None:
        """Shut down what was started."""
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
        remote = ray.remote(num_cpus=1)(function)
        left = deque(tasks)
        running = [remote.remote(*left.popleft()) for _ in range(min(self.workers, len(left)))]
        while running:
            done, running = ray.wait(running, num_returns=1)
            yield _result(ray, done[0])
            if left:
                running.append(remote.remote(*left.popleft()))

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


def _result(ray: Any, task: Any) -> Any:
    try:
        return ray.get(task)
    except ray.exceptions.RayTaskError as error:
        # as it was raised, without the worker's traceback in its text
        raise error.cause or error from None
    except ray.exceptions.RayError as error:
        text = f"a worker of Ray was lost ({type(error).__name__})"
        raise WorkerLostError(text) from error
