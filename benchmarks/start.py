"""How long imports take, in a fresh process."""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from typing import Any


def run(quick: bool = False) -> list[dict[str, Any]]:
    """Return the median seconds of starting Python with an import, and over a bare Python."""
    repeats = 3 if quick else 9
    bare = seconds("pass", repeats)
    cases = {
        "import pxgen_plugins": ("import pxgen_plugins", "<= 0.3", repeats),
        "import torch": ("import torch", "", 3),
        "from pxgen_plugins import PXGen (with alibi)": ("from pxgen_plugins import PXGen", "", 2),
    }
    return [
        {
            "name": name,
            "setting": f"over a bare Python of {bare:.3f} s",
            "value": seconds(code, n) - bare,
            "unit": "s",
            "target": target,
        }
        for name, (code, target, n) in cases.items()
    ]


def seconds(code: str, repeats: int) -> float:
    """Return the median wall time of a fresh Python that runs ``code``."""
    times = []
    for _ in range(repeats + 1):
        start = time.perf_counter()
        subprocess.run([sys.executable, "-c", code], check=True)
        times.append(time.perf_counter() - start)
    return statistics.median(times[1:])  # the first one fills the file cache
