"""Ties at a threshold: strict where values are continuous, the conformal convention at an atom."""

from __future__ import annotations

import warnings

import numpy as np
import pandas as pd
import pytest
import torch

from pxgen_plugins import PXGen
from pxgen_plugins.models import VAE, LanguageModel, SampleBank, Tabular
from pxgen_plugins.testing.examples import LinearModel
from pxgen_plugins.thresholds import Conformal, Fixed, MeanMax, Median, Quantile
from pxgen_plugins.thresholds.ties import above_atoms, atom_shares
from pxgen_plugins.utils.errors import PXGenWarning

RULES = [MeanMax(50, 3), MeanMax(40, 7), Quantile(0.99, 50, 2), Median(3.0, 50, 2),
         Conformal(0.1, 50, 2)]  # fmt: skip


def counting():
    """Return a language model that always writes the next of three letters."""

    def after(prompt, k):
        first = "abc".index(prompt[-1]) + 1
        return "".join("abc"[(first + j) % 3] for j in range(k))

    return LanguageModel(
        modules=(),
        log_probs=lambda texts: [[-0.1] * len(text) for text in texts],
        generate=lambda prompts, lengths: list(map(after, prompts, lengths)),
        sample=lambda n, seed: [
            ("abc" * 4)[int(np.random.default_rng((seed, i)).integers(3)) :][:8] for i in range(n)
        ],
        max_chars=12,
    )


def collapsed():
    """Return a VAE whose encoder and decoder ignore what they get."""
    mean = torch.tensor([0.1, 0.3])
    return VAE(
        encode=lambda x: (mean.expand(len(x), 2), torch.zeros(len(x), 2)),
        decode=lambda z: torch.full((len(z), 4), 0.1),
        modules=(), latent_shape=(2,), sample_shape=(4,),
    )  # fmt: skip


def table():
    like = pd.DataFrame({"c": ["a", "b"] * 60, "d": ["x", "y"] * 60})

    class Rows:
        def sample(self, n):
            return like.sample(n, replace=True)

    return Tabular(Rows(), like), like


def explain(model, criteria, rule, X):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", PXGenWarning)
        explainer = PXGen(model, *criteria, threshold=rule).fit()
        return explainer, explainer.explain(X)


@pytest.mark.parametrize("rule", RULES, ids=str)
def test_what_a_model_does_exactly_as_on_its_own_samples_is_not_far(rule, tmp_path):
    tabular, like = table()
    near = {"name": "gower_nearest", "n_fit": 50}
    cases = {
        "text": (counting(), ("token_nll", "token_edit"), ["abcabcab", "abcabcac"], 0, 1),
        "collapsed": (collapsed(), ("kld", "mse"), np.array([[0.1] * 4, [0.2] * 4], "f4"), 0, 1),
        "table": (tabular, ({"name": "sample_rank", "n_fit": 50}, near), like.head(2), 0, None),
    }
    for name, (model, criteria, X, same, other) in cases.items():
        explainer, explanation = explain(model, criteria, rule, X)
        assert explanation.group[same] == "HIHE", name
        assert other is None or explanation.group[other] != "HIHE", name
        assert sum("own samples have" in note for note in explanation.notes) >= 1, name
        # every repeat treats the tie alike, so it costs neither stability nor interval
        assert explanation.group_stability[same] == 1.0, name
        low, high = explanation.groups["HIHE"]["interval"]
        share = explanation.groups["HIHE"]["fraction"]
        assert low <= share <= high, name
        explainer.save(tmp_path / name)
        loaded = PXGen.load(tmp_path / name, model)
        assert loaded.explain(X).group.tolist() == explanation.group.tolist(), name


@pytest.mark.parametrize(
    "rule", [rule for rule in RULES if not isinstance(rule, Conformal)], ids=str
)
def test_continuous_values_keep_the_strict_rule_of_the_paper(rule):
    for seed in range(50):
        values = np.random.default_rng(seed).normal(3.0, 1.0, (500, 2)) ** 2
        cut = rule.threshold(values)
        np.testing.assert_array_equal(above_atoms(cut, values), cut)
        assert not atom_shares(cut, values).any()


def test_the_largest_of_a_banks_samples_is_still_far_by_its_own_threshold():
    rows = np.random.default_rng(0).random((60, 3))
    criteria = [{"name": name, "n_fit": 30} for name in ("sample_rank", "nearest_sample")]
    explainer, explanation = explain(SampleBank(rows), criteria, MeanMax(30, 3), rows)
    threshold = explainer.calibration.thresholds[1]
    # each sample counts once, however many repeats draw it: it is no atom, and its p-value exact
    assert len(explainer.calibration.reference) == 30
    assert (explainer.calibration.reference[:, 1] == threshold).sum() == 1
    is_largest = explanation.values[:, 1] == threshold
    assert not explanation.affinity[is_largest, 1].any()
    assert explanation.p_value[is_largest, 1] == pytest.approx(2 / 31)


CASES = {  # values, threshold, what is then close among: below, equal, above
    "atom at zero": ([0.0] * 9 + [1.0], 0.0, {0.0: True, 1e-6: False}),
    "atom below the threshold": ([0.0] * 9 + [1.0], 1.0, {0.0: True, 1.0: False}),
    "two atoms": ([0.0] * 5 + [2.0] * 5, 2.0, {2.0: True, 2.0001: False}),
    "negative atom": ([-3.5] * 4 + [-9.0], -3.5, {-3.5: True, -3.49: False}),
    "rounding of a mean": ([0.1] * 5, (0.1 + 0.1 + 0.1) / 3, {0.1: True}),
    "blurred by float32": ([0.1, np.float32(0.1), 0.1], 0.1, {float(np.float32(0.1)): True}),
    "close, not equal": ([1e6, 1e6 + 1e-3, 1e6 + 5, 1e6 - 5], 1e6 + 5, {1e6 + 5: False}),
    "one sample": ([4.0], 4.0, {4.0: False}),
}


@pytest.mark.parametrize("name", CASES)
def test_where_an_atom_is(name):
    values, threshold, close = CASES[name]
    cut = above_atoms(np.array([threshold]), np.array(values)[:, None])
    assert {value: bool(value < cut[0]) for value in close} == close
    again = above_atoms(cut, np.array(values)[:, None])
    assert again == cut or name == "blurred by float32"


def test_a_given_threshold_stays_as_it_was_given():
    explainer, explanation = explain(
        collapsed(), ("kld", "mse"), Fixed({"kld": 1.0, "mse": 0.0}), np.full((1, 4), 0.1, "f4")
    )
    assert explainer.calibration.thresholds.tolist() == [1.0, 0.0]
    assert not explanation.notes


class Stored(LinearModel):
    """Samples by drawing from what was stored, as wrappers of data sets do."""

    def __init__(self, n: int) -> None:
        super().__init__()
        self.stored = super().sample(n, 0)

    def sample(self, n: int, seed: int) -> torch.Tensor:
        order = torch.randperm(len(self.stored), generator=torch.Generator().manual_seed(seed))
        return self.stored[order[:n]]


@pytest.mark.parametrize(
    ("model", "noticed"), [(LinearModel(), False), (Stored(300), True), (Stored(3_000), True)]
)
def test_a_sampler_of_a_finite_number_is_noticed_and_counts_once(model, noticed: bool):
    explainer = PXGen(model, threshold=Quantile(0.9, n_samples=300, n_repeats=4))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        explainer.fit()
    said = any("finite number" in str(one.message) for one in caught)
    assert (said, len(explainer.calibration.reference)) == (noticed, 300 if noticed else 1200)
