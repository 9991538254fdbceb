"""The base class of executors, and their registry."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from pxgen_plugins.utils.processes import WorkerLostError
from pxgen_plugins.utils.registry import Registry

__all__ = ["REGISTRY", "Executor", "WorkerLostError", "register"]


class Executor(ABC):
    """Does work units, in any order; results do not depend on which executor does.

    A context manager: workers start when it is entered or first needed, keep what a unit leaves in
    their memory, such as the model, for the next one, and end when it is left.

    Args:
        workers: How many at once.

    Attributes:
        device: Where the model runs, ``"cpu"`` or ``"cuda"``: then each worker has a card, where
            there are as many.
    """

    device = "cpu"

    def __init__(self, workers: int = 1) -> None:
        self.workers = workers

    def __enter__(self) -> Executor:
        return self

    def __exit__(self, *raised: object) -> None:
        """End the workers, where there are any."""
        return

    @abstractmethod
    def run(self, function: Callable[..., Any], tasks: Sequence[tuple[Any, ...]]) -> Iterator[Any]:
        """Call a function for each task.

        Args:
            function: A function of a module, as :func:`~pxgen_plugins.audit.work.do_unit`.
            tasks: The arguments of each call; small ones, as they may be sent to other machines.

        Yields:
            What each call returns, once it is done.

        Raises:
            WorkerLostError: When a worker died.
            Exception: Whatever the function raised.
        """


REGISTRY: Registry[type[Executor]] = Registry("executor", "pxgen_plugins.audit.executors")
register = REGISTRY.register
