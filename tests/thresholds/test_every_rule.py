"""Every registered threshold rule under the suite for rules, and the suite itself."""

from __future__ import annotations

import inspect
from typing import Any

import numpy as np
import pytest

from pxgen_plugins import PXGen, thresholds
from pxgen_plugins.testing import (
    ThresholdCase,
    check_threshold_rule,
    parametrize_with_checks,
    threshold_checks,
)
from pxgen_plugins.testing.examples import LinearModel
from pxgen_plugins.testing.thresholds import threshold_case
from pxgen_plugins.thresholds import Rule
from tests.conformance.support import failing


def arguments(name: str) -> list[str]:
    """The arguments without which a rule cannot be built."""
    parameters = inspect.signature(thresholds.get(name)).parameters
    return [p.name for p in parameters.values() if p.default is p.empty]


RULES: list[Any] = [name for name in thresholds.names() if not arguments(name)]
# Rules that cannot be built from their names alone, and other settings of those that can.
MORE: list[Any] = [
    {"name": "Conformal", "alpha": 0.2},
    {"name": "Fixed", "values": 0.5},
    {"name": "Fixed", "values": {"near": 1.0, "far": 12.0, "wide": 90.0}},
    {"name": "MeanMax", "n_repeats": 40, "tolerance": 2.0},
    {"name": "Quantile", "q": 1.0},
]


@parametrize_with_checks([threshold_case(spec) for spec in RULES + MORE], threshold_checks())
def test_a_registered_rule_keeps_the_contract(subject, check):
    check(subject)


@pytest.mark.parametrize("spec", [*RULES, {"name": "Fixed", "values": 0.5}], ids=str)
def test_a_rule_is_fitted_saved_and_loaded(spec, tmp_path):
    rule = threshold_case(spec).make()
    model, X = LinearModel(), np.random.default_rng(0).random((20, 1, 8, 8), dtype=np.float32)
    explainer = PXGen(model, threshold=rule).fit()
    explainer.save(tmp_path)
    loaded = PXGen.load(tmp_path, model)
    assert repr(loaded.threshold) == repr(rule)
    assert loaded.explain(X).group.tolist() == explainer.explain(X).group.tolist()


class Good(Rule):
    """The mean of the samples' largest values, written once more."""

    def threshold(self, values):
        return values.max(axis=0)


class Renamed(Good):
    """Registered, in its test, by another name than its own."""


class ForgetsParameters(Good):
    def __init__(self, n_samples=100, n_repeats=2):
        super().__init__(n_samples=2 * n_samples, n_repeats=n_repeats)


class TakesAnything(Good):
    def __init__(self, n_samples=100, n_repeats=2):
        self.n_samples, self.n_repeats = n_samples or 1, n_repeats or 1


class OneForAll(Good):
    def threshold(self, values):
        return np.array([values.max()])


class NotANumber(Good):
    def threshold(self, values):
        return np.log(-values.max(axis=0))


class HidesItsRepeats(Good):
    def calibrate(self, scorer, seed, verbose=False):
        found = super().calibrate(scorer, seed, verbose)
        return thresholds.Calibration(**{**vars(found), "n_samples": 1, "seed": 0})


class Sum(Good):
    def combine(self, repeats):
        return repeats.sum(axis=0)


class FirstColumnCounts(Good):
    def threshold(self, values):
        largest = values.max(axis=0)
        return largest + largest[0]


class LastSample(Good):
    def threshold(self, values):
        return values[-1]


class Inverse(Good):
    def threshold(self, values):
        return 1.0 / values.mean(axis=0)


class CountsBatches(Good):
    def calibrate(self, scorer, seed, verbose=False):
        found = super().calibrate(scorer, seed, verbose)
        more = found.repeats + scorer.batch_size
        return thresholds.Calibration(
            **{**vars(found), "repeats": more, "thresholds": more.mean(axis=0)}
        )


class ForgetsTheSeed(Good):
    def calibrate(self, scorer, seed, verbose=False):
        found = super().calibrate(scorer, 0, verbose)
        return thresholds.Calibration(**{**vars(found), "seed": seed})


class KeepsNaN(Good):
    def calibrate(self, scorer, seed, verbose=False):
        values = scorer.score_samples(self.n_samples, seed)
        cut = values.max(axis=0)
        return thresholds.Calibration(
            type(self).__name__, self.params, [c.name for c in scorer.criteria],
            cut, cut[None], values, self.n_samples, 0, seed,
        )  # fmt: skip


class DeclaresSamples(thresholds.Fixed):
    samples = True


class NeedsSamplesForNothing(thresholds.Fixed):
    def calibrate(self, scorer, seed, verbose=False):
        scorer.score_samples(1, seed)
        return super().calibrate(scorer, seed, verbose)


class Overwrites(Good):
    def threshold(self, values):
        values *= 0.5
        return values.max(axis=0)


class Noisy(Good):
    def threshold(self, values):
        return values.max(axis=0) + np.random.random()  # noqa: NPY002


MUTANTS = {
    Renamed: "registered_name_is_its_class",
    ForgetsParameters: "parameters_rebuild_it",
    TakesAnything: "wrong_sizes_are_refused",
    OneForAll: "one_finite_threshold_per_criterion",
    NotANumber: "one_finite_threshold_per_criterion",
    HidesItsRepeats: "calibration_says_what_was_done",
    Sum: "thresholds_lie_among_the_repeats",
    FirstColumnCounts: "thresholds_follow_their_criteria",
    LastSample: "order_of_samples_does_not_matter",
    Inverse: "farther_samples_give_no_nearer_threshold",
    CountsBatches: "batch_size_does_not_matter",
    ForgetsTheSeed: "same_seed_gives_the_same_thresholds",
    KeepsNaN: "bad_samples_are_left_out",
    DeclaresSamples: "a_model_without_samples_is_refused",
    NeedsSamplesForNothing: "a_model_without_samples_is_refused",
    Overwrites: "values_are_not_modified",
    Noisy: "global_random_state_is_left_alone",
}


def case_of(mutant: type[Rule]) -> ThresholdCase:
    """A case with few samples, or for the one that takes values, with these."""
    if issubclass(mutant, thresholds.Fixed):
        return ThresholdCase(mutant.__name__, lambda: mutant(1.0))
    return threshold_case(mutant)


def test_a_good_rule_passes():
    check_threshold_rule(Good)
    check_threshold_rule(Good(n_samples=50, n_repeats=1))


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda cls: cls.__name__)
def test_a_broken_rule_is_noticed(mutant, monkeypatch):
    if mutant is Renamed:
        monkeypatch.setattr(thresholds.REGISTRY, "names", lambda: ["AnotherName"])
        monkeypatch.setattr(thresholds.REGISTRY, "get", lambda name: Renamed)
    assert MUTANTS[mutant] in failing(threshold_checks(), case_of(mutant))


def test_every_check_is_shown_to_fail():
    assert set(MUTANTS.values()) == {check.name for check in threshold_checks()}


def test_every_failure_is_listed_by_name():
    with pytest.raises(AssertionError) as caught:
        check_threshold_rule(OneForAll)
    for name in failing(threshold_checks(), case_of(OneForAll)):
        assert f"- {name}: " in str(caught.value)
