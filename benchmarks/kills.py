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

PHASES = ("calibrating", "scoring", "writing results")
_TARGETS = (*PHASES[:1] * 2, *PHASES[1:2] * 2, PHASES[2])  # of the kills of a run, in their order
UNITS = {"calibrating": "calibration/*/*.safetensors", "scoring": "shards/*.safetensors"}


def run(quick: bool = False) -> Iterator[Row]:
    """Yield how many of the killed runs end with other files than an undisturbed one: 0.

    Every run is killed five times and then left to end: twice in calibration, twice while it scores
    anchors, once when it has written the first result. A kill (SIGKILL) comes after a unit drawn
    at random, and after a part of the time to the next one.
    """
    with tempfile.TemporaryDirectory() as name:
        yield from _kill(Path(name), 1 if quick else 18, quick)


def _kill(folder: Path, n_runs: int, quick: bool) -> Iterator[Row]:
    whole = folder / "whole"
    _follow(whole, None, 0.0, quick)
    expected = _content(whole)
    units = {phase: list(whole.glob(pattern)) for phase, pattern in UNITS.items()}
    most = {phase: len(paths) for phase, paths in units.items()}
    pace = {phase: _pace(paths) for phase, paths in units.items()}
    draws = np.random.default_rng(0)
    kills: Counter[str] = Counter()
    differing = lost = 0
    for at in range(n_runs):
        run = folder / f"run{at}"
        # of those before the last unit; the second kill of a phase comes after the first
        goals = {phase: sorted(draws.integers(most[phase], size=2).tolist()) for phase in UNITS}
        for phase in _TARGETS:
            reached = _point(run, phase, goals)
            before = _count(run)
            delay = draws.uniform(0.0, pace.get(phase, 0.01))
            if _follow(run, reached, delay, quick):
                kills[_phase(run, most)] += 1
            lost += sum(max(0, before[phase] - count) for phase, count in _count(run).items())
        _follow(run, None, 0.0, quick)
        differing += _content(run) != expected
        shutil.rmtree(run)
    setting = f"{kills.total()} kills of {n_runs} runs, {len(expected)} files each"
    note = "while " + ", ".join(f"{phase} {kills[phase]}" for phase in PHASES)
    yield Row("killed audits with other files", setting, differing, "runs", 0, note)
    yield Row("written units that a kill lost", setting, lost, "units", 0, note)


def _pace(paths: list[Path]) -> float:
    """Return the seconds from unit to unit, by the times at which they were written."""
    times = sorted(path.stat().st_mtime for path in paths)
    return float(np.median(np.diff(times))) if len(times) > 1 else 0.01


def _point(run: Path, phase: str, goals: dict[str, list[int]]) -> Callable[[], bool]:
    """Return what tells that a run has come to its next point in a phase."""
    if phase not in UNITS:
        return lambda: _has_results(run)
    goal = goals[phase].pop(0)
    return lambda: _count(run)[phase] >= goal


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


def _phase(run: Path, most: dict[str, int]) -> str:
    """Return what a killed run was doing, by what it had written."""
    if not (run / FIT / "checksums.json").exists():
        return "calibrating"
    return "scoring" if _count(run)["scoring"] < most["scoring"] else "writing results"


def _count(run: Path) -> dict[str, int]:
    """Return how many units each phase has written."""
    return {phase: len(list(run.glob(pattern))) for phase, pattern in UNITS.items()}


def _has_results(run: Path) -> bool:
    return any((run / name).exists() for name in file_names())


def _content(run: Path) -> dict[str, bytes]:
    """Return all files of a run, without what killed writes left."""
    files = (path for path in run.rglob("[!.]*") if path.is_file())
    return {path.relative_to(run).as_posix(): path.read_bytes() for path in files}
