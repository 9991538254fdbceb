"""Run the benchmarks: every row is printed, and stored, as soon as it is there.

    OMP_NUM_THREADS=1 python benchmarks/run.py [--quick] [--only scoring ...] [--output rows.json]

Times are ratios of two times of one run where that is possible, of processor time on one thread,
so they compare across machines; set ``OMP_NUM_THREADS=1``, as ``make bench`` does, or numpy's
matrix products take all cores. ``--quick`` runs the same code on tiny sizes, to see that it
works; its numbers mean nothing. A benchmark that fails is a row with its error, the others go on,
and the exit code is 1. Rows are stored as JSON in ``--output``, and as a page with the suffix
``.md`` beside it; rows of benchmarks that ``--only`` leaves out stay in the file, each with the
machine, versions and date of its own.
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
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from page import page
from rows import HEADER, Row, describe, line

from pxgen_plugins.utils.files import plain, write_atomic
from pxgen_plugins.utils.machine import machine

# Each is a file beside this one, with a function run(quick) that yields rows.
BENCHMARKS = (
    "scoring", "selection", "tracin", "memory", "start", "audit", "kills", "workers",
    "many_anchors", "fuzz", "interval_coverage", "baseline_seeds", "estimates", "units", "explorer",
    "neighbours",
)  # fmt: skip
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
        "command": _command(arguments),
        "machine": {**machine(), "omp_num_threads": os.environ.get("OMP_NUM_THREADS")},
        "versions": versions(),
    }
    records = _others(options.output, options.only)
    if options.quick:
        print(WARNING)
    print(HEADER)
    for name in options.only:
        for row in rows_of(name, options.quick):
            print(line(row, judge=not options.quick), flush=True)
            reached = None if options.quick else row.reached
            date = datetime.now(UTC).isoformat(timespec="seconds")
            record = {"benchmark": name, **asdict(row), "reached": reached, **about, "date": date}
            record["load"] = os.getloadavg()[0]  # above the number of cores others disturb
            records.append(plain(record))
            records.sort(key=lambda each: BENCHMARKS.index(each["benchmark"]))
            content = json.dumps({"rows": records}, indent=2, allow_nan=False) + "\n"
            write_atomic(options.output, content.encode())
            write_atomic(options.output.with_suffix(".md"), page(records, BENCHMARKS).encode())
    if options.quick:
        print(WARNING)
    print(f"wrote {options.output}", file=sys.stderr)
    errors = [record["error"] for record in records if record["benchmark"] in options.only]
    return 1 if any(errors) else 0


def rows_of(name: str, quick: bool) -> Iterator[Row]:
    """Yield the rows of a benchmark; where it fails, a last one with the error."""
    try:
        yield from importlib.import_module(name).run(quick)
    except Exception as error:
        traceback.print_exc()
        yield Row(name, "", None, "", error=describe(error))


def _others(output: Path, only: Sequence[str]) -> list[dict[str, Any]]:
    """Return the stored rows of the benchmarks that are not run."""
    if not output.exists():
        return []
    stored = json.loads(output.read_text(encoding="utf-8"))["rows"]
    return [record for record in stored if record["benchmark"] not in only]


def _command(arguments: list[str]) -> str:
    """Return the command as typed, without the place of the output, which no number hangs on."""
    words = [*arguments]
    if "--output" in words:
        place = words.index("--output")
        del words[place : place + 2]
    return shlex.join(["python", "benchmarks/run.py", *words])


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
