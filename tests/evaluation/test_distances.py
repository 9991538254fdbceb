"""Moments, Frechet and kernel distance, precision and recall against slow computations."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.linalg import sqrtm
from sklearn.metrics.pairwise import polynomial_kernel

from pxgen_plugins.evaluation import (
    Moments,
    frechet_distance,
    kernel_distance,
    sample_quality,
)
from pxgen_plugins.utils import neighbours
from pxgen_plugins.utils.errors import ParameterError, PXGenWarning

Floats = NDArray[np.float64]


def rows(seed: int, n: int, d: int, shift: float = 0.0, scale: float = 1.0) -> Floats:
    rng = np.random.default_rng(seed)
    return rng.normal(size=(n, d)) @ rng.normal(size=(d, d)) * scale + shift


@contextmanager
def _ignored() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", PXGenWarning)
        yield


def by_definition(a: Floats, b: Floats) -> float:
    """The distance with a matrix square root in float64."""
    s, t = (np.atleast_2d(np.cov(x, rowvar=False)) for x in (a, b))
    cross = np.real(np.trace(np.atleast_2d(sqrtm(s @ t))))
    gap = a.mean(0) - b.mean(0)
    return float(gap @ gap + np.trace(s) + np.trace(t) - 2 * cross)


class TestMoments:
    @given(st.lists(st.integers(0, 7), min_size=1, max_size=8), st.floats(-1e6, 1e6))
    @settings(deadline=None, max_examples=40)
    def test_batches_of_any_size_give_numpys_mean_and_covariance(self, sizes, shift):
        X = np.random.default_rng(sum(sizes)).normal(size=(sum(sizes), 3)) + shift
        moments, start = Moments(3), 0
        for size in sizes:
            moments.update(X[start : start + size])
            start += size
        assert moments.n == len(X)
        if len(X):
            np.testing.assert_allclose(moments.mean, X.mean(0), rtol=1e-9, atol=1e-9)
        if len(X) > 1:
            expected = np.cov(X, rowvar=False)
            np.testing.assert_allclose(moments.covariance, expected, rtol=1e-6, atol=1e-9)

    def test_what_is_no_finite_matrix_is_refused(self):
        with pytest.raises(ParameterError, match="1 of 3 rows with NaN"):
            Moments.of(np.array([[0.0], [np.nan], [1.0]]))
        with pytest.raises(ParameterError, match=r"numbers of shape \(n, d\)"):
            Moments.of(np.zeros(3))
        with pytest.raises(ParameterError, match="of 2 columns, like the rows before"):
            Moments(2).update(np.zeros((1, 3)))
        with pytest.raises(ParameterError, match="d must be an integer >= 0"):
            Moments("2")

    def test_of_no_or_one_row_the_covariance_is_zero(self):
        assert not Moments(2).covariance.any()
        assert not Moments.of([[3.0, 4.0]]).covariance.any()

    @pytest.mark.parametrize(
        "bad",
        [
            np.zeros((3, 2)) * 1j,
            np.array([["1", "2"], ["3", "4"]]),
            np.ma.masked_less(np.arange(6.0).reshape(3, 2), 1.0),
            [[1.0, 2.0], [3.0]],
            np.zeros((3, 0)),
            None,
        ],
        ids=["complex", "text", "masked", "ragged", "no columns", "None"],
    )
    @pytest.mark.parametrize("distance", [frechet_distance, kernel_distance, sample_quality])
    def test_every_distance_refuses_what_is_no_table_of_real_numbers(self, distance, bad):
        good = rows(0, 9, 2)
        for pair in ((bad, good), (good, bad)):
            with pytest.raises(ParameterError, match="must be real numbers of shape"):
                distance(*pair)

    @pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, -1e200])
    @pytest.mark.parametrize("distance", [frechet_distance, kernel_distance, sample_quality])
    def test_every_distance_counts_the_rows_that_are_not_finite(self, distance, value):
        good, bad = rows(0, 9, 2), rows(0, 9, 2)
        bad[[2, 5], 1] = value
        for pair in ((bad, good), (good, bad)):
            with pytest.raises(ParameterError, match="2 of 9 rows with NaN, infinity or a value"):
                distance(*pair)

    @pytest.mark.parametrize("kind", [np.uint8, np.int64, np.float16, bool])
    def test_numbers_of_any_type_are_taken(self, kind):
        X = np.random.default_rng(0).integers(0, 2, (30, 4)).astype(kind)
        np.testing.assert_allclose(Moments.of(X).covariance, np.cov(X.astype(float).T), rtol=1e-9)

    def test_tensors_that_numpy_does_not_know_are_taken(self):
        X = torch.arange(12.0).reshape(4, 3)
        low = X.to(torch.bfloat16).requires_grad_(True)
        np.testing.assert_array_equal(Moments.of(low).covariance, Moments.of(X).covariance)


class TestFrechet:
    @given(st.integers(0, 10_000), st.integers(1, 12), st.integers(0, 60))
    @settings(deadline=None, max_examples=60)
    def test_it_is_the_definition_where_covariances_have_full_rank(self, seed, d, more):
        a, b = rows(seed, d + 2, d), rows(seed + 1, d + 2 + more, d, shift=0.5)
        expected = by_definition(a, b)
        size = np.trace(np.atleast_2d(np.cov(a, rowvar=False))) + expected
        assert frechet_distance(a, b) == pytest.approx(expected, rel=1e-6, abs=1e-6 * size)

    @pytest.mark.parametrize("n", [1, 3, 10, 40])
    def test_identical_sets_are_at_zero_whatever_n(self, n):
        a = rows(0, n, 10, shift=1e4)
        with pytest.warns(PXGenWarning) if n <= 10 else nullcontext():
            assert frechet_distance(a, a.copy()) == 0.0

    def test_copies_in_another_order_are_at_zero_up_to_rounding(self):
        a = rows(0, 8, 30)
        with pytest.warns(PXGenWarning, match="8 rows for 30 columns"):
            assert frechet_distance(a, a[::-1]) <= 1e-12 * np.trace(np.cov(a, rowvar=False))

    @given(st.integers(0, 10_000), st.integers(2, 30), st.integers(2, 30), st.floats(-8, 8))
    @settings(deadline=None, max_examples=40)
    def test_it_is_exact_also_with_fewer_rows_than_columns(self, seed, n, m, power):
        a, b = rows(seed, n, 20) * 10.0**power, rows(seed + 1, m, 20, shift=0.5) * 10.0**power
        # with X = centred rows / sqrt(n - 1), tr (S T)^(1/2) is the sum of singular values of X Y'
        x, y = ((r - r.mean(0)) / math.sqrt(len(r) - 1) for r in (a, b))
        cross = np.linalg.svd(x @ y.T, compute_uv=False).sum()
        gap = a.mean(0) - b.mean(0)
        size = np.square(x).sum() + np.square(y).sum()
        with _ignored():
            found, other = frechet_distance(a, b), frechet_distance(b, a)
        assert found == pytest.approx(gap @ gap + size - 2 * cross, rel=1e-9, abs=1e-11 * size)
        assert other == pytest.approx(found, rel=1e-9, abs=1e-11 * size)

    @given(st.integers(0, 10_000), st.floats(-100, 100), st.floats(0.01, 100))
    @settings(deadline=None, max_examples=30)
    def test_shifts_and_turns_of_both_do_not_matter_and_scale_squares(self, seed, shift, scale):
        a, b = rows(seed, 30, 4), rows(seed + 1, 25, 4, shift=0.5)
        turn = np.linalg.qr(np.random.default_rng(seed).normal(size=(4, 4)))[0]
        moved = frechet_distance((a @ turn + shift) * scale, (b @ turn + shift) * scale)
        expected = frechet_distance(a, b) * scale**2
        size = (a.var(axis=0).sum() + b.var(axis=0).sum()) * scale**2
        assert moved == pytest.approx(expected, rel=1e-7, abs=1e-9 * size)

    def test_it_is_symmetric_and_takes_unequal_sizes(self):
        a, b = rows(0, 30, 5), rows(1, 400, 5, shift=1.0)
        assert frechet_distance(a, b) == pytest.approx(frechet_distance(b, a), rel=1e-9)

    def test_constant_features_leave_the_distance_of_means(self):
        a, b = np.full((5, 2), 1.0), np.full((9, 2), 4.0)
        assert frechet_distance(a, b) == pytest.approx(18.0)
        half = np.column_stack([np.arange(6.0), np.zeros(6)])
        assert frechet_distance(half, half + np.array([0.0, 2.0])) == pytest.approx(4.0)

    def test_a_single_row_has_no_spread(self):
        b = rows(1, 20, 1)
        with pytest.warns(PXGenWarning, match="a has 1 rows"):
            found = frechet_distance(np.array([[2.0]]), b)
        assert found == pytest.approx((2.0 - b.mean()) ** 2 + b.var(ddof=1))

    def test_moments_images_and_tensors_are_taken_alike(self):
        a, b = rows(0, 40, 12), rows(1, 40, 12)
        expected = frechet_distance(a, b)
        assert frechet_distance(Moments.of(a), b) == expected
        assert frechet_distance(a.reshape(40, 3, 2, 2), torch.from_numpy(b)) == expected

    def test_gaussians_are_at_their_known_distance(self):
        rng = np.random.default_rng(0)
        a, b = rng.normal(size=200_000), rng.normal(1.0, 3.0, size=200_000)
        assert frechet_distance(a[:, None], b[:, None]) == pytest.approx(1.0 + 4.0, rel=0.02)

    def test_a_wrong_set_is_named(self):
        with pytest.raises(ParameterError, match="a must be at least one row"):
            frechet_distance(np.empty((0, 2)), np.zeros((3, 2)))
        with pytest.raises(ParameterError, match="of as many columns as a; got 2 and 3"):
            frechet_distance(np.zeros((4, 2)), np.zeros((4, 3)))


class TestKernel:
    def test_one_subset_is_the_unbiased_estimate_by_loops(self):
        a, b = rows(0, 9, 3), rows(1, 9, 3, shift=1.0)
        total = 0.0
        for i in range(9):
            for j in range(9):
                if i != j:
                    total += (a[i] @ a[j] / 3 + 1) ** 3 / 72 + (b[i] @ b[j] / 3 + 1) ** 3 / 72
                total -= 2 * (a[i] @ b[j] / 3 + 1) ** 3 / 81
        found = kernel_distance(a, b, subset_size=9)
        assert found.value == pytest.approx(total, rel=1e-9)
        assert math.isnan(found.standard_error)

    def test_its_standard_error_is_that_of_repeated_draws(self):
        rng = np.random.default_rng(0)
        draws = [kernel_distance(*rng.normal(size=(2, 400, 2)), subset_size=40) for _ in range(200)]
        spread = np.std([draw.value for draw in draws])
        mean_error = np.mean([draw.standard_error for draw in draws])
        assert spread == pytest.approx(mean_error, rel=0.25)
        assert abs(np.mean([draw.value for draw in draws])) < 3 * spread / math.sqrt(200)

    def test_subsets_drawn_anew_from_all_rows_would_understate_the_error(self):
        values, errors = [], []
        for seed in range(60):
            rng = np.random.default_rng(seed)
            a, b = rng.normal(size=(200, 4)), rng.normal(size=(200, 4)) + 0.5
            found = [
                kernel_distance(
                    rng.choice(a, 50, replace=False), rng.choice(b, 50, replace=False),
                    subset_size=50,
                ).value
                for _ in range(40)
            ]  # fmt: skip
            values.append(np.mean(found))
            errors.append(np.std(found, ddof=1) / math.sqrt(40))
        assert np.std(values) > 2 * np.mean(errors)

    def test_the_kernel_is_scikit_learns_polynomial_kernel(self):
        a, b = rows(0, 12, 5), rows(1, 12, 5)
        aa, bb, ab = (polynomial_kernel(x, y, degree=3) for x, y in ((a, a), (b, b), (a, b)))
        off = ~np.eye(12, dtype=bool)
        expected = aa[off].mean() + bb[off].mean() - 2 * ab.mean()
        assert kernel_distance(a, b, subset_size=12).value == pytest.approx(expected, rel=1e-9)

    def test_a_seed_decides_the_subsets(self):
        a, b = rows(0, 100, 3), rows(1, 130, 3)
        one = kernel_distance(a, b, subset_size=20, seed=1)
        assert one == kernel_distance(a, b, subset_size=20, seed=1)
        assert one != kernel_distance(a, b, subset_size=20, seed=2)
        assert one.n_subsets == 5

    def test_small_sets_have_defined_results(self):
        with pytest.warns(PXGenWarning, match="cut at the 3 rows"):
            assert kernel_distance(rows(0, 3, 2), rows(1, 7, 2)).subset_size == 3
        with pytest.raises(ParameterError, match="at least two rows"):
            kernel_distance(rows(0, 1, 2), rows(1, 7, 2))
        with pytest.raises(ParameterError, match="seed must be an integer >= 0"):
            kernel_distance(rows(0, 10, 2), rows(1, 12, 2), subset_size=5, seed=-1)
        with pytest.raises(ParameterError, match="of as many columns as a"):
            kernel_distance(rows(0, 10, 2), rows(1, 12, 3), subset_size=5)
        with pytest.raises(ParameterError, match="at most 2, for disjoint subsets of 5"):
            kernel_distance(rows(0, 10, 2), rows(1, 12, 2), subset_size=5, n_subsets=3)


class TestNeighbours:
    @given(st.integers(0, 10_000), st.integers(1, 4), st.booleans())
    @settings(deadline=None, max_examples=40)
    def test_it_is_the_definition_also_with_copies(self, seed, k, whole):
        rng = np.random.default_rng(seed)
        real, fake = rng.normal(size=(14, 2)), rng.normal(size=(11, 2))
        if whole:  # many ties and copies
            real, fake = real.round(), fake.round()

        def radius(X: Floats, i: int) -> float:
            return sorted(math.dist(X[i], X[j]) for j in range(len(X)) if j != i)[k - 1]

        inside = np.array(
            [[math.dist(r, f) <= radius(real, i) for f in fake] for i, r in enumerate(real)]
        )
        recalled = [
            any(math.dist(r, f) <= radius(fake, j) for j, f in enumerate(fake)) for r in real
        ]
        found = sample_quality(real, fake, k=k)
        assert found.precision == inside.any(0).mean()
        assert found.coverage == inside.any(1).mean()
        assert found.density == pytest.approx(inside.sum() / (k * len(fake)))
        assert found.recall == np.mean(recalled)

    def test_blocks_do_not_change_the_result(self):
        real, fake = rows(0, 1_200, 2), rows(1, 700, 2)
        found = sample_quality(real, fake)
        assert 0.8 < found.density < 1.2
        assert found == sample_quality(real[::-1], fake[::-1])

    @pytest.mark.parametrize("block", [1, 100, 1_000])
    def test_nor_does_their_size(self, block, monkeypatch):
        real, fake = rows(0, 130, 2).round(1), rows(1, 70, 2).round(1)
        whole = sample_quality(real, fake)
        monkeypatch.setattr(neighbours, "_BLOCK", block)
        assert sample_quality(real, fake) == whole

    def test_a_model_that_dropped_one_of_two_modes_has_precision_and_half_the_recall(self):
        rng = np.random.default_rng(0)
        one, other, samples = rng.normal(size=(3, 200, 2))
        found = sample_quality(np.concatenate([one, other + 100.0]), samples)
        assert found.precision > 0.9
        assert 0.4 < found.recall <= 0.5
        assert 0.3 < found.coverage <= 0.5

    def test_a_set_is_a_perfect_sample_of_itself_also_when_all_rows_are_copies(self):
        for real in (rows(0, 50, 3), np.ones((50, 3))):
            found = sample_quality(real, real.copy())
            assert (found.precision, found.recall, found.coverage) == (1.0, 1.0, 1.0)
        assert found.density == 10.0  # every sample lies in all 50 balls, over k = 5

    def test_too_few_rows_are_named(self):
        with pytest.raises(ParameterError, match="samples must be of more than k = 5 rows; got 5"):
            sample_quality(rows(0, 9, 2), rows(1, 5, 2))
        with pytest.raises(ParameterError, match="reference must be of more than k = 5 rows"):
            sample_quality(np.empty((0, 2)), rows(1, 9, 2))
        with pytest.raises(ParameterError, match="of as many columns as reference"):
            sample_quality(rows(0, 9, 2), rows(1, 9, 3))
        with pytest.raises(ParameterError, match="k must be an integer >= 1"):
            sample_quality(rows(0, 9, 2), rows(1, 9, 2), k=0)
