"""The plan of a removal experiment: its points, and the samples that each one keeps."""

from __future__ import annotations

import hashlib
import json
import numbers
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pxgen_plugins.utils.errors import ParameterError, short_repr
from pxgen_plugins.utils.seeds import derive
from pxgen_plugins.utils.validation import choice, integer

__all__ = ["RANDOM", "Plan", "Point"]

RANDOM = "random"
_SCHEDULES = ("epochs", "steps")

Indices = NDArray[np.int64]


@dataclass(frozen=True)
class Point:
    """One model to train.

    Attributes:
        schedule: ``"epochs"`` or ``"steps"``; ``"both"`` for amount 0.
        ranking: Name of the ranking; ``"none"`` for amount 0.
        amount: Number of samples dropped.
        seed: Seed of the training.
    """

    schedule: str
    ranking: str
    amount: int
    seed: int

    def __str__(self) -> str:
        if not self.amount:
            return f"all samples, seed {self.seed}"
        return f"{self.ranking}, {self.amount} dropped, equal {self.schedule}, seed {self.seed}"


class Plan:
    """The points of an experiment, checked; see ``RemovalExperiment`` for the arguments.

    Attributes:
        points: All points, those without removal first.
        amounts: Counts by schedule, rising.
        whole: The count that is 100%.
        measures: Names of the distances, each with its feature space.
    """

    def __init__(
        self,
        n_train: int,
        rankings: Mapping[str, Any],
        amounts: Sequence[int] | Mapping[str, Sequence[int]],
        whole: int | None,
        seeds: Sequence[int],
        reference_seed: int,
        n_samples: int,
        measures: Sequence[str],
        tag: str,
    ) -> None:
        self.n_train = integer(n_train, "n_train", minimum=2)
        self.n_samples = integer(n_samples, "n_samples", minimum=2)
        self.reference_seed = integer(reference_seed, "reference_seed", minimum=0)
        self.seeds = _seeds(seeds, self.reference_seed)
        self.amounts = _by_schedule(amounts, self.n_train)
        largest = max(max(counts) for counts in self.amounts.values())
        self.whole = largest if whole is None else integer(whole, "whole", minimum=1)
        self.measures = list(measures)
        if not isinstance(tag, str):
            hint = "Pass a text that names the recipe, as in tag='digit 0, 20 epochs'."
            raise ParameterError("tag", "a string", short_repr(tag), hint)
        self.tag = tag
        self._orders = _orders(rankings, self.n_train, largest)
        self.rankings = list(self._orders)
        self.points = [Point("both", "none", 0, seed) for seed in self.seeds]
        self.points += [
            Point(schedule, ranking, amount, seed)
            for schedule, counts in self.amounts.items()
            for amount in counts
            for ranking in self.rankings
            for seed in self.seeds
        ]

    def indices(self, point: Point) -> Indices:
        """Return the training samples that a point keeps, rising, (n_train - amount,)."""
        if not point.amount:
            return np.arange(self.n_train)
        order = self._orders[point.ranking]
        if order is None:
            seed = derive(point.seed, "removal", point.ranking)
            order = np.random.default_rng(seed).permutation(self.n_train)
        keep = np.ones(self.n_train, dtype=bool)
        keep[order[: point.amount]] = False
        return np.flatnonzero(keep)

    def name(self, point: Point) -> str:
        """Return a file name for a point, without suffix; rankings stand by their position."""
        if not point.amount:
            return f"all_seed{point.seed}"
        place = self.rankings.index(point.ranking)
        return f"{point.schedule}_ranking{place}_drop{point.amount}_seed{point.seed}"

    def record(self) -> dict[str, Any]:
        """Return all that decides the results, as JSON; rankings by a digest of their order."""
        return {
            "n_train": self.n_train,
            "rankings": [
                [name, RANDOM if order is None else _digest(order)]
                for name, order in self._orders.items()
            ],
            "amounts": self.amounts,
            "whole": self.whole,
            "seeds": self.seeds,
            "reference_seed": self.reference_seed,
            "n_samples": self.n_samples,
            "measures": self.measures,
            "tag": self.tag,
        }

    def digest(self) -> str:
        """Return the SHA-256 of :meth:`record`."""
        return hashlib.sha256(json.dumps(self.record()).encode()).hexdigest()


def _digest(order: Indices) -> str:
    return hashlib.sha256(order.astype("<i8").tobytes()).hexdigest()


def _seeds(seeds: Any, reference_seed: int) -> list[int]:
    allowed = "distinct integers >= 0 other than reference_seed, at least one"
    hint = "The reference is one model, and each seed another; two or more seeds give intervals."
    try:
        distinct = [integer(seed, "seeds", minimum=0) for seed in seeds]
    except (TypeError, ParameterError) as error:
        raise ParameterError("seeds", allowed, short_repr(seeds), hint) from error
    if not distinct or len(set(distinct)) < len(distinct) or reference_seed in distinct:
        got = f"{short_repr(distinct)} with reference_seed={reference_seed}"
        raise ParameterError("seeds", allowed, got, hint)
    return distinct


def _by_schedule(amounts: Any, n_train: int) -> dict[str, list[int]]:
    by_schedule = amounts if isinstance(amounts, Mapping) else dict.fromkeys(_SCHEDULES, amounts)
    if not by_schedule:
        hint = "Give counts for 'epochs', for 'steps', or for both."
        raise ParameterError("amounts", "counts by schedule", short_repr(amounts), hint)
    checked = {}
    for schedule, counts in by_schedule.items():
        choice(schedule, "a schedule in amounts", _SCHEDULES)
        checked[schedule] = _counts(counts, n_train)
    return {schedule: checked[schedule] for schedule in _SCHEDULES if schedule in checked}


def _counts(counts: Any, n_train: int) -> list[int]:
    allowed = f"counts of samples to drop, 0 to n_train - 1 = {n_train - 1}, at least one above 0"
    hint = "Pass counts, as in [100, 200, 300], not fractions; 0 is always trained."
    listed = list(counts) if isinstance(counts, (Sequence, np.ndarray)) else []
    whole = all(isinstance(c, numbers.Integral) and not isinstance(c, bool) for c in listed)
    distinct = sorted({int(c) for c in listed} - {0}) if whole else []
    if not distinct or distinct[0] < 0 or distinct[-1] >= n_train:
        raise ParameterError("amounts", allowed, short_repr(counts), hint)
    return distinct


def _orders(rankings: Any, n_train: int, largest: int) -> dict[str, Indices | None]:
    if not isinstance(rankings, Mapping) or not rankings:
        hint = "Pass a mapping, as in {'non-HIHE first': indices, 'random': 'random'}."
        raise ParameterError(
            "rankings", "a mapping from names to rankings", short_repr(rankings), hint
        )
    orders: dict[str, Indices | None] = {}
    for name, ranking in rankings.items():
        if not isinstance(name, str) or not name:
            hint = "The names appear in the table and the figure."
            raise ParameterError("a ranking's name", "a non-empty string", short_repr(name), hint)
        if isinstance(ranking, str) and ranking == RANDOM:
            orders[name] = None
            continue
        orders[name] = _order(name, ranking, n_train, largest)
    return orders


def _order(name: str, ranking: Any, n_train: int, largest: int) -> Indices:
    try:
        order = np.asarray(ranking)
        if order.ndim != 1 or order.dtype.kind not in "iu" or len(order) < largest:
            raise ValueError
        order = order[:largest].astype(np.int64)
        if order.min() < 0 or order.max() >= n_train or len(np.unique(order)) < largest:
            raise ValueError
    except ValueError as error:
        allowed = (
            f"'random', or at least {largest} distinct indices in [0, {n_train}), the first one "
            "dropped first"
        )
        hint = "Rank more samples, or drop fewer."
        raise ParameterError(f"rankings[{name!r}]", allowed, short_repr(ranking), hint) from error
    return order
