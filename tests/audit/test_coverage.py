"""Intervals of what changed between two calibrations hold the planted truth as often as they say.

Values are drawn, not computed by a model, so the true thresholds are known.
"""

from __future__ import annotations

import numpy as np
import pytest

from pxgen_plugins.audit.conditions import Condition
from pxgen_plugins.audit.run_comparison import compare_runs
from pxgen_plugins.audit.verdicts import judge
from pxgen_plugins.groups import assign
from pxgen_plugins.result import Result
from pxgen_plugins.thresholds import Conformal, MeanMax

KINDS = ["intrinsic", "extrinsic"]
N, ALPHA, TRIES = 300, 0.1, 100


def calibration(rule, repeats, values, seed, n):
    return {
        "method": type(rule).__name__,
        "params": rule.params,
        "n_samples": n,
        "n_repeats": len(repeats),
        "seed": seed,
        "repeats": repeats,
        "reference": values,
        "scale": values.std(axis=0),
        "source": rule.source,
        "resampled": rule.source == "reference",
    }


def result(rule, repeats, values, seed, anchors=None):
    thresholds = rule.combine(repeats)
    table = np.zeros((3, 2)) if anchors is None else anchors
    n = len(table)
    return Result.of({
        "criteria": ["kld", "mse"],
        "kinds": KINDS,
        "units": ["nats", "1"],
        "rule": "all",
        "values": table,
        "anchor_value": table.sum(axis=1),
        "group": assign(table, thresholds, KINDS),
        "groups": {},
        "group_stability": np.ones(n),
        "labels": None,
        "ids": None,
        "thresholds": dict(zip(["kld", "mse"], thresholds.tolist(), strict=True)),
        "calibration": calibration(rule, repeats, values, seed, len(values)),
    })  # fmt: skip


def on_reference(values, seed, anchors=None):
    rule = Conformal(ALPHA, source="reference")
    repeats = rule.calibrate_values(values, ["kld", "mse"], seed).repeats
    return result(rule, repeats, values, seed, anchors)


def on_samples(rule, rng, scale, seed):
    repeats = [rng.lognormal(size=(rule.n_samples, 2)) * scale for _ in range(rule.n_repeats)]
    thresholds = np.array([rule.threshold(values) for values in repeats])
    return result(rule, thresholds, repeats[0], seed)


def interval(text, before, after, changes=None):
    changes = compare_runs(before, after) if changes is None else changes
    (found,) = judge([Condition(text)], after, before, changes)
    assert found.low <= found.observed <= found.high
    return found.low, found.high


def unmoved():
    """Changes of anchors, which a change of thresholds does not look at."""
    values = np.random.default_rng(0).lognormal(size=(N, 2))
    return compare_runs(on_reference(values, 0), on_reference(values, 0))


def share_inside(ends, truth):
    low, high = np.array(ends).T
    return np.mean((low <= truth) & (truth <= high))


def test_the_change_of_a_threshold_from_reference_data_is_covered():
    quantile = np.quantile(np.random.default_rng(0).lognormal(size=2_000_000), 1 - ALPHA)
    truth = 0.5 * quantile  # from scale 1 to 1.5
    ends = {"other data": [], "the same data": []}
    changes = unmoved()
    for seed in range(TRIES):
        rng = np.random.default_rng([1, seed])
        first, other = rng.lognormal(size=(2, N, 2))
        before = on_reference(first, 0)
        for way, values in (("other data", other), ("the same data", first)):
            after = on_reference(1.5 * values, 0)
            ends[way].append(interval("threshold.mse rise <= 9", before, after, changes))
    assert 0.9 <= share_inside(ends["other data"], truth) <= 0.99
    assert 0.9 <= share_inside(ends["the same data"], truth) <= 0.99
    # what the instances do to both thresholds cancels
    width = {way: np.mean(np.ptp(pairs, axis=1)) for way, pairs in ends.items()}
    assert width["the same data"] < 0.6 * width["other data"]


@pytest.mark.parametrize(("rule", "most"), [(MeanMax(100, 20), 0.99), (Conformal(0.1, 100), 1.0)])
def test_the_change_of_a_threshold_from_samples_is_covered(rule, most):
    # of five repeats the reported one may be the odd one, which widens their spread
    rng = np.random.default_rng(2)
    draws = np.array([rule.threshold(rng.lognormal(size=(100, 2)))[1] for _ in range(20_000)])
    truth = 0.5 * draws.mean()
    ends, changes = [], unmoved()
    for seed in range(TRIES):
        rng = np.random.default_rng([3, seed])
        before, after = (on_samples(rule, rng, 1.0 + 0.5 * one, one) for one in range(2))
        ends.append(interval("threshold.mse rise <= 9", before, after, changes))
    assert 0.9 <= share_inside(ends, truth) <= most


@pytest.mark.slow
def test_the_change_of_a_share_under_thresholds_from_reference_data_is_covered():
    big = np.random.default_rng(4).lognormal(size=(1_000_000, 2))
    cut = np.quantile(np.random.default_rng(5).lognormal(size=2_000_000), 1 - ALPHA)
    shares = [(factor * big < cut).all(axis=1).mean() for factor in (1.0, 1.5)]
    truth = shares[1] - shares[0]  # thresholds stay, anchors are half as far again
    ends, moved = [], []
    for seed in range(TRIES):
        rng = np.random.default_rng([6, seed])
        first, other = rng.lognormal(size=(2, N, 2))
        anchors = rng.lognormal(size=(N, 2))
        before = on_reference(first, 0, anchors)
        after = on_reference(other, 0, 1.5 * anchors)
        ends.append(interval("HIHE.fraction rise <= 1", before, after))
        moved.append(interval("moved.fraction <= 1", before, after))
    assert share_inside(ends, truth) >= 0.9
    true_moves = ((big < cut) != (1.5 * big < cut)).any(axis=1).mean()
    assert share_inside(moved, true_moves) >= 0.9


def test_resamples_that_agree_with_their_mean_are_resamples_still():
    # a large threshold and a small spread: the first is the mean to six digits
    rule = Conformal(ALPHA, source="reference")
    repeats = 1e6 + np.random.default_rng(7).normal(size=(100, 2))
    repeats[0] = repeats.mean(axis=0)
    run = result(rule, repeats, np.zeros((9, 2)), 0)
    (found,) = judge([Condition("threshold.mse <= 2e6")], run)
    assert found.high - found.low == pytest.approx(2 * 1.98 * repeats[:, 1].std(ddof=1), rel=0.01)
