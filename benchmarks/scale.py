"""Audits of costly models on several workers, and of many anchors."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import audit
import fresh_process
import numpy as np
from costly import rounds_for
from rows import Row

from pxgen_plugins.audit import engine
from pxgen_plugins.audit.settings import Config, config_of

_COSTS = {0.005: 4_000, 0.5: 120}  # seconds of an instance, and how many instances
_ANCHORS = (1_000_000, 3_000_000, 10_000_000)
_TARGET = 0.55  # of the time of one worker, on the costlier model
_MOST_REPORT = 5.0  # MB


def run(quick: bool = False) -> Iterator[Row]:
    """Yield ratios of times of 1, 2 and 4 workers, then memory and report of many anchors."""
    for seconds, n in {0.0005: 40}.items() if quick else _COSTS.items():
        yield from _workers(seconds, n)
    for n in (2_000,) if quick else _ANCHORS:
        yield from _many(n, 1_024 if quick else 65_536)


def _workers(seconds: float, n: int) -> Iterator[Row]:
    """Yield the time of an audit by two workers, and by four, over that by one.

    Half of the instances are samples, half are anchors. All workers are processes, one too, so that
    all pay for their start.
    """
    rounds, cores = rounds_for(seconds), os.cpu_count() or 1
    setting = f"{n:,} instances of {seconds * 1e3:g} ms, {rounds} products each"
    with tempfile.TemporaryDirectory() as name:
        np.save(Path(name, "anchors.npy"), np.random.default_rng(0).random((n // 2, 1, 8, 8)))
        times = {}
        for workers in (1, 2, 4):
            if workers > max(cores, 2):
                note = f"this machine has {cores} cores"
                yield Row(f"audit: {workers} workers / 1", setting, None, "x wall time", note=note)
                continue
            load = os.getloadavg()[0]
            config = _costly(Path(name), rounds, n, workers)
            start = time.perf_counter()
            if engine.audit(config) is None:
                raise RuntimeError("an audit did not end")
            times[workers] = time.perf_counter() - start
            if workers > 1:
                value, target = times[workers] / times[1], _TARGET if seconds > 0.1 else None
                note = f"one worker: {times[1]:.0f} s; load before it {load:.1f}"
                title = f"audit: {workers} workers / 1"
                yield Row(title, setting, value, "x wall time", target, note)


def _costly(folder: Path, rounds: int, n: int, workers: int) -> Config:
    n_samples, n_repeats = n // 16, 8
    values: dict[str, Any] = {
        "allow": ["costly"],
        "model": {"factory": "costly:load", "arguments": {"rounds": rounds}},
        "anchors": {"path": "anchors.npy"},
        "intrinsic": ["kld"],
        "extrinsic": ["mse"],
        "threshold": {"name": "MeanMax", "n_samples": n_samples, "n_repeats": n_repeats},
        "shard_size": max(1, n_samples),
        "executor": {"name": "processes", "workers": workers},
        "output": f"run{workers}",
    }
    return config_of(values, folder, allow=["costly"])


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
