"""Run every benchmark, print one table and store it as JSON.

    python benchmarks/run.py [--quick] [--only scoring ...] [--output output/benchmarks.json]

Times are ratios inside one run, of CPU time on one thread, so they compare across machines.
"""

from __future__ import annotations

import argparse
import importlib
import json
import platform
import sys
from pathlib import Path
from typing import Any

import torch

from pxgen_plugins.utils.files import write_atomic

MODULES = ("scoring", "selection", "tracin", "memory", "start")


def main(argv: list[str] | None = None) -> None:
    """Run the script with the arguments ``argv``, those of the command line by default."""
    parser = argparse.ArgumentParser(description="Run the benchmarks.")
    parser.add_argument("--quick", action="store_true", help="small sizes, to see that it runs")
    parser.add_argument("--only", nargs="+", choices=MODULES, default=MODULES)
    parser.add_argument("--output", type=Path, default=Path("output/benchmarks.json"))
    given = parser.parse_args(argv)
    rows: list[dict[str, Any]] = []
    for name in given.only:
        sys.stderr.write(f"benchmark: {name}\n")
        rows += importlib.import_module(name).run(quick=given.quick)
    machine = {
        "machine": platform.machine(),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "quick": given.quick,
    }
    content = json.dumps({**machine, "rows": rows}, indent=2) + "\n"
    write_atomic(given.output, content.encode())
    sys.stdout.write(table(rows))
    sys.stderr.write(f"wrote {given.output}\n")


def table(rows: list[dict[str, Any]]) -> str:
    """Return the rows as aligned text."""
    cells = [("benchmark", "setting", "value", "unit", "target")]
    for row in rows:
        value = row["value"]
        shown = value if isinstance(value, str) or value is None else f"{value:.3g}"
        cells.append(
            (row["name"], row["setting"], str(shown), row["unit"], str(row["target"] or ""))
        )
    widths = [max(len(line[i]) for line in cells) for i in range(5)]
    lines = ["  ".join(c.ljust(w) for c, w in zip(line, widths, strict=True)) for line in cells]
    return "\n".join(line.rstrip() for line in lines) + "\n"


if __name__ == "__main__":
    main()
