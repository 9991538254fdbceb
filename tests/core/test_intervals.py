"""The bootstrap of group shares against a naive one, and its coverage."""

from __future__ import annotations

import numpy as np
import pytest

from pxgen_plugins import PXGen, groups
from pxgen_plugins.groups import intervals
from pxgen_plugins.thresholds import Conformal, Fixed, MeanMax

KINDS = ["intrinsic", "extrinsic"]


def mean(repeats):
    return repeats.mean(0)


def naive(values, repeats, combine, rule="all", scale=None, kinds=KINDS, n=4_000):
    """Really draw anchors and repeats, and group every one again."""
    rng = np.random.default_rng(99)
    shares = []
    for _ in range(n):
        cut = combine(repeats[rng.integers(len(repeats), size=len(repeats))])
        some = values[rng.integers(len(values), size=len(values))]
        found = groups.assign(some, cut, kinds, rule, scale)
        shares.append([(found == name).mean() for name in groups.GROUPS])
    low, high = np.quantile(shares, [0.025, 0.975], axis=0)
    return np.column_stack([low, high])


def data(m=2, n=120, r=5):
    rng = np.random.default_rng(0)
    values = rng.exponential(size=(n, m))
    values[3, 0] = np.nan
    return values, 1.0 + 0.3 * rng.normal(size=(r, m))


@pytest.mark.parametrize("combine", [mean, lambda repeats: repeats[0]], ids=["mean", "first"])
def test_intervals_are_those_of_the_naive_bootstrap(combine):
    values, repeats = data()
    found = intervals.bootstrap(values, repeats, combine, KINDS, n_resamples=4_000)
    expected = naive(values, repeats, combine)
    np.testing.assert_allclose([found[g] for g in groups.GROUPS], expected, atol=0.02)


@pytest.mark.parametrize("rule", groups.RULES)
def test_several_criteria_follow_the_rule(rule):
    values, repeats = data(m=3)
    kinds = [*KINDS, "extrinsic"]
    scale = np.array([1.0, 2.0, 0.5])
    found = intervals.bootstrap(values, repeats, mean, kinds, rule, scale, n_resamples=4_000)
    expected = naive(values, repeats, mean, rule, scale, kinds)
    np.testing.assert_allclose([found[g] for g in groups.GROUPS], expected, atol=0.02)


@pytest.mark.parametrize("kinds", [KINDS, KINDS[::-1]], ids="-".join)
def test_counts_under_every_threshold_are_those_of_assignment(kinds):
    rng = np.random.default_rng(5)
    values = rng.integers(6, size=(300, 2)).astype(float)  # ties with the thresholds
    values[7, 1], values[8, 0], values[9] = np.nan, np.inf, -np.inf
    thresholds = rng.integers(-1, 8, size=(40, 2)).astype(float)
    order = (*groups.GROUPS, groups.INVALID)
    found = intervals.pair_counts(values, thresholds, kinds.index("intrinsic"))
    for row, cut in zip(found, thresholds, strict=True):
        group = groups.assign(values, cut, kinds)
        assert row.tolist() == [(group == name).sum() for name in order]


@pytest.mark.parametrize("kinds", [KINDS, KINDS[::-1]], ids="-".join)
@pytest.mark.parametrize("rule", groups.RULES)
def test_the_same_seed_gives_the_intervals_of_assigning_every_anchor(kinds, rule, monkeypatch):
    values, repeats = data()
    values, repeats = values.round(1), repeats.round(1)  # ties with the thresholds
    scale = np.array([1.0, 2.0])

    def lowest(repeats):
        return repeats.min(0)

    found = intervals.bootstrap(values, repeats, lowest, kinds, rule, scale, seed=7)

    def slow(values, thresholds, _):
        found = [groups.codes(values, cut, kinds, rule, scale) for cut in thresholds]
        return np.array([np.bincount(of, minlength=5) for of in found])

    monkeypatch.setattr(intervals, "pair_counts", slow)
    assert found == intervals.bootstrap(values, repeats, lowest, kinds, rule, scale, seed=7)


def test_many_open_anchors_use_fewer_thresholds_and_agree(monkeypatch):
    values, repeats = data(m=3, n=400)
    kinds = [*KINDS, "extrinsic"]
    exact = intervals.bootstrap(values, repeats, mean, kinds)
    monkeypatch.setattr(intervals, "_WORK", 0)
    few = intervals.bootstrap(values, repeats, mean, kinds)
    for name in groups.GROUPS:
        np.testing.assert_allclose(few[name], exact[name], atol=0.04)


def test_the_true_share_lies_inside_about_as_often_as_it_says():
    rng = np.random.default_rng(1)
    truth = (1.0 - np.exp(-1.0)) ** 2  # both of two exponentials below 1
    hits = []
    for seed in range(200):
        values = rng.exponential(size=(300, 2))
        repeats = 1.0 + 0.1 * rng.normal(size=(20, 2))
        low, high = intervals.bootstrap(values, repeats, mean, KINDS, seed=seed)["HIHE"]
        hits.append(low <= truth <= high)
    assert 0.89 <= np.mean(hits) <= 0.99


def test_thresholds_that_move_widen_the_interval():
    values, repeats = data()
    still = intervals.bootstrap(values, repeats[:1], mean, KINDS)
    moving = intervals.bootstrap(values, repeats[:1] + np.array([[-0.8], [0.8]]), mean, KINDS)
    for name in ("HIHE", "LILE"):
        assert np.ptp(moving[name]) > 1.5 * np.ptp(still[name])


def test_no_anchors_have_no_interval_and_a_seed_decides():
    values, repeats = data()
    none = intervals.bootstrap(values[:0], repeats, mean, KINDS)
    assert none == dict.fromkeys(groups.GROUPS)
    one = intervals.bootstrap(values, repeats, mean, KINDS, seed=1)
    assert one == intervals.bootstrap(values, repeats, mean, KINDS, seed=1)
    assert one != intervals.bootstrap(values, repeats, mean, KINDS, seed=2)


@pytest.mark.parametrize("rule", [MeanMax(50, 4), Conformal(0.1, 50, 4), Fixed(1.0)])
def test_the_explanation_holds_them_around_its_fractions(vae, images, rule):
    found = PXGen(vae, threshold=rule).fit().explain(images)
    for group in found.groups.values():
        low, high = group["bootstrap"]
        assert 0.0 <= low <= high <= 1.0
        if isinstance(rule, Fixed):
            assert low <= group["fraction"] <= high
