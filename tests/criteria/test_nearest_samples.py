"""Criteria of distances to the model's samples, against slow computations."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import kstest
from sklearn.neighbors import NearestNeighbors

from pxgen_plugins import criteria
from pxgen_plugins.criteria import Batch
from pxgen_plugins.evaluation import sample_quality
from pxgen_plugins.utils import neighbours
from pxgen_plugins.utils.errors import ModelError, ParameterError

NAMES = ["density", "nearest_sample", "realism", "sample_rank"]


def fit(name, samples, size=7, **params):
    criterion = criteria.get(name)(**{"k": 1, "n_fit": 50} | params)
    criterion.fit(iter([Batch(None, part) for part in torch.split(samples, size)]))
    return criterion


def values(name, samples, x, **params):
    return fit(name, samples, **params)(Batch(None, x)).numpy()


def normal(seed, n, d=3, shift=0.0):
    return torch.from_numpy(np.random.default_rng(seed).normal(size=(n, d)) + shift)


def kth(point, others, k):
    return sorted(math.dist(point, other) for other in others)[k - 1]


def without(rows, i):
    return rows[:i] + rows[i + 1 :]


def density_by_hand(samples, point, k):
    balls = [kth(s, without(samples, i), k) for i, s in enumerate(samples)]
    inside = [math.dist(point, s) <= r for s, r in zip(samples, balls, strict=True)]
    return -sum(inside) / k


def realism_by_hand(samples, point, k):
    """The distance in radii, or None where every sample has k copies."""
    radii = [kth(s, without(samples, i), k) for i, s in enumerate(samples)]
    positive = [r for r in radii if r > 0]
    if not positive:
        return None
    middle = np.quantile(positive, 0.5, method="lower")
    return min(
        math.dist(point, s) / r for s, r in zip(samples, radii, strict=True) if 0 < r <= middle
    )


def ratio_by_hand(samples, point, k):
    own = kth(point, samples, k)
    around = [i for i, s in enumerate(samples) if math.dist(point, s) <= own]
    theirs = np.mean([kth(samples[i], without(samples, i), k) for i in around])
    return 0.0 if own == 0 else own / theirs if theirs else math.inf


def rank_by_hand(samples, point, k):
    ratios = [ratio_by_hand(without(samples, i), s, k) for i, s in enumerate(samples)]
    own = ratio_by_hand(samples, point, k)
    return np.mean([r < own and not math.isclose(r, own, rel_tol=1e-9) for r in ratios])


def nearest_by_hand(samples, point, k):
    return kth(point, samples, k) / math.sqrt(len(point))


BY_HAND = {
    "density": density_by_hand,
    "nearest_sample": nearest_by_hand,
    "realism": realism_by_hand,
    "sample_rank": rank_by_hand,
}


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("k", [1, 3])
@pytest.mark.parametrize("shift", [0.0, 1e4])
def test_values_are_those_computed_by_hand(name, k, shift):
    samples, x = normal(0, 30, shift=shift), normal(1, 12, shift=shift) * 1.0
    expected = [BY_HAND[name](samples.tolist(), point, k) for point in x.tolist()]
    np.testing.assert_allclose(values(name, samples, x, k=k), expected, rtol=1e-7)


# a small grid, so that copies and ties are common
grids = st.lists(st.tuples(*[st.integers(0, 3)] * 2), min_size=5, max_size=12)


@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=60, deadline=None)
@given(grids, grids, st.integers(1, 3))
def test_ties_and_copies_count_as_such(name, samples, x, k):
    rows, points = (torch.tensor(part, dtype=torch.float64) for part in (samples, x))
    samples = rows.tolist()
    if name == "realism" and realism_by_hand(samples, samples[0], k) is None:
        with pytest.raises(ModelError, match="copies"):
            fit(name, rows, k=k)
        return
    expected = [BY_HAND[name](samples, point, k) for point in points.tolist()]
    found = values(name, rows, points, k=k)
    np.testing.assert_allclose(found, expected, rtol=1e-9)
    turned = values(name, rows.flip(0), points.flip(0), k=k)[::-1]
    np.testing.assert_allclose(turned, found, rtol=1e-9)


@pytest.mark.parametrize("k", [1, 4])
def test_nearest_sample_is_scikit_learns_distance(k):
    samples, x = normal(0, 40), normal(1, 9)
    oracle, _ = NearestNeighbors(n_neighbors=k).fit(samples).kneighbors(x)
    found = values("nearest_sample", samples, x, k=k) * math.sqrt(3)
    np.testing.assert_allclose(found, oracle[:, -1], rtol=1e-12)


def test_the_mean_density_of_anchors_is_that_of_the_metric():
    samples, x = normal(0, 60), normal(1, 40)
    found = values("density", samples, x, k=5)
    assert -found.mean() == pytest.approx(sample_quality(samples, x, k=5).density)
    assert (found < 0).mean() == sample_quality(samples, x, k=5).precision


@pytest.mark.parametrize("name", NAMES)
def test_the_size_of_blocks_does_not_matter(name, monkeypatch):
    samples, x = normal(0, 40).round(decimals=1), normal(1, 20).round(decimals=1)
    whole = values(name, samples, x, k=2)
    monkeypatch.setattr(neighbours, "_BLOCK", 100)
    np.testing.assert_allclose(values(name, samples, x, k=2, size=40), whole, rtol=1e-12)


def test_a_copy_of_a_sample_is_at_distance_zero():
    samples = normal(0, 30).float()
    for name in ("nearest_sample", "sample_rank"):
        assert (values(name, samples, samples) == 0).all()
    radii = fit("realism", samples).state["rows"]
    assert (values("realism", samples, torch.from_numpy(radii)) == 0).all()
    assert (values("density", samples, samples) <= -1).all()


def test_the_rank_of_what_the_model_makes_is_uniform():
    samples, fresh, outside = normal(0, 800), normal(1, 800), normal(2, 20, shift=20.0)
    found = values("sample_rank", samples, fresh, k=5, n_fit=800)
    # the critical value of Kolmogorov and Smirnov for two sets of 800, at 5 percent
    assert kstest(found, "uniform").statistic < 1.36 * math.sqrt(2 / 800)
    assert (values("sample_rank", samples, outside, k=5, n_fit=800) == 1).all()


def test_the_rank_is_no_function_of_the_distance():
    # a tight cluster beside a loose one: far from the loose one is near by its own scale
    samples = torch.cat([normal(0, 100) * 0.01, normal(1, 100, shift=0.0) + 100.0])
    x = torch.tensor([[0.1, 0.1, 0.1], [100.5, 99.5, 100.5]], dtype=torch.float64)
    near, far = values("nearest_sample", samples, x, k=5)
    assert near < far
    odd, usual = values("sample_rank", samples, x, k=5)
    assert odd == 1.0
    assert usual < 0.9


@pytest.mark.parametrize("name", ["nearest_sample", "realism"])
def test_distances_can_be_differentiated(name):
    x = normal(1, 4).requires_grad_(True)
    criterion = fit(name, normal(0, 30), k=2)
    assert torch.autograd.gradcheck(lambda x: criterion(Batch(None, x)), x)


@pytest.mark.parametrize("name", NAMES)
def test_distances_are_taken_between_features(name):
    net = torch.nn.Linear(6, 2).requires_grad_(False)
    samples, x = normal(0, 40, 6).float(), normal(1, 9, 6).float()
    found = values(name, samples, x, k=3, network=net)
    np.testing.assert_allclose(found, values(name, net(samples), net(x), k=3), rtol=1e-4)
    maps = values(name, samples, x, k=3, network=lambda x: [x[:, :2], x[:, 2:, None, None]])
    np.testing.assert_allclose(maps, values(name, samples, x, k=3), rtol=1e-6)


@pytest.mark.parametrize("name", NAMES)
def test_instances_that_are_not_finite_have_no_value(name):
    x = normal(1, 3)
    x[1, 0], x[2, 1] = torch.nan, torch.inf
    found = values(name, normal(0, 30), x)
    assert np.isfinite(found).tolist() == [True, False, False]
    assert len(values(name, normal(0, 30), x[:0])) == 0


@pytest.mark.parametrize("name", NAMES)
def test_what_does_not_fit_is_named(name):
    kind = criteria.get(name)
    with pytest.raises(ParameterError, match="k must be an integer >= 1"):
        kind(k=0)
    with pytest.raises(ParameterError, match="n_fit=7"):
        kind(n_fit=6)
    with pytest.raises(ParameterError, match="network"):
        kind(network="vgg")
    rows = torch.rand(12, 4, generator=torch.Generator().manual_seed(0))
    for network, named in (
        (torch.nn.Linear(7, 2), "RuntimeError"),
        (lambda x: x - x.mean(0), "each instance by itself"),
        (lambda x: x.numpy(), "ndarray"),
    ):
        with pytest.raises(ModelError, match=named):
            kind(k=2, network=network).fit(iter([Batch(None, rows)]))
    with pytest.raises(ModelError, match=r"at least k \+ 2 = 4; got 3"):
        fit(name, normal(0, 3), k=2)
    bad = normal(0, 9)
    bad[4, 0] = torch.nan
    with pytest.raises(ModelError, match="1 of 9"):
        fit(name, bad)
    with pytest.raises(ModelError, match="of 3 elements"):
        values(name, normal(0, 9), normal(1, 2, 4))
