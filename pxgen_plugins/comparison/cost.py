"""Wall time and memory of a block of code."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["Stopwatch", "measure_cost"]

clock = time.perf_counter
_INTERVAL = 0.02  # seconds between two looks at the memory


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
