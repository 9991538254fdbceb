"""Thresholds from reference data: what they promise, and what of it is kept and said."""

from __future__ import annotations

import json
import re
import warnings
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.stats import t as student

from pxgen_plugins import PXGen
from pxgen_plugins.criteria import FittedCriterion
from pxgen_plugins.evaluation import evaluate, threshold_study
from pxgen_plugins.models import BlackBox
from pxgen_plugins.result import Result
from pxgen_plugins.result.explanation import from_json
from pxgen_plugins.scoring import Scorer, divide
from pxgen_plugins.thresholds import Conformal, Fixed, MeanMax, Median, Quantile
from pxgen_plugins.utils.errors import AnchorError, ParameterError, PXGenWarning

JOINT = Conformal(0.1, source="reference", joint=True)


def normal(rng, n, m):
    """Correlated, with one heavy tail."""
    values = rng.normal(size=(n, m)) + rng.normal(size=(n, 1))
    values[:, -1] = np.exp(2 * values[:, -1])
    return values


def opposite(rng, n, m):
    """What is near under one criterion is far under the next."""
    u = rng.random((n, 1))
    return np.hstack([u if j % 2 else 1 - u for j in range(m)])


def ties(rng, n, m):
    return rng.integers(0, 40, size=(n, m)).astype(float)


def half_equal(rng, n, m):
    """Half of the instances are the farthest under every criterion."""
    return np.where(rng.random((n, 1)) < 0.5, 1.0, rng.random((n, m)))


def outside(rule, draw, m, n, *, seeds=1_500, new=60):
    """Return the share of new instances outside HIHE, mean and standard error over seeds."""
    shares = []
    for seed in range(seeds):
        rng = np.random.default_rng([seed, m, n])
        cut = rule.threshold(draw(rng, n, m))
        shares.append(1 - (draw(rng, new, m) < cut).all(axis=1).mean())
    return np.mean(shares), np.std(shares) / np.sqrt(seeds)


@pytest.mark.parametrize("draw", [normal, opposite, ties, half_equal])
def test_at_most_alpha_of_new_instances_fall_outside_whatever_the_criteria(draw):
    for m, n in ((1, 9), (2, 19), (4, 39), (4, 45), (2, 100), (4, 150)):
        share, error = outside(JOINT, draw, m, n)
        promised = JOINT.n_cuts(n) / (n + 1)
        assert promised <= JOINT.alpha + 1e-9
        assert share <= promised + 4 * error, (m, n)
        if draw in (normal, opposite):  # exact without ties: no smaller block would do
            assert share >= promised - 4 * error, (m, n)


def test_one_threshold_per_criterion_promises_nothing_of_them_together():
    alone = Conformal(0.1, source="reference")
    share, error = outside(alone, opposite, 2, 99)
    assert share > 0.1 + 20 * error
    values = np.random.default_rng(0).normal(size=(99, 1))
    np.testing.assert_array_equal(JOINT.threshold(values), alone.threshold(values))


def slow_block(values, alpha):
    """Cut one instance off at a time, by lists and loops."""
    left, last = [tuple(row) for row in values], {}
    m = values.shape[1]
    for cut in range(int(alpha * (len(values) + 1) + 1e-9)):
        j = cut % m
        far = max(left, key=lambda row, j=j: row[j:] + row[:j])
        left.remove(far)
        last[j] = far[j]
    return [np.nextafter(last[j], np.inf) for j in range(m)]


def test_joint_thresholds_are_those_of_the_slow_block_in_any_order():
    for seed in range(40):
        rng = np.random.default_rng(seed)
        values = ties(rng, 60, 3) if seed % 2 else normal(rng, 60, 3)
        expected = slow_block(values, 0.1)
        np.testing.assert_array_equal(JOINT.threshold(values), expected)
        np.testing.assert_array_equal(JOINT.threshold(rng.permutation(values)), expected)
        turned = JOINT.calibrate_values(values[:, [2, 0, 1]], ["c", "a", "b"], seed)
        np.testing.assert_array_equal(turned.thresholds, np.array(expected)[[2, 0, 1]])


RULES = [
    MeanMax(source="reference"),
    Quantile(0.9, source="reference"),
    Median(source="reference"),
    Conformal(0.1, source="reference"),
    JOINT,
]


@pytest.mark.parametrize("rule", RULES, ids=repr)
def test_the_t_interval_of_the_repeats_covers_the_mean_threshold(rule):
    """95% intervals from the repeats, as groups' intervals take them, around what was reported."""
    rng, names = np.random.default_rng(1), ["a", "b"]
    sets = rng.standard_exponential((500, 200, 2))
    calibrations = [rule.calibrate_values(x, names, seed) for seed, x in enumerate(sets)]
    expected = np.mean([found.thresholds for found in calibrations], axis=0)
    inside = []
    for found in calibrations:
        r = found.n_repeats
        # a mean of repeats is firmer than one of them
        firm = np.sqrt(r) if np.allclose(found.thresholds, found.repeats.mean(0)) else 1.0
        half = student.ppf(0.975, r - 1) * found.std / firm
        inside.append(np.abs(found.thresholds - expected) <= half)
    assert 0.90 <= np.mean(inside) <= 0.985


def test_repeats_begin_with_what_is_reported_and_maxima_are_of_disjoint_parts():
    values = np.random.default_rng(0).normal(size=(103, 2))
    for rule in RULES[1:]:
        found = rule.calibrate_values(values, ["a", "b"], 0)
        np.testing.assert_array_equal(found.repeats[0], found.thresholds)
        np.testing.assert_array_equal(found.thresholds, rule.threshold(values))
        assert (found.std > 0).all()
    each = MeanMax(1, 200, source="reference").calibrate_values(values, ["a", "b"], 0)
    np.testing.assert_array_equal(np.sort(each.repeats, axis=0), np.sort(values, axis=0))
    tens = MeanMax(10, 10, source="reference").calibrate_values(values, ["a", "b"], 0)
    np.testing.assert_array_equal(tens.thresholds, tens.repeats.mean(axis=0))
    assert (tens.repeats.max(axis=0) == values.max(axis=0)).all()
    few = MeanMax(source="reference").calibrate_values(values, ["a", "b"], 0)
    assert few.n_repeats == 5  # a thousand samples each would be one part, which tells no noise


@pytest.fixture
def reference(vae):
    return vae.sample(120, seed=3).detach().numpy()


class Remembers(FittedCriterion):
    """Distance to the nearest instance that it learned from."""

    name, kind, unit, requires = "remembers", "extrinsic", "value", frozenset()

    def features(self, batch):
        return batch.x.flatten(1).clone()

    def learn(self, features, model, seed):
        return {"seen": torch.cat(list(features))}

    def __call__(self, batch):
        return torch.cdist(batch.x.flatten(1), self.learned("seen", batch.x)).amin(1)


class TestFit:
    def test_criteria_and_thresholds_learn_from_disjoint_halves(self, vae, reference):
        explainer = PXGen(vae, extrinsic=Remembers(), threshold=JOINT).fit(reference[:119])
        learned = explainer.criteria[1].state["seen"]
        found = explainer.calibration
        assert (found.n_learning, found.n_samples, len(learned)) == (59, 60, 59)
        assert found.reference[:, 1].min() > 0  # no instance was its own nearest one
        rows = {part.tobytes() for part in learned}
        both = divide(explainer.scorer(), reference[:119], True, explainer.seed)
        others, _ = both.thresholds.read(slice(None))
        assert not rows & {row.tobytes() for row in others.reshape(60, -1)}
        other = PXGen(vae, extrinsic=Remembers(), threshold=JOINT, seed=1).fit(reference[:119])
        assert rows != {part.tobytes() for part in other.criteria[1].state["seen"]}

    def test_all_of_it_sets_thresholds_where_no_criterion_learns(self, vae, reference):
        explainer = PXGen(vae, threshold=JOINT).fit(reference)
        values = explainer.scorer().score(divide(explainer.scorer(), reference, True, 0).thresholds)
        np.testing.assert_array_equal(explainer.calibration.reference, values.values)
        np.testing.assert_array_equal(
            explainer.calibration.thresholds, JOINT.threshold(values.values)
        )
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            PXGen(vae, extrinsic=Remembers()).fit(reference[:50])  # used, though not by the rule

    def test_a_warning_says_that_nothing_uses_it(self, vae, reference):
        with pytest.warns(PXGenWarning, match="nothing uses X.*source='reference'"):
            PXGen(vae, threshold=MeanMax(50, 2)).fit(reference)
        with pytest.warns(PXGenWarning, match="nothing uses X"):
            PXGen(vae, threshold=Fixed(1.0)).fit(reference)

    def test_what_is_missing_or_too_small_is_one_clear_error(self, vae, reference):
        for rule in RULES:
            with pytest.raises(ParameterError, match=r"PXGen\.fit: X must be given.*held-out"):
                PXGen(vae, threshold=rule).fit()
        with pytest.raises(AnchorError, match=r"X must be at least 19 instances.*got 18"):
            PXGen(vae, threshold=JOINT).fit(reference[:18])
        with pytest.raises(ParameterError, match=r"n_samples.*2 / alpha - 1 = 199.*got 150"):
            PXGen(vae, threshold=Conformal(0.01, 150, joint=True)).fit()
        with pytest.raises(ParameterError, match="source must be one of 'samples', 'reference'"):
            Quantile(0.9, source="data")
        reference[:, 0, 0, 0] = np.nan
        with pytest.raises(AnchorError, match="none of them with finite values"):
            PXGen(vae, threshold=JOINT).fit(reference)

    def test_bad_instances_are_left_out_and_counted(self, vae, reference):
        reference[::10, 0, 0, 0] = np.nan
        with pytest.warns(PXGenWarning, match="12 of 120 reference instances"):
            explainer = PXGen(vae, threshold=JOINT).fit(reference)
        assert (explainer.calibration.n_samples, explainer.calibration.n_invalid) == (120, 12)

    def test_a_function_without_a_sampler_is_enough(self):
        explainer = PXGen(lambda X: X[:, :2], "near", "far", JOINT)
        X = np.random.default_rng(0).normal(size=(300, 2))
        shares = explainer.fit(X[:100]).explain(X[100:]).groups
        assert 0.8 < shares["HIHE"]["fraction"] < 0.97


class TestResult:
    def test_it_says_the_source_and_survives_json_and_saving(self, vae, reference, tmp_path):
        explainer = PXGen(vae, threshold=JOINT).fit(reference)
        X = vae.sample(40, seed=9).detach().numpy()
        explanation = explainer.explain(X)
        threshold = explanation.meta["params"]["threshold"]
        assert (threshold["source"], threshold["joint"]) == ("reference", True)
        for source in (explanation, from_json(explanation.to_json())):
            found = Result.of(source).calibration
            assert (found.source, found.n_samples, found.n_learning) == ("reference", 120, 0)
            assert found.values_of == "reference data"
        pool = explainer.calibration.reference
        slow = [(1 + (pool[:, 1] >= v).sum()) / 121 for v in np.asarray(explanation.values)[:, 1]]
        np.testing.assert_allclose(np.asarray(explanation.p_value)[:, 1], slow)
        explainer.save(tmp_path / "saved")
        loaded = PXGen.load(tmp_path / "saved", vae)
        for field in fields(loaded.calibration):
            one, other = (getattr(e.calibration, field.name) for e in (explainer, loaded))
            assert np.array_equal(one, other), field.name
        assert loaded.explain(X).to_json() == explanation.to_json()

    def test_files_of_earlier_versions_are_read(self, vae, tmp_path):
        PXGen(vae, threshold=Quantile(0.9, 50, 2)).fit().save(tmp_path)
        path = tmp_path / "pxgen.json"
        content = json.loads(path.read_text())
        for name in ("source", "n_learning"):
            del content["calibration"][name]
        del content["params"]["threshold"]["source"]
        path.write_text(json.dumps(content))
        with pytest.raises(ParameterError, match="checksum"):  # which they have not
            PXGen.load(tmp_path, vae)
        del content["checksum"]
        path.write_text(json.dumps(content))
        assert PXGen.load(tmp_path, vae).calibration.source == "samples"


class TestEvaluation:
    def test_checks_draw_the_reference_data_again(self, vae, reference, tmp_path):
        explainer = PXGen(vae, threshold=Conformal(0.2, source="reference")).fit(reference)
        X = vae.sample(60, seed=8).detach().numpy()
        card = evaluate(explainer, X, checks=["calibration_seeds", "randomisation"], n_seeds=2)
        found = {(row.case, row.measure): row for row in card.rows}
        assert found["other seeds", "share that keeps its group"].value < 1.0
        assert found["all layers", "share that keeps its group"].value is not None
        explainer.save(tmp_path)
        loaded = PXGen.load(tmp_path, vae)
        card = evaluate(loaded, X, checks=["calibration_seeds", "randomisation"], n_seeds=2)
        notes = {row.case: row.note for row in card.rows if row.state == "skipped"}
        assert "Call fit(X) again" in notes["all layers"]

    def test_a_study_compares_both_sources(self, vae, reference):
        explainer = PXGen(vae, threshold=JOINT).fit(reference)
        rules = [replace_source("reference"), replace_source("samples")]
        rows = threshold_study(explainer, reference[:30], rules).rows
        assert [row["case"].count("reference") for row in rows] == [1, 1, 0]
        with pytest.raises(ParameterError, match="X must be given"):
            threshold_study(PXGen(vae, threshold=Fixed(1.0)).fit(), reference[:30], rules)


def replace_source(source):
    return Quantile(0.9, n_samples=60, n_repeats=2, source=source)


def test_a_scorer_alone_is_enough_for_a_rule():
    from pxgen_plugins.anchors import open_anchors
    from pxgen_plugins.criteria.black_box import Column

    columns = [
        Column(column=j, name=f"c{j}", kind=k) for j, k in enumerate(["intrinsic", "extrinsic"])
    ]
    scorer = Scorer(BlackBox(lambda X: X, None), columns)
    X = np.random.default_rng(0).normal(size=(50, 2))
    found = JOINT.calibrate(scorer, 0, reference=open_anchors(X, sample_shape=(2,)))
    np.testing.assert_array_equal(found.thresholds, slow_block(X, 0.1))


def test_the_code_of_the_page_runs(capsys):
    page = Path(__file__).parents[2] / "docs" / "thresholds.md"
    (block,) = re.findall(r"```python\n(.*?)```", page.read_text("utf-8"), re.DOTALL)
    exec(block, {})
    share, source = capsys.readouterr().out.split()
    assert float(share) > 0.92  # of held-out zeros that are no reference data
    assert source == "reference"
