"""k_dispersion: the authors' farthest-first, the starts, refinement, sums and outliers."""

from __future__ import annotations

import numpy as np
import pytest

from pxgen_plugins.selection import k_center, k_dispersion
from tests.selection.oracles import distance_table, plain_farthest_first


def table_of(n=3000, d=4, seed=0):
    return np.random.default_rng(seed).normal(size=(n, d))


def widened(X):
    """The same distances in a table so large that sums are kept in float32."""
    return np.pad(X, ((0, 0), (0, 1_100_000 // len(X))))


def least_gap(X, indices):
    table = distance_table(X[indices])
    return table[~np.eye(len(indices), dtype=bool)].min()


def pair_sum(X, indices):
    return distance_table(X[indices]).sum() / 2


def test_max_min_with_a_start_is_the_authors_algorithm():
    X = table_of()
    found = k_dispersion(X, 10, start=5)
    np.testing.assert_array_equal(found.indices, plain_farthest_first(X, 10, 5)[0])
    np.testing.assert_array_equal(found.indices, k_center(X, 10, start=5).indices)
    assert found.objective == pytest.approx(least_gap(X, found.indices), rel=1e-12)
    assert found.assignment is None


def test_max_min_starts_at_an_end_of_an_approximate_diameter():
    X = table_of(200)
    table = distance_table(X)
    pair = k_dispersion(X, 2)
    assert pair.objective >= 0.9 * table.max()
    assert table[pair.indices[0]].max() == pytest.approx(pair.objective)


def test_prefixes_of_max_min_have_the_stated_gaps():
    X = table_of()
    found = k_dispersion(X, 8, start=0)
    assert np.isinf(found.radii[0])
    for k in range(2, 9):
        assert found.radii[k - 1] == pytest.approx(least_gap(X, found.indices[:k]))


def test_refinement_widens_the_least_gap():
    better = 0
    for seed in range(20):
        X = table_of(500, 2, seed)
        plain, refined = k_dispersion(X, 8), k_dispersion(X, 8, refine=True)
        assert refined.objective >= plain.objective
        assert refined.objective == pytest.approx(least_gap(X, refined.indices))
        assert len(set(refined.indices.tolist())) == 8
        better += refined.objective > plain.objective
    assert better >= 10


def test_one_pick_has_an_infinite_gap_and_no_sum():
    assert k_dispersion(table_of(), 1).objective == np.inf
    assert k_dispersion(table_of(), 1, "max_sum").objective == 0.0


def test_no_exchange_raises_the_sum():
    X = table_of(60, 3)
    found = k_dispersion(X, 6, "max_sum")
    assert found.objective == pytest.approx(pair_sum(X, found.indices))
    for place in range(6):
        for row in np.setdiff1d(np.arange(60), found.indices):
            other = found.indices.copy()
            other[place] = row
            assert pair_sum(X, other) <= found.objective * (1 + 1e-9)


def test_the_sum_in_float32_is_that_in_float64():
    X = table_of(20_000, 6) + 1000
    exact = k_dispersion(X, 12, "max_sum", start=3)
    fast = k_dispersion(widened(X), 12, "max_sum", start=3)
    np.testing.assert_array_equal(exact.indices, fast.indices)
    assert fast.objective == pytest.approx(exact.objective, rel=1e-12)


@pytest.mark.parametrize("form", [lambda X: X, lambda X: widened(X)], ids=["exact", "fast"])
def test_the_sum_takes_repeats_only_when_they_gain_much(form):
    ring = np.stack([np.cos(np.arange(12.0)), np.sin(np.arange(12.0))], axis=1)
    X = form(np.repeat(ring, 5, axis=0))
    found = k_dispersion(X, 6, "max_sum")
    assert len(np.unique(X[found.indices], axis=0)) == 6
    ends = np.array([0.0] * 5 + [1.0] * 5 + [0.49, 0.5, 0.51])[:, None]
    found = k_dispersion(form(ends), 4, "max_sum")
    assert found.objective == pytest.approx(4.0)
    found = k_dispersion(X, 15, "max_sum")
    assert len(np.unique(X[found.indices], axis=0)) == 12
    assert len(set(found.indices.tolist())) == 15


@pytest.mark.parametrize("objective", ["max_min", "max_sum"])
def test_planted_outliers_are_passed_over(objective):
    rng = np.random.default_rng(1)
    X = np.concatenate([rng.normal(size=(20_000, 5)), rng.normal(size=(200, 5)) * 100])
    assert (k_dispersion(X, 20, objective).indices >= 20_000).sum() >= 15
    found = k_dispersion(X, 20, objective, outliers=200)
    assert (found.indices >= 20_000).sum() <= 1
    assert (found.outliers >= 20_000).mean() > 0.98


def test_repeats_do_not_stop_max_min_early():
    X = np.repeat(table_of(7, 2), 3, axis=0)
    found = k_dispersion(X, 7)
    assert len(np.unique(X[found.indices], axis=0)) == 7
    assert k_dispersion(X, 8).objective == 0.0
