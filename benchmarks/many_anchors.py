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


def run(quick: bool = False) -> Iterator[Row]:
    """Yield the rows of each number of anchors."""
    for n in (2_000,) if quick else _ANCHORS:
        yield from _many(n, 1_024 if quick else 65_536)


def _many(n: int, shard_size: int) -> Iterator[Row]:
    """Yield growth of memory, time and the report's size of an audit of so many anchors."""
    with tempfile.TemporaryDirectory() as name:
        config = audit.many_anchors(Path(name), n, shard_size)
        growth, seconds = fresh_process.call(audit.watch, config)
        report = Path(name, "run", "report.html").stat().st_size
    setting = f"{n:,} anchors of 64 values, mapped .npy"
    yield Row("audit of many anchors: growth of memory", setting, growth / 2**20, "MiB")
    yield Row("audit of many anchors: time", setting, seconds, "s")
    name = "audit of many anchors: report"
    yield Row(name, setting, report / 1e6, "MB", _MOST_REPORT)
