"""Training and measuring the models of a removal experiment, in this process or in several."""

from __future__ import annotations

import math
import time
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from multiprocessing.reduction import ForkingPickler
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from pxgen_plugins.utils import processes
from pxgen_plugins.utils.errors import ModelError, ParameterError, short_repr
from pxgen_plugins.utils.seeds import derive
from pxgen_plugins.utils.threads import one_thread

__all__ = ["Outcome", "Task", "Work", "check_sendable", "measure", "run"]


Arrays = dict[str, NDArray[np.float64]]
Train = Callable[[NDArray[np.int64], int, bool], Any]
Task = tuple[Any, NDArray[np.int64], int, bool]
"""A key, the samples to keep, the seed, and whether steps rather than epochs are equal."""


@dataclass(frozen=True)
class Outcome:
    """The result of a task: a record, or the traceback of what went wrong."""

    key: Any
    record: dict[str, Any] | None
    error: str = ""


@dataclass(frozen=True)
class Work:
    """How a model is made and measured; the part of an experiment that workers get."""

    train: Train
    features: Mapping[str, Callable[[Any], Any]]
    distances: Mapping[str, Callable[[Any, Any], Any]]
    n_samples: int

    def samples(self, model: Any, seed: int) -> Arrays:
        """Return the features of ``n_samples`` samples of a model, (n_samples, d) each."""
        with torch.no_grad():
            samples = model.sample(self.n_samples, derive(seed, "removal", "samples"))
            return {name: self._features(name, of(samples)) for name, of in self.features.items()}

    def _features(self, name: str, values: Any) -> NDArray[np.float64]:
        if isinstance(values, torch.Tensor):
            values = values.detach().cpu().numpy()
        rows = np.ascontiguousarray(values, dtype=np.float64)
        if rows.ndim != 2 or len(rows) != self.n_samples or not np.isfinite(rows).all():
            bad = "" if np.isfinite(rows).all() else ", with values that are not finite"
            allowed = f"finite, of shape ({self.n_samples}, d)"
            hint = "Check that the trained model did not diverge, and what features returns."
            raise ModelError(f"features[{name!r}]", allowed, short_repr(rows) + bad, hint)
        return rows

    def compare(self, one: Arrays, reference: Arrays) -> dict[str, float]:
        """Return every distance in every feature space."""
        values = {}
        for space, rows in one.items():
            for name, distance in self.distances.items():
                value = float(distance(rows, reference[space]))
                if not math.isfinite(value):
                    hint = "Check the distance on these features, or use more samples."
                    raise ModelError(f"distances[{name!r}]", "finite", str(value), hint)
                values[measure(name, space)] = value
        return values

    def point(self, reference: Arrays, task: Task) -> Outcome:
        """Train and measure one model."""
        key, index, seed, equal_steps = task
        try:
            start = time.perf_counter()
            model = self.train(index, seed, equal_steps)
            end = time.perf_counter()
            distances = self.compare(self.samples(model, seed), reference)
            record = {
                "n_kept": len(index),
                "distances": distances,
                "train_seconds": round(end - start, 3),
                "seconds": round(time.perf_counter() - start, 3),
            }
        except Exception:  # any error of the user's functions is one of this point
            return Outcome(key, None, traceback.format_exc())
        return Outcome(key, record)


def measure(distance: str, space: str) -> str:
    """Return the name of a distance in a feature space."""
    return f"{distance} ({space})"


def run(work: Work, reference: Arrays, tasks: Sequence[Task], n_jobs: int) -> Iterator[Outcome]:
    """Yield the outcome of every task as it comes, from ``n_jobs`` processes.

    Raises:
        ParameterError: When the functions cannot be sent to another process.
        ModelError: When a process ends without an answer.
    """
    if n_jobs == 1 or not tasks:
        with one_thread():
            for task in tasks:
                yield work.point(reference, task)
        return
    jobs = [(task,) for task in tasks]
    try:
        yield from processes.run(Work.point, jobs, min(n_jobs, len(jobs)), (work, reference))
    except processes.WorkerStartError as error:
        got = "one that a new process does not find (its message is above)"
        raise _unsendable("train, features or distances", got) from error
    except processes.WorkerLostError as error:
        allowed = "alive until all points are trained"
        hint = "It may have run out of memory: use fewer n_jobs. What is stored is kept."
        got = "one that ended without an answer"
        raise ModelError("a worker process", allowed, got, hint) from error


def check_sendable(work: Work) -> None:
    """Raise a ParameterError unless another process can be given the functions of ``work``."""
    parts: list[tuple[str, Any]] = [("train", work.train)]
    parts += [(f"features[{name!r}]", of) for name, of in work.features.items()]
    parts += [(f"distances[{name!r}]", of) for name, of in work.distances.items()]
    for name, function in parts:
        if not _sendable(function):
            raise _unsendable(name, short_repr(function))


def _sendable(function: Any) -> bool:
    try:
        ForkingPickler.dumps(function)
    except Exception:  # whatever its own reduction raises
        return False
    return True


def _unsendable(name: str, got: str) -> ParameterError:
    hint = (
        "Define it with def or class at the top level of a file, start the run under "
        "if __name__ == '__main__', or use n_jobs=1."
    )
    return ParameterError(name, "a function that can be sent to a process", got, hint)
