"""Criteria of latent codes against slow computations, scikit-learn and scipy."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy.spatial.distance import cdist
from scipy.stats import multivariate_normal
from sklearn.covariance import LedoitWolf

from pxgen_plugins import criteria
from pxgen_plugins.criteria import Batch
from pxgen_plugins.utils.errors import AnchorError, ModelError, ParameterError, PXGenWarning


class Echo:
    """Its codes are its instances."""

    capabilities = frozenset({"embed", "codes", "score"})
    n_codes = 4

    def embed(self, x):
        return x

    def codes(self, x):
        return x.long()

    def score(self, x):
        return x.sum(1)


def rows(seed, n, d, shift=0.0):
    rng = np.random.default_rng(seed)
    return torch.from_numpy(rng.normal(size=(n, d)) @ rng.normal(size=(d, d)) + shift)


def fit(criterion, reference, size=7):
    parts = torch.split(reference, size)
    criterion.fit(iter([Batch(Echo(), part, first=size * k) for k, part in enumerate(parts)]))
    return criterion


@pytest.mark.parametrize(("n", "d"), [(60, 4), (5, 9)])
@pytest.mark.parametrize("shift", [0.0, 1e4])
def test_aggregate_mahalanobis_is_that_of_the_ledoit_wolf_covariance(n, d, shift):
    reference, x = rows(0, n, d, shift), rows(1, 6, d, shift)
    found = fit(criteria.get("aggregate_mahalanobis")(), reference)(Batch(Echo(), x))
    oracle = LedoitWolf().fit(reference.numpy() - shift)
    expected = np.sqrt(oracle.mahalanobis(x.numpy() - shift))
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_aggregate_mahalanobis_needs_different_codes():
    with pytest.raises(AnchorError, match="different codes"):
        fit(criteria.get("aggregate_mahalanobis")(), torch.ones(5, 2))


@pytest.mark.parametrize("k", [1, 3])
def test_latent_neighbours_is_the_k_th_smallest_distance(k):
    reference, x = rows(0, 30, 3, 1e3), rows(1, 8, 3, 1e3)
    found = fit(criteria.get("latent_neighbours")(k=k), reference)(Batch(Echo(), x))
    expected = [sorted(math.dist(a, b) for b in reference.tolist())[k - 1] for a in x.tolist()]
    np.testing.assert_allclose(found, expected, rtol=1e-9)


def test_latent_neighbours_are_the_nearest_within_far_clusters():
    clusters = [torch.tensor(rows(seed, 200, 16), dtype=torch.float32) for seed in (0, 1, 2, 3)]
    reference = torch.cat([0.1 * clusters[0], 1000 + 0.1 * clusters[1]])
    x = torch.cat([0.1 * clusters[2], 1000 + 0.1 * clusters[3]])
    found = fit(criteria.get("latent_neighbours")(k=1), reference)(Batch(Echo(), x))
    expected = cdist(x.numpy().astype(float), reference.numpy().astype(float)).min(1)
    np.testing.assert_allclose(found, expected, rtol=1e-4)


@pytest.mark.parametrize("name", ["aggregate_mahalanobis", "latent_neighbours"])
def test_codes_that_are_not_finite_are_left_out_and_counted(name):
    reference = torch.as_tensor(rows(0, 30, 3))
    spoilt = reference.clone()
    spoilt[[2, 17], 1] = torch.tensor([torch.nan, torch.inf], dtype=spoilt.dtype)
    kept = [i for i in range(30) if i not in (2, 17)]
    with pytest.warns(PXGenWarning, match="2 of 30 instances"):
        found = fit(criteria.get(name)(), spoilt)
    x = Batch(Echo(), torch.as_tensor(rows(1, 8, 3)))
    clean = fit(criteria.get(name)(), reference[kept])
    np.testing.assert_allclose(found(x), clean(x), rtol=1e-9)
    with pytest.raises(AnchorError, match=r"0|none"):
        fit(criteria.get(name)(), torch.full((5, 3), torch.nan))


def test_typical_nll_leaves_out_where_there_is_no_density():
    class Half:
        capabilities = frozenset({"log_prob"})

        def log_prob(self, x):
            return torch.where(x[:, 0] > 0, -x[:, 0], -torch.inf)

    x = torch.tensor([[1.0], [-1.0], [3.0]])
    criterion = criteria.get("typical_nll")()
    with pytest.warns(PXGenWarning, match="1 of 3"):
        criterion.fit(iter([Batch(Half(), x)]))
    assert criterion(Batch(Half(), x)).tolist() == [1.0, math.inf, 1.0]
    with pytest.raises(AnchorError, match="log_prob"):
        criterion.fit(iter([Batch(Half(), -x.abs())]))


def test_a_bank_is_a_subset_that_does_not_depend_on_the_batches():
    reference = rows(0, 50, 2)
    banks = [
        fit(criteria.get("latent_neighbours")(k=1, bank=10), reference, size).state["codes"]
        for size in (3, 50)
    ]
    assert banks[0].shape == (10, 2)
    np.testing.assert_array_equal(*banks)
    with pytest.raises(AnchorError, match="at least k=5"):
        fit(criteria.get("latent_neighbours")(), reference[:4])


def test_prior_nll_is_scipys_log_density_and_typicality_the_chi_square_score():
    z = rows(0, 9, 5)
    nll = criteria.get("prior_nll")()(Batch(Echo(), z))
    np.testing.assert_allclose(nll, -multivariate_normal(np.zeros(5)).logpdf(z.numpy()), rtol=1e-9)
    found = criteria.get("typicality")()(Batch(Echo(), z))
    expected = [abs(sum(c * c for c in row) - 5) / math.sqrt(10) for row in z.tolist()]
    np.testing.assert_allclose(found, expected, rtol=1e-9)


@pytest.mark.parametrize("pooled", [False, True])
@pytest.mark.parametrize("smoothing", [0.5, 1.0])
def test_code_usage_counts_by_hand(pooled, smoothing):
    rng = np.random.default_rng(0)
    reference, x = rng.integers(0, 3, (20, 5)), rng.integers(0, 4, (6, 5))
    usage = criteria.get("code_usage")(pooled=pooled, smoothing=smoothing)
    found = fit(usage, torch.from_numpy(reference).double())(
        Batch(Echo(), torch.from_numpy(x).double())
    )
    expected = []
    for row in x:
        total = 0.0
        for place, code in enumerate(row):
            seen = reference.ravel() if pooled else reference[:, place]
            total -= math.log(((seen == code).sum() + smoothing) / (len(seen) + 4 * smoothing))
        expected.append(total)
    np.testing.assert_allclose(found, expected, rtol=1e-9)


def test_code_usage_names_other_lengths_and_wrong_parameters():
    usage = fit(criteria.get("code_usage")(), torch.zeros(4, 3))
    with pytest.raises(ModelError, match="at 3 positions"):
        usage(Batch(Echo(), torch.zeros(2, 5)))
    with pytest.raises(ParameterError, match="smoothing"):
        criteria.get("code_usage")(smoothing=0.0)


def test_discriminator_is_minus_the_score():
    x = rows(0, 4, 3)
    found = criteria.get("discriminator")()(Batch(Echo(), x))
    np.testing.assert_array_equal(found, -x.sum(1))
