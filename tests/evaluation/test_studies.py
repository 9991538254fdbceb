"""Studies of thresholds and anchor sets, and of training samples, against what theory says."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest

from pxgen_plugins import PXGen, groups
from pxgen_plugins.evaluation import (
    Study,
    anchor_study,
    compare_training_samples,
    threshold_study,
)
from pxgen_plugins.host import NotFittedError
from pxgen_plugins.thresholds import Fixed, MeanMax, Quantile
from pxgen_plugins.utils.errors import ParameterError

RULES = [MeanMax(50, 2), Quantile(0.5, 200, 3)]


@pytest.fixture
def explainer(vae):
    return PXGen(vae, threshold=Quantile(0.9, 200, 3), n_representatives=4).fit()


@pytest.fixture
def labels():
    return np.array(["a", "b", "c"])[np.arange(60) % 3]


def own(study):
    return study.rows[0]


class TestThresholds:
    def test_each_row_is_what_an_explainer_with_that_rule_says(
        self, vae, explainer, images, labels
    ):
        study = threshold_study(explainer, images, RULES, labels)
        for row, rule in zip(study.rows, [explainer.threshold, *RULES], strict=True):
            found = PXGen(vae, threshold=rule).fit().explain(images, labels=labels)
            assert row["case"] == repr(rule)
            assert row["thresholds"] == found.thresholds
            for name in groups.GROUPS:
                assert row["fractions"][name] == found.groups[name]["fraction"]
                assert row["intervals"][name] == found.groups[name]["interval"]
            assert row["stability"] == pytest.approx(found.group_stability.mean())
            hihe = (found.group == "HIHE") & (labels == "b")
            assert row["labels"]["b"]["share"] == pytest.approx(hihe.sum() / 20)

    def test_the_first_row_is_the_explainers_own_and_agrees_with_itself(self, explainer, images):
        first, other = threshold_study(explainer, images, [Fixed(1e9)]).rows
        assert (first["moved"], first["rand_index"]) == (0.0, 1.0)
        assert other["fractions"]["HIHE"] == 1.0
        assert other["moved"] == pytest.approx(1 - first["fractions"]["HIHE"])

    def test_a_higher_quantile_lets_more_in(self, explainer, images):
        rules = [Quantile(q, 300, 2) for q in (0.1, 0.5, 0.99)]
        shares = [r["fractions"]["HIHE"] for r in threshold_study(explainer, images, rules).rows]
        assert shares[1:] == sorted(shares[1:])

    def test_rules_come_by_name_too_and_have_defaults(self, explainer, images):
        named = threshold_study(explainer, images, [{"name": "MeanMax",
                                "n_samples": 20, "n_repeats": 2}])  # fmt: skip
        assert named.rows[1]["case"].startswith("MeanMax(n_samples=20")
        with pytest.raises(ParameterError, match="threshold"):
            threshold_study(explainer, images, ["maximum"])


class TestAnchors:
    def test_shares_of_drawn_sets_scatter_as_the_hypergeometric_law_says(self, vae):
        images = np.random.default_rng(1).random((1_000, 1, 8, 8), dtype=np.float32)
        values = PXGen(vae, threshold=Fixed(1.0)).fit().explain(images).values
        cut = dict(zip(("kld", "mse"), np.quantile(values, 0.6, axis=0).tolist(), strict=True))
        explainer = PXGen(vae, threshold=Fixed(cut)).fit()
        study = anchor_study(explainer, images, sizes=[50, 200], n_draws=200)
        whole = own(study)["fractions"]["HIHE"]
        for row in study.rows[1:]:
            size = row["n_anchors"]
            expected = math.sqrt(whole * (1 - whole) / size * (1_000 - size) / 999)
            assert row["expected_deviation"] == pytest.approx(expected)
            assert row["deviation"] == pytest.approx(expected, rel=0.2)
            assert row["fractions"]["HIHE"] == pytest.approx(whole, abs=4 * expected / 14)
        assert own(study)["radius"] <= min(row["radius"] for row in study.rows[1:])

    def test_compositions_keep_every_anchors_group(self, explainer, images, labels):
        found = explainer.explain(images)
        mask = images.mean((1, 2, 3)) > 0.5
        study = anchor_study(
            explainer, images, labels, sizes=[], compositions={"bright": mask, "twice": [0, 0, 1]}
        )
        rows = {row["case"]: row for row in study.rows}
        assert set(rows) == {
            "all anchors", "without label a", "without label b", "without label c",
            "bright", "twice",
        }  # fmt: skip
        for name in groups.GROUPS:
            inside = found.group == name
            assert rows["bright"]["fractions"][name] == pytest.approx(inside[mask].mean())
            assert rows["without label b"]["fractions"][name] == pytest.approx(
                inside[labels != "b"].mean()
            )
        assert rows["twice"]["n_anchors"] == 3

    def test_a_seed_decides_the_draws(self, explainer, images):
        one, again, other = (
            anchor_study(explainer, images, sizes=[10], seed=seed).to_json() for seed in (1, 1, 2)
        )
        assert one == again
        assert one != other

    def test_wrong_sets_are_named(self, vae, explainer, images):
        with pytest.raises(ParameterError, match=r"compositions\['x'\]"):
            anchor_study(explainer, images, compositions={"x": [60]})
        with pytest.raises(ParameterError, match=r"compositions\['x'\]"):
            anchor_study(explainer, images, compositions={"x": []})
        with pytest.raises(ParameterError, match="sizes"):
            anchor_study(explainer, images, sizes=[0])
        with pytest.raises(ParameterError, match="X must be at least one anchor"):
            anchor_study(explainer, images[:0])
        with pytest.raises(NotFittedError):
            threshold_study(PXGen(vae), images)


class TestStudy:
    def test_it_survives_json_is_a_table_and_a_figure(self, explainer, images):
        import matplotlib as mpl

        mpl.use("Agg")
        for study in (
            threshold_study(explainer, images, RULES),
            anchor_study(explainer, images, sizes=[20]),
        ):
            again = Study.from_json(study.to_json())
            assert again.to_json() == study.to_json()
            assert study.to_markdown().count("\n") == len(study.rows) + 2
            (axes,) = study.plot()
            assert len(axes.get_yticks()) == len(study.rows)
            mpl.pyplot.close(axes.figure)
        with pytest.raises(ParameterError, match="a study's JSON"):
            Study.from_json("[]")


class TestTrainingSamples:
    def test_numbers_agree_with_loops(self):
        X = np.random.default_rng(0).normal(size=(40, 3))
        picks = {"one": [3, 7, 20, 21], "two": [0, 0, 1]}
        rows = compare_training_samples(X, picks).table()
        for row, index in zip(rows, picks.values(), strict=True):
            gaps = [math.dist(X[a], X[b]) for k, a in enumerate(index) for b in index[k + 1 :]]
            nearest = [min(math.dist(x, X[i]) for i in index) for x in X]
            assert row["mean_pairwise_distance"] == pytest.approx(np.mean(gaps))
            assert row["least_distance"] == pytest.approx(min(gaps))
            assert row["radius"] == pytest.approx(max(nearest))
            assert row["mean_distance"] == pytest.approx(np.mean(nearest))
        assert [row["copies"] for row in rows] == [0, 1]

    def test_spread_picks_cover_more_than_crowded_ones(self):
        rng = np.random.default_rng(0)
        X = np.concatenate([rng.normal(size=(50, 2)) + 20 * k for k in range(4)])
        rows = compare_training_samples(X, {"spread": [0, 60, 110, 160], "near": [0, 1, 2, 3]})
        spread, near = rows.table()
        assert spread["covered"] > 0.6
        assert near["covered"] < 0.4

    def test_it_is_drawn_with_a_picture_per_pick(self):
        import matplotlib as mpl

        mpl.use("Agg")
        images = np.random.default_rng(0).random((9, 1, 5, 5))
        found = compare_training_samples(images, {"a": [0, 1, 2], "b|<i>": [4]})
        axes = found.plot()
        assert [len(ax.get_images()) for ax in axes] == [3, 1]
        mpl.pyplot.close(axes[0].figure)
        assert json.loads(found.to_json())["picks"]["a"] == [0, 1, 2]
        assert "b\\|<i>" in found.to_markdown()

    def test_wrong_picks_and_features_are_named(self):
        X = np.zeros((4, 2))
        with pytest.raises(ParameterError, match=r"picks\['a'\].*indices in \[0, 4\)"):
            compare_training_samples(X, {"a": [4]})
        with pytest.raises(ParameterError, match="of 4 rows"):
            compare_training_samples(X, {"a": [0]}, {"f": np.zeros((3, 2))})
