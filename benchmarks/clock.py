"""Processor time of calls, in one process."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

__all__ = ["cpu_seconds", "fastest"]

Call = Callable[[], object]


def cpu_seconds(call: Call, repeats: int = 1) -> float:
    """Return the least processor time of a call, in seconds."""
    return fastest({"call": call}, repeats)["call"]


def fastest(cases: Mapping[str, Call], repeats: int) -> dict[str, float]:
    """Return the least processor time of each case, s; cases take turns: drift hits all alike."""
    best = dict.fromkeys(cases, float("inf"))
    for _ in range(repeats):
        for name, case in cases.items():
            start = time.process_time()
            case()
            best[name] = min(best[name], time.process_time() - start)
    return best
