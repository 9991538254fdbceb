"""The checks on models whose answer is known, and the card that holds them."""

from __future__ import annotations

import copy
import json
from pathlib import Path

import numpy as np
import pytest
import torch

from pxgen_plugins import PXGen
from pxgen_plugins.datasets import load_mnist, load_mnist_vae
from pxgen_plugins.evaluation import Scorecard, checks, evaluate
from pxgen_plugins.evaluation.checks import Row
from pxgen_plugins.host import NotFittedError
from pxgen_plugins.models import VAE
from pxgen_plugins.testing.guards import module_state, moved_generators, random_state
from pxgen_plugins.thresholds import Conformal, Fixed, MeanMax, Quantile
from pxgen_plugins.utils.errors import AnchorError, ParameterError, PXGenWarning
from tests.adapters.airplanes import CHECKPOINTS, FOLDER, airplane_vae, airplanes
from tests.adapters.faces import FACES, face_vae

CIFAR = FOLDER / "data" / "cifar10_subset.npz"
CHECKPOINTS_EXIST = CIFAR.exists() and all(Path(path).exists() for path in CHECKPOINTS)
RULE = Quantile(0.9, n_samples=200, n_repeats=2)


@pytest.fixture
def explainer(vae):
    return PXGen(vae, threshold=RULE).fit()


def rows_of(card, check):
    return {(row.case, row.measure): row for row in card.rows if row.check == check}


@pytest.fixture(scope="module")
def card():
    """5,000 samples and 500 anchors are enough to see what the full example shows."""
    net = load_mnist_vae()
    model = VAE(net, latent_shape=(200,), sample_shape=(1, 28, 28))
    images, labels = load_mnist("test")
    zeros, _ = load_mnist("train", digits=0)
    explainer = PXGen(model, threshold=MeanMax(5_000, 4)).fit()
    return evaluate(
        explainer,
        images[:500],
        training=zeros[:500],
        out_of_domain={"other digits": images[labels != 0][:300]},
        n_seeds=2,
    )


@pytest.mark.slow
class TestOnTheShippedVAE:
    def test_every_check_passes(self, card):
        assert [row for row in card.rows if row.state == "failed"] == []
        assert card.passed
        assert {row.check for row in card.rows} == set(checks.names())

    def test_planted_anchors_land_where_they_must(self, card):
        rows = rows_of(card, "known_groups")
        found = {case: row.value for (case, _), row in rows.items()}
        assert found["the model's own samples"] > 0.98
        assert found["training data"] > 0.8
        assert found["uniform noise"] == 1.0
        assert found["anchors with permuted elements"] > 0.98
        assert found["out of domain: other digits"] > 0.9
        assert found["constant, highest value"] == 1.0
        assert all(row.state == "passed" for row in rows.values())
        measures = dict(list(rows))
        assert measures["training data"] == "share in HIHE"
        assert measures["uniform noise"] == "share in HILE or LILE"
        assert measures["constant, lowest value"] == "share outside HIHE"

    @pytest.mark.parametrize(
        "rule",
        [
            Quantile(0.99, 2_000, 2),
            Conformal(0.01, 2_000, 2),
            Conformal(0.05, source="reference", joint=True),
            Quantile(0.95, source="reference"),
        ],
        ids=repr,
    )
    def test_known_kinds_pass_under_the_rules_that_the_pages_recommend(self, rule):
        model = VAE(load_mnist_vae(), latent_shape=(200,), sample_shape=(1, 28, 28))
        images, labels = load_mnist("test")
        held_out = images[labels == 0] if rule.source == "reference" else None
        card = evaluate(
            PXGen(model, threshold=rule).fit(held_out),
            images[:200],
            checks=["known_groups"],
            training=load_mnist("train", digits=0)[0][:300],
            out_of_domain={"other digits": images[labels != 0][:300]},
        )
        assert card.failed == []
        promises = {row.case: row.expected for row in card.rows}
        if rule.source == "reference":  # of data, and none of samples
            assert promises["the model's own samples"] == ""
            assert float(promises["training data"].split()[-1]) > 0.7

    def test_randomised_models_separate_from_other_seeds(self, card):
        measure = "adjusted Rand index"
        random = rows_of(card, "randomisation")["all layers", measure]
        seeds = rows_of(card, "calibration_seeds")["other seeds", measure]
        assert random.interval[1] < 0.2
        assert seeds.interval[0] > 0.8


def cifar(label: int) -> np.ndarray:
    """100 CIFAR-10 images of one class, enlarged to 64 x 64, float32 in [0, 1]."""
    with np.load(CIFAR, allow_pickle=False) as file:
        small = file["test_x"][file["test_y"] == label][:100]
    x = torch.from_numpy(small).permute(0, 3, 1, 2).float() / 255.0
    return torch.nn.functional.interpolate(x, scale_factor=2, mode="bilinear").numpy()


@pytest.mark.shared
@FACES
@pytest.mark.skipif(not CIFAR.exists(), reason=f"{CIFAR} is absent")
class TestOnAColourModel:
    """The published VAE of faces, with cars, frogs and digits that it cannot know."""

    def card(self, rule):
        model = face_vae()
        grey = np.repeat(load_mnist("test")[0][:100, None], 3, axis=1)
        digits = np.pad(grey, ((0, 0), (0, 0), (18, 18), (18, 18)))
        return evaluate(
            PXGen(model, threshold=rule).fit(),
            model.sample(60, seed=3).detach().numpy(),
            checks=["known_groups"],
            out_of_domain={"cars": cifar(1), "frogs": cifar(6), "digits": digits},
        )

    @pytest.mark.slow
    def test_planted_anchors_land_where_they_must_under_a_quantile(self):
        card = self.card(Quantile(0.99, n_samples=1_000, n_repeats=2))
        assert card.passed, [row for row in card.rows if row.state == "failed"]
        found = {case: row.value for (case, _), row in rows_of(card, "known_groups").items()}
        assert found["the model's own samples"] > 0.95
        assert found["uniform noise"] == found["anchors with permuted elements"] == 1.0
        assert found["out of domain: cars"] > 0.95

    @pytest.mark.slow
    def test_the_card_shows_that_a_maximum_lets_smooth_strangers_in(self):
        card = self.card(MeanMax(1_000, 2))
        failed = {row.case for row in card.failed}
        assert {"out of domain: frogs", "out of domain: digits"} <= failed


@pytest.mark.slow
@pytest.mark.shared
@pytest.mark.skipif(not CHECKPOINTS_EXIST, reason=f"{FOLDER} is absent")
def test_real_airplanes_and_cars_land_where_they_must_on_the_model_of_airplanes():
    explainer = PXGen(airplane_vae(), threshold=Quantile(0.99, n_samples=1_000, n_repeats=3)).fit()
    card = evaluate(
        explainer,
        cifar(0),
        checks=["known_groups"],
        training=airplanes(100),
        out_of_domain={"cars": cifar(1)},
    )
    # constant images are HIHE under this model by a quantile, and the card says so (families.md)
    assert card.failed
    assert all(row.case.startswith("constant") for row in card.failed)
    found = {case: row.value for (case, _), row in rows_of(card, "known_groups").items()}
    assert found["training data"] > 0.8
    assert found["uniform noise"] == 1.0
    assert found["out of domain: cars"] > 0.9


class TestEvaluate:
    def test_the_model_and_global_randomness_are_left_as_they_were(self, net, images):
        vae = VAE(net, latent_shape=(3,), sample_shape=(1, 8, 8))
        net.train()
        explainer = PXGen(vae, threshold=RULE).fit()
        before, drawn = module_state(net), random_state()
        calibration = copy.deepcopy(explainer.calibration)
        evaluate(explainer, images, n_seeds=1)
        after = module_state(net)
        assert str(before) == str(after)
        assert not moved_generators(drawn)
        np.testing.assert_array_equal(explainer.calibration.thresholds, calibration.thresholds)

    def test_a_seed_gives_the_same_card(self, explainer, images):
        one, again = (evaluate(explainer, images, n_seeds=2) for _ in range(2))
        assert one.to_json() == again.to_json()
        assert one.to_json() != evaluate(explainer, images, n_seeds=2, seed=1).to_json()

    def test_the_order_of_anchors_does_not_matter(self, explainer, images):
        labels = np.arange(60) % 3
        order = np.random.default_rng(1).permutation(60)
        one = evaluate(explainer, images, labels, n_seeds=1)
        other = evaluate(explainer, images[order], labels[order], n_seeds=1)
        assert one.rows == other.rows

    def test_invalid_anchors_are_left_out_with_a_warning(self, explainer, images):
        holes = images.copy()
        holes[::4] = np.nan
        with pytest.warns(PXGenWarning, match="15 of 60 anchors are in no group"):
            found = evaluate(explainer, holes, n_seeds=1)
        kept = evaluate(explainer, np.delete(images, np.s_[::4], axis=0), n_seeds=1)
        assert found.rows == kept.rows
        assert found.about["n_invalid"] == 15
        with pytest.raises(AnchorError, match="at least one anchor with finite values"):
            evaluate(explainer, holes * np.nan)

    def test_what_cannot_be_checked_is_skipped_with_its_reason(self, images):
        explainer = PXGen(
            lambda X: X.reshape(len(X), -1)[:, :2],
            sampler=lambda n, seed: np.resize(images, (n, 1, 8, 8)),
            threshold=Fixed(0.5),
        ).fit()
        card = evaluate(explainer, images, n_seeds=1)
        skipped = {row.check: row.note for row in card.rows if row.state == "skipped"}
        assert "no layers" in skipped["randomisation"]
        assert "fixed" in skipped["calibration_seeds"]

    def test_a_single_anchor_is_enough_and_none_is_refused(self, explainer, images):
        card = evaluate(explainer, images[:1], n_seeds=1)
        assert any("one group" in row.note for row in card.rows if row.state == "skipped")
        json.loads(card.to_json())
        with pytest.raises(AnchorError, match="X must be at least one anchor"):
            evaluate(explainer, images[:0])

    def test_wrong_arguments_are_named(self, vae, explainer, images):
        with pytest.raises(NotFittedError):
            evaluate(PXGen(vae), images)
        with pytest.raises(ParameterError, match="known_groups"):
            evaluate(explainer, images, checks=["known_group"])
        with pytest.raises(ParameterError, match="a PXGen explainer"):
            evaluate(vae, images)
        with pytest.raises(ParameterError, match="n_seeds"):
            evaluate(explainer, images, n_seeds=0)
        for names in ("known_groups", []):
            with pytest.raises(ParameterError, match="a sequence of names of checks"):
                evaluate(explainer, images, checks=names)
        with pytest.raises(ParameterError, match="a mapping from name to anchors"):
            evaluate(explainer, images, out_of_domain=images)
        with pytest.raises(AnchorError):
            evaluate(explainer, images, checks=["known_groups"], training=images[:, :, :3])

    def test_a_criterion_that_learns_is_taught_the_other_model(self, vae, images):
        from tests.core.test_explainer import Reference

        fitted = PXGen(vae, extrinsic=Reference(), threshold=RULE).fit(images)
        card = evaluate(fitted, images, checks=["randomisation"], n_seeds=1)
        assert any(row.value is not None for row in card.rows)  # by the data that fit was given
        fitted.reference = None  # as after loading
        card = evaluate(fitted, images, checks=["randomisation"], n_seeds=1)
        assert all("training" in row.note for row in card.rows)
        card = evaluate(fitted, images, checks=["randomisation"], training=images, n_seeds=1)
        assert any(row.value is not None for row in card.rows)


class TestCard:
    def test_it_survives_json_and_judges_itself(self):
        good = Row.of("known_groups", "a|b", "share", 0.5, interval=(0.4, 0.6), low=0.1, high=0.9)
        bad = Row.of("known_groups", "c", "share", 0.5, high=0.4)
        card = Scorecard([good, bad, Row.skip("x", "y", "no\nway")], {"seed": 1})
        assert Scorecard.from_json(card.to_json()) == card
        assert card.failed == [bad]
        assert not card.passed
        assert Scorecard([good]).passed
        assert not Scorecard([Row.skip("x", "y", "z")]).passed
        text = card.to_markdown()
        assert "a\\|b" in text
        assert "no way" in text
        assert "0.1 to 0.9" in text
        assert "0.500 (0.400 to 0.600)" in text

    @pytest.mark.parametrize("change", [("state", "fine"), ("value", "1"), ("interval", [1])])
    def test_other_json_is_refused(self, change):
        text = Scorecard([Row.of("a", "b", "c", 0.5)]).to_json()
        content = json.loads(text)
        content["rows"][0][change[0]] = change[1]
        for wrong in ("{}", "[1]", "no", text.replace("0.5", "NaN"), json.dumps(content)):
            with pytest.raises(ParameterError, match="a scorecard's JSON"):
                Scorecard.from_json(wrong)

    def test_what_is_written_is_escaped(self, tmp_path):
        card = Scorecard([Row.of("known_groups", "<script>", "&", 0.5, low=0.6)])
        for name in ("card.json", "card.md", "card.html"):
            card.write(tmp_path / name)
        text = (tmp_path / "card.html").read_text()
        assert "&lt;script&gt;" in text
        assert "<script>" not in text
        assert Scorecard.from_json((tmp_path / "card.json").read_text()) == card
        with pytest.raises(ParameterError, match="a file name that ends in"):
            card.write(tmp_path / "card.txt")

    def test_it_is_drawn_with_a_mark_per_value(self, explainer, images):
        import matplotlib as mpl

        mpl.use("Agg")
        card = evaluate(explainer, images, n_seeds=1)
        (axes,) = card.plot()
        marks = [line for line in axes.lines if str(line.get_gid()).startswith("value:")]
        assert len(marks) == sum(row.value is not None for row in card.rows)
        mpl.pyplot.close(axes.figure)
        (axes,) = Scorecard([]).plot()
        assert axes.get_title(loc="left") == "nothing was checked"
        mpl.pyplot.close(axes.figure)
