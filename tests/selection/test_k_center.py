"""k_center: the picks of the plain loop, certificates, refinement and outliers."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from pxgen_plugins.selection import k_center
from pxgen_plugins.selection._assignment import nearest
from pxgen_plugins.selection._blocked_table import Points
from tests.selection.oracles import distance_table, plain_farthest_first

N = 200_000


def normal(d, seed=0):
    return np.random.default_rng(seed).normal(size=(N, d)).astype(np.float32)


LARGE = {
    "d=2": lambda: normal(2),
    "d=10": lambda: normal(10),
    "d=64": lambda: normal(64),
    "d=10 in float64": lambda: normal(10).astype(np.float64),
    "d=2, 10,000 deviations off": lambda: normal(2) + 10_000,
    "d=10, 10,000 deviations off": lambda: normal(10) + 10_000,
    "d=10, 10^9 deviations off, float64": lambda: normal(10).astype(np.float64) + 1e9,
    "d=2, integer grid": lambda: np.round(normal(2) * 20),
    "d=10, bytes": lambda: np.clip(normal(10) * 40 + 128, 0, 255).astype(np.uint8),
    "d=10, each row 40 times": lambda: normal(10)[np.random.default_rng(1).integers(0, 5000, N)],
    "d=3, 5,000 copies of the farthest": lambda: np.concatenate(
        [normal(3)[:-5000], np.full((5000, 3), 9.0, dtype=np.float32)]
    ),
    "d=10, heavy tails": lambda: np.random.default_rng(0).standard_t(1.2, size=(N, 10)),
    "d=2, tiny": lambda: normal(2).astype(np.float64) * 1e-40,
    "d=2, huge": lambda: normal(2).astype(np.float64) * 1e40,
}


@pytest.mark.parametrize("name", LARGE)
def test_the_picks_are_those_of_the_plain_loop(name):
    X = LARGE[name]()
    k = 20 if X.shape[1] == 64 else 40
    picks, radii = plain_farthest_first(X, k, 7)
    found = k_center(X, k, start=7)
    np.testing.assert_array_equal(found.indices, picks)
    np.testing.assert_allclose(found.radii, radii, rtol=1e-14)
    assert found.objective == found.radii[-1]


@pytest.mark.parametrize("name", ["d=2", "d=2, integer grid", "d=10, each row 40 times"])
@pytest.mark.parametrize("skip", [1, 3000])
def test_the_trimmed_picks_are_those_of_the_plain_loop(name, skip):
    X = LARGE[name]()
    picks, radii = plain_farthest_first(X, 8, 7, skip)
    found = k_center(X, 8, start=7, outliers=skip)
    np.testing.assert_array_equal(found.indices, picks)
    np.testing.assert_allclose(found.radii, radii, rtol=1e-14)
    squares = np.min([((X - X[p].astype(float)) ** 2).sum(axis=1) for p in picks], axis=0)
    beyond = np.lexsort((np.arange(N), -squares))[:skip]
    np.testing.assert_array_equal(found.outliers, np.sort(beyond))


@pytest.mark.parametrize("n", [4_000, 60_000])  # all rows in the front, and a small part of them
def test_many_ties_are_settled_as_in_the_plain_loop(n):
    X = np.round(np.random.default_rng(3).normal(size=(n, 3)) * 4)
    expected, _ = plain_farthest_first(X, 60, 0)
    np.testing.assert_array_equal(k_center(X, 60, start=0).indices, expected)


@pytest.mark.parametrize("d", [1, 3, 40])
@pytest.mark.parametrize("grid", [False, True])
def test_the_assignment_is_the_nearest_pick_and_the_first_of_equal_ones(d, grid):
    X = np.random.default_rng(d).normal(size=(5000, d)) * 3 + 100
    X = np.round(X) if grid else X
    points = Points(X)
    centres = np.unique(X, axis=0, return_index=True)[1][:30]
    table = ((X[:, None] - X[centres][None]) ** 2).sum(axis=-1)
    np.testing.assert_array_equal(nearest(points, centres), table.argmin(axis=1))


def test_the_radius_is_the_largest_distance_to_the_assigned_pick():
    X = normal(5)[:30_000]
    for found in (k_center(X, 12), k_center(X, 12, refine=True)):
        apart = np.linalg.norm(X.astype(float) - X[found.indices[found.assignment]], axis=1)
        assert apart.max() == pytest.approx(found.objective, rel=1e-12)


def test_refinement_never_worsens_and_mostly_helps():
    better = 0
    for seed in range(20):
        X = np.random.default_rng(seed).normal(size=(400, 2))
        plain, refined = k_center(X, 8, seed=seed), k_center(X, 8, refine=True, seed=seed)
        assert refined.objective <= plain.objective
        better += refined.objective < 0.95 * plain.objective
    assert better >= 15


def test_refinement_works_above_the_number_of_judges():
    X = normal(3)[:60_000]
    plain, refined = k_center(X, 10), k_center(X, 10, refine=True)
    assert refined.objective < plain.objective
    assert refined.lower_bound == plain.lower_bound == plain.objective / 2


def planted(z, n=100_000, d=10):
    """Clustered rows and z junk rows far out in all directions; rows n to n + z - 1 are junk."""
    rng = np.random.default_rng(5)
    middles = rng.normal(size=(40, d)) * 4
    X = middles[rng.integers(0, 40, n)] + rng.normal(size=(n, d))
    junk = rng.normal(size=(z, d))
    junk *= rng.uniform(60, 200, size=(z, 1)) / np.linalg.norm(junk, axis=1, keepdims=True)
    return np.concatenate([X, junk]).astype(np.float32), n


@pytest.mark.parametrize("refine", [False, True])
def test_centres_are_not_spent_on_a_thousand_planted_outliers(refine):
    X, n = planted(1000)
    clean = k_center(X[:n], 50).objective
    plain = k_center(X, 50)
    found = k_center(X, 50, outliers=1000, refine=refine)
    assert (plain.indices >= n).sum() > 40
    assert (found.indices >= n).sum() <= 2
    assert found.objective < 1.1 * clean
    assert len(found.outliers) == 1000
    assert (found.outliers >= n).mean() > 0.99
    rest = np.setdiff1d(np.arange(len(X)), found.outliers)
    apart = np.linalg.norm(X[rest] - X[found.indices[found.assignment[rest]]], axis=1)
    assert apart.max() == pytest.approx(found.objective, rel=1e-5)
    assert 0 < found.lower_bound <= found.objective


def test_a_lopsided_crowd_of_outliers_does_not_catch_the_start():
    rng = np.random.default_rng(0)
    X = np.concatenate([rng.normal(size=(900, 2)), rng.normal(size=(400, 2)) + 500])
    assert k_center(X, 1, outliers=400).indices[0] < 900


def test_the_default_start_is_the_row_nearest_the_mean():
    X = normal(4)[:20_000] + 50
    centred = X.astype(float) - X.astype(float).mean(axis=0)
    assert k_center(X, 3).indices[0] == (centred**2).sum(axis=1).argmin()
    square = np.array([[1.0, 1], [-1, 1], [-1, -1], [1, -1]]) + 0.1
    assert k_center(square, 1).indices[0] == 0


def test_repeats_are_taken_only_when_nothing_else_is_left():
    X = np.repeat(np.random.default_rng(0).normal(size=(6, 2)), 4, axis=0)
    found = k_center(X, 9)
    assert len(np.unique(X[found.indices[:6]], axis=0)) == 6
    left = np.setdiff1d(np.arange(24), found.indices[:6])
    np.testing.assert_array_equal(found.indices[6:], left[:3])
    assert found.objective == 0.0


def test_outliers_are_picked_before_repeats():
    X = np.array([[0.0], [0.0], [0.0], [1.0], [50.0]])
    found = k_center(X, 3, start=0, outliers=1)
    assert sorted(X[found.indices, 0]) == [0.0, 1.0, 50.0]


def test_a_memory_mapped_table_gives_the_same_result(tmp_path):
    X = normal(6)[:50_000]
    np.save(tmp_path / "x.npy", X)
    mapped = np.load(tmp_path / "x.npy", mmap_mode="r")
    one, other = k_center(X, 15), k_center(mapped, 15)
    np.testing.assert_array_equal(one.indices, other.indices)
    np.testing.assert_array_equal(one.assignment, other.assignment)


def test_the_prefix_radii_are_those_of_fewer_picks():
    X = normal(3)[:5000]
    radii = k_center(X, 12, start=0).radii
    for k in (1, 5, 12):
        assert k_center(X, k, start=0).objective == radii[k - 1]
    table = distance_table(X[:200])
    found = k_center(X[:200], 5, start=0)
    assert table[found.indices].min(axis=0).max() == found.objective


def test_the_number_of_torch_threads_does_not_change_the_picks():
    X = normal(10)[:50_000]
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        one = k_center(X, 30)
        torch.set_num_threads(2)
        two = k_center(X, 30)
    finally:
        torch.set_num_threads(before)
    np.testing.assert_array_equal(one.indices, two.indices)
    np.testing.assert_array_equal(one.assignment, two.assignment)


@pytest.mark.parametrize("value", [1e34, -3e149, 1e-300, 0.1, 7.0])
def test_equal_rows_of_any_size_are_a_distance_of_zero_apart(value: float) -> None:
    found = k_center(np.full((9_000, 3), value), 3)
    assert found.objective == 0
    assert found.assignment is not None
    assert set(found.assignment.tolist()) <= set(range(3))
    assert len(set(found.indices.tolist())) == 3
