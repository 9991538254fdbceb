"""What an audit costs, from a few timed instances."""

from __future__ import annotations

import heapq
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from pxgen_plugins.audit.copies import COPIES, CopiesSearch
from pxgen_plugins.audit.engine import Plan
from pxgen_plugins.audit.settings import Config
from pxgen_plugins.audit.shards import Shards
from pxgen_plugins.audit.units import Stage
from pxgen_plugins.audit.work import Work
from pxgen_plugins.explainer import PXGen
from pxgen_plugins.utils.threads import one_thread

__all__ = ["Cost", "Half", "cost"]

_MOST_UNITS = 100_000  # whose order is followed


@dataclass(frozen=True)
class Half:
    """What calibration or scoring costs.

    Attributes:
        name: ``"calibration"``, ``"scoring"`` or ``"copies"``.
        instances: Samples, reference data, anchors, or what copies are looked for in.
        units: Into how many work units they are divided.
        passes: Passes of the model's network, at most.
        seconds: How long each worker is busy or waits for the others, with one thread.
        largest: Instances of the largest unit.
        seconds_of_largest: How long it takes: what a worker that is killed loses at most.
    """

    name: str
    instances: int
    units: int
    passes: int
    seconds: float
    largest: int
    seconds_of_largest: float


@dataclass(frozen=True)
class Cost:
    """What an audit costs on this machine.

    Picking, adapters, distances between what copies are looked for in, and writing come on top.

    Attributes:
        calibration: What comes before thresholds are known.
        scoring: The anchors.
        copies: The search for training data; None without one.
        workers: How many compute units at once.
        memory: Bytes of a worker: the most that this process has needed so far, with the model and
            some timed batches, and a unit's values.
        cheaper: Choices that cost less, a sentence each; none where nothing takes long.
    """

    calibration: Half
    scoring: Half
    copies: Half | None
    workers: int
    memory: int
    cheaper: tuple[str, ...] = ()

    @property
    def seconds(self) -> float:
        """Seconds of all parts."""
        return sum(part.seconds for part in self.parts)

    @property
    def parts(self) -> tuple[Half, ...]:
        """Calibration, scoring, and the search for training data, where there is one."""
        both = (self.calibration, self.scoring)
        return both if self.copies is None else (*both, self.copies)


def cost(plan: Plan, explainer: PXGen, config: Config) -> Cost:
    """Return about what calibration and scoring take here, with one thread a worker.

    Args:
        plan: What is to be done.
        explainer: From :func:`~pxgen_plugins.audit.engine.make_plan`, not fitted.
        config: The settings, complete.

    Raises:
        ModelError: When the model does not give what it should.
    """
    workers = config["executor"]["workers"]
    work = Work(config.output, config, plan.anchors, plan.digest, explainer)
    data = (work.reference.learning, work.reference.thresholds)
    n_reference = sum(len(part) for part in data if part is not None)
    with one_thread():
        found = explainer.estimate(plan.anchors, n_reference=n_reference)
    before: list[Stage] = [*(features for features, _ in work.lessons), work.thresholds]
    shards = Shards(explainer, plan.anchors, config["shard_size"])
    search = None if config.table(COPIES) is None else CopiesSearch(config, explainer)
    n_passes = 0 if search is None else sum(map(_passes, search.stages))
    # a pass takes as long as those of the anchors
    seconds = n_passes * found.explain_seconds / max(1, found.explain_passes)
    return Cost(
        _half("calibration", before, found.fit_passes, found.fit_seconds, workers),
        _half("scoring", [shards], found.explain_passes, found.explain_seconds, workers),
        None if search is None else _half("copies", search.stages, n_passes, seconds, workers),
        workers,
        _peak_memory() + 8 * shards.width * config["shard_size"],
        found.cheaper,
    )


def _passes(stage: Stage) -> int:
    return stage.passes * sum(map(stage.n_instances, range(len(stage))))


def _half(name: str, stages: Sequence[Stage], passes: int, seconds: float, workers: int) -> Half:
    """Return what stages cost, one after the other, from the seconds of all on one worker."""
    sizes = [[stage.n_instances(index) for index in range(len(stage))] for stage in stages]
    weights = [max(1, stage.passes) for stage in stages]
    whole = sum(weight * sum(of) for weight, of in zip(weights, sizes, strict=True))
    each = [weight * seconds / max(1, whole) for weight in weights]  # seconds of an instance
    busy = sum(one * _span(of, workers) for one, of in zip(each, sizes, strict=True))
    largest = [max(of, default=0) for of in sizes]
    losses = [one * most for one, most in zip(each, largest, strict=True)]
    worst = losses.index(max(losses))
    instances = sum(map(sum, sizes))
    return Half(name, instances, sum(map(len, sizes)), passes, busy, largest[worst], losses[worst])


def _span(sizes: Sequence[int], workers: int) -> float:
    """Return how much the worker with most to do has, when each takes the next unit when free.

    Example:
        >>> _span([4, 4, 4], workers=2), _span([4, 4, 4], workers=5)
        (8, 4)
    """
    if len(sizes) > _MOST_UNITS:
        return sum(sizes) / workers
    busy = [0] * min(workers, max(1, len(sizes)))
    for size in sizes:
        heapq.heappush(busy, heapq.heappop(busy) + size)
    return max(busy)


def _peak_memory() -> int:
    """Return the most bytes that this process has held so far; 0 where that is not known."""
    try:
        import resource
    except ImportError:  # Windows
        return 0
    most: Any = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return int(most) * (1 if sys.platform == "darwin" else 1024)
