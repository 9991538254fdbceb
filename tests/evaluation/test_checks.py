"""The parts of the checks against slow twins, simulation and models whose answer is known."""

from __future__ import annotations

import functools
import itertools
import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from torch import nn

from pxgen_plugins import PXGen
from pxgen_plugins.anchors import Subset, open_anchors
from pxgen_plugins.criteria import FittedCriterion
from pxgen_plugins.evaluation import checks, evaluate
from pxgen_plugins.evaluation.checks import Agreement, Context, Row
from pxgen_plugins.evaluation.checks.calibration_coverage import coverage_bounds
from pxgen_plugins.evaluation.checks.calibration_seeds import _other_seeds
from pxgen_plugins.evaluation.checks.perturbations import shift
from pxgen_plugins.evaluation.checks.transformed_anchors import (
    TransformedAnchors,
    generators,
)
from pxgen_plugins.evaluation.permutation import permuted_weights, weights_by_layer
from pxgen_plugins.groups import assign
from pxgen_plugins.models import VAE
from pxgen_plugins.testing.guards import module_state, moved_generators, random_state
from pxgen_plugins.thresholds import Conformal, Fixed, MeanMax, Median, Quantile
from pxgen_plugins.thresholds.calibration import Calibration
from tests.conftest import TinyNet, tiny_vae

SHAPES = {"latent_shape": (3,), "sample_shape": (1, 8, 8)}
RULE = Quantile(0.9, n_samples=200, n_repeats=4)
NET = TinyNet(3)
groupings = hnp.arrays(np.int8, st.integers(2, 12), elements=st.integers(0, 3))


def rows_of(explainer, X, check, **options):
    card = evaluate(explainer, X, checks=[check], **options)
    return {(row.case, row.measure): row for row in card.rows}


class TestAgreement:
    @given(st.data())
    def test_the_index_is_that_of_pairs_of_anchors(self, data):
        one = data.draw(groupings)
        other = data.draw(hnp.arrays(np.int8, len(one), elements=st.integers(0, 3)))
        found = Agreement.of(one, other)
        pairs = list(itertools.combinations(range(len(one)), 2))
        a = np.array([one[i] == one[j] for i, j in pairs])
        b = np.array([other[i] == other[j] for i, j in pairs])
        expected, most = a.sum() * b.sum() / len(pairs), (a.sum() + b.sum()) / 2
        if len(set(one)) == len(set(other)) == 1:
            assert math.isnan(found.rand)
        elif most != expected:  # Hubert and Arabie 1985, equation 5
            assert found.rand == pytest.approx(((a & b).sum() - expected) / (most - expected))
        assert found.same_share == pytest.approx(
            np.mean([one[i] == other[i] for i in range(len(one))])
        )

    @given(groupings)
    def test_chance_is_the_mean_agreement_over_all_orders(self, one):
        other = one[::-1]
        turned = [np.mean(one == np.roll(other, by)) for by in range(len(one))]
        assert Agreement.of(one, other).chance == pytest.approx(np.mean(turned))

    def test_equal_trivial_groupings_are_no_agreement(self):
        same = np.zeros(5, dtype=np.int8)
        assert math.isnan(Agreement.of(same, same).rand)
        assert Agreement.of(same, same).chance == 1.0
        assert Agreement.of(same, np.arange(5, dtype=np.int8)).rand == 0.0


class TestPermutation:
    """Permuted weights are those that the model computes with, however its callables reach them."""

    def models(self):
        net, holder = TinyNet(1), SimpleNamespace(parts={"vae": TinyNet(2)})
        hidden = holder.parts["vae"]
        inner = lambda x: net.encode(x)  # noqa: E731
        ways = {
            "methods": (net, net.encode, net.decode),
            "closures": (net, lambda x: net.encode(x), lambda z: net.decode(z)),
            "functions of functions": (net, lambda x: inner(x), net.decode),
            "globals": (NET, lambda x: NET.encode(x), lambda z: NET.decode(z)),
            "partials": (
                net,
                functools.partial(_encode, net),
                functools.partial(_decode, net=net),
            ),
            "objects": (
                hidden,
                lambda x: holder.parts["vae"].encode(x),
                lambda z: holder.parts["vae"].decode(z),
            ),
        }
        return {
            kind: (module, VAE(encode=encode, decode=decode, modules=module, **SHAPES))
            for kind, (module, encode, decode) in ways.items()
        }

    @pytest.mark.parametrize(
        "kind", ["methods", "closures", "functions of functions", "globals", "partials", "objects"]
    )
    def test_the_model_changes_inside_the_block_and_is_as_before_after_it(self, kind):
        net, model = self.models()[kind]
        net.train()
        before, drawn = module_state(net), random_state()
        x = torch.rand(4, 1, 8, 8, generator=torch.Generator().manual_seed(0))
        own = [*model.encode(x), model.sample(3, 0)]
        with permuted_weights(model.layers):
            first, again = ([*model.encode(x), model.sample(3, 0)] for _ in range(2))
        assert not any(torch.allclose(a, b) for a, b in zip(own, first, strict=True))
        # the network has dropout in training mode, and would differ from itself
        assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
        assert str(module_state(net)) == str(before)
        assert not moved_generators(drawn)
        for a, b in zip(own, [*model.encode(x), model.sample(3, 0)], strict=True):
            assert torch.equal(a, b)

    def test_an_exception_leaves_the_weights_as_they_were_to_the_bit(self):
        model = tiny_vae()
        with torch.no_grad():
            model.layers["out"].bias[:2] = torch.tensor([-0.0, float("nan")])
        before = weights_of(model)
        with pytest.raises(KeyError), permuted_weights(model.layers, seed=3):
            raise KeyError
        after = weights_of(model)
        assert [a.tobytes() for a in before.values()] == [a.tobytes() for a in after.values()]

    def test_only_the_named_layers_are_permuted(self):
        model = tiny_vae()
        before = weights_of(model)
        with permuted_weights(model.layers, seed=0, only=["out"]):
            one = weights_of(model)
        with permuted_weights(model.layers, seed=0):
            every = weights_of(model)
        assert {name for name in before if not np.array_equal(one[name], before[name])} == {
            ("out", "weight"),
            ("out", "bias"),
        }
        assert np.array_equal(one["out", "weight"], every["out", "weight"])

    def test_equal_seeds_give_equal_permutations(self):
        model = tiny_vae()
        weights = []
        for seed in (0, 0, 1):
            with permuted_weights(model.layers, seed):
                weights.append(weights_of(model)["out", "weight"])
        assert np.array_equal(weights[0], weights[1])
        assert not np.array_equal(weights[0], weights[2])

    def test_a_weight_belongs_to_its_innermost_layer(self):
        attention = nn.MultiheadAttention(4, 2)
        found = weights_by_layer(dict(nn.ModuleDict({"a": attention}).named_modules()))
        assert {name: len(weights) for name, weights in found.items()} == {"a": 2, "a.out_proj": 2}


def weights_of(model):
    return {
        (name, key): weight.detach().numpy().copy()
        for name, layer in model.layers.items()
        for key, weight in layer.named_parameters(recurse=False)
    }


def _encode(net, x):
    return net.encode(x)


def _decode(z, net):
    return net.decode(z)


class TestTransformedAnchors:
    def test_no_change_gives_the_same_bits(self, vae):
        images = np.random.default_rng(0).integers(0, 256, (50, 8, 8), dtype=np.uint8)
        explainer = PXGen(vae, threshold=RULE).fit()
        context = Context(explainer, images)
        np.testing.assert_array_equal(
            context.score(context.transform(lambda rows: rows)), context.values
        )

    def test_rows_are_read_from_the_chosen_anchors(self, vae):
        images = np.random.default_rng(0).random((9, 1, 8, 8), dtype=np.float32)
        base = open_anchors(images, sample_shape=(1, 8, 8), labels=range(9))
        chosen = Subset(base, np.array([7, 2, 5]))
        half = TransformedAnchors(chosen, vae, lambda rows: rows / 2)
        np.testing.assert_allclose(half.read(np.array([2, 0]))[0], images[[5, 7]] / 2)
        np.testing.assert_allclose(half.read(slice(0, 2))[0], images[[7, 2]] / 2)
        assert chosen.labels.tolist() == ["7", "2", "5"]

    @given(st.permutations(range(6)))
    def test_draws_follow_the_rows(self, order):
        rows = np.random.default_rng(0).random((6, 3))
        one = np.array([g.random() for g in generators(rows, 4)])
        assert [g.random() for g in generators(rows[order], 4)] == one[order].tolist()
        assert len(set(one.tolist())) == 6

    @given(st.integers(-3, 3), st.sampled_from([-1, -2]))
    def test_a_shift_moves_every_pixel_and_repeats_the_edge(self, by, axis):
        rows = np.random.default_rng(0).random((2, 1, 5, 4))
        found = shift(rows, by, axis)
        for n, h, w in itertools.product(range(2), range(5), range(4)):
            from_h = min(max(h - by, 0), 4) if axis == -2 else h
            from_w = min(max(w - by, 0), 3) if axis == -1 else w
            assert found[n, 0, h, w] == rows[n, 0, from_h, from_w]


class TestCoverageBounds:
    @pytest.mark.parametrize(
        "rule",
        [
            MeanMax(200, 1),
            MeanMax(200, 4),
            Quantile(0.9, 200, 2),
            Quantile(1.0, 200, 1),
            Conformal(0.05, 200, 2),
            Median(3.0, 200, 2),
        ],
        ids=repr,
    )
    def test_it_is_kept_whatever_the_distribution(self, rule):
        rng = np.random.default_rng(0)
        left, shares, lows = 0, [], []
        for draw in (rng.exponential, rng.normal, lambda size: rng.standard_t(3, size)):
            for _ in range(100):
                values = draw(size=(rule.n_repeats, 200, 1))
                repeats = np.array([rule.threshold(one) for one in values])
                found = calibrated(rule.combine(repeats), repeats, values[0])
                low, high = coverage_bounds(rule, found, 500)
                share = float((draw(size=500) < found.thresholds[0]).mean())
                left += not low <= share <= (1.0 if high is None else high)
                shares.append(share)
                lows.append(low)
        assert left <= 3  # of 300, at a chance of 0.1%
        assert np.mean(shares) - np.mean(lows) < 0.12  # and it says something

    @pytest.mark.slow
    @pytest.mark.parametrize(
        "rule",
        [
            MeanMax(n_repeats=4, source="reference"),
            Quantile(0.9, source="reference"),
            Conformal(0.1, source="reference"),
            Conformal(0.1, source="reference", joint=True),
        ],
        ids=repr,
    )
    def test_it_is_kept_by_new_instances_of_the_reference_kind(self, rule):
        rng = np.random.default_rng(0)
        left, shares, lows = 0, [], []
        for draw in (rng.exponential, rng.normal):
            for seed in range(150):
                found = rule.calibrate_values(draw(size=(300, 2)), ["a", "b"], seed)
                low, high = coverage_bounds(rule, found, 500)
                share = float((draw(size=(500, 2)) < found.thresholds).all(axis=1).mean())
                left += not low <= share <= (1.0 if high is None else high)
                shares.append(share)
                lows.append(low)
        assert left <= 3
        assert np.mean(shares) - np.mean(lows) < 0.25

    def test_a_fixed_threshold_promises_nothing(self):
        assert (
            coverage_bounds(Fixed(1.0), calibrated(np.ones(1), np.ones((1, 1)), None), 10) is None
        )

    def test_two_criteria_may_miss_twice_as_often(self):
        values = np.random.default_rng(0).normal(size=(1000, 2))
        cut = np.quantile(values, 0.9, axis=0)
        one = coverage_bounds(
            Quantile(0.9, 1000, 1), calibrated(cut[:1], cut[None, :1], values), 1000
        )
        two = coverage_bounds(Quantile(0.9, 1000, 1), calibrated(cut, cut[None], values), 1000)
        assert 1 - two[0] == pytest.approx(2 * (1 - one[0]), rel=0.1)

    def test_thresholds_of_other_weights_are_found_out(self):
        net = TinyNet()
        model = VAE(net, **SHAPES)
        explainer = PXGen(model, threshold=RULE).fit()
        X = model.sample(30, 0).detach().numpy()
        assert rows_of(explainer, X, "known_groups")[OWN].state == "passed"
        with torch.no_grad():
            net.out.weight.mul_(3.0)  # trained on, as it were, after calibration
        assert rows_of(explainer, X, "known_groups")[OWN].state == "failed"


OWN = ("the model's own samples", "share in HIHE")


def calibrated(thresholds, repeats, reference):
    names = [str(j) for j in range(len(thresholds))]
    size = 0 if reference is None else len(reference)
    return Calibration("rule", {}, names, thresholds, repeats, reference, size, 0, 0)


class TestChecks:
    def test_own_repeats_are_taken_one_by_one(self, vae, images):
        explainer = PXGen(vae, threshold=RULE).fit()
        row = rows_of(explainer, images, "calibration_seeds", n_seeds=1)[
            "own repeats, one by one", "share that keeps its group"
        ]
        explanation = explainer.explain(images)
        kept = [
            assign(explanation.values, repeat, explanation.kinds) == explanation.group
            for repeat in explainer.calibration.repeats
        ]
        assert row.value == pytest.approx(np.mean(kept))

    def test_other_seeds_are_other_calibrations(self, vae, images):
        explainer = PXGen(vae, threshold=RULE).fit()
        labels = np.arange(60) % 2
        found = rows_of(explainer, images, "calibration_seeds", labels=labels, n_seeds=3)
        row = found["other seeds", "share that keeps its group"]
        low, high = row.interval
        assert low <= row.value <= high
        share = float((explainer.explain(images).group[labels == 1] == "HIHE").mean())
        assert found["label 1", "share in HIHE"].note == f"the explainer says {share:.3f}"

    def test_a_criterion_that_learns_from_samples_learns_from_others(self, vae, images):
        class FromSamples(FittedCriterion):
            name, kind, unit = "to_samples", "extrinsic", "value"
            requires, learns_from, n_fit = frozenset({"sample"}), "samples", 20

            def features(self, batch):
                return batch.x.clone()

            def learn(self, features, model, seed):
                return {"centre": torch.cat(list(features)).mean(0)}

            def __call__(self, batch):
                return (batch.x - self.learned("centre", batch.x)).flatten(1).norm(dim=1)

        explainer = PXGen(vae, extrinsic=FromSamples(), threshold=RULE).fit()
        context = Context(explainer, images)
        before = explainer.criteria[1].state["centre"].copy()
        other = context.with_seed(5)
        assert not np.array_equal(other.criteria[1].state["centre"], before)
        np.testing.assert_array_equal(explainer.criteria[1].state["centre"], before)
        rows = rows_of(explainer, images, "calibration_seeds", n_seeds=1)
        assert ("other seeds", "adjusted Rand index") in rows
        # its own repeats share what it learned: they promise nothing for other samples
        assert rows["other seeds", "share that keeps its group"].state == "reported"

    def test_an_index_of_partitions_needs_two_groups(self):
        """It is 0 as soon as one anchor of a hundred leaves the only group."""
        one = np.zeros(100, dtype=np.int8)
        moved = one.copy()
        moved[0] = 1
        agreement = Agreement.of(one, moved)
        assert (agreement.same_share, agreement.rand) == (0.99, 0.0)
        states = {
            single: [
                row.state for row in _other_seeds([agreement], [agreement] * 3, False, single, 0.0)
            ]
            for single in (True, False)
        }
        assert states == {True: ["passed", "skipped"], False: ["passed", "failed"]}

    def test_a_model_that_ignores_its_weights_fails_randomisation(self, images):
        class Still(nn.Module):
            """Encodes and decodes by the image alone; its layer decides next to nothing."""

            def __init__(self):
                super().__init__()
                self.layer = nn.Linear(2, 2, bias=False)
                nn.init.eye_(self.layer.weight)

            def encode(self, x):
                mean = 8 * x[:, 0, 0, :2] - 4
                return mean + 1e-6 * self.layer(mean), torch.zeros_like(mean) - 1

            def decode(self, z):
                return torch.sigmoid(z.repeat(1, 32).reshape(-1, 1, 8, 8))

        net = Still()
        model = VAE(net, latent_shape=(2,), sample_shape=(1, 8, 8))
        explainer = PXGen(model, threshold=Quantile(0.5, 400, 3)).fit()
        row = rows_of(explainer, images, "randomisation")["all layers", "adjusted Rand index"]
        assert row.state == "failed"
        assert row.value == pytest.approx(1.0)

    def test_layers_that_the_model_does_not_compute_with_are_skipped(self, images):
        hidden = SimpleNamespace(parts={"vae": TinyNet().eval()})
        model = VAE(
            encode=lambda x: hidden.parts["vae"].encode(x),
            decode=lambda z: hidden.parts["vae"].decode(z),
            modules=TinyNet(1),
            **SHAPES,
        )
        explainer = PXGen(model, threshold=RULE).fit()
        (row,) = rows_of(explainer, images, "randomisation").values()
        assert row.state == "skipped"
        assert "run other ones" in row.note

    def test_noise_that_jumps_over_thresholds_fails(self, vae, images):
        class Jumpy(FittedCriterion):
            """Smooth up to noise of 0.7% of the range, and not beyond."""

            name, kind, unit, requires = "jumpy", "extrinsic", "value", frozenset({"reconstruct"})

            def features(self, batch):
                return batch.x.clone()

            def learn(self, features, model, seed):
                return {"base": torch.cat(list(features))}

            def __call__(self, batch):
                base = self.learned("base", batch.x).flatten(1)
                away = torch.cdist(batch.x.flatten(1), base).amin(1)
                return (away > 0.007 * 8).float() + 1e-3 * batch.x.flatten(1).mean(1)

        explainer = PXGen(vae, extrinsic=Jumpy(), threshold=Fixed(0.5)).fit(images)
        found = rows_of(explainer, images, "perturbations")
        kept = "share that keeps its group"
        assert found["noise of 0 of the range", kept].state == "passed"
        assert found["noise of 0.01 of the range", kept].state == "failed"

    def test_a_share_that_comes_back_fails(self):
        from pxgen_plugins.evaluation.checks.perturbations import _rise

        def row(case, hits, n=100):
            return Row.share("c", case, "m", np.arange(n) < hits)

        assert _rise([row("a", 100), row("b", 90), row("c", 91)]).state == "passed"
        worst = _rise([row("a", 90), row("b", 30), row("c", 80)])
        assert (worst.state, worst.note) == ("failed", "b to c")
        assert worst.value == pytest.approx(0.5)

    def test_rows_that_are_no_images_are_not_shifted(self):
        model = VAE(
            encode=lambda x: (x[:, :2] * 4 - 2, torch.zeros_like(x[:, :2]) - 1),
            decode=lambda z: torch.cat([z, z], 1).sigmoid(),
            modules=(),
            latent_shape=(2,),
            sample_shape=(4,),
        )
        explainer = PXGen(model, threshold=RULE).fit()
        found = rows_of(explainer, model.sample(40, 1), "perturbations")
        cases = {case for case, _ in found}
        assert "one pixel" in cases
        assert not any(case.startswith("shifted") for case in cases)

    @settings(max_examples=5, deadline=None)
    @given(st.integers(0, 2**31))
    def test_a_seed_gives_the_same_rows_whatever_the_batch_size(self, seed):
        model, images = tiny_vae(), np.random.default_rng(0).random((30, 1, 8, 8))
        cards = [
            evaluate(
                PXGen(model, threshold=MeanMax(100, 2), batch_size=size).fit(),
                images,
                checks=["perturbations", "known_groups"],
                seed=seed,
            )
            for size in (7, 30)
        ]
        assert cards[0].rows == cards[1].rows

    def test_checks_of_others_are_run_by_name(self, vae, images):
        @checks.register("my_check")
        def mine(context):
            return [Row.of("my_check", "anchors", "count", len(context.codes), low=60)]

        try:
            card = evaluate(PXGen(vae, threshold=RULE).fit(), images, checks=["my_check"])
        finally:
            checks.REGISTRY._items.pop("my_check")
        assert card.passed


class TestRow:
    def test_it_is_judged_where_a_bound_is_given(self):
        row = Row.of("c", "case", "m", float("nan"), low=0.0)
        assert (row.state, row.value) == ("failed", None)
        assert Row.of("c", "case", "m", 0.5, low=0.5, high=0.5).state == "passed"
        assert Row.of("c", "case", "m", 0.5).state == "reported"

    def test_what_is_expected_is_said(self):
        said = [
            Row.of("c", "case", "m", 0.5, **bounds).expected
            for bounds in ({}, {"low": 0.1}, {"high": 0.1}, {"low": 0.1, "high": 0.2})
        ]
        assert said == ["", "at least 0.1", "at most 0.1", "0.1 to 0.2"]

    def test_a_mean_over_one_seed_has_no_interval(self):
        assert Row.spread("c", "case", "m", [0.5]).interval is None
        assert Row.spread("c", "case", "m", [0.5, 0.7]).interval == (0.5, 0.7)
