"""Whether samples lie closer to training instances than to held-out ones: three tests."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pxgen_plugins.evaluation.memorisation.ranks import mann_whitney
from pxgen_plugins.evaluation.memorisation.returned import stack
from pxgen_plugins.groups import exact_interval
from pxgen_plugins.utils.nearest import len_of, nearest
from pxgen_plugins.utils.seeds import derive

__all__ = [
    "Attraction",
    "Authenticity",
    "CellTest",
    "attraction",
    "authenticity",
    "cell_test",
    "near_training",
]

Floats = NDArray[np.float64]
_DRAWS = 999
_LEAST = 20  # samples and held-out instances of a cell that is tested
_CELLS = 10


@dataclass(frozen=True)
class Attraction:
    """Which set the samples' nearest instances come from, of as many of both.

    Attributes:
        share: Share of samples whose nearest instance is a training one; 0.5 without memory.
        null: The middle 95% of shares when the two sets are shuffled.
        p_value: That the share is no larger than shuffled ones, by 999 shuffles.
        n: Instances of each set.
        n_samples: Samples.
    """

    share: float
    null: tuple[float, float]
    p_value: float
    n: int
    n_samples: int

    def to_dict(self) -> dict[str, Any]:
        """Return the numbers under their names."""
        return asdict(self)


def attraction(training: Any, held_out: Any, samples: Any, seed: int) -> Attraction:
    """Return whether samples are drawn to the training set, by a permutation test.

    Under the null that the model knows neither set, which instance is called "training" is a coin;
    shuffling these names leaves all distances as they are, so the test is exact (Pitman 1937).

    Args:
        training: Rows of training instances; as many as there are held-out ones are drawn.
        held_out: Rows of held-out instances.
        samples: Rows of samples.
        seed: Seed of the draw and the shuffles.

    Example:
        >>> rows = np.arange(40.0)[:, None]
        >>> found = attraction(rows[::2], rows[1::2], rows[::2] + 0.1, seed=0)
        >>> found.share, found.p_value
        (1.0, 0.001)
    """
    rng = np.random.default_rng(derive(seed, "attraction"))
    k = min(len_of(training), len_of(held_out))
    parts = [rows[np.sort(rng.permutation(len_of(rows))[:k])] for rows in (training, held_out)]
    _, index = nearest(samples, stack(*parts))
    counts = np.bincount(index, minlength=2 * k)
    found, n = int(counts[:k].sum()), len_of(samples)
    shuffled = np.array([counts[rng.permutation(2 * k)[:k]].sum() for _ in range(_DRAWS)])
    p_value = (1 + int((shuffled >= found).sum())) / (_DRAWS + 1)
    low, high = np.quantile(shuffled / n, [0.025, 0.975])
    return Attraction(found / n, (float(low), float(high)), p_value, k, n)


@dataclass(frozen=True)
class Authenticity:
    """Share of instances that are no closer to a training instance than its neighbours are.

    Attributes:
        share: Of the samples.
        interval: Its exact 95% interval.
        control: Of held-out instances: what new instances have.
        control_interval: Likewise.
    """

    share: float
    interval: tuple[float, float]
    control: float
    control_interval: tuple[float, float]

    def to_dict(self) -> dict[str, Any]:
        """Return the numbers under their names."""
        return asdict(self)


Near = tuple[tuple[Floats, NDArray[np.int64]], tuple[Floats, NDArray[np.int64]]]


def near_training(training: Any, held_out: Any, samples: Any) -> Near:
    """Return distance and position of the nearest training instance, of samples and held-out."""
    return nearest(samples, training), nearest(held_out, training)


def authenticity(
    training: Any, held_out: Any, samples: Any, near: Near | None = None
) -> Authenticity:
    """Return which share of samples is authentic, and the same of held-out instances.

    Alaa et al. 2022, "How faithful is your synthetic data?": a sample is not authentic when it is
    closer to its nearest training instance than that one's nearest other training instance is.
    ``near`` is what :func:`near_training` gave, where it is at hand.

    Example:
        >>> rows = np.arange(10.0)[:, None]
        >>> authenticity(rows, rows + 0.5, rows + 0.1).share
        0.0
    """
    own = np.arange(len_of(training), dtype=np.int64)
    gap, _ = nearest(training, training, own)
    near = near_training(training, held_out, samples) if near is None else near
    counts = [int((distance >= gap[index]).sum()) for distance, index in near]
    shares = [count / len_of(some) for count, some in zip(counts, (samples, held_out), strict=True)]
    intervals = [
        exact_interval(count, len_of(some))
        for count, some in zip(counts, (samples, held_out), strict=True)
    ]
    return Authenticity(shares[0], intervals[0], shares[1], intervals[1])


@dataclass(frozen=True)
class CellTest:
    """The three-sample test of data copying.

    Attributes:
        statistic: The mean of the cells' statistics, weighted by training instances; below 0
            samples are closer to the training set than held-out instances are. NaN without a cell
            that has enough of both.
        cells: For each cell: its training instances, held-out ones and samples, its statistic (NaN
            where it has too few), and a p-value.
    """

    statistic: float
    cells: list[dict[str, float]]

    def to_dict(self) -> dict[str, Any]:
        """Return the numbers under their names."""
        return asdict(self)


def cell_test(
    training: Any,
    held_out: Any,
    samples: Any,
    seed: int,
    n_cells: int | None = None,
    near: Near | None = None,
) -> CellTest:
    """Test in cells of the space whether samples are closer to the training set than new ones.

    Meehan, Chaudhuri and Dasgupta 2020, "A non-parametric test to detect data-copying in generative
    models": cells by k-means of the training set; in each the rank test of Mann and Whitney between
    the samples' distances to the training set and the held-out instances'; the statistic is the
    mean of its z-scores, weighted by the cells' shares of the training set. Cells with fewer than
    20 of either take no part. Sets of text are one cell. ``near`` is what :func:`near_training`
    gave, where it is at hand.

    Example:
        >>> rows = np.random.default_rng(0).normal(size=(300, 2))
        >>> cell_test(rows[:100], rows[100:200], rows[:100] + 1e-3, seed=0).statistic < -3
        True
    """
    places = _cells(training, [training, held_out, samples], seed, n_cells)
    near = near_training(training, held_out, samples) if near is None else near
    cells = []
    for cell in range(int(places[0].max()) + 1):
        here = [place == cell for place in places]
        made, new = near[0][0][here[2]], near[1][0][here[1]]
        score, p_value = math.nan, math.nan
        if min(len(new), len(made)) >= _LEAST:
            score, p_value = mann_whitney(made, new)
        cells.append({
            "training": int(here[0].sum()), "held_out": len(new), "samples": len(made),
            "statistic": score, "p_value": p_value,
        })  # fmt: skip
    tested = [cell for cell in cells if not math.isnan(cell["statistic"])]
    weights = [cell["training"] for cell in tested]
    scores = [float(np.clip(cell["statistic"], -40.0, 40.0)) for cell in tested]
    mean = float(np.average(scores, weights=weights)) if sum(weights) else math.nan
    return CellTest(mean, cells)


def _cells(
    training: Any, sets: list[Any], seed: int, n_cells: int | None
) -> list[NDArray[np.int64]]:
    if not isinstance(training, np.ndarray):
        return [np.zeros(len_of(some), dtype=np.int64) for some in sets]
    from sklearn.cluster import MiniBatchKMeans

    least = min(len_of(some) for some in sets)
    k = max(1, min(_CELLS, least // (2 * _LEAST))) if n_cells is None else n_cells
    state = derive(seed, "cells") % 2**32
    means = MiniBatchKMeans(k, random_state=state, n_init=3).fit(np.asarray(training))
    return [means.predict(np.asarray(some)).astype(np.int64) for some in sets]
