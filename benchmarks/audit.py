"""Audits under stress: killed again and again, a million anchors, and what the frame costs.

    python benchmarks/audit.py kills      # 30 times kill -9 during an audit of 20,000 anchors
    python benchmarks/audit.py million    # 1,000,000 synthetic anchors: memory, size of the report
    python benchmarks/audit.py cost       # seconds of an audit's scoring over bare scoring

Each prints one line of JSON.
"""

from __future__ import annotations

import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from pxgen_plugins.audit import engine, shards
from pxgen_plugins.audit.inputs import open_set
from pxgen_plugins.audit.settings import Config, config_of
from pxgen_plugins.audit.writers.base import file_names
from pxgen_plugins.utils.threads import one_thread

HERE = Path(__file__).resolve()


def settings(folder: Path, **changes: Any) -> Config:
    """Return settings of an audit of 20,000 images."""
    values: dict[str, Any] = {
        "model": {"shipped": "mnist_vae"},
        "anchors": {"shipped": "mnist", "split": "train", "limit": 20_000},
        "threshold": {"name": "MeanMax", "n_samples": 5_000, "n_repeats": 3},
        "shard_size": 1_024,
        "conditions": ["label:0.HIHE.fraction >= 0.5"],
        "output": str(folder),
    }
    return config_of(values | changes, folder.parent)


def audit(config: Config) -> float:
    """Run an audit; return the seconds that fitting and scoring took."""
    plan, explainer = engine.make_plan(config)
    started = time.perf_counter()
    engine.score(config, plan, explainer)
    seconds = time.perf_counter() - started
    engine.finish(config, plan)
    return seconds


def content(folder: Path) -> dict[str, bytes]:
    """Return the final files of a run."""
    return {p.name: p.read_bytes() for p in folder.iterdir() if p.name in file_names()}


def kills(folder: Path, n: int = 30) -> dict[str, Any]:
    """Kill audits ``n`` times at random moments; compare their files with an undisturbed run's.

    Every run is killed three times and then left to end. A kill comes up to 0.3 seconds after a
    point drawn at random: the plan, the calibration, one of the shards, or the first result.
    """
    whole = folder / "whole"
    _follow(folder, whole, None)
    wanted = content(whole)
    n_shards = len(list(whole.glob("shards/*.safetensors")))
    draws = np.random.default_rng(0)
    fell: dict[str, int] = {}
    runs = differing = 0
    while sum(fell.values()) < n:
        run = folder / f"run{runs}"
        for _ in range(3):
            point = ("planned", "calibrated", "scored", "written")[draws.integers(4)]
            reached = _points(run, int(draws.integers(1, n_shards + 1)))[point]
            if _follow(folder, run, reached, draws.uniform(0.0, 0.3)):
                phase = _phase(run, n_shards)
                fell[phase] = fell.get(phase, 0) + 1
        _follow(folder, run, None)
        differing += content(run) != wanted
        shutil.rmtree(run)
        runs += 1
    return {
        "kills": sum(fell.values()), "fell_while": dict(sorted(fell.items())), "runs": runs,
        "runs_that_differ": differing, "files_compared": len(wanted),
    }  # fmt: skip


def _points(run: Path, n_shards: int) -> dict[str, Callable[[], bool]]:
    """Return what tells that a run has come so far; in one that goes on it may be there at once."""
    return {
        "planned": lambda: True,
        "calibrated": (run / shards.FIT / "pxgen.json").exists,
        "scored": lambda: len(list(run.glob("shards/*.safetensors"))) >= n_shards,
        "written": lambda: any((run / name).exists() for name in file_names()),
    }


def _follow(
    folder: Path, run: Path, reached: Callable[[], bool] | None, delay: float = 0.0
) -> bool:
    """Start an audit or go on with it, and kill it after a point; return whether it was killed."""
    marker = folder / "planned"
    marker.unlink(missing_ok=True)
    command = [sys.executable, "-W", "ignore", str(HERE), "run", str(run), str(marker)]
    process = subprocess.Popen(command)
    if reached is not None:
        while process.poll() is None and not (marker.exists() and reached()):
            time.sleep(0.002)
        time.sleep(delay)
        process.send_signal(signal.SIGKILL)
    code = process.wait()
    assert code in {0, -signal.SIGKILL}
    return code != 0


def _phase(run: Path, n_shards: int) -> str:
    """Return what a killed run was doing, by what it had written."""
    if not (run / shards.FIT / "pxgen.json").exists():
        return "calibrating"
    if len(list(run.glob("shards/*.safetensors"))) < n_shards:
        return "scoring"
    begun = any((run / name).exists() for name in file_names())
    return "writing results" if begun else "assembling"


def million(folder: Path, n: int = 1_000_000) -> dict[str, Any]:
    """Audit synthetic anchors from a memory map; return peak memory and sizes."""
    path = folder / "anchors.npy"
    block = np.random.default_rng(0).random((10_000, 64), dtype=np.float32)
    mapped = np.lib.format.open_memmap(path, mode="w+", dtype=np.float32, shape=(n, 1, 8, 8))
    for low in range(0, n, len(block)):
        mapped[low : low + len(block)] = np.roll(block, low // len(block), 1).reshape(-1, 1, 8, 8)
    del mapped
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    config = settings(
        folder / "run",
        model={"factory": "pxgen_plugins.testing.examples:LinearModel"},
        anchors={"path": str(path)},
        shard_size=65_536,
        conditions=["invalid.count < 1"],
    )
    started = time.perf_counter()
    audit(config)
    return {
        "anchors": n,
        "seconds": round(time.perf_counter() - started, 1),
        "peak_mib": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024),
        "mib_before": round(before),
        "report_bytes": (folder / "run/report.html").stat().st_size,
    }


def cost(folder: Path) -> dict[str, Any]:
    """Return what shards add to scoring all anchors at once, as a ratio.

    A worker scores with one thread, whatever the number of cores, so that its values do not depend
    on it: ``ratio`` is to bare scoring with one thread too, the other to one with torch's threads.
    """
    config = settings(folder / "run", shard_size=8_192)
    audit(config)
    work = shards.work_of(folder / "run")
    anchors = open_set(config, "anchors", work.explainer.predictor)
    assert anchors is not None
    times: dict[str, list[float]] = {"bare": [], "threads": [], "shards": []}
    for _ in range(7):
        started = time.perf_counter()
        work.explainer.scorer().score(anchors)
        times["threads"].append(time.perf_counter() - started)
        started = time.perf_counter()
        with one_thread():
            work.explainer.scorer().score(anchors)
        times["bare"].append(time.perf_counter() - started)
        started = time.perf_counter()
        for index in range(shards.count(len(anchors), 8_192)):
            shards.score_shard(folder / "run", index)
        times["shards"].append(time.perf_counter() - started)
    best = {name: min(found) for name, found in times.items()}
    return {
        "bare_seconds": round(best["bare"], 3),
        "ratio": round(best["shards"] / best["bare"], 3),
        "ratio_to_all_threads": round(best["shards"] / best["threads"], 3),
    }


def main() -> None:
    """Run the named benchmark."""
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    if sys.argv[1] == "run":
        config = settings(Path(sys.argv[2]), adapters={"names": ["lrp"], "per_group": 2})
        plan, explainer = engine.make_plan(config)
        Path(sys.argv[3]).touch()
        engine.score(config, plan, explainer)
        engine.finish(config, plan)
        return
    named = {"kills": kills, "million": million, "cost": cost}
    with tempfile.TemporaryDirectory() as folder:
        print(json.dumps(named[sys.argv[1]](Path(folder))))


if __name__ == "__main__":
    main()
