"""Who computes the units of a run: an executor, a part of a batch job, and the bar that moves."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from pxgen_plugins.audit import units
from pxgen_plugins.audit.executors import Executor
from pxgen_plugins.audit.work import Work, do_unit
from pxgen_plugins.utils.progress import PassMeter, on_passes

if TYPE_CHECKING:
    from tqdm import tqdm

__all__ = ["Crew"]


class Crew:
    """Computes units of a run that are not there yet.

    Args:
        work: The run.
        executor: Who computes units, entered.
        part: (i, n): every n-th unit from the i-th on; None for all.
        progress: A bar of instances, which moves with units that are there and with those that are
            computed; with the passes of these, where they are made in this process.
    """

    def __init__(
        self, work: Work, executor: Executor, part: tuple[int, int] | None, progress: tqdm[Any]
    ) -> None:
        self.work, self._executor, self._progress = work, executor, progress
        self._part = (0, 1) if part is None else part

    def compute_own(self, stage: units.Stage, among: Iterable[int] | None = None) -> int:
        """Compute the units of a stage, or those among some, that are of this part.

        Returns:
            How many units, of all parts, were there already.

        Raises:
            WorkerLostError: When a worker died.
            Exception: Whatever a unit raised.
        """
        return len(self._own(stage, among)[0])

    def complete(self, stage: units.Stage, among: Iterable[int] | None = None) -> None:
        """Compute the units of a stage, or those among some, until all are there.

        After those of this part, those of others that are still missing are taken over, from a
        place that differs between parts on: so parts that run together share the work, and one
        that runs alone ends too.

        Raises:
            WorkerLostError: When a worker died.
            Exception: Whatever a unit raised.
        """
        _, others = self._own(stage, among)
        if not others:
            return
        i, n = self._part
        left = units.missing(self.work.folder, stage, self.work.plan, others)
        self._count(stage, set(others) - set(left))
        start = len(left) * i // n
        self._compute(stage, left[start:] + left[:start])

    def _own(self, stage: units.Stage, among: Iterable[int] | None) -> tuple[set[int], list[int]]:
        """Compute this part's units; return those that were there, and missing ones of others."""
        i, n = self._part
        indices = list(range(len(stage)) if among is None else among)
        left = units.missing(self.work.folder, stage, self.work.plan, indices)
        there = set(indices) - set(left)
        self._count(stage, there)
        self._compute(stage, [index for index in left if index % n == i])
        return there, [index for index in left if index % n != i]

    def _compute(self, stage: units.Stage, indices: Sequence[int]) -> None:
        total = sum(map(stage.n_instances, indices))
        meter = PassMeter(self._progress.update, total, stage.passes)
        tasks = [(self.work.folder, stage.name, index) for index in indices]
        with on_passes(meter.count):
            for n_instances in self._executor.run(do_unit, tasks):
                meter.finish(n_instances)

    def _count(self, stage: units.Stage, indices: Iterable[int]) -> None:
        self._progress.update(sum(map(stage.n_instances, indices)))
