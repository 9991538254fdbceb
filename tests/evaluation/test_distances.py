"""Frechet and kernel distance, precision and recall, and the features they are taken on."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.linalg import sqrtm
from torch import nn

from pxgen_plugins.datasets import load_mnist, load_mnist_lenet
from pxgen_plugins.errors import AnchorError, ParameterError, PXGenWarning
from pxgen_plugins.evaluation import (
    Moments,
    extract_features,
    frechet_distance,
    kernel_distance,
    sample_quality,
)
from tests.conftest import TinyNet, tiny_vae

Floats = NDArray[np.float64]


def rows(seed: int, n: int, d: int, shift: float = 0.0, scale: float = 1.0) -> Floats:
    rng = np.random.default_rng(seed)
    return rng.normal(size=(n, d)) @ rng.normal(size=(d, d)) * scale + shift


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

    def test_parts_can_be_merged(self):
        X = rows(0, 50, 4, shift=100.0)
        merged = Moments.of(X[:20]).merge(Moments.of(X[20:])).merge(Moments(4))
        np.testing.assert_allclose(merged.covariance, np.cov(X, rowvar=False), rtol=1e-9)

    def test_what_is_no_finite_matrix_is_refused(self):
        with pytest.raises(ParameterError, match="1 of 3 rows with NaN"):
            Moments.of(np.array([[0.0], [np.nan], [1.0]]))
        with pytest.raises(ParameterError, match=r"numbers of shape \(n, d\)"):
            Moments.of(np.zeros(3))
        with pytest.raises(ParameterError, match="of 2 columns, like the rows before"):
            Moments(2).update(np.zeros((1, 3)))


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
        with pytest.warns(PXGenWarning) if n <= 10 else _nothing():
            assert frechet_distance(a, a.copy()) == 0.0

    def test_copies_in_another_order_are_at_zero_up_to_rounding(self):
        a = rows(0, 8, 30)
        with pytest.warns(PXGenWarning, match="8 rows for 30 columns"):
            assert frechet_distance(a, a[::-1]) <= 1e-6 * np.trace(np.cov(a, rowvar=False))

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


class _nothing:
    def __enter__(self) -> None: ...
    def __exit__(self, *error: Any) -> None: ...


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

    def test_too_few_rows_are_named(self):
        with pytest.raises(ParameterError, match="samples must be of more than k = 5 rows; got 5"):
            sample_quality(rows(0, 9, 2), rows(1, 5, 2))


class TestFeatures:
    def test_without_a_network_features_are_elements_scaled_as_a_model_sees_them(self):
        images = np.random.default_rng(0).integers(0, 256, (7, 2, 4, 4), dtype=np.uint8)
        found = extract_features(images, batch_size=3)
        np.testing.assert_allclose(found, images.reshape(7, -1) / 255, rtol=1e-6)
        centred = extract_features(images, data_range=(-1.0, 1.0))
        np.testing.assert_allclose(centred, found * 2 - 1, atol=1e-6)

    def test_maps_are_averaged_and_flags_restored(self):
        net = nn.Sequential(nn.Conv2d(1, 3, 3), nn.Dropout(0.5)).train()
        images = np.random.default_rng(0).random((5, 1, 6, 6), dtype=np.float32)
        found = extract_features(images, net, batch_size=2)
        assert net.training
        with torch.no_grad():
            expected = net[0](torch.from_numpy(images)).mean((2, 3))
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)

    def test_a_model_gives_its_posterior_means(self, images):
        model, net = tiny_vae(), TinyNet().eval()
        with torch.no_grad():
            expected = net.encode(torch.from_numpy(images))[0]
        np.testing.assert_allclose(extract_features(images, model), expected, rtol=1e-5, atol=1e-6)

    def test_what_cannot_be_used_is_named(self):
        with pytest.raises(ParameterError, match="callable on a batch"):
            extract_features(np.zeros((2, 3)), "inception")
        with pytest.raises(ParameterError, match="returning 2 rows of features"):
            extract_features(np.zeros((2, 3)), lambda x: x.sum())
        with pytest.raises(AnchorError, match="instance 1"):
            extract_features(np.array([[0.0], [np.nan]]))
        with pytest.raises(AnchorError, match="data_range"):
            extract_features(np.array([[0.0], [7.0]]))

    def test_the_shipped_lenet_tells_digits_apart_and_near_sets_near(self):
        images, labels = load_mnist("test")
        net = load_mnist_lenet()
        features = {
            name: extract_features(part, net.features, sample_shape=(1, 28, 28))
            for name, part in {
                "zeros": images[labels == 0][:450],
                "other zeros": images[labels == 0][450:900],
                "sixes": images[labels == 6][:450],
            }.items()
        }
        near = frechet_distance(features["zeros"], features["other zeros"])
        assert near < 0.05 * frechet_distance(features["zeros"], features["sixes"])
