"""k_means, k_medoids and top."""

from __future__ import annotations

import sys

import numpy as np
import pytest
from sklearn.cluster import KMeans

from pxgen_plugins.selection import k_center, k_means, k_medoids, top
from pxgen_plugins.selection._pam import partition_around_medoids
from pxgen_plugins.utils.errors import MissingDependencyError, ParameterError
from tests.selection.oracles import distance_table


def blobs(n=600, k=6, d=3, seed=0):
    rng = np.random.default_rng(seed)
    middles = rng.normal(size=(k, d)) * 20
    owner = np.arange(n) % k
    return middles[owner] + rng.normal(size=(n, d)), owner, middles


@pytest.mark.parametrize("selector", [k_means, k_medoids, k_center])
def test_separate_clusters_get_one_pick_each(selector):
    X, owner, _ = blobs()
    found = selector(X, 6)
    assert sorted(owner[found.indices]) == list(range(6))
    np.testing.assert_array_equal(owner[found.indices[found.assignment]], owner)


def test_k_means_returns_the_member_nearest_each_centroid():
    X, _, _ = blobs(n=500, k=9)
    found = k_means(X, 5, seed=3)
    sizes = np.bincount(found.assignment)
    assert (np.diff(sizes) <= 0).all()
    total = 0.0
    for position, row in enumerate(found.indices):
        members = np.flatnonzero(found.assignment == position)
        apart = ((X[members] - X[members].mean(axis=0)) ** 2).sum(axis=1)
        assert members[apart.argmin()] == row
        total += apart.sum()
    assert found.objective == pytest.approx(total, rel=1e-6)
    theirs = KMeans(5, n_init=1, random_state=3).fit(X - X.mean(axis=0))
    assert found.objective == pytest.approx(theirs.inertia_, rel=1e-9)


@pytest.mark.parametrize("selector", [k_means, k_medoids])
def test_fewer_different_rows_than_picks_are_filled_up(selector):
    X = np.repeat(np.array([[0.0, 0], [5, 5], [9, 0]]), 4, axis=0)
    found = selector(X, 5)
    assert len(set(found.indices.tolist())) == 5
    assert len(np.unique(X[found.indices], axis=0)) == 3
    np.testing.assert_allclose(X[found.indices[found.assignment]], X)
    assert found.objective == pytest.approx(0.0)


@pytest.mark.parametrize("selector", [k_means, k_medoids])
def test_repeats_are_not_picked_while_other_rows_are_left(selector):
    rare = np.random.default_rng(0).normal(size=(9, 2))
    X = np.concatenate([np.zeros((4000, 2)), rare])
    for start in (None, 0):
        found = selector(X, 10, start=start)
        assert len(np.unique(X[found.indices], axis=0)) == 10


@pytest.mark.parametrize("selector", [k_means, k_medoids])
def test_a_start_leaves_nothing_to_chance(selector):
    X, _, _ = blobs(seed=4)
    one, other = selector(X, 4, start=7, seed=0), selector(X, 4, start=7, seed=99)
    np.testing.assert_array_equal(one.indices, other.indices)


def test_k_means_without_scikit_learn_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "sklearn.cluster", None)
    with pytest.raises(MissingDependencyError, match="pip install scikit-learn"):
        k_means([[0.0], [1.0]], 1)


@pytest.mark.parametrize("metric", ["l1", "l2"])
def test_no_exchange_lowers_the_sum_of_k_medoids(metric):
    X = np.random.default_rng(2).normal(size=(70, 3))
    table = np.abs(X[:, None] - X[None]).sum(axis=-1) if metric == "l1" else distance_table(X)
    found = k_medoids(X, 4, metric=metric)
    assert found.objective == pytest.approx(table[found.indices].min(axis=0).sum())
    np.testing.assert_array_equal(found.assignment, table[found.indices].argmin(axis=0))
    for place in range(4):
        for row in range(70):
            other = found.indices.copy()
            other[place] = row
            assert table[other].min(axis=0).sum() >= found.objective * (1 - 1e-9)


def test_the_order_of_the_rows_hardly_changes_the_sum_of_k_medoids():
    X = np.random.default_rng(0).normal(size=(200, 3))
    order = np.random.default_rng(1).permutation(200)
    one = k_medoids(X, 9, start=17)
    other = k_medoids(X[order], 9, start=int(np.flatnonzero(order == 17)[0]))
    assert other.objective == pytest.approx(one.objective, rel=0.05)


def test_the_change_of_each_exchange_is_what_a_slow_search_finds():
    X = np.random.default_rng(3).normal(size=(40, 2))
    table = distance_table(X)
    weights = np.random.default_rng(4).integers(1, 5, 40).astype(float)
    picks = partition_around_medoids(table, weights, np.array([0, 1, 2]))
    cost = (table[picks].min(axis=0) * weights).sum()
    for place in range(3):
        for row in range(40):
            other = picks.copy()
            other[place] = row
            assert (table[other].min(axis=0) * weights).sum() >= cost * (1 - 1e-9)


def test_samples_come_close_to_the_search_over_all_rows():
    X, _, _ = blobs(n=2800, k=15)
    whole = k_medoids(X, 10)
    doubled = np.repeat(X, 2, axis=0)  # more rows than are searched at once
    sampled = k_medoids(doubled, 10)
    assert sampled.objective <= 1.1 * 2 * whole.objective
    np.testing.assert_array_equal(sampled.indices, k_medoids(doubled, 10).indices)


def test_top_takes_the_smallest_values_and_the_lowest_index_of_equal_ones():
    values = np.random.default_rng(0).integers(0, 50, 2000)
    found = top(values, 300)
    np.testing.assert_array_equal(found.indices, np.lexsort((np.arange(2000), values))[:300])
    assert found.objective == pytest.approx(values[found.indices].mean())
    np.testing.assert_array_equal(top(values[:, None], 300).indices, found.indices)


@pytest.mark.parametrize("bad", [{"X": np.zeros((4, 2)), "k": 1}, {"X": [1.0], "k": 1, "start": 3}])
def test_top_refuses_several_columns_and_a_start_out_of_range(bad):
    with pytest.raises(ParameterError, match="top: "):
        top(**bad)
