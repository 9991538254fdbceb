"""How often the intervals of group shares hold the true share, by simulation.

Every trial draws a setting of its own: a rule, the tail of the model's values, the number of
calibration repeats, of anchors, and the true share. The truth is the share under the rule's
expected thresholds among all anchors, known by construction; the interval has one calibration and
one set of anchors. Each row is the coverage over the trials that have something in common.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from rows import Row
from scipy import stats

from pxgen_plugins.groups import share_intervals
from pxgen_plugins.thresholds import Conformal, MeanMax, Median, Quantile, Rule

Floats = NDArray[np.float64]
T = TypeVar("T")

N_SAMPLES = 1_000  # of each repeat
POOL = 10_000  # repeats drawn once for each rule and tail; their mean is the expected threshold
RULES: dict[str, Rule] = {
    "MeanMax": MeanMax(N_SAMPLES),
    "Quantile(0.99)": Quantile(0.99, N_SAMPLES),
    "Conformal(0.05)": Conformal(0.05, N_SAMPLES),
    "Median": Median(3.0, N_SAMPLES),
}
TAILS = {
    "bounded": stats.uniform(),
    "normal": stats.norm(),
    "exponential": stats.expon(),
    "lognormal": stats.lognorm(1.0),
    "Pareto 4": stats.pareto(4.0),
    "Pareto 2.5": stats.pareto(2.5),
}
REPEATS = (2, 3, 5, 10, 30, 100)
ANCHORS = (50, 300, 2_000, 20_000)
SHARES = (0.001, 0.01, 0.1, 0.5, 0.9, 0.99)
FACTORS = ("rule", "tail", "repeats", "anchors", "share")
KINDS = ("intrinsic", "extrinsic")
_SPREAD = 0.3  # of the logarithm of the anchors' values around the thresholds


def run(quick: bool = False) -> Iterator[Row]:
    """Yield coverage, %, by each factor, and the pairs of factors with the lowest."""
    trials, pool = (40, 100) if quick else (24_000, POOL)
    settings, hits, widths = simulate(trials, pool)
    name = "coverage of 95% intervals"
    yield Row(name, f"all, {trials:,} trials", 100 * float(hits.mean()), "%")
    # with fewer, counts are so coarse that no interval can have 95%
    expected = settings["anchors"] * np.minimum(settings["share"], 1 - settings["share"])
    inside = expected.astype(float) >= 5
    note = f"{inside.sum():,} trials"
    value = 100 * float(hits[inside].mean())
    yield Row(name, "at least 5 anchors expected inside and outside", value, "%", note=note)
    for factor in FACTORS:
        column = settings[factor]
        for level in dict.fromkeys(column.tolist()):
            inside = column == level
            note = f"mean width {100 * widths[inside].mean():.1f} points, {inside.sum():,} trials"
            value = 100 * float(hits[inside].mean())
            yield Row(name, f"{factor} {level}", value, "%", note=note)
    pairs = list(_pairs(settings, hits))
    for setting, share, n in sorted(pairs, key=lambda pair: pair[1])[:5]:
        yield Row(f"{name}: lowest pairs", setting, 100 * share, "%", note=f"{n:,} trials")
    low = sum(share + 2 * np.sqrt(0.09 / n) < 0.9 for _, share, n in pairs)
    setting = f"{len(pairs)} pairs of levels"
    yield Row("pairs covered less than 90%, beyond chance", setting, float(low), "pairs", 0.0)


def simulate(
    trials: int, pool: int, seed: int = 0
) -> tuple[dict[str, NDArray[np.object_]], NDArray[np.bool_], Floats]:
    """Return the settings by factor, whether each interval held the truth, and its width."""
    rng = np.random.default_rng(seed)
    repeats_of = {
        (rule, tail): _repeats(RULES[rule], tail, pool, rng) for rule in RULES for tail in TAILS
    }
    settings: dict[str, list[object]] = {factor: [] for factor in FACTORS}
    hits, widths = [], []
    for trial in range(trials):
        rule, tail = _choice(tuple(RULES), rng), _choice(tuple(TAILS), rng)
        r, n, share = _choice(REPEATS, rng), _choice(ANCHORS, rng), _choice(SHARES, rng)
        for factor, level in zip(FACTORS, (rule, tail, r, n, share), strict=True):
            settings[factor].append(level)
        all_repeats, floor = repeats_of[rule, tail]
        rows = rng.integers(len(all_repeats), size=(2, r))
        repeats = np.stack([all_repeats[rows[0], 0], all_repeats[rows[1], 1]], axis=1)
        values = _anchors(all_repeats.mean(axis=0), floor, share, n, rng)
        combine = RULES[rule].combine
        interval = share_intervals(values, repeats, combine, KINDS, floor=floor, seed=trial)["HIHE"]
        assert interval is not None
        hits.append(interval[0] <= share <= interval[1])
        widths.append(interval[1] - interval[0])
    columns = {factor: np.array(column, dtype=object) for factor, column in settings.items()}
    return columns, np.array(hits), np.array(widths)


def _choice(levels: Sequence[T], rng: np.random.Generator) -> T:
    return levels[int(rng.integers(len(levels)))]


def _repeats(rule: Rule, tail: str, n: int, rng: np.random.Generator) -> tuple[Floats, Floats]:
    """Return thresholds of n repeats for two criteria, (n, 2), and the medians of the values."""
    distribution = TAILS[tail]
    thresholds = np.array(
        [rule.threshold(distribution.ppf(rng.random((N_SAMPLES, 2)))) for _ in range(n)]
    )
    return thresholds, np.full(2, float(distribution.median()))


def _anchors(
    thresholds: Floats, floor: Floats, share: float, n: int, rng: np.random.Generator
) -> Floats:
    """Return values (n, 2) of which a share, in expectation, is below both thresholds."""
    shift = stats.norm.ppf(np.sqrt(share))
    excess = np.exp(_SPREAD * (rng.standard_normal((n, 2)) - shift))
    values: Floats = floor + (thresholds - floor) * excess
    return values


def _pairs(
    settings: dict[str, NDArray[np.object_]], hits: NDArray[np.bool_]
) -> Iterator[tuple[str, float, int]]:
    for one, other in itertools.combinations(FACTORS, 2):
        for a, b in itertools.product(*(dict.fromkeys(settings[f].tolist()) for f in (one, other))):
            inside = (settings[one] == a) & (settings[other] == b)
            if inside.any():
                yield f"{one} {a}, {other} {b}", float(hits[inside].mean()), int(inside.sum())
