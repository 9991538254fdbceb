"""Audits of many anchors: growth of memory, time, and the size of the report."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import audit
import fresh_process
from rows import Row

__all__ = ["run"]

_ANCHORS = (1_000_000, 3_000_000, 10_000_000)
_MOST_REPORT = 5.0  # MB
_MOST_RATIO = 1.1  # of the memory of the most anchors to that of the fewest
_NAME = "audit of many anchors"


def run(quick: bool = False) -> Iterator[Row]:
    """Yield the rows of each number of anchors, and how memory grows from the first to the last."""
    numbers = (1_000, 2_000) if quick else _ANCHORS
    found: dict[str, list[int]] = {}
    for n in numbers:
        for name, watched, report in _many(n, 1_024 if quick else 65_536):
            found.setdefault(name, []).append(watched.growth)
            yield from _rows(name, n, watched, report)
    for name, growths in found.items():
        setting = f"{numbers[-1]:,} anchors / {numbers[0]:,}"
        ratio = growths[-1] / max(growths[0], 1)
        yield Row(f"{name}: growth of memory", setting, ratio, "x", None if quick else _MOST_RATIO)


def _many(n: int, shard_size: int) -> Iterator[tuple[str, audit.Watched, int]]:
    """Yield what an audit of so many anchors takes, and one with that as its baseline."""
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        first = audit.many_anchors(place, n, shard_size)
        yield _NAME, fresh_process.call(audit.watch, first), _report(place / "run")
        second = audit.many_anchors(place, n, shard_size, place / "run")
        name = f"{_NAME} with a baseline"
        yield name, fresh_process.call(audit.watch, second), _report(place / "beside")


def _report(run: Path) -> int:
    return (run / "report.html").stat().st_size


def _rows(name: str, n: int, watched: audit.Watched, report: int) -> Iterator[Row]:
    setting = f"{n:,} anchors of 64 values, mapped .npy"
    note = f"{watched.resident / 2**20:,.0f} with pages of mapped files"
    yield Row(f"{name}: growth of memory", setting, watched.growth / 2**20, "MiB", note=note)
    yield Row(f"{name}: time", setting, watched.seconds, "s")
    yield Row(f"{name}: report", setting, report / 1e6, "MB", _MOST_REPORT)
