"""Slow, plain versions of what the selectors compute."""

from __future__ import annotations

import itertools

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Indices = NDArray[np.int64]


def plain_farthest_first(X: NDArray, k: int, start: int, skip: int = 0) -> tuple[Indices, Floats]:
    """Gonzalez's loop as written in the paper: one float64 pass over all rows for each pick."""
    rows = np.asarray(X, dtype=np.float64)
    squares = np.full(len(rows), np.inf)
    picks, radii = [start], []
    while True:
        squares = np.minimum(squares, ((rows - rows[picks[-1]]) ** 2).sum(axis=1))
        order = np.lexsort((np.arange(len(rows)), -squares)) if skip else [squares.argmax()]
        farthest = order[skip]
        radii.append(np.sqrt(squares[farthest]))
        if len(picks) == k:
            return np.array(picks), np.array(radii)
        picks.append(int(farthest))


def distance_table(X: NDArray) -> Floats:
    rows = np.asarray(X, dtype=np.float64)
    return np.sqrt(((rows[:, None] - rows[None]) ** 2).sum(axis=-1))


def choices(n: int, k: int) -> Indices:
    return np.array(list(itertools.combinations(range(n), k)))


def best_radius(table: Floats, k: int, outliers: int = 0) -> float:
    """The smallest radius of any k rows, the farthest ``outliers`` rows left out."""
    nearest = table[choices(len(table), k)].min(axis=1)
    return float(np.sort(nearest, axis=1)[:, -1 - outliers].min())


def best_gap(table: Floats, k: int) -> float:
    """The largest least distance of any k rows."""
    sets = choices(len(table), k)
    inside = table[sets[:, :, None], sets[:, None, :]].copy()
    inside[:, np.arange(k), np.arange(k)] = np.inf
    return float(inside.min(axis=(1, 2)).max())


def best_sum(table: Floats, k: int) -> float:
    """The largest sum of distances of any k rows, repeats allowed."""
    sets = choices(len(table), k)
    return float(table[sets[:, :, None], sets[:, None, :]].sum(axis=(1, 2)).max() / 2)


def best_cost(table: Floats, k: int) -> float:
    """The smallest sum of distances to the nearest of any k rows."""
    return float(table[choices(len(table), k)].min(axis=1).sum(axis=1).min())


def small_instance(seed: int) -> tuple[NDArray, int]:
    """A small table and k; the six kinds cover ties, repeats, grids, heavy tails and one-hots."""
    rng = np.random.default_rng(seed)
    n, d = int(rng.integers(6, 13)), int(rng.integers(1, 4))
    half = max(3, n // 2)
    kinds = [
        lambda: rng.normal(size=(n, d)),
        lambda: rng.integers(0, 4, size=(n, d)).astype(float),
        lambda: rng.normal(size=(half, d))[rng.integers(0, half, n)],
        # All distances are 1 or sqrt(2), or nearly so: the hardest kind for greedy.
        lambda: np.eye(n)[rng.permutation(n)] * rng.choice([1.0, np.sqrt(0.5)], size=(n, 1)),
        lambda: rng.standard_t(1.5, size=(n, d)),
        lambda: rng.integers(0, 2, size=(n, d + 1)).astype(float),
    ]
    return kinds[seed % 6](), int(rng.integers(2, min(6, n)))
