"""The stored rows as a page: one table, and below it where and by which command it was made."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pxgen_plugins.utils.text import markdown_table

__all__ = ["page"]

_HEAD = ("benchmark", "setting", "value", "unit", "target", "reached", "note")
_REACHED = {True: "yes", False: "missed", None: ""}
_ABOUT = (
    "Times are ratios of two times of the same run, so that they compare across machines; seconds "
    "and MiB, where they stand, do not. A target is what the value should be at most."
)


def page(records: Sequence[dict[str, Any]], benchmarks: Sequence[str]) -> str:
    """Return rows, as ``run.py`` stores them, as Markdown; it names benchmarks without a row."""
    rows = [
        (
            record["name"],
            record["setting"],
            "" if record["value"] is None else f"{record['value']:.3g}",
            record["unit"],
            "" if record["target"] is None else f"<= {record['target']:g}",
            _REACHED[record["reached"]],
            f"FAILED: {record['error']}" if record["error"] else record["note"],
        )
        for record in records
    ]
    runs: dict[str, list[dict[str, Any]]] = {}
    for record in records:
        runs.setdefault(record["command"], []).append(record)
    ends = [_origin(run) for run in runs.values()]
    absent = [name for name in benchmarks if name not in {row["benchmark"] for row in records}]
    if absent:
        ends.insert(0, f"Not run: {', '.join(absent)}.")
    return (
        "\n".join(["# Benchmarks", "", _ABOUT, "", *markdown_table(_HEAD, rows)])
        + "".join(f"\n\n{end}" for end in ends)
        + "\n"
    )


def _origin(run: Sequence[dict[str, Any]]) -> str:
    """Return what a run's rows have in common: command, date, machine, load and versions."""
    record = run[-1]
    machine = record["machine"]
    loads = [row["load"] for row in run if row.get("load") is not None]
    load = f"{min(loads):.0f} to {max(loads):.0f}" if loads else "not recorded"
    installed = {name: number for name, number in record["versions"].items() if number}
    versions = ", ".join(f"{name} {number}" for name, number in installed.items())
    quick = " QUICK RUN: no number means anything." if record["quick"] else ""
    return (
        f"Made by `{record['command']}` on {record['date'][:10]}: {machine['processor']} "
        f"({machine['architecture']}, {machine['instructions']}), {machine['cores']} cores, "
        f"OMP_NUM_THREADS={machine['omp_num_threads']}, {machine['system']}, "
        f"load average {load}; {versions}.{quick}"
    )
