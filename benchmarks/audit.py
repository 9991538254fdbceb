"""What the frame of an audit costs: seconds over bare scoring, and memory for many anchors."""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import fresh_process
import numpy as np
import torch
from rows import Row

from pxgen_plugins.audit import engine
from pxgen_plugins.audit.inputs import open_set
from pxgen_plugins.audit.settings import Config, config_of
from pxgen_plugins.audit.shards import SHARDS
from pxgen_plugins.audit.work import do_unit, work_of
from pxgen_plugins.utils.threads import one_thread

__all__ = ["Watched", "many_anchors", "run", "settings", "watch"]


def run(quick: bool = False) -> Iterator[Row]:
    """Yield the rows of the seconds, then those of the memory."""
    for measure in (_seconds, _memory):
        with tempfile.TemporaryDirectory() as folder:
            yield from measure(Path(folder), quick)


def settings(folder: Path, quick: bool, **changes: Any) -> Config:
    """Return settings of an audit of 20,000 images; of 300 where it should be quick."""
    values: dict[str, Any] = {
        "model": {"shipped": "mnist_vae"},
        "anchors": {"shipped": "mnist", "split": "train", "limit": 300 if quick else 20_000},
        "threshold": {"name": "MeanMax", "n_samples": 200 if quick else 5_000, "n_repeats": 3},
        "shard_size": 64 if quick else 1_024,
        "conditions": ["label:0.HIHE.fraction >= 0.5"],
        "output": str(folder),
    }
    return config_of(values | changes, folder.parent)


def _seconds(folder: Path, quick: bool) -> Iterator[Row]:
    """Yield what shards add to scoring all anchors at once, as ratios.

    A worker scores with one thread, whatever the number of cores, so that its values do not depend
    on it: the first ratio is to bare scoring with one thread too, the other to one with a thread
    for each core. Times are wall times: processor time would add up the threads.
    """
    size = 128 if quick else 8_192
    config = settings(folder / "run", quick, shard_size=size)
    _audit(config)
    work = work_of(folder / "run")
    anchors = open_set(config, "anchors", work.explainer.predictor)
    assert anchors is not None
    score = partial(work.explainer.scorer().score, anchors)
    cores = os.cpu_count() or 1
    before = torch.get_num_threads()

    def on_one_thread() -> None:
        with one_thread():
            score()

    def on_all_threads() -> None:
        torch.set_num_threads(cores)
        try:
            score()
        finally:
            torch.set_num_threads(before)

    def in_shards() -> None:
        shutil.rmtree(folder / "run" / SHARDS)  # units that are there are not computed again
        for index in range(len(work.shards)):
            do_unit(folder / "run", SHARDS, index)

    cases = {"one": on_one_thread, "all": on_all_threads, "shards": in_shards}
    best = _least_wall_times(cases, 1 if quick else 7)
    setting = f"{len(anchors):,} anchors, shards of {size:,}"
    name = "audit: scoring in shards / bare scoring"
    yield Row(name, f"{setting}, one thread", best["shards"] / best["one"], "x wall time")
    yield Row(name, f"{setting}, {cores} threads", best["shards"] / best["all"], "x wall time")


def _least_wall_times(cases: dict[str, Callable[[], None]], repeats: int) -> dict[str, float]:
    best = dict.fromkeys(cases, float("inf"))
    for _ in range(repeats):
        for name, case in cases.items():
            start = time.perf_counter()
            case()
            best[name] = min(best[name], time.perf_counter() - start)
    return best


def _memory(folder: Path, quick: bool) -> Iterator[Row]:
    """Yield memory, time and the report's size of an audit of many synthetic anchors."""
    n = 2_000 if quick else 1_000_000
    config = many_anchors(folder, n, 1_024 if quick else 65_536)
    watched = fresh_process.call(watch, config)
    setting = f"{n:,} anchors of 8x8, mapped .npy"
    note = f"with what is imported on first use; {watched.resident / 2**20:,.0f} with mapped files"
    yield Row("audit: growth of memory", setting, watched.growth / 2**20, "MiB", note=note)
    yield Row("audit: time", setting, watched.seconds, "s")
    report = (folder / "run" / "report.html").stat().st_size
    yield Row("audit: size of the report", setting, report / 2**20, "MiB")


def many_anchors(folder: Path, n: int, shard_size: int, baseline: Path | None = None) -> Config:
    """Return settings of an audit of n anchors of 64 values, which are written beside the run."""
    path = folder / "anchors.npy"
    if not path.exists():
        _write_anchors(path, n)
    beside = {} if baseline is None else {
        "baseline": str(baseline), "conditions": ["moved.fraction <= 0.1", "invalid.count < 1"]
    }  # fmt: skip
    changes: dict[str, Any] = {
        "model": {"factory": "pxgen_plugins.testing.examples:LinearModel"},
        "anchors": {"path": str(path)},
        "shard_size": shard_size,
        "conditions": ["invalid.count < 1"],
    }
    name = "run" if baseline is None else "beside"
    return settings(folder / name, n <= 2_000, **(changes | beside))


def _write_anchors(path: Path, n: int) -> None:
    block = np.random.default_rng(0).random((min(n, 10_000), 64), dtype=np.float32)
    anchors = np.lib.format.open_memmap(path, "w+", np.float32, (n, 1, 8, 8))  # type: ignore[no-untyped-call]
    for low in range(0, n, len(block)):
        rows = np.roll(block, low // len(block), 1).reshape(-1, 1, 8, 8)
        anchors[low : low + len(block)] = rows
    anchors.flush()


class Watched(NamedTuple):
    """What an audit took.

    Attributes:
        growth: Of memory, bytes, without pages of mapped files.
        resident: The same with them.
        seconds: Wall time.
    """

    growth: int
    resident: int
    seconds: float


def watch(config: Config) -> Watched:
    """Run an audit; return what it took."""
    start = time.perf_counter()
    with (
        fresh_process.peak_growth(mapped=False) as growth,
        fresh_process.peak_growth() as resident,
    ):
        _audit(config)
    return Watched(growth(), resident(), time.perf_counter() - start)


def _audit(config: Config) -> None:
    plan, explainer = engine.make_plan(config)
    engine.score(config, plan, explainer)
    engine.finish(config, plan)
