"""Threshold rules against direct loops and against what they promise."""

from __future__ import annotations

import itertools
import warnings

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pxgen_plugins import PXGen, criteria, thresholds
from pxgen_plugins.audit import settings_model
from pxgen_plugins.criteria import Batch
from pxgen_plugins.criteria.black_box import Column
from pxgen_plugins.models import VAE, BlackBox
from pxgen_plugins.scoring import Scorer
from pxgen_plugins.thresholds import Conformal, Fixed, MeanMax, Median, Quantile
from pxgen_plugins.thresholds.expected_maxima import expected_maxima
from pxgen_plugins.utils.errors import CapabilityError, ModelError, ParameterError, PXGenWarning
from pxgen_plugins.utils.seeds import derive


def scorer_of(vae, **kwargs):
    return Scorer(vae, [criteria.make("kld"), criteria.make("mse")], **kwargs)


def normal_scorer(m=2):
    """A model whose samples' values are independent standard normal draws."""
    box = BlackBox(lambda X: X, lambda n, seed: np.random.default_rng(seed).normal(size=(n, m)))
    kinds = ["intrinsic"] + ["extrinsic"] * (m - 1)
    columns = [Column(column=j, name=f"c{j}", kind=kind) for j, kind in enumerate(kinds)]
    return Scorer(box, columns)


def slow_scores(vae, n, seed):
    """Sample, encode and decode one instance at a time, in float64 arithmetic."""
    rows = []
    start = 0
    block = 0
    while start < n:
        size = min(512, n - start)
        for x in vae.sample(size, derive(seed, block)):
            mean, log_var = (t.double() for t in vae.encode(x[None]))
            back = vae.decode(vae.encode(x[None])[0]).double()
            kld = sum(
                0.5 * (m**2 + np.exp(v) - 1 - v)
                for m, v in zip(mean.ravel().tolist(), log_var.ravel().tolist(), strict=True)
            )
            mse = np.mean(
                [
                    (a - b) ** 2
                    for a, b in zip(x.ravel().tolist(), back.ravel().tolist(), strict=True)
                ]
            )
            rows.append((kld, mse))
        start += size
        block += 1
    return np.array(rows)


@torch.no_grad()
def test_mean_max_is_the_direct_loop(vae):
    repeats = [slow_scores(vae, 600, derive(7, "calibration", r)).max(0) for r in range(3)]
    found = MeanMax(n_samples=600, n_repeats=3).calibrate(scorer_of(vae), seed=7)
    np.testing.assert_allclose(found.repeats, repeats, rtol=1e-5)
    np.testing.assert_allclose(found.thresholds, np.mean(repeats, 0), rtol=1e-5)
    np.testing.assert_allclose(found.std, np.std(repeats, 0, ddof=1), rtol=1e-3)


def test_calibration_does_not_depend_on_the_batch_size(vae):
    rule = MeanMax(n_samples=700, n_repeats=2)
    found = [
        rule.calibrate(scorer_of(vae, batch_size=size), seed=0).repeats for size in (1, 64, 512)
    ]
    np.testing.assert_allclose(found[0], found[1], rtol=1e-5)
    np.testing.assert_allclose(found[0], found[2], rtol=1e-5)


def test_seeds_give_the_same_and_other_seeds_other_thresholds(vae):
    rule = MeanMax(n_samples=50, n_repeats=2)
    one, again, other = (rule.calibrate(scorer_of(vae), seed=s).thresholds for s in (0, 0, 1))
    assert (one == again).all()
    assert (one != other).all()


def test_the_reference_holds_whole_repeats_up_to_its_size_and_conformal_the_first_alone(vae):
    scorer = scorer_of(vae)
    direct = [scorer.score_samples(40, derive(0, "calibration", r)) for r in range(3)]
    for rule, n in ((MeanMax, 3), (Quantile, 3), (Median, 3), (Conformal, 1)):
        options = {"alpha": 0.1} if rule is Conformal else {}
        found = rule(n_samples=40, n_repeats=3, **options).calibrate(scorer, seed=0)
        np.testing.assert_array_equal(found.reference, np.concatenate(direct[:n]))
        np.testing.assert_array_equal(found.scale, np.concatenate(direct[:n]).std(0))
    for size, rows in ((1_000, 10_000), (7_000, 14_000), (12_000, 12_000)):
        found = MeanMax(n_samples=size, n_repeats=12).calibrate(normal_scorer(), seed=0)
        assert len(found.reference) == rows
        assert found.p_values(np.full((1, 2), 99.0)).tolist() == [[1 / (rows + 1)] * 2]


@given(st.lists(st.floats(-5, 5), min_size=1, max_size=9), st.data())
@settings(max_examples=60, deadline=None)
def test_expected_maxima_are_the_means_over_all_subsets(values, data):
    k = data.draw(st.integers(1, len(values)))
    slow = np.mean([max(some) for some in itertools.combinations(values, k)])
    assert expected_maxima(np.array(values), [k])[0] == pytest.approx(slow, abs=1e-9)


def test_expected_maxima_of_many_exponentials_are_harmonic_numbers():
    # the i-th smallest of N lies, on average, at H_N - H_(N - i); then the maximum of k is at H_k
    n, sizes = 20_000, np.array([1, 10, 500, 19_999, 20_000])
    harmonic = np.cumsum(1 / np.arange(1, n + 1))
    spaced = harmonic[-1] - np.r_[0.0, harmonic][n - np.arange(1, n + 1)]
    np.testing.assert_allclose(expected_maxima(spaced, sizes), harmonic[sizes - 1], rtol=1e-9)
    for wrong in (0, n + 1):
        with pytest.raises(ParameterError, match="sizes must be in 1 to 20000"):
            expected_maxima(spaced, [wrong])


def test_default_sizes_cost_the_same_and_the_audit_has_those_of_the_rule(vae):
    for rule in (MeanMax(), Quantile(), Conformal(), Median()):
        assert rule.n_samples * rule.n_repeats == 100_000
    assert PXGen(vae).threshold.params == MeanMax().params
    assert settings_model.Settings.model_fields["threshold"].default is None  # by family, as here
    assert (MeanMax.authors().n_samples, MeanMax.authors().n_repeats) == (60_000, 100)


def test_a_tolerance_stops_once_the_standard_error_is_below_it():
    scorer = normal_scorer()
    full = MeanMax(n_samples=100, n_repeats=200).calibrate(scorer, seed=0)
    stopped = MeanMax(n_samples=100, n_repeats=200, tolerance=0.05).calibrate(scorer, seed=0)
    errors = [full.repeats[:r].std(0, ddof=1) / np.sqrt(r) for r in range(2, 201)]
    first = next(r for r, e in enumerate(errors, start=2) if r >= 5 and (e < 0.05).all())
    assert stopped.n_repeats == first < 200
    np.testing.assert_array_equal(stopped.repeats, full.repeats[:first])


def test_a_tolerance_can_be_given_per_criterion():
    rule = MeanMax(n_samples=100, n_repeats=50, tolerance={"c0": 10.0})
    assert rule.calibrate(normal_scorer(), seed=0).n_repeats == 5
    with pytest.raises(ParameterError, match=r"tolerance.*c0, c1"):
        MeanMax(n_samples=5, tolerance={"klt": 1.0}).calibrate(normal_scorer(), seed=0)


@settings(max_examples=50, deadline=None)
@given(st.integers(1, 40), st.integers(0, 10**6), st.floats(0.01, 1.0), st.floats(0.1, 5))
def test_quantile_and_median_agree_with_sorting(n, seed, q, k):
    values = np.random.default_rng(seed).normal(size=(n, 1))
    row = sorted(values[:, 0])
    place = q * (n - 1)
    low = int(place)
    high = min(low + 1, n - 1)
    expected = row[low] + (row[high] - row[low]) * (place - low)
    assert Quantile(q).threshold(values)[0] == pytest.approx(expected)
    middle = (row[(n - 1) // 2] + row[n // 2]) / 2
    gaps = sorted(abs(v - middle) for v in row)
    expected = middle + k * (gaps[(n - 1) // 2] + gaps[n // 2]) / 2
    assert Median(k).threshold(values)[0] == pytest.approx(expected)


@settings(max_examples=100, deadline=None)
@given(st.integers(1, 60), st.integers(0, 10**6), st.floats(0.01, 0.9), st.booleans())
def test_conformal_affinity_is_high_exactly_when_the_p_value_exceeds_alpha(n, seed, alpha, ties):
    if np.floor(alpha * (n + 1) * (1 + 1e-12)) < 1:
        with pytest.raises(ParameterError, match="1 / alpha - 1"):
            Conformal(alpha, n_samples=n)
        return
    rng = np.random.default_rng(seed)
    draw = (
        (lambda s: rng.integers(0, 6, s).astype(float)) if ties else (lambda s: rng.normal(size=s))
    )
    pool, values = draw((n, 1)), draw((200, 1))
    box = BlackBox(lambda X: X, lambda count, seed: pool)
    scorer = Scorer(box, [Column(column=0, name="kld", kind="intrinsic")])
    found = Conformal(alpha, n_samples=n, n_repeats=1).calibrate(scorer, seed=0)
    p = found.p_values(values)
    slow = [(1 + sum(s >= v for s in pool[:, 0])) / (n + 1) for v in values[:, 0]]
    np.testing.assert_allclose(p[:, 0], slow)
    np.testing.assert_array_equal(values < found.thresholds, p > alpha * (1 + 1e-12))


def test_conformal_flags_at_most_alpha_of_the_models_own_output():
    """The guarantee is on average over calibration sets, so average over many small ones."""
    rule = Conformal(alpha=0.2, n_samples=9, n_repeats=1)
    rng = np.random.default_rng(0)
    shares = []
    for seed in range(400):
        found = rule.calibrate(normal_scorer(), seed=seed)
        shares.append((rng.normal(size=(50, 2)) >= found.thresholds).mean())
    assert np.mean(shares) == pytest.approx(0.2, abs=0.02)


def test_conformal_reports_the_first_repeat():
    found = Conformal(alpha=0.1, n_samples=50, n_repeats=3).calibrate(normal_scorer(), seed=0)
    np.testing.assert_array_equal(found.thresholds, found.repeats[0])


def test_p_values_of_fresh_samples_are_uniform():
    found = MeanMax(n_samples=999, n_repeats=1).calibrate(normal_scorer(), seed=0)
    p = found.p_values(np.random.default_rng(5).normal(size=(5000, 2)))
    for level in (0.1, 0.5, 0.9):
        assert (p <= level).mean() == pytest.approx(level, abs=0.05)


def test_p_values_and_distances_of_nan_are_nan(vae):
    found = MeanMax(n_samples=20, n_repeats=2).calibrate(scorer_of(vae), seed=0)
    values = np.array([[np.nan, 1.0], [np.inf, 0.0]])
    assert np.isnan(found.p_values(values)[:, 0]).all()
    assert np.isnan(found.distance(values)[0, 0])


def test_distances_are_in_deviations_of_the_threshold():
    found = MeanMax(n_samples=50, n_repeats=4).calibrate(normal_scorer(), seed=0)
    one_up = found.thresholds + found.std
    np.testing.assert_allclose(found.distance(one_up[None]), 1.0)


def test_one_repeat_has_no_deviation():
    found = MeanMax(n_samples=5, n_repeats=1).calibrate(normal_scorer(), seed=0)
    assert np.isnan(found.std).all()
    assert np.isnan(found.distance(np.zeros((1, 2)))).all()


def test_fixed_draws_nothing(vae):
    class NoSampler:
        capabilities = frozenset({"encode", "decode", "reconstruct"})
        sample_shape, latent_shape, data_range = (1, 8, 8), (3,), (0.0, 1.0)
        device, dtype = torch.device("cpu"), torch.float32

    found = Fixed({"mse": 2.0, "kld": 1.0}).calibrate(scorer_of(NoSampler()), seed=0)
    assert found.thresholds.tolist() == [1.0, 2.0]
    assert found.reference is None
    assert Fixed(3.0).calibrate(scorer_of(vae), seed=0).thresholds.tolist() == [3.0, 3.0]


def test_a_model_that_cannot_sample_is_told_about_fixed():
    class NoSampler:
        capabilities = frozenset({"encode", "decode", "reconstruct"})
        sample_shape, latent_shape, data_range = (1, 8, 8), (3,), (0.0, 1.0)
        device, dtype = torch.device("cpu"), torch.float32

    with pytest.raises(CapabilityError, match=r"'sample'.*Fixed"):
        MeanMax(n_samples=5).calibrate(scorer_of(NoSampler()), seed=0)


def broken_vae(net, when):
    """Samples whose first latent exceeds ``when`` decode to NaN."""
    return VAE(
        net,
        modules=(),
        decode=lambda z: net.decode(z) / (z[:, 0] < when).float()[:, None, None, None].sqrt(),
        latent_shape=(3,),
        sample_shape=(1, 8, 8),
        check=False,
    )


def test_samples_without_a_finite_value_are_left_out_and_counted(net):
    with pytest.warns(PXGenWarning, match="samples of the model had values that are not finite"):
        found = MeanMax(n_samples=300, n_repeats=2).calibrate(scorer_of(broken_vae(net, 1.5)), 0)
    assert 0 < found.n_invalid < 600
    assert np.isfinite(found.thresholds).all()


def test_a_model_of_nothing_but_nan_is_one_clear_error(net):
    with pytest.raises(ModelError, match=r"model's own samples must be finite.*'kld', 'mse'"):
        MeanMax(n_samples=30).calibrate(scorer_of(broken_vae(net, -99.0)), 0)


@pytest.mark.parametrize(
    ("build", "text"),
    [
        (lambda: MeanMax(n_samples=0), "n_samples must be an integer >= 1; got 0"),
        (lambda: MeanMax(n_samples=10.5), "n_samples"),
        (lambda: MeanMax(n_repeats=True), "n_repeats"),
        (lambda: MeanMax(tolerance=-1.0), "tolerance"),
        (lambda: MeanMax(tolerance={"kld": "low"}), r"tolerance\['kld'\]"),
        (lambda: Quantile(1.5), "q must be"),
        (lambda: Conformal(0.0), "alpha"),
        (lambda: Conformal(1.0), "alpha"),
        (lambda: Median(float("nan")), "k must be"),
        (lambda: Fixed(float("inf")), "values"),
        (lambda: Fixed({"kld": None}), r"values\['kld'\]"),
        (lambda: thresholds.make("MeanMin"), "Did you mean 'MeanMax'"),
        (lambda: thresholds.make({"name": "Quantile", "quantile": 0.5}), "Quantile"),
        (lambda: thresholds.make(0.5), "Fixed"),
    ],
)
def test_wrong_arguments_are_named(build, text):
    with pytest.raises(ParameterError, match=text):
        build()


def test_fixed_names_must_match_the_criteria(vae):
    with pytest.raises(ParameterError, match="Did you mean 'kld'"):
        Fixed({"kldd": 1.0, "mse": 1.0}).calibrate(scorer_of(vae), 0)
    with pytest.raises(ParameterError, match="Add a threshold for 'mse'"):
        Fixed({"kld": 1.0}).calibrate(scorer_of(vae), 0)


def test_rules_can_be_rebuilt_from_their_parameters():
    for rule in (MeanMax(7, 3, 0.5), Quantile(0.9), Conformal(0.2), Median(2.0), Fixed({"a": 1.0})):
        again = thresholds.make({"name": type(rule).__name__, **rule.params})
        assert repr(again) == repr(rule)


def test_calibration_is_silent(vae, capfd):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        MeanMax(n_samples=20, n_repeats=2).calibrate(scorer_of(vae), 0)
    assert capfd.readouterr() == ("", "")
    MeanMax(n_samples=20, n_repeats=2).calibrate(scorer_of(vae), 0, verbose=True)
    out, err = capfd.readouterr()
    assert out == ""
    assert "calibrating" in err


def test_the_largest_value_grows_with_the_number_of_samples():
    few, many = (
        MeanMax(n_samples=n, n_repeats=5).calibrate(normal_scorer(), 0).thresholds
        for n in (50, 2000)
    )
    assert (many > few).all()


def test_criteria_are_measured_by_the_batch_alone(vae, images):
    values = criteria.make("kld")(Batch(vae, torch.from_numpy(images)))
    assert values.shape == (60,)
