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
from pxgen_plugins.audit.samples import SAMPLES
from pxgen_plugins.audit.settings import Config, config_of
from pxgen_plugins.audit.shards import SHARDS

_COSTS = {0.005: 2_000, 0.5: 100}  # seconds of an instance, and how many instances
_UNITS = 50  # in each half
_TARGET = 0.55  # of the time of one worker, on the costlier model


def run(quick: bool = False) -> Iterator[Row]:
    """Yield the times of 2 and of 4 workers over that of one."""
    for seconds, n in {0.0005: 40}.items() if quick else _COSTS.items():
        yield from _workers(seconds, n)


def _workers(seconds: float, n: int) -> Iterator[Row]:
    """Yield the time of calibration and scoring by two workers, and by four, over that by one.

    Half of the instances are samples, half are anchors. All workers are processes, one too. The
    time is that from the first unit to the last, in both halves; beside it stands that of the whole
    call, with the start of the processes and the plan. The pictures of the report are made after
    that, in one process.
    """
    rounds, cores = rounds_for(seconds), os.cpu_count() or 1
    setting = f"{n:,} instances of {seconds * 1e3:g} ms, {rounds} products each"
    with tempfile.TemporaryDirectory() as name:
        np.save(Path(name, "anchors.npy"), np.random.default_rng(0).random((n // 2, 1, 8, 8)))
        times: dict[int, tuple[float, float]] = {}
        for workers in (1, 2, 4):
            title = f"audit: {workers} workers / 1"
            if workers > max(cores, 2):
                note = f"this machine has {cores} cores"
                yield Row(title, setting, None, "x wall time", note=note)
                continue
            load = os.getloadavg()[0]
            times[workers] = _times(_costly(Path(name), rounds, n, workers))
            if workers > 1:
                (busy, whole), (one, all_of_one) = times[workers], times[1]
                target = _TARGET if seconds > 0.1 else None
                note = (
                    f"with start and plan {whole / all_of_one:.2f}; one worker: {one:.0f} s, "
                    f"{all_of_one:.0f} s with them; load average before it {load:.1f}"
                )
                yield Row(title, setting, busy / one, "x wall time", target, note)


def _times(config: Config) -> tuple[float, float]:
    """Return the seconds from the first unit to the last, in both halves, and those of the call."""
    plan, explainer = engine.make_plan(config)
    start = time.perf_counter()
    if not engine.score(config, plan, explainer):
        raise RuntimeError("an audit did not end")
    whole, busy = time.perf_counter() - start, 0.0
    for stage in (SAMPLES, SHARDS):
        written = sorted(path.stat().st_mtime for path in Path(str(config.output), stage).iterdir())
        busy += (written[-1] - written[0]) * len(written) / (len(written) - 1)
    return busy, whole


def _costly(folder: Path, rounds: int, n: int, workers: int) -> Config:
    n_samples, n_repeats = max(1, n // 2 // _UNITS), min(_UNITS, n // 2)
    values: dict[str, Any] = {
        "allow": ["costly"],
        "model": {"factory": "costly:load", "arguments": {"rounds": rounds}},
        "anchors": {"path": "anchors.npy"},
        "intrinsic": ["kld"],
        "extrinsic": ["mse"],
        "threshold": {"name": "MeanMax", "n_samples": n_samples, "n_repeats": n_repeats},
        "shard_size": n_samples,
        "executor": {"name": "processes", "workers": workers},
        "output": f"run{workers}",
    }
    return config_of(values, folder, allow=["costly"])
