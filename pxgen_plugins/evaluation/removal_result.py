"""The result of a removal experiment: distances with intervals over seeds, as tables and JSON."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, field
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pxgen_plugins.utils.errors import ParameterError, caller, short_repr
from pxgen_plugins.utils.text import MarkdownText
from pxgen_plugins.utils.validation import choice

__all__ = ["RemovalResult", "interval"]

_FORMAT = "pxgen removal 1"

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Interval:
    """A mean over n seeds with its 95% t interval; without bounds for one seed."""

    mean: float
    low: float | None
    high: float | None
    n: int

    def row(self, prefix: str = "") -> dict[str, float | None]:
        """Return mean, low and high as columns of a table."""
        return {f"{prefix}{key}": getattr(self, key) for key in ("mean", "low", "high")}


def interval(values: Any) -> Interval:
    """Return the mean of independent values with its 95% t interval (Student, 1908).

    Args:
        values: n >= 1 numbers.

    Example:
        >>> result = interval([1.0, 2.0, 3.0])
        >>> result.mean, round(result.low, 3), round(result.high, 3)
        (2.0, -0.484, 4.484)
    """
    from scipy.stats import t

    sample: Floats = np.asarray(values, dtype=np.float64)
    n, mean = len(sample), float(sample.mean())
    if n < 2:
        return Interval(mean, None, None, n)
    half = float(t.ppf(0.975, n - 1)) * float(sample.std(ddof=1)) / math.sqrt(n)
    return Interval(mean, mean - half, mean + half, n)


@dataclass(frozen=True)
class Curve:
    """Distance by amount for one ranking, schedule and distance.

    Attributes:
        amount: int64 (a,), rising, 0 first.
        fraction: amount over the count that is 100%, (a,).
        values: float64 (a, s) for s seeds.
    """

    amount: NDArray[np.int64]
    fraction: Floats
    values: Floats

    @property
    def mean(self) -> Floats:
        """Mean over seeds, (a,)."""
        means: Floats = self.values.mean(axis=1)
        return means

    @property
    def band(self) -> Floats:
        """Bounds of the 95% t interval over seeds, (a, 2); NaN for one seed."""
        intervals = [interval(row) for row in self.values]
        return np.array([(i.low, i.high) for i in intervals], dtype=np.float64)

    @property
    def rise(self) -> Floats:
        """Distance less that of amount 0 with the same seed, (a, s)."""
        rise: Floats = self.values - self.values[0]
        return rise

    def area(self) -> Floats:
        """Return for each seed the mean rise over the curve, by the trapezoidal rule, (s,)."""
        width = np.diff(self.fraction)[:, None]
        total = (width * (self.rise[1:] + self.rise[:-1]) / 2).sum(axis=0)
        mean: Floats = total / self.fraction[-1]
        return mean

    def slope(self) -> Floats:
        """Return for each seed the least-squares slope, in distance per 100% removed, (s,)."""
        centred = self.fraction - self.fraction.mean()
        slopes: Floats = centred @ self.values / (centred @ centred)
        return slopes


@dataclass(frozen=True, repr=False)
class RemovalResult(MarkdownText):
    """Distances of retrained models to the reference.

    Attributes:
        plan: What was run: ``n_train``, ``rankings`` (name and digest), ``amounts`` by schedule,
            ``whole``, ``seeds``, ``reference_seed``, ``n_samples``, ``measures``, ``tag``,
            ``digest``.
        same_model: By distance, that of the reference's samples to other samples of itself, one
            value per seed.
        points: One mapping per trained model: ``schedule``, ``ranking``, ``amount``, ``seed``,
            ``n_kept``, ``distances`` by name, ``train_seconds``, ``seconds``. Amount 0 has
            schedule ``"both"`` and ranking ``"none"``.
        about: Anything else to keep with it, of JSON types.
    """

    plan: dict[str, Any]
    same_model: dict[str, list[float]]
    points: list[dict[str, Any]]
    about: dict[str, Any] = field(default_factory=dict)

    @property
    def rankings(self) -> list[str]:
        """Names of the rankings."""
        return [name for name, _ in self.plan["rankings"]]

    @property
    def schedules(self) -> list[str]:
        """``"epochs"``, ``"steps"`` or both."""
        return list(self.plan["amounts"])

    @property
    def distances(self) -> list[str]:
        """Names of the distances; the first one is the default everywhere."""
        return list(self.plan["measures"])

    @property
    def whole(self) -> int:
        """The count that is 100%."""
        return int(self.plan["whole"])

    @caller("RemovalResult")
    def curve(
        self, ranking: str, schedule: str | None = None, distance: str | None = None
    ) -> Curve:
        """Return distance by amount, amount 0 included.

        Args:
            ranking: One of ``rankings``.
            schedule: One of ``schedules``; the first by default.
            distance: One of ``distances``; the first by default.

        Raises:
            ParameterError: When one of them is unknown.
        """
        choice(ranking, "ranking", self.rankings)
        schedule = choice(schedule or self.schedules[0], "schedule", self.schedules)
        name = self._distance(distance)
        amounts = [0, *self.plan["amounts"][schedule]]
        table = self._table
        values = [
            [table[_key(schedule, ranking, amount, seed)][name] for seed in self.plan["seeds"]]
            for amount in amounts
        ]
        amount = np.array(amounts, dtype=np.int64)
        return Curve(amount, amount / self.whole, np.array(values, dtype=np.float64))

    @caller("RemovalResult")
    def floor(self, distance: str | None = None) -> dict[str, Interval]:
        """Return what moves the samples without any removal.

        ``"seed_to_seed"``: the recipe on all samples with another seed. ``"same_model"``: the
        reference itself, other samples drawn.
        """
        name = self._distance(distance)
        everything = [p["distances"][name] for p in self.points if p["amount"] == 0]
        return {
            "seed_to_seed": interval(everything),
            "same_model": interval(self.same_model[name]),
        }

    def table(self) -> list[dict[str, Any]]:
        """Return a row per schedule, ranking, amount and distance.

        Columns: ``schedule``, ``ranking``, ``amount``, ``fraction``, ``n_kept``, ``distance``;
        ``mean``, ``low``, ``high`` over ``n_seeds`` seeds (95% t interval); ``rise_mean``,
        ``rise_low``, ``rise_high`` of the distance less that of amount 0 with the same seed.
        """
        rows = []
        for schedule, ranking, distance in self._curves():
            curve = self.curve(ranking, schedule, distance)
            for place in range(1, len(curve.amount)):
                over_seeds = interval(curve.values[place])
                rows.append(
                    {
                        "schedule": schedule,
                        "ranking": ranking,
                        "amount": int(curve.amount[place]),
                        "fraction": float(curve.fraction[place]),
                        "n_kept": int(self.plan["n_train"] - curve.amount[place]),
                        "distance": distance,
                        **over_seeds.row(),
                        **interval(curve.rise[place]).row("rise_"),
                        "n_seeds": over_seeds.n,
                    }
                )
        return rows

    def summary(self) -> list[dict[str, Any]]:
        """Return a row per schedule, ranking and distance: the whole curve in two numbers.

        ``area``: mean rise above amount 0 over the curve. ``slope``: least-squares slope per 100%
        removed. Each is computed for each seed, then averaged, with a 95% t interval.
        """
        rows = []
        for schedule, ranking, distance in self._curves():
            curve = self.curve(ranking, schedule, distance)
            names = {"schedule": schedule, "ranking": ranking, "distance": distance}
            areas, slopes = interval(curve.area()), interval(curve.slope())
            rows.append({**names, **areas.row("area_"), **slopes.row("slope_"), "n_seeds": areas.n})
        return rows

    def contrasts(self) -> list[dict[str, Any]]:
        """Return a row per schedule, distance and pair of rankings: first less second.

        Both curves of a seed share that seed, so differences are taken seed by seed:
        ``area_*`` of the mean rise over the curve, ``end_*`` at the largest amount, with 95% t
        intervals. An interval that holds 0 says that the seeds do not tell the two apart.
        """
        rows = []
        for schedule in self.schedules:
            for distance in self.distances:
                for first, second in combinations(self.rankings, 2):
                    one, other = (self.curve(r, schedule, distance) for r in (first, second))
                    areas = interval(one.area() - other.area())
                    ends = interval(one.values[-1] - other.values[-1])
                    rows.append(
                        {
                            "schedule": schedule,
                            "distance": distance,
                            "first": first,
                            "second": second,
                            **areas.row("area_"),
                            **ends.row("end_"),
                            "n_seeds": areas.n,
                        }
                    )
        return rows

    def to_markdown(self) -> str:
        """Return floor, curves, summary and contrasts as Markdown tables."""
        from pxgen_plugins.evaluation.removal_markdown import markdown

        return markdown(self)

    def to_json(self) -> str:
        """Return all of it, and the tables computed from it, as strict JSON."""
        content = {
            "format": _FORMAT,
            "plan": self.plan,
            "same_model": self.same_model,
            "points": self.points,
            "about": self.about,
            "floor": {
                name: {kind: vars(one) for kind, one in self.floor(name).items()}
                for name in self.distances
            },
            "table": self.table(),
            "summary": self.summary(),
            "contrasts": self.contrasts(),
        }
        return json.dumps(content, indent=1, allow_nan=False)

    @classmethod
    @caller("RemovalResult.from_json")
    def from_json(cls, text: str) -> RemovalResult:
        """Return the result that :meth:`to_json` wrote; its tables are computed anew.

        Raises:
            ParameterError: When ``text`` is not such a result.
        """
        try:
            content = json.loads(text)
            if content["format"] != _FORMAT:
                raise ValueError(f"format {content['format']!r}")
            result = cls(*(content[key] for key in ("plan", "same_model", "points", "about")))
            for schedule, ranking, distance in result._curves():
                values = result.curve(ranking, schedule, distance).values
                same = np.array(result.same_model[distance], dtype=np.float64)
                if not (np.isfinite(values).all() and np.isfinite(same).all()):
                    raise ValueError("a distance is not finite")
        except (ValueError, KeyError, TypeError, AttributeError, IndexError) as error:
            hint = f"Pass what RemovalResult.to_json wrote; this failed: {error!r}."
            raise ParameterError("text", "a result", short_repr(text), hint) from error
        return result

    @property
    def _table(self) -> dict[tuple[str, str, int, int], dict[str, float]]:
        return {
            _key(p["schedule"], p["ranking"], p["amount"], p["seed"]): p["distances"]
            for p in self.points
        }

    def _curves(self) -> list[tuple[str, str, str]]:
        return [
            (schedule, ranking, distance)
            for schedule in self.schedules
            for distance in self.distances
            for ranking in self.rankings
        ]

    def _distance(self, name: str | None) -> str:
        return choice(self.distances[0] if name is None else name, "distance", self.distances)


def _key(schedule: str, ranking: str, amount: int, seed: int) -> tuple[str, str, int, int]:
    return (schedule, ranking, amount, seed) if amount else ("both", "none", 0, seed)
