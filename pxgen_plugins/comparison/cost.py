"""Wall time, memory and operations of a block of code."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

__all__ = ["Stopwatch", "measure_cost", "nominal_seconds"]

clock = time.perf_counter
_INTERVAL = 0.02  # seconds between two looks at the memory
_RATE = 2e10  # floating-point operations a second: a core of a few years ago
_OVERHEAD = 3e-5  # seconds of a pass that do no such work, per instance


class Stopwatch:
    """Adds up the wall time of blocks.

    Attributes:
        seconds: Of all blocks so far.
    """

    def __init__(self) -> None:
        self.seconds = 0.0

    @contextmanager
    def running(self) -> Iterator[None]:
        """Measure a block; blocks do not lie inside each other."""
        start = clock()
        try:
            yield
        finally:
            self.seconds += clock() - start


def nominal_seconds(call: Callable[[], Any], n: int, passes: int = 1) -> float:
    """Return about how long ``call()`` takes on an ordinary core, whatever machine this is.

    By the multiplications and additions that torch makes in it, so that what a comparison leaves
    out does not hang on how busy the machine is. What computes elsewhere, as numpy and ONNX do, is
    timed.

    Args:
        call: Calls a model.
        n: Instances that it is called on.
        passes: Passes of its network per instance.

    Example:
        >>> import torch
        >>> net = torch.nn.Linear(1_000, 1_000, bias=False)
        >>> nominal_seconds(lambda: net(torch.zeros(10, 1_000)), 10)
        0.0013
    """
    watch, counter = Stopwatch(), _Operations()
    with watch.running(), counter:
        call()
    count = counter.count
    return count / _RATE + _OVERHEAD * n * passes if count else watch.seconds


class _Operations(TorchDispatchMode):  # type: ignore[no-untyped-call]  # torch's
    """Counts the floating-point operations of this thread by torch's own formulas.

    Torch's counter for each module hooks gradients, which asking for some in between forbids.
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # torch's
        self.count = 0

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        formula = flop_registry.get(func._overloadpacket)
        if formula is None:  # what is made of others, where it comes here whole
            with self:
                parts = func.decompose(*args, **kwargs)
            if parts is not NotImplemented:
                return parts
        result = func(*args, **kwargs)
        if formula is not None:
            self.count += int(formula(*args, **kwargs, out_val=result))
        return result


@contextmanager
def measure_cost() -> Iterator[dict[str, float]]:
    """Measure wall time, and how far the resident memory grows above its start.

    Yields:
        A dictionary with ``seconds`` and ``peak_mib``, complete when the block ends.
    """
    cost = {"seconds": 0.0, "peak_mib": 0.0}
    before, done = _resident(), threading.Event()

    def watch() -> None:
        while not done.wait(_INTERVAL):
            cost["peak_mib"] = max(cost["peak_mib"], (_resident() - before) / 2**20)

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    start = clock()
    try:
        yield cost
    finally:
        cost["seconds"] = clock() - start
        cost["peak_mib"] = max(cost["peak_mib"], (_resident() - before) / 2**20)
        done.set()
        watcher.join()


def _resident() -> int:
    try:
        with open("/proc/self/statm", encoding="ascii") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:  # no /proc: the column stays at 0
        return 0
