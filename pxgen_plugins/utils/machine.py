"""What the last bits of a number depend on, beside code and seed: processor, threads, versions."""

from __future__ import annotations

import os
import platform
from pathlib import Path

import torch

__all__ = ["machine"]

_CPUINFO = Path("/proc/cpuinfo")


def machine(threads: int | None = None) -> dict[str, str | int]:
    """Return processor, threads, system and versions, as JSON holds them.

    No host name and no user name is among them, so it can be committed.

    Args:
        threads: How many threads torch computed with; by default as many as it has now.

    Example:
        >>> machine(threads=1)["threads"]
        1
    """
    return {
        "processor": _processor(),
        "architecture": platform.machine(),
        "instructions": torch.backends.cpu.get_cpu_capability(),
        "cores": os.cpu_count() or 1,
        "threads": torch.get_num_threads() if threads is None else threads,
        "system": f"{platform.system()} {platform.release().partition('-')[0]}",
        "python": platform.python_version(),
        "torch": torch.__version__,
    }


def _processor() -> str:
    """Return the processor's name: the first of ``/proc/cpuinfo``, else what Python knows."""
    try:
        lines = _CPUINFO.read_text(encoding="utf-8").splitlines()
    except OSError:  # not Linux
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or "unknown"
