"""k-center over shards: the picks of one machine, the bounds of core-sets, any order of workers."""

from __future__ import annotations

import math
import multiprocessing
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from functools import partial

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from pxgen_plugins import selection
from pxgen_plugins.errors import ParameterError, PXGenWarning
from pxgen_plugins.selection import coreset_k_center, k_center, sharded_k_center
from tests.selection.oracles import (
    best_radius,
    distance_table,
    plain_farthest_first,
    small_instance,
)


class Shards:
    """Pieces of a table that count how often each is read."""

    def __init__(self, X, cuts):
        self.pieces = np.split(X, sorted(cuts))
        self.reads = [0] * len(self.pieces)

    def __len__(self):
        return len(self.pieces)

    def load(self, index):
        self.reads[index] += 1
        return self.pieces[index]


def normal(n, d, seed=0):
    return np.random.default_rng(seed).normal(size=(n, d))


def same(found, expected):
    np.testing.assert_array_equal(found.indices, expected.indices)
    np.testing.assert_array_equal(found.radii, expected.radii)
    np.testing.assert_array_equal(found.assignment, expected.assignment)
    assert found.objective == expected.objective
    assert found.lower_bound == expected.lower_bound


def shuffled(function, *columns):
    """A map whose results come in another order than the tasks."""
    results = [function(*task) for task in zip(*columns, strict=True)]
    return [results[i] for i in np.random.default_rng(len(results)).permutation(len(results))]


@given(data=st.data())
@settings(max_examples=150, deadline=None)
def test_the_result_is_that_of_one_machine(data):
    n, d = data.draw(st.integers(1, 40)), data.draw(st.integers(1, 4))
    kind = data.draw(st.sampled_from([np.float64, np.float32, np.uint8]))
    # Few values make ties and repeats the rule.
    values = st.integers(0, 3) if kind == np.uint8 else st.floats(-1e6, 1e6, width=32)
    X = data.draw(arrays(kind, (n, d), elements=values))
    cuts = data.draw(st.lists(st.integers(0, n), max_size=6))
    k, start = data.draw(st.integers(1, n)), data.draw(st.integers(0, n - 1))
    candidates = data.draw(st.sampled_from([1, 2, 5, 1024]))
    found = sharded_k_center(Shards(X, cuts), k, start=start, candidates=candidates, map=shuffled)
    expected = k_center(X, k, start=start)
    np.testing.assert_array_equal(found.indices, expected.indices)
    np.testing.assert_array_equal(found.radii, expected.radii)
    assert found.objective == expected.objective
    assert found.lower_bound == expected.lower_bound
    apart = np.linalg.norm(X.astype(float) - X[found.indices[found.assignment]], axis=1)
    np.testing.assert_allclose(apart.max(), found.objective, rtol=1e-12)


LARGE = {
    "d=2": lambda: normal(30_000, 2),
    "d=16 in float32": lambda: normal(30_000, 16).astype(np.float32),
    "10^9 deviations off": lambda: normal(30_000, 5) + 1e9,
    "two clusters 10^8 deviations apart": lambda: np.concatenate(
        [normal(15_000, 3) - 5e7, normal(15_000, 3, 1) + 5e7]
    ),
    "integer grid": lambda: np.round(normal(30_000, 2) * 20),
    "each row 40 times": lambda: normal(30_000, 6)[
        np.random.default_rng(1).integers(0, 700, 30000)
    ],
    "tiny": lambda: normal(30_000, 2) * 1e-40,
    "huge": lambda: normal(30_000, 2) * 1e40,
    "sorted": lambda: np.sort(normal(30_000, 3), axis=0),
}


@pytest.mark.parametrize("name", LARGE)
def test_many_rows_give_the_result_of_one_machine_and_of_the_plain_loop(name):
    X = LARGE[name]()
    found = sharded_k_center(Shards(X, [0, 10, 9000, 9000, 25_000]), 40, start=7, candidates=64)
    same(found, k_center(X, 40, start=7))
    np.testing.assert_array_equal(found.indices, plain_farthest_first(X, 40, 7)[0])


def test_the_default_start_is_that_of_one_machine():
    for seed in range(5):
        X = normal(3000, 4, seed) + 50
        same(sharded_k_center(Shards(X, [100, 100, 2000]), 9), k_center(X, 9))
    square = np.array([[1.0, 1], [-1, 1], [-1, -1], [1, -1]]) + 0.1
    assert sharded_k_center(Shards(square, [1, 2, 3]), 1).indices[0] == 0


def test_the_radius_is_within_twice_the_optimum_and_the_bound_below_it():
    for seed in range(24):
        X, k = small_instance(seed)
        best = best_radius(distance_table(X), k)
        found = sharded_k_center(Shards(X, [2, 5]), k, candidates=2)
        assert found.lower_bound <= best + 1e-12
        assert found.objective <= 2 * best + 1e-12


def test_passes_are_far_fewer_than_picks_and_at_most_two_more():
    X = normal(50_000, 8)
    shards = Shards(X, [10_000, 20_000, 30_000, 40_000])
    sharded_k_center(shards, 100, start=0)
    # The first row was read once more from the first shard.
    assert shards.reads[0] - 1 == shards.reads[1] == shards.reads[4] <= 15
    one = Shards(X[:500], [250])
    sharded_k_center(one, 30, candidates=1)
    assert max(one.reads) <= 30 + 2
    assert max(one.reads) > 10


def piece(seed, n, d):
    return normal(n, d, seed)


@pytest.mark.parametrize("kind", ["threads", "processes"])
def test_an_executor_gives_the_same_result(kind):
    shards = [partial(piece, seed, n, 3) for seed, n in enumerate([500, 0, 1, 2000])]
    if kind == "threads":
        executor = ThreadPoolExecutor(3)
    else:
        executor = ProcessPoolExecutor(2, mp_context=multiprocessing.get_context("spawn"))
    with executor:
        same(sharded_k_center(shards, 20, map=executor.map), sharded_k_center(shards, 20))
        one = coreset_k_center(shards, 4, 5, map=executor.map)
    other = coreset_k_center(shards, 4, 5)
    np.testing.assert_array_equal(one.indices, other.indices)
    assert (one.objective, one.lower_bound) == (other.objective, other.lower_bound)


@pytest.mark.parametrize("factor", [1, 4])
def test_core_sets_keep_their_bound_on_instances_whose_optimum_is_known(factor):
    for seed in range(48):
        X, k = small_instance(seed)
        skip = seed % 3
        best = best_radius(distance_table(X), k, skip)
        cuts = [len(X) // 3, len(X) // 3, 2 * len(X) // 3]
        found = coreset_k_center(Shards(X, cuts), k, skip, size=factor * (k + skip), map=shuffled)
        assert len(np.unique(found.indices)) == k
        assert found.lower_bound <= best + 1e-9
        assert found.objective <= 13.03 * best + 1e-9
        if factor == 4:
            # Every row is in the core-set, so the reach is 0, and the search ends within 1%.
            assert found.objective <= 3.03 * found.lower_bound + 1e-9


def test_the_objective_and_the_outliers_of_a_core_set_are_those_of_all_rows():
    X = np.concatenate([normal(3000, 4), normal(20, 4, 1) * 300])
    X = X[np.random.default_rng(0).permutation(len(X))]
    found = coreset_k_center(Shards(X, [700, 1500]), 6, 20)
    squares = ((X[:, None] - X[found.indices][None]) ** 2).sum(axis=-1)
    np.testing.assert_array_equal(found.assignment, squares.argmin(axis=1))
    order = np.lexsort((np.arange(len(X)), -squares.min(axis=1)))
    np.testing.assert_array_equal(found.outliers, np.sort(order[:20]))
    assert found.objective == pytest.approx(math.sqrt(squares.min(axis=1)[order[20]]), rel=1e-14)
    assert found.lower_bound <= found.objective


def test_centres_are_not_spent_on_planted_outliers():
    rng = np.random.default_rng(3)
    middles = rng.normal(size=(8, 5)) * 20
    clean = middles[rng.integers(0, 8, 4000)] + rng.normal(size=(4000, 5))
    junk = rng.normal(size=(30, 5)) * 2000
    X = np.concatenate([clean[:2000], junk, clean[2000:]])
    found = coreset_k_center(Shards(X, [1000, 2015, 3000]), 8, 30, size=120)
    assert not np.any((found.indices >= 2000) & (found.indices < 2030))
    np.testing.assert_array_equal(found.outliers, np.arange(2000, 2030))
    assert found.objective < 2 * k_center(clean, 8).objective
    assert np.sum(np.isin(sharded_k_center(Shards(X, [1000]), 8).indices, found.outliers)) >= 6


@pytest.mark.parametrize("call", [sharded_k_center, partial(coreset_k_center, outliers=1)])
def test_wrong_shards_are_refused_with_their_number(call):
    bad = normal(10, 2)
    bad[7, 1] = np.nan
    with pytest.raises(ParameterError, match=r"shard 1: X must be finite; .*rows 2"):
        call(Shards(bad, [5]), 2)
    with pytest.raises(ParameterError, match="2 columns in shard 0 and 3 in shard 2"):
        call([lambda: normal(4, 2), lambda: np.empty((0, 9)), lambda: normal(4, 3)], 2)
    for nothing in ([], [lambda: np.empty((0, 2))], [list]):
        with pytest.raises(ParameterError, match="no rows"):
            call(nothing, 2)
    for wrong in (3, [normal(3, 2)], iter([])):
        with pytest.raises(ParameterError, match="shards must be a sequence of functions"):
            call(wrong, 2)
    sizes = iter([5, 6, 7, 8, 9, 10])
    with pytest.raises(ParameterError, match="the same at every load"):
        call([lambda: normal(next(sizes), 2)], 2)


def test_wrong_numbers_are_refused():
    shards = Shards(normal(10, 2), [5])
    for options in (
        {"k": 0},
        {"k": 2, "start": 10},
        {"k": 2, "candidates": 0},
        {"k": 2, "seed": -1},
    ):
        with pytest.raises(ParameterError):
            sharded_k_center(shards, **options)
    for options in ({"outliers": 10}, {"outliers": -1}, {"outliers": 3, "size": 4}):
        with pytest.raises(ParameterError):
            coreset_k_center(shards, 2, **options)


def test_more_picks_than_rows_are_all_rows_with_a_warning():
    shards = Shards(normal(6, 2), [2])
    for call in (sharded_k_center, partial(coreset_k_center, outliers=0)):
        with pytest.warns(PXGenWarning, match="All 6 are used"):
            found = call(shards, 9)
        assert sorted(found.indices) == list(range(6))
        assert found.objective == 0.0


def test_functions_over_shards_are_no_selectors():
    assert not {"sharded_k_center", "coreset_k_center"} & set(selection.names())
