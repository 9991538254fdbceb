"""Copies: planted ones are found, nothing else is, and each statistic equals its slow oracle."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
import torch
from scipy import stats
from scipy.spatial.distance import cdist

from pxgen_plugins.criteria import FittedCriterion, NearestSample, SampleRank
from pxgen_plugins.evaluation import copies
from pxgen_plugins.evaluation.memorisation import ranks
from pxgen_plugins.evaluation.memorisation.attraction import attraction, authenticity, cell_test
from pxgen_plugins.evaluation.memorisation.difference import difference
from pxgen_plugins.evaluation.memorisation.membership import combined_values, membership
from pxgen_plugins.evaluation.memorisation.returned import returned
from pxgen_plugins.evaluation.memorisation.space import Space, _grams
from pxgen_plugins.groups.p_values import control_p_values
from pxgen_plugins.models import LanguageModel, SampleBank, Tabular
from pxgen_plugins.testing.examples import LinearModel
from pxgen_plugins.utils import nearest as neighbours
from pxgen_plugins.utils.errors import AnchorError, CapabilityError, ParameterError
from tests.pages import read_page, run_page


def normal(seed, *shape):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def bank(rows):
    return SampleBank(rows, data_range=None)


def test_p_values_against_a_control_are_uniform_where_nothing_is_remembered():
    rng = np.random.default_rng(0)
    found = [control_p_values(v[:1], v[1:])[0] for v in rng.normal(size=(400, 100))]
    assert stats.kstest(np.array(found) - rng.uniform(0, 0.01, 400), "uniform").pvalue > 0.01
    slow = [(1 + sum(c <= v for c in (1.0, 2.0, 2.0))) / 4 for v in (0.0, 2.0, 5.0)]
    assert control_p_values(np.array([0.0, 2.0, 5.0]), np.array([2.0, 1.0, 2.0])).tolist() == slow


def test_ranks_equal_those_of_other_libraries():
    from sklearn.metrics import roc_auc_score

    rng = np.random.default_rng(1)
    members, others = rng.integers(0, 9, 60).astype(float), rng.integers(2, 12, 80).astype(float)
    truth = np.repeat([0, 1], [60, 80])
    expected = roc_auc_score(truth, np.concatenate([members, others]))
    assert ranks.auc(members, others) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("shift", [0.0, 0.5, 2.0])
def test_intervals_of_areas_cover(shift):
    rng = np.random.default_rng(2)
    true = stats.norm.cdf(shift / np.sqrt(2.0))
    ends = []
    for _ in range(400):
        members, others = rng.normal(size=40) - shift, rng.normal(size=60)
        ends.append(ranks.auc_interval(ranks.auc(members, others), 40, 60))
    low, high = np.array(ends).T
    assert ((low <= true) & (true <= high)).mean() > 0.92


def test_neighbours_equal_a_table_of_all_distances(monkeypatch):
    monkeypatch.setattr(neighbours, "_ROWS", 7)
    x, y = normal(3, 25, 4), normal(4, 30, 4)
    y[11] = y[2] = x[5]  # a copy, twice
    distance, index = neighbours.nearest(x, y)
    every = cdist(x.astype(float), y.astype(float))
    np.testing.assert_allclose(distance, every.min(1), rtol=1e-12)
    np.testing.assert_array_equal(every[np.arange(25), index], every.min(1))
    assert distance[5] == 0.0
    distance, _ = neighbours.nearest(y, y, np.arange(30))
    alone = cdist(y.astype(float), y.astype(float)) + np.diag(np.full(30, np.inf))
    np.testing.assert_allclose(distance, alone.min(1), rtol=1e-12)
    distance, index = neighbours.nearest_few(x, y, 9)
    np.testing.assert_allclose(distance, np.sort(every, axis=1)[:, :9], rtol=1e-12)
    np.testing.assert_array_equal(np.take_along_axis(every, index, axis=1), distance)
    few, index = neighbours.nearest(y[:3], y[:1], np.array([0, -1, -1]))
    assert np.isinf(few[0])
    assert np.isfinite(few[1:]).all()
    assert (index == 0).all()


def letters(seed, n, length=30):
    rng = np.random.default_rng(seed)
    return ["".join(chr(97 + c) for c in rng.integers(0, 6, length)) for _ in range(n)]


def writer(texts, sampled=(), max_chars=40):
    """A language model that knows some texts by heart and guesses the same letter elsewhere."""

    def generate(prompts, n_tokens):
        ends = []
        for prompt, n in zip(prompts, n_tokens, strict=True):
            known = next((t for t in texts if t.startswith(prompt)), prompt + "a" * n)
            ends.append(known[len(prompt) : len(prompt) + n])
        return ends

    def sample(n, seed):
        return [sampled[i] for i in np.random.default_rng(seed).integers(0, len(sampled), n)]

    def log_probs(batch):
        return [[-0.1 if text in texts else -2.0] * len(text) for text in batch]

    return LanguageModel(
        log_probs=log_probs, generate=generate, sample=sample if len(sampled) else None,
        modules=(), max_chars=max_chars,
    )  # fmt: skip


def test_texts_are_as_far_apart_as_their_sets_of_runs():
    texts = ["the quick brown fox", "the quick brown cat", "a", "nothing alike here"]
    model = writer(texts)
    _, rows = Space(model).open(texts, "training")
    distance, _ = neighbours.nearest(rows, rows, np.arange(len(texts)))
    sets = [_grams(text) for text in texts]
    slow = [
        min(1 - len(a & b) / len(a | b) for j, b in enumerate(sets) if j != i)
        for i, a in enumerate(sets)
    ]
    np.testing.assert_allclose(distance, slow, atol=1e-12)
    assert Space(model).edits(model.rows(["abcd"]).numpy(), model.rows(["abxd"]).numpy()) == [0.25]


def test_membership_reads_true_positives_where_false_ones_are_few():
    rng = np.random.default_rng(5)
    members, others = np.round(rng.normal(size=500) - 1.0, 2), np.round(rng.normal(size=400), 2)
    found = membership(members, others)
    # the largest threshold that accuses at most 4 of 400
    slow = max(
        (float((members <= t).mean()) for t in np.unique(np.r_[members, others])
         if (others <= t).sum() <= 4), default=0.0,
    )  # fmt: skip
    assert found.true_rates[0.01] == pytest.approx(slow)
    assert found.true_rates[0.001] is None
    low, high = found.rate_intervals[0.01]
    assert low < slow < high
    assert found.interval[0] > 0.5
    assert found.p_value < 1e-6


def test_criteria_together_tell_more_than_each():
    rng = np.random.default_rng(6)
    members, others = rng.normal(size=(800, 2)), rng.normal(size=(800, 2))
    members[:, 1] = members[:, 0] + 0.3 * members[:, 1]  # both high or both low
    others[:, 1] = others[:, 0] + 0.3 * others[:, 1] + 0.4
    alone = [membership(members[:, j], others[:, j]).auc for j in range(2)]
    together = membership(*combined_values(members, others, 0))
    assert together.auc > max(alone) + 0.05
    assert together.n == 400


def planted(seed, n=300, n_planted=30, d=6):
    """Training rows of which some are samples, held-out rows, and samples."""
    rows = normal(seed, 3 * n, d)
    samples = rows[2 * n :].copy()
    samples[:n_planted] = rows[:n_planted] + 0.01 * normal(seed + 1, n_planted, d)
    return rows[:n], rows[n : 2 * n], samples


def test_planted_copies_are_found_and_no_others_and_none_where_there_are_none():
    shares, false, alarms = [], [], 0
    for seed in range(100):
        training, held_out, samples = planted(10 * seed)
        once = np.ones(len(training), dtype=np.int64)
        found = np.flatnonzero(returned(training, held_out, samples, once, seed).adjusted <= 0.05)
        shares.append((found < 30).sum() / 30)
        false.append((found >= 30).sum() / max(len(found), 1))
        none = returned(training, held_out, samples[30:], once, seed)
        alarms += bool((none.adjusted <= 0.05).any())
    assert np.mean(shares) > 0.9
    assert np.mean(false) <= 0.05
    assert alarms <= 5


def test_a_frequent_instance_is_judged_among_frequent_ones():
    training, held_out, samples = planted(7, n_planted=3)
    counts = np.ones(len(training), dtype=np.int64)
    assert not (returned(training, held_out, samples, counts, 0).adjusted <= 0.05).any()  # too few
    counts[:5] = 9
    found = returned(training, held_out, samples, counts, 0)
    assert np.flatnonzero(found.adjusted <= 0.05).tolist() == [0, 1, 2]


def test_a_bank_of_training_data_gives_all_back_and_one_of_other_data_none():
    rows = normal(8, 400, 3)
    thief, honest = copies(bank(rows[:200]), rows[:200], rows[200:]), None
    assert thief.count == 200
    assert {pair.training for pair in thief.pairs} == set(range(200))
    assert all(pair.distance == 0.0 for pair in thief.pairs)
    assert thief.attraction.share == 1.0
    assert thief.authenticity.share == 0.0
    honest = copies(bank(rows[100:200]), rows[:100], rows[200:])
    assert honest.count == 0
    assert honest.attraction.p_value > 0.05


def test_tests_of_all_samples_are_uniform_where_nothing_is_remembered():
    found = []
    for seed in range(200):
        rows = normal(seed, 150, 2)
        found.append(attraction(rows[:50], rows[50:100], rows[100:], seed).p_value)
    jitter = np.random.default_rng(0).uniform(0, 0.02, 200)  # shares of few samples tie
    assert stats.kstest(np.clip(np.array(found) - jitter, 0, 1), "uniform").pvalue > 0.01


def test_cells_and_authenticity_see_a_part_of_the_space_that_is_copied():
    rows = normal(9, 900, 2)
    rows[:, 0] += np.repeat([0.0, 20.0], 450)[np.random.default_rng(0).permutation(900)]
    training, held_out, samples = rows[:300], rows[300:600], rows[600:].copy()
    right = samples[:, 0] > 10.0
    chosen = training[training[:, 0] > 10.0]
    samples[right] = chosen[np.arange(right.sum()) % len(chosen)] + 1e-3
    cells = cell_test(training, held_out, samples, 0, n_cells=2).cells
    scores = sorted(cell["statistic"] for cell in cells)
    assert scores[0] < -8.0
    assert abs(scores[1]) < 4.0
    real = authenticity(training, held_out, samples)
    assert real.share < real.control
    assert real.control_interval[0] < real.control < real.control_interval[1]


def test_sets_of_two_kinds_bring_a_caution():
    rows = normal(10, 400, 3)
    rows[200:] += 1.0
    assert difference(rows[:200], rows[200:], 0) < 0.01
    found = copies(bank(normal(11, 100, 3)), rows[:200], rows[200:])
    assert any("differ in kind" in note for note in found.notes)


def test_shared_and_repeated_instances_are_named():
    rows = normal(12, 300, 3)
    training = np.concatenate([rows[:100], rows[:2], rows[:1]])
    found = copies(bank(normal(13, 100, 3)), training, np.concatenate([rows[90:300], rows[298:]]))
    assert list(found.duplicates) == [(0, 3), (1, 2)]
    assert any("10 held-out instances also stand in the training set" in n for n in found.notes)
    assert found.about["n_training"] == 100
    assert found.about["n_held_out"] == 200


def test_texts_known_by_heart_are_extracted_and_guesses_are_not():
    texts = letters(14, 120)
    known, new = texts[:60], texts[60:]
    other = letters(15, 60)
    thief = writer(known, sampled=known)
    found = copies(thief, known, new, n_samples=200)
    rows = {row.prompt: row for row in found.extraction}
    assert set(rows) == {0.25, 0.5, 0.75}
    assert rows[0.5].exact == rows[0.5].close == 1.0
    assert rows[0.5].close_control == 0.0
    assert rows[0.5].p_value < 1e-9
    assert found.membership["token_nll"].auc == 1.0
    assert found.count > 50
    assert all(pair.edits == 0.0 for pair in found.pairs)
    assert found.texts["training"][0] == found.texts["sample"][0]
    honest = copies(writer([], sampled=other), known, new, n_samples=200)
    assert honest.count == 0
    assert all(row.close == row.close_control == 0.0 for row in honest.extraction)


def test_rows_of_a_table_are_compared_in_their_columns():
    def table(unit):
        rng = np.random.default_rng(16)
        frame = pd.DataFrame({"age": rng.uniform(20, 60, 200), "pay": rng.uniform(1, 9, 200)})
        frame["town"] = np.where(frame["age"] > 40, "Rome", "Bern")
        frame["pay"] *= unit
        return frame

    counts = []
    for unit in (1.0, 2.0**20):
        frame = table(unit)

        class Thief:
            def sample(self, n, frame=frame):
                return frame.iloc[:100].sample(n, replace=True).reset_index(drop=True)

        model = Tabular(Thief(), frame)
        found = copies(model, frame.iloc[:100], frame.iloc[100:], n_samples=400)
        assert found.about["distances"] == "columns over their ranges"
        counts.append([pair.training for pair in found.pairs])
    assert len(counts[0]) > 90
    assert counts[0] == counts[1]


def test_a_model_is_left_as_it_was_and_a_seed_repeats(tmp_path):
    model, X = LinearModel(), LinearModel().sample(200, seed=1).numpy()
    torch.manual_seed(3)
    before = torch.random.get_rng_state()
    one = copies(model, X[:100], X[100:], n_samples=60, batch_size=64)
    other = copies(model, X[:100], X[100:], n_samples=60, batch_size=7)
    assert torch.equal(before, torch.random.get_rng_state())
    assert json.loads(one.to_json()) == json.loads(other.to_json())
    assert copies(model, X[:100], X[100:], n_samples=60, seed=1).to_json() != one.to_json()
    assert set(one.membership) == {"kld", "mse", "combined"}
    one.write(tmp_path / "copies.json")
    assert json.loads((tmp_path / "copies.json").read_text())["count"] == one.count
    assert "| measure |" in str(one)
    assert "<script" not in one._repr_html_()


def test_criteria_may_be_those_of_a_fitted_explainer():
    from pxgen_plugins import PXGen
    from pxgen_plugins.thresholds import Quantile

    model, X = LinearModel(), LinearModel().sample(100, seed=1).numpy()
    explainer = PXGen(model, "elbo", "mae", threshold=Quantile(0.9, 100, 2)).fit()
    found = copies(explainer, X[:50], X[50:], n_samples=50)
    assert set(found.membership) == {"elbo", "mae", "combined"}
    specs = ["mse", {"name": "mae"}]
    named = copies(model, X[:50], X[50:], criteria=specs, n_samples=50)
    assert set(named.membership) == {"mse", "mae", "combined"}
    with_own = copies(PXGen(model, "elbo", "mae"), X[:50], X[50:], n_samples=50)
    assert set(with_own.membership) == set(found.membership)


class FromCentre(FittedCriterion):
    """Distance to the mean of the reference data."""

    name, kind, requires = "from_centre", "extrinsic", frozenset()

    def features(self, batch):
        return batch.x.flatten(1)

    def learn(self, features, model, seed):
        return {"mean": torch.cat(list(features)).mean(0)}

    def __call__(self, batch):
        return (batch.x.flatten(1) - self.learned("mean", batch.x)).norm(dim=1)


def test_a_criterion_that_learns_from_data_has_learned_or_is_named_in_a_note():
    from pxgen_plugins import PXGen
    from pxgen_plugins.thresholds import Quantile

    model, X = LinearModel(), LinearModel().sample(150, seed=1).numpy()
    explainer = PXGen(model, "kld", FromCentre(), threshold=Quantile(0.9, 100, 2))
    new = copies(explainer, X[:50], X[50:100], n_samples=50)
    assert set(new.membership) == {"kld"}
    assert any("not measured by from_centre" in note for note in new.notes)
    explainer.fit(X[100:])
    for given, options in ((explainer, {}), (model, {"criteria": explainer.criteria})):
        found = copies(given, X[:50], X[50:100], n_samples=50, **options)
        assert set(found.membership) == {"kld", "from_centre", "combined"}
        assert not any("from_centre" in note for note in found.notes)


def test_a_scorecard_fails_a_thief_and_passes_an_honest_model():
    from pxgen_plugins import PXGen
    from pxgen_plugins.evaluation import evaluate
    from pxgen_plugins.thresholds import Quantile

    rows = normal(20, 400, 3)
    states = []
    for kept in (rows[:100], rows[100:200]):
        rule = Quantile(0.9, 40, 2)
        criteria = SampleRank(n_fit=40), NearestSample(n_fit=40)
        explainer = PXGen(bank(kept), *criteria, threshold=rule).fit()
        given = {"training": rows[:100], "held_out": rows[200:]}
        card = evaluate(explainer, rows[200:260], checks=["memory"], **given)
        states.append(card.rows[0].state)
    assert states == ["failed", "passed"]
    (row,) = evaluate(explainer, rows[200:260], checks=["memory"]).rows
    assert row.state == "skipped"


def test_figures_show_pairs_and_lines():
    plt = pytest.importorskip("matplotlib.pyplot")
    rows = normal(17, 200, 1, 4, 4)
    axes = copies(bank(rows[:100]), rows[:100], rows[100:]).plot(n_pairs=4)
    assert len(axes) == 2
    assert len(axes[1].images) == 12
    lines = {line.get_gid() for line in axes[0].lines}
    assert {"closeness:training", "closeness:held-out", "listed"} <= lines
    (axis,) = copies(bank(normal(18, 50, 1, 4, 4)), rows[:100], rows[100:]).plot()
    assert axis.get_xscale() == "log"
    plt.close("all")


def test_the_page_runs_and_the_shipped_model_gives_nothing_back(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    found = run_page("copies.md")["found"]
    assert found.count == 0
    assert found.attraction.p_value > 0.01
    area = found.membership["mse"]
    said = f"(AUC by MSE {area.auc:.2f}, {area.interval[0]:.2f} to {area.interval[1]:.2f})"
    assert said in read_page("copies.md")
    assert json.loads((tmp_path / "copies.json").read_text())["about"]["n_samples"] == 400


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        ({"fdr": 0.0}, ParameterError, "fdr"),
        ({"n_samples": 0}, ParameterError, "n_samples"),
        ({"prompts": (0.5, 1.0)}, ParameterError, r"prompts\[1\]"),
        ({"criteria": "mse"}, ParameterError, "criteria"),
        ({"criteria": ["mse", "mse"]}, ParameterError, "criteria"),
        ({"criteria": ["msee"]}, ParameterError, "criterion"),
        ({"training": np.zeros((50, 3), "f4")}, AnchorError, "training"),
        ({"held_out": normal(0, 5, 3)}, AnchorError, "held_out"),
        ({"held_out": np.full((50, 3), np.nan, "f4")}, AnchorError, "instance 0"),
    ],
)
def test_mistakes_are_named(change, error, words):
    rows = normal(19, 200, 3)
    given = {"training": rows[:100], "held_out": rows[100:], **change}
    with pytest.raises(error, match=words):
        copies(bank(rows[:60]), **given)


def test_a_model_that_cannot_sample_is_refused():
    class Silent(LinearModel):
        capabilities = LinearModel.capabilities - {"sample"}

    with pytest.raises(CapabilityError, match="sample"):
        copies(Silent(), np.zeros((30, 2), "f4"), np.ones((30, 2), "f4"))
