"""Audits of costly models on several workers."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from costly import rounds_for
from rows import Row

from pxgen_plugins.audit import engine
from pxgen_plugins.audit.settings import Config, config_of

_COSTS = {0.005: 4_000, 0.5: 120}  # seconds of an instance, and how many instances
_TARGET = 0.55  # of the time of one worker, on the costlier model


def run(quick: bool = False) -> Iterator[Row]:
    """Yield the times of 2 and of 4 workers over that of one."""
    for seconds, n in {0.0005: 40}.items() if quick else _COSTS.items():
        yield from _workers(seconds, n)


def _workers(seconds: float, n: int) -> Iterator[Row]:
    """Yield the time of calibration and scoring by two workers, and by four, over that by one.

    Half of the instances are samples, half are anchors. All workers are processes, one too, so that
    all pay for their start. What comes after, the pictures of the report, is done in one process.
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
            plan, explainer = engine.make_plan(config)
            start = time.perf_counter()
            if not engine.score(config, plan, explainer):
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
