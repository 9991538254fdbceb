"""Removal experiments: retrain without some training samples, and compare the models' samples."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pxgen_plugins.evaluation import removal_workers
from pxgen_plugins.evaluation.removal_plan import RANDOM, Plan
from pxgen_plugins.evaluation.removal_result import RemovalResult
from pxgen_plugins.evaluation.removal_store import Reference, Store
from pxgen_plugins.evaluation.removal_workers import Task, Work
from pxgen_plugins.utils.errors import ModelError, ParameterError, caller, short_repr
from pxgen_plugins.utils.progress import bar
from pxgen_plugins.utils.threads import one_thread
from pxgen_plugins.utils.validation import boolean, integer

__all__ = ["RANDOM", "RemovalExperiment"]


class RemovalExperiment:
    """Retrain without the samples that a ranking names, and measure how far the samples move.

    Huang, Weng and Yang (2025, section 4.4) drop training samples group by group, retrain, and
    compare the new model's samples with the original's by Frechet distance. Here every point is
    trained with several seeds; what the original's training moves by another seed alone (amount 0)
    and by another draw of samples alone is the floor; and the same amounts can be trained for as
    many optimiser steps as the full set, so that less data is not confused with less training.

    A point is (schedule, ranking, amount, seed). Its distance is that of its model's samples to
    those of the reference: a model of all samples trained with ``reference_seed``. Amount 0 is
    trained once per seed and shared. All points of a seed share the seed of training and of
    sampling, so rankings are compared in pairs.

    Args:
        train: ``train(index, seed, equal_steps)`` returns a model with ``sample(n, seed)``, trained
            on the samples ``index`` (int64, rising). ``equal_steps=False``: the epochs of the
            recipe; True: as many optimiser steps as the recipe takes on all samples.
        n_train: Number of training samples.
        rankings: By name, int64 indices, first one dropped first, at least as many as the largest
            amount; or ``"random"``, which draws an order for each seed.
        amounts: Counts of samples to drop, for both schedules, or by schedule
            (``{"epochs": ..., "steps": ...}``). Amount 0 is always trained.
        features: By name, a function from what ``sample`` returns to (n, d) numbers.
        distances: By name, a function of two feature arrays (n_samples, d), float64, to a number.
            Every distance is taken in every feature space, and named ``"distance (features)"``.
        whole: The count that is 100% in tables and figures; the largest amount by default.
        n_samples: Samples drawn of every model; 3,500 in the paper.
        seeds: Training seeds; two or more give intervals.
        reference_seed: Training seed of the reference, none of ``seeds``.
        tag: Names the recipe behind ``train``, so that a folder is never continued with another.
        folder: Where points are stored as they come. A later run with the same arguments goes on
            from there; None stores nothing.
        n_jobs: Processes. With more than one, all functions must be importable. Results are the
            same for any number; torch uses one thread in each.
        verbose: Show a progress bar on stderr.

    Raises:
        ParameterError: When an argument is not allowed, or the folder is another experiment's.

    Cost: 1 + seeds x (1 + rankings x amounts, summed over schedules) trainings.

    Example:
        >>> import torch
        >>> class Normal:
        ...     def __init__(self, x): self.x = x
        ...     def sample(self, n, seed):
        ...         noise = torch.randn(n, 1, generator=torch.Generator().manual_seed(seed))
        ...         return self.x.mean() + self.x.std() * noise
        >>> x = torch.arange(100.0)
        >>> experiment = RemovalExperiment(
        ...     lambda index, seed, equal_steps: Normal(x[index]), 100,
        ...     {"largest": np.arange(99, -1, -1), "random": "random"}, {"epochs": [20, 40]},
        ...     features={"value": lambda x: x},
        ...     distances={"shift": lambda a, b: abs(a.mean() - b.mean())},
        ...     n_samples=100_000, seeds=(1, 2),
        ... )
        >>> result = experiment.run()
        >>> [round(float(d)) for d in result.curve("largest").mean]
        [0, 10, 20]
    """

    @caller("RemovalExperiment")
    def __init__(
        self,
        train: Callable[[NDArray[np.int64], int, bool], Any],
        n_train: int,
        rankings: Mapping[str, Any],
        amounts: Sequence[int] | Mapping[str, Sequence[int]],
        *,
        features: Mapping[str, Callable[[Any], Any]],
        distances: Mapping[str, Callable[[Any, Any], Any]],
        whole: int | None = None,
        n_samples: int = 3500,
        seeds: Sequence[int] = (1, 2, 3, 4, 5),
        reference_seed: int = 0,
        tag: str = "",
        folder: str | os.PathLike[str] | None = None,
        n_jobs: int = 1,
        verbose: bool = False,
    ) -> None:
        if not callable(train):
            hint = "Pass train(index, seed, equal_steps) -> model."
            raise ParameterError("train", "a function", short_repr(train), hint)
        by_space, by_name = _functions(features, "features"), _functions(distances, "distances")
        measures = [removal_workers.measure(name, space) for space in by_space for name in by_name]
        self.plan = Plan(
            n_train, rankings, amounts, whole, seeds, reference_seed, n_samples, measures, tag
        )
        self.work = Work(train, by_space, by_name, self.plan.n_samples)
        self.folder = folder
        self.n_jobs = integer(n_jobs, "n_jobs", minimum=1)
        self.verbose = boolean(verbose, "verbose")

    @caller("RemovalExperiment.run")
    def run(self) -> RemovalResult:
        """Train what is not stored yet, and return the result.

        A point that fails does not stop the others; the first failure is raised at the end.

        Raises:
            ParameterError: When the folder is another experiment's, or (n_jobs > 1) a function
                cannot be sent to another process.
            ModelError: When ``train``, ``features`` or ``distances`` failed.
        """
        if self.n_jobs > 1:
            removal_workers.check_sendable(self.work)
        store = Store(self.folder, self.plan)
        records = {point: store.get(point) for point in self.plan.points}
        missing = [point for point, record in records.items() if record is None]
        reference = store.reference()
        total, failures = 1 + len(records), []
        with bar(total, "removal", "model", self.verbose) as progress:
            progress.n = progress.initial = total - len(missing) - (reference is None)
            progress.refresh()
            if reference is None:
                reference = self._reference(store)
                progress.update(1)
            tasks: list[Task] = [
                (point, self.plan.indices(point), point.seed, point.schedule == "steps")
                for point in missing
            ]
            for outcome in removal_workers.run(self.work, reference[0], tasks, self.n_jobs):
                if outcome.record is None:
                    failures.append(outcome)
                else:
                    store.put(outcome.key, outcome.record)
                    records[outcome.key] = outcome.record
                progress.update(1)
        if failures:
            first = failures[0]
            reason = first.error.strip().splitlines()[-1]
            failure = _failure(str(first.key), reason, len(failures) - 1)
            raise failure from RuntimeError("\n" + first.error)
        points = [
            {**vars(point), **{key: record[key] for key in _COLUMNS}}
            for point, record in records.items()
            if record is not None
        ]
        plan = {"digest": self.plan.digest(), **self.plan.record()}
        return RemovalResult(plan, reference[1]["same_model"], points)

    def _reference(self, store: Store) -> Reference:
        everything, seed = np.arange(self.plan.n_train), self.plan.reference_seed
        try:
            with one_thread():
                start = time.perf_counter()
                model = self.work.train(everything, seed, False)
                seconds = time.perf_counter() - start
                features = self.work.samples(model, seed)
                again = [
                    self.work.compare(self.work.samples(model, other), features)
                    for other in self.plan.seeds
                ]
        except Exception as error:
            reason = f"{type(error).__name__}: {error}"
            raise _failure("the reference", reason, 0) from error
        same = {name: [one[name] for one in again] for name in self.plan.measures}
        record = {"same_model": same, "train_seconds": round(seconds, 3)}
        store.put_reference(features, record)
        return features, record


_COLUMNS = ("n_kept", "distances", "train_seconds", "seconds")


def _functions(functions: Any, parameter: str) -> dict[str, Callable[..., Any]]:
    good = (
        isinstance(functions, Mapping)
        and len(functions) > 0
        and all(isinstance(name, str) and name and callable(f) for name, f in functions.items())
    )
    if not good:
        hint = f"Pass a mapping, as in {parameter}={{'name': function}}."
        allowed = "a non-empty mapping from names to functions"
        raise ParameterError(parameter, allowed, short_repr(functions), hint)
    return dict(functions)


def _failure(point: str, reason: str, others: int) -> ModelError:
    more = f" (and {others} more)" if others else ""
    return ModelError(
        "train, features and distances",
        "able to train and measure every point",
        f"{reason} at {point}{more}",
        "Mend this and run again: points that were stored in a folder are kept.",
    )
