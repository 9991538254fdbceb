"""Audits that are killed again and again: their files against those of an undisturbed run."""

from __future__ import annotations

import shutil
import signal
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import fresh_process
import numpy as np
from audit import settings
from rows import Row

from pxgen_plugins.audit import engine
from pxgen_plugins.audit.fit import FIT
from pxgen_plugins.audit.writers.base import file_names

POINTS = ("planned", "calibrated", "scored", "written")


def run(quick: bool = False) -> Iterator[Row]:
    """Yield how many of the killed runs end with other files than an undisturbed one: 0.

    Every run is killed three times and then left to end. A kill (SIGKILL) comes up to 0.3 seconds
    after a point drawn at random: the plan, the calibration, one of the shards, the first result.
    """
    with tempfile.TemporaryDirectory() as name:
        n, per_run = (1, 1) if quick else (30, 3)
        yield _kill(Path(name), n, per_run, quick)


def _kill(folder: Path, n: int, per_run: int, quick: bool) -> Row:
    whole = folder / "whole"
    _follow(whole, None, 0.0, quick)
    expected = _content(whole)
    n_shards = _count_shards(whole)
    draws = np.random.default_rng(0)
    phases: Counter[str] = Counter()
    runs = differing = 0
    while phases.total() < n:
        run = folder / f"run{runs}"
        for _ in range(per_run):
            point = POINTS[draws.integers(len(POINTS))]
            reached = _points(run, int(draws.integers(1, n_shards + 1)))[point]
            if _follow(run, reached, draws.uniform(0.0, 0.02 if quick else 0.3), quick):
                phases[_phase(run, n_shards)] += 1
        _follow(run, None, 0.0, quick)
        differing += _content(run) != expected
        shutil.rmtree(run)
        runs += 1
    setting = f"{phases.total()} kills of {runs} runs, {len(expected)} files each"
    note = "while " + ", ".join(f"{phase} {count}" for phase, count in sorted(phases.items()))
    return Row("killed audits with other files", setting, differing, "runs", 0, note)


def _points(run: Path, n_shards: int) -> dict[str, Callable[[], bool]]:
    """Return what tells that a run has come so far; in one that goes on it may be there at once."""
    return {
        "planned": lambda: True,
        "calibrated": (run / FIT / "pxgen.json").exists,
        "scored": lambda: _count_shards(run) >= n_shards,
        "written": lambda: _has_results(run),
    }


def _follow(run: Path, reached: Callable[[], bool] | None, delay: float, quick: bool) -> bool:
    """Start an audit or go on with it, and kill it after a point; return whether it was killed."""
    marker = run.with_suffix(".planned")
    marker.unlink(missing_ok=True)
    process = fresh_process.context().Process(target=_audit, args=(run, marker, quick))
    process.start()
    if reached is not None:
        while process.is_alive() and not (marker.exists() and reached()):
            time.sleep(0.002)
        time.sleep(delay)
        process.kill()
    process.join()
    if process.exitcode not in (0, -signal.SIGKILL):
        raise RuntimeError(f"an audit ended with exit code {process.exitcode}")
    return process.exitcode != 0


def _audit(run: Path, marker: Path, quick: bool) -> None:
    config = settings(run, quick, adapters={"names": ["lrp"], "per_group": 2})
    plan, explainer = engine.make_plan(config)
    marker.touch()
    engine.score(config, plan, explainer)
    engine.finish(config, plan)


def _phase(run: Path, n_shards: int) -> str:
    """Return what a killed run was doing, by what it had written."""
    if not (run / FIT / "pxgen.json").exists():
        return "calibrating"
    if _count_shards(run) < n_shards:
        return "scoring"
    return "writing results" if _has_results(run) else "assembling"


def _count_shards(run: Path) -> int:
    return len(list(run.glob("shards/*.safetensors")))


def _has_results(run: Path) -> bool:
    return any((run / name).exists() for name in file_names())


def _content(run: Path) -> dict[str, bytes]:
    """Return the final files of a run."""
    return {path.name: path.read_bytes() for path in run.iterdir() if path.name in file_names()}
