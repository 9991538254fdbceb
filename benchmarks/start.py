"""How long a fresh process takes to import the package and to answer ``pxgen --help``."""

from __future__ import annotations

import importlib.util
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator

from rows import Row

_HELP = """
import sys
from pxgen_plugins.audit.cli import main
sys.argv = ["pxgen", "--help"]
main()
"""


def run(quick: bool = False) -> Iterator[Row]:
    """Yield median wall times; those of imports are over a bare Python."""
    repeats = 1 if quick else 9
    setting = f"median of {repeats}, wall time"
    bare = seconds("pass", repeats)
    over = f"{setting}, over a bare Python of {bare:.3f} s"
    package = seconds("import pxgen_plugins", repeats) - bare
    yield Row("import pxgen_plugins", over, package, "s", target=0.3)
    yield Row("pxgen --help", setting, seconds(_HELP, repeats), "s", target=0.5)
    few = 1 if quick else 3  # these take seconds each
    over = f"median of {few}, wall time, over a bare Python"
    torch = seconds("import torch", few) - bare
    yield Row("import torch", over, torch, "s")
    code = "from pxgen_plugins import PXGen"
    alone = (seconds(code, few, PXGEN_WITHOUT_ALIBI="1") - bare) / torch
    yield Row(f"{code}, without alibi", over, alone, "x import torch", target=1.2)
    if importlib.util.find_spec("alibi") is not None:
        both = (seconds(code, few) - bare) / torch
        note = "it holds alibi's import: no target"
        yield Row(f"{code}, with alibi", over, both, "x import torch", note=note)


def seconds(code: str, repeats: int, **environment: str) -> float:
    """Return the median wall time of a fresh Python that runs ``code``."""
    times = []
    for _ in range(repeats + 1 if repeats > 1 else 1):
        start = time.perf_counter()
        subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, **environment},
            check=True,
            stdout=subprocess.DEVNULL,
        )
        times.append(time.perf_counter() - start)
    return statistics.median(times[1:] or times)  # the first one fills the file cache
