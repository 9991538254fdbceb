"""Run the benchmarks: every row is printed, and stored as JSON, as soon as it is there.

    OMP_NUM_THREADS=1 python benchmarks/run.py [--quick] [--only scoring ...] [--output rows.json]

Times are ratios of two times of one run where that is possible, of processor time on one thread,
so they compare across machines; set ``OMP_NUM_THREADS=1``, as ``make bench`` does, or numpy's
matrix products take all cores. ``--quick`` runs the same code on tiny sizes, to see that it
works; its numbers mean nothing. A benchmark that fails is a row with its error, the others go on,
and the exit code is 1.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import platform
import shlex
import sys
import traceback
from collections.abc import Iterator
from dataclasses import asdict
from datetime import datetime, timezone
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from rows import HEADER, Row, describe, line

from pxgen_plugins.utils.files import plain, write_atomic

# Each is a file beside this one, with a function run(quick) that yields rows.
BENCHMARKS = ("scoring", "selection", "tracin", "memory", "start", "audit", "kills", "fuzz")
PACKAGES = (
    "pxgen-plugins", "alibi", "fpsample", "numpy", "scikit-activeml", "scikit-learn",
    "scikit-matter", "scipy", "small-text", "torch", "torch-cluster",
)  # fmt: skip
WARNING = "QUICK RUN: sizes are not the real ones, so no number means anything. It runs, or not."


def main(argv: list[str] | None = None) -> int:
    """Run the benchmarks that the arguments name; return the exit code."""
    arguments = sys.argv[1:] if argv is None else argv
    parser = argparse.ArgumentParser(description="Run the benchmarks.")
    parser.add_argument("--quick", action="store_true", help="tiny sizes, to see that it runs")
    parser.add_argument("--only", nargs="+", choices=BENCHMARKS, default=BENCHMARKS)
    parser.add_argument("--output", type=Path, default=Path("output/benchmarks.json"))
    options = parser.parse_args(arguments)
    about = {
        "quick": options.quick,
        "command": shlex.join(["python", "benchmarks/run.py", *arguments]),
        "machine": machine(),
        "versions": versions(),
    }
    records: list[dict[str, Any]] = []
    if options.quick:
        print(WARNING)
    print(HEADER)
    for name in options.only:
        for row in rows_of(name, options.quick):
            print(line(row, judge=not options.quick), flush=True)
            reached = None if options.quick else row.reached
            date = datetime.now(timezone.utc).isoformat(timespec="seconds")
            record = {"benchmark": name, **asdict(row), "reached": reached, **about, "date": date}
            records.append(plain(record))
            content = json.dumps({"rows": records}, indent=2, allow_nan=False) + "\n"
            write_atomic(options.output, content.encode())
    if options.quick:
        print(WARNING)
    print(f"wrote {options.output}", file=sys.stderr)
    return 1 if any(record["error"] for record in records) else 0


def rows_of(name: str, quick: bool) -> Iterator[Row]:
    """Yield the rows of a benchmark; where it fails, a last one with the error."""
    try:
        yield from importlib.import_module(name).run(quick)
    except Exception as error:
        traceback.print_exc()
        yield Row(name, "", None, "", error=describe(error))


def machine() -> dict[str, Any]:
    """Return what the times depend on, as far as it is known."""
    return {
        "architecture": platform.machine(),
        "processor": _processor(),
        "cores": os.cpu_count(),
        "omp_num_threads": os.environ.get("OMP_NUM_THREADS"),
        "system": f"{platform.system()} {platform.release()}",
    }


def _processor() -> str:
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:  # not Linux
        return platform.processor()
    names = [entry.partition(":")[2] for entry in text.splitlines() if "model name" in entry]
    return names[0].strip() if names else platform.processor()


def versions() -> dict[str, str | None]:
    """Return the version of Python and of each package; None where it is not installed."""
    return {"python": platform.python_version(), **{name: _version(name) for name in PACKAGES}}


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


if __name__ == "__main__":
    sys.exit(main())
