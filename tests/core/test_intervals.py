"""Intervals of group shares: against slow ones, by theory, and how often they hold the truth."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from pxgen_plugins import PXGen, groups
from pxgen_plugins.groups import drawn_codes, threshold_draws
from pxgen_plugins.thresholds import Conformal, Fixed, MeanMax
from pxgen_plugins.utils import large_arrays

KINDS = ["intrinsic", "extrinsic"]
ORDER = (*groups.GROUPS, groups.INVALID)


def mean(repeats):
    return repeats.mean(0)


def data(m=2, n=120, r=5):
    rng = np.random.default_rng(0)
    values = rng.exponential(size=(n, m))
    values[3, 0] = np.nan
    return values, 1.0 + 0.3 * rng.normal(size=(r, m))


class TestMidP:
    @pytest.mark.parametrize("n", [1, 7, 50])
    @pytest.mark.parametrize("confidence", [0.9, 0.95])
    def test_ends_solve_the_equations_of_the_binomial(self, n, confidence):
        count = np.arange(n + 1)
        low, high = groups.mid_p_interval(count, n, confidence).T
        tail = (1 - confidence) / 2
        below = stats.binom.sf(count, n, low) + stats.binom.pmf(count, n, low) / 2
        above = stats.binom.cdf(count - 1, n, high) + stats.binom.pmf(count, n, high) / 2
        np.testing.assert_allclose(below[1:], tail, atol=1e-9)
        np.testing.assert_allclose(above[:-1], tail, atol=1e-9)
        assert (low[0], high[-1]) == (0.0, 1.0)
        np.testing.assert_allclose(high, 1 - low[::-1], atol=1e-9)

    def test_its_coverage_is_near_the_nominal_where_wilsons_is_not(self):
        n = 50
        low, high = groups.mid_p_interval(np.arange(n + 1), n).T
        wilson = np.array([groups.wilson_interval(k, n) for k in range(n + 1)])
        shares = np.linspace(0.0005, 0.9995, 1_999)

        def coverage(low, high):
            inside = (low <= shares[:, None]) & (shares[:, None] <= high)
            return (stats.binom.pmf(np.arange(n + 1), n, shares[:, None]) * inside).sum(1)

        assert coverage(low, high).min() > 0.91
        assert 0.945 < coverage(low, high).mean() < 0.975
        assert coverage(*wilson.T).min() < 0.85

    def test_no_anchors_have_no_interval(self):
        assert np.isnan(groups.mid_p_interval(0, 0)).all()


class TestThresholdDraws:
    def test_without_a_floor_they_are_students_t(self):
        repeats = np.random.default_rng(0).normal(size=(6, 1))
        draws = threshold_draws(repeats, n_draws=20_000)[:, 0]
        error = repeats.std(ddof=1) / np.sqrt(6)
        t = (draws - repeats.mean()) / error
        assert stats.kstest(t, stats.t(5).cdf).statistic < 0.015

    @pytest.mark.parametrize("r", [3, 10, 100])
    def test_maxima_of_heavy_tails_are_covered_where_students_are_not(self, r):
        # maxima of 1,000 Pareto(3) values are Frechet(3) distributed, with a known mean
        rng = np.random.default_rng(1)
        tail, trials = stats.pareto(3.0), 200
        truth = 1_000 ** (1 / 3) * 1.3541179394  # Gamma(2/3)
        hits = np.zeros(2)
        for seed in range(trials):
            repeats = tail.ppf(rng.random((r, 1)) ** (1 / 1_000))
            for k, floor in enumerate((np.array([tail.median()]), None)):
                draws = threshold_draws(repeats, floor, 400, seed)
                low, high = groups.percentiles(draws)[0]
                hits[k] += low <= truth <= high
        assert 0.90 <= hits[0] / trials <= 0.995
        assert hits[1] < hits[0]

    def test_equal_columns_stay_equal_and_correlated_ones_correlated(self):
        rng = np.random.default_rng(2)
        one = rng.gumbel(size=(40, 1))
        repeats = np.hstack([one, one, one + 0.5 * rng.gumbel(size=(40, 1)), -one])
        draws = threshold_draws(repeats, n_draws=4_000)
        assert np.array_equal(draws[:, 0], draws[:, 1])
        assert np.corrcoef(draws.T)[0, 2] == pytest.approx(np.corrcoef(repeats.T)[0, 2], abs=0.08)
        assert np.corrcoef(draws.T)[0, 3] < -0.9

    def test_constant_repeats_and_few_of_them(self):
        assert np.array_equal(threshold_draws(np.full((4, 2), 3.0))[0], [3.0, 3.0])
        assert np.array_equal(threshold_draws(np.array([[1.0, 2.0]])), [[1.0, 2.0]])
        many = np.random.default_rng(3).normal(5.0, 1.0, size=(5_000, 1))
        draws = threshold_draws(many, np.zeros(1))
        assert draws.std() == pytest.approx(1.0 / np.sqrt(5_000), rel=0.1)


class TestDrawnCodes:
    @pytest.mark.parametrize("kinds", [KINDS, KINDS[::-1], [*KINDS, "extrinsic"]], ids="-".join)
    @pytest.mark.parametrize("rule", groups.RULES)
    def test_counts_under_every_threshold_are_those_of_assignment(self, kinds, rule, monkeypatch):
        monkeypatch.setattr(large_arrays, "_BLOCK", 700)  # more than one block
        rng = np.random.default_rng(5)
        m = len(kinds)
        values = rng.integers(6, size=(300, m)).astype(float)  # ties with the thresholds
        values[7, 1], values[8, 0], values[9] = np.nan, np.inf, -np.inf
        draws = rng.integers(-1, 8, size=(40, m)).astype(float)
        draws[3] = np.inf
        scale = np.arange(1.0, m + 1)
        some = rng.random(300) < 0.3
        codes = drawn_codes.DrawnCodes(values, draws, kinds, rule, scale)
        index = np.arange(0, 300, 7)
        for k, cut in enumerate(draws):
            group = groups.assign(values, cut, kinds, rule, scale)
            assert codes.counts()[k].tolist() == [(group == name).sum() for name in ORDER]
            assert codes.counts(some)[k].tolist() == [(group[some] == n).sum() for n in ORDER]
            assert np.array_equal(np.array(ORDER)[codes.at(index)[k]], group[index])

    def test_many_open_anchors_use_fewer_thresholds_and_agree(self, monkeypatch):
        values, repeats = data(n=400)
        exact = groups.share_intervals(values, repeats, mean, KINDS)
        monkeypatch.setattr(drawn_codes, "_WORK", 0)
        few = groups.share_intervals(values, repeats, mean, KINDS)
        assert few != exact
        for name in groups.GROUPS:
            np.testing.assert_allclose(few[name], exact[name], atol=0.06)


class TestCoverage:
    @pytest.mark.parametrize("share", [0.02, 0.3])
    @pytest.mark.parametrize("r", [2, 5, 100])
    def test_the_true_share_lies_inside_about_as_often_as_it_says(self, share, r):
        # benchmarks/interval_coverage.py has every rule, tail and size
        rng = np.random.default_rng(r)
        tail, expected = stats.expon(), 7.485470860550343  # of the maximum: harmonic number 1,000
        shift = stats.norm.ppf(np.sqrt(share))
        hits = []
        for seed in range(100):
            repeats = tail.ppf(rng.random((r, 2)) ** (1 / 1_000))
            values = expected * np.exp(0.3 * (rng.normal(size=(500, 2)) - shift))
            low, high = groups.share_intervals(
                values, repeats, mean, KINDS, floor=np.full(2, np.log(2.0)), seed=seed
            )["HIHE"]
            hits.append(low <= share <= high)
        assert 0.89 <= np.mean(hits) <= 1.0

    def test_an_interval_of_the_anchors_alone_has_one_repeat(self):
        values, repeats = data()
        still = groups.share_intervals(values, repeats[:1], mean, KINDS)
        group = groups.assign(values, repeats[0], KINDS)
        for name in groups.GROUPS:
            alone = groups.mid_p_interval((group == name).sum(), len(values))
            np.testing.assert_allclose(still[name], alone)
        moving = groups.share_intervals(
            values, repeats[:1] + np.array([[-0.3], [0.3]]), mean, KINDS
        )
        for name in ("HIHE", "LILE"):
            assert np.ptp(moving[name]) > 1.5 * np.ptp(still[name])

    def test_no_anchors_have_no_interval_and_a_seed_decides(self):
        values, repeats = data()
        none = groups.share_intervals(values[:0], repeats, mean, KINDS)
        assert none == dict.fromkeys(groups.GROUPS)
        one = groups.share_intervals(values, repeats, mean, KINDS, seed=1)
        assert one == groups.share_intervals(values, repeats, mean, KINDS, seed=1)
        assert one != groups.share_intervals(values, repeats, mean, KINDS, seed=2)


class TestExplanation:
    @pytest.mark.parametrize("rule", [MeanMax(50, 4), Conformal(0.1, 50, 4), Fixed(1.0)])
    def test_it_holds_them_around_its_fractions(self, vae, images, rule):
        explanation = PXGen(vae, threshold=rule).fit().explain(images)
        for group in explanation.groups.values():
            low, high = group["interval"]
            assert 0.0 <= low <= group["fraction"] <= high <= 1.0

    def test_stability_is_the_share_of_draws_that_keep_the_group(self):
        values, repeats = data(n=60)
        shares = groups.GroupShares(values, repeats.mean(0), repeats, KINDS)
        group = groups.assign(values, repeats.mean(0), KINDS)
        kept = np.mean(
            [groups.assign(values, cut, KINDS) == group for cut in shares.thresholds], axis=0
        )
        kept[group == groups.INVALID] = np.nan
        np.testing.assert_allclose(shares.stability(), kept)
