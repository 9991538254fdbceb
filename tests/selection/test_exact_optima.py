"""The proved factors, on 200 small instances solved exactly."""

from __future__ import annotations

import numpy as np
from scipy.optimize import Bounds, LinearConstraint, milp

from pxgen_plugins.selection import k_center, k_dispersion, k_medoids
from tests.selection.oracles import (
    best_cost,
    best_gap,
    best_radius,
    best_sum,
    distance_table,
    small_instance,
)

TINY = 1e-9


def covering_radius_by_milp(table, k):
    """The least radius at which an integer program finds k rows that cover all."""
    for radius in np.unique(table):
        covers = LinearConstraint((table <= radius).astype(float), lb=1)
        few = LinearConstraint(np.ones((1, len(table))), ub=k)
        found = milp(
            np.zeros(len(table)), integrality=1, bounds=Bounds(0, 1), constraints=[covers, few]
        )
        if found.success:
            return radius
    raise AssertionError


def test_k_center_is_within_twice_the_optimum_and_its_certificate_below():
    for seed in range(200):
        X, k = small_instance(seed)
        best = best_radius(distance_table(X), k)
        plain, refined = k_center(X, k), k_center(X, k, refine=True)
        assert best - TINY <= refined.objective <= plain.objective <= 2 * best + TINY, seed
        assert plain.lower_bound <= best + TINY, seed
        assert refined.lower_bound == plain.lower_bound, seed


def test_max_min_is_at_least_half_the_optimum():
    for seed in range(200):
        X, k = small_instance(seed)
        best = best_gap(distance_table(X), k)
        for start in (None, 0):
            plain = k_dispersion(X, k, start=start)
            refined = k_dispersion(X, k, start=start, refine=True)
            assert best / 2 - TINY <= plain.objective <= refined.objective <= best + TINY, seed


def test_max_sum_is_at_most_a_fifth_short_of_the_optimum():
    for seed in range(200):
        X, k = small_instance(seed)
        best = best_sum(distance_table(X), k)
        found = k_dispersion(X, k, "max_sum").objective
        assert best / 1.2 - TINY <= found <= best + TINY, seed


def test_k_medoids_is_close_to_the_optimum():
    for seed in range(60):
        X, k = small_instance(seed)
        best = best_cost(distance_table(X), k)
        found = k_medoids(X, k, metric="l2").objective
        # Local search has no such bound in theory (5 is proved); 1.4 is what it keeps here.
        assert best - TINY <= found <= 1.4 * best + TINY, seed


def test_the_certificate_with_outliers_holds():
    for seed in range(60):
        X, k = small_instance(seed)
        outliers = seed % 3
        best = best_radius(distance_table(X), k, outliers)
        for refine in (False, True):
            found = k_center(X, k, outliers=outliers, refine=refine)
            assert found.lower_bound <= best + TINY, seed
            assert found.objective >= best - TINY, seed


def test_brute_force_and_integer_program_agree():
    for seed in range(12):
        X, k = small_instance(seed)
        table = distance_table(X)
        assert best_radius(table, k) == covering_radius_by_milp(table, k), seed
