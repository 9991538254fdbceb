"""A toy for removal experiments whose every distance is known in closed form.

The model is one number: the mean of the kept samples times 1 + 0.01 x the training seed, plus 0.1
when steps are equal. All its samples are that number; the distance is the absolute difference.
"""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from pxgen_plugins.evaluation import RemovalExperiment

DATA = np.random.default_rng(0).normal(size=40).cumsum()
RANKINGS = {"falling": np.argsort(-DATA), "rising": np.argsort(DATA), "random": "random"}
AMOUNTS = {"epochs": [4, 8, 16], "steps": [16]}
SEEDS = (2, 3, 5)
N_POINTS = 3 + 3 * 3 * 3 + 3 * 3
NAME = "gap (value)"


def level(index: Any, seed: int, equal_steps: bool) -> float:
    """The one number of a model."""
    return float(DATA[index].mean()) * (1 + 0.01 * seed) + 0.1 * equal_steps


@dataclass(frozen=True)
class Constant:
    value: float

    def sample(self, n: int, seed: int) -> torch.Tensor:
        return torch.full((n, 1), self.value, dtype=torch.float64)


@dataclass(frozen=True)
class Train:
    """Trains a constant, and can log, wait, fail, die or diverge."""

    log: Path | None = None
    wait: float = 0.0
    fail_at: int | None = None
    die_at: int | None = None
    diverge_at: int | None = None

    def __call__(self, index: NDArray[np.int64], seed: int, equal_steps: bool) -> Constant:
        removed = len(DATA) - len(index)
        if self.log is not None:
            with self.log.open("a") as file:
                file.write(f"{os.getpid()}\n")
        time.sleep(self.wait)
        if removed == self.die_at:
            os._exit(9)
        if removed == self.fail_at:
            raise ValueError(f"{removed} are too many")
        value = level(index, seed, equal_steps)
        return Constant(float("nan") if removed == self.diverge_at else value)


def value(samples: torch.Tensor) -> torch.Tensor:
    return samples


def gap(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    return float(abs(a.mean() - b.mean()))


def experiment(train: Any = None, **changed: Any) -> RemovalExperiment:
    """The toy's experiment, with arguments changed."""
    given: dict[str, Any] = {
        "n_train": len(DATA),
        "rankings": RANKINGS,
        "amounts": AMOUNTS,
        "features": {"value": value},
        "distances": {"gap": gap},
        "n_samples": 5,
        "seeds": SEEDS,
        "reference_seed": 1,
    }
    return RemovalExperiment(Train() if train is None else train, **{**given, **changed})
