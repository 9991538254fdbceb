"""The study of calibration against planted truths: exponential samples, whose maxima are known."""

from __future__ import annotations

import math
import re
from pathlib import Path

import numpy as np
import pytest

from pxgen_plugins import PXGen
from pxgen_plugins.evaluation import SamplePool, Study, calibration_study, draw_pool
from pxgen_plugins.groups import GROUPS, calibration_noise
from pxgen_plugins.plots import plot_calibration_noise
from pxgen_plugins.thresholds import Conformal, Fixed, MeanMax, Quantile
from pxgen_plugins.utils.errors import ParameterError

LONGEST = 20.0  # of the anchors' values, which lie evenly: a share moves by 1 / 20 per unit
ANCHORS = np.c_[(np.arange(1_000) + 0.5) * LONGEST / 1_000, np.zeros(1_000)]


def draw(n, seed):
    """Samples whose first value is exponential, the second one of no consequence."""
    rng = np.random.default_rng(seed)
    return np.c_[rng.exponential(size=n), 1.0 + rng.random(n)]


@pytest.fixture(scope="module")
def explainer():
    return PXGen(lambda X: X, threshold=Fixed(1.0), sampler=draw).fit()


def maximum(n):
    """Mean and standard deviation of the largest of n exponentials (Renyi 1953)."""
    i = np.arange(1, n + 1)
    return (1 / i).sum(), math.sqrt((1 / i**2).sum())


@pytest.mark.slow
def test_thresholds_and_noise_are_those_of_exponential_maxima(explainer):
    study = calibration_study(explainer, ANCHORS, budget=3_000, n_seeds=120)
    assert [row["n_samples"] for row in study.rows] == [100, 300, 1_000, 3_000]
    for row in study.rows:
        mean, deviation = maximum(row["n_samples"])
        r = row["n_repeats"]
        error = deviation / math.sqrt(r * 120)
        assert row["cost"] == row["n_samples"] * r
        assert abs(row["thresholds"]["kld"] - mean) < 4 * error
        # all anchors are below the second threshold, so HIHE is the share below the first, whose
        # deviation the delta method gives exactly: density 1 / 20 times that of the threshold
        assert row["fractions"]["HIHE"] == pytest.approx(mean / LONGEST, abs=4 * error / LONGEST)
        expected = deviation / math.sqrt(r) / LONGEST
        assert row["deviations"]["HIHE"] == pytest.approx(expected, rel=0.25)
        assert row["noise"] == pytest.approx(expected, rel=0.25)
        if r > 1:
            # a single calibration knows its noise by its repeats, as a mean square over all of them
            assert row["estimate"] == pytest.approx(expected, rel=0.35 if r < 5 else 0.2)
        else:
            assert row["estimate"] is None
    # one maximum deviates by 1.28 whatever n: at equal cost fewer samples are firmer
    noise = [row["noise"] for row in study.rows]
    assert noise == sorted(noise)


def test_a_row_is_what_calibrating_on_the_same_samples_says(explainer):
    labels = np.array(["low", "high"])[(ANCHORS[:, 0] > 5).astype(int)]
    pool = draw_pool(explainer, 600, range(3))
    rules = [MeanMax(100, 6), MeanMax(200, 2), Quantile(0.9, 300, 2), Conformal(0.1, 50, 12)]
    study = calibration_study(explainer, ANCHORS, rules, labels, pool=pool)
    for rule, row in zip(rules, study.rows, strict=True):
        found = []
        for table in pool.values:
            rows = [table[k * rule.n_samples :][: rule.n_samples] for k in range(rule.n_repeats)]
            found.append(rule.combine(np.array([rule.threshold(part) for part in rows])))
        inside = [(cut > ANCHORS).all(axis=1) for cut in found]
        shares = [mask.mean() for mask in inside]
        assert row["thresholds"]["kld"] == pytest.approx(np.mean(found, axis=0)[0])
        assert row["threshold_std"]["kld"] == pytest.approx(np.std(found, axis=0, ddof=1)[0])
        assert row["fractions"]["HIHE"] == pytest.approx(np.mean(shares))
        assert row["intervals"]["HIHE"] == [min(shares), max(shares)]
        low = [mask[labels == "low"].mean() for mask in inside]
        assert row["labels"]["low"]["share"] == pytest.approx(np.mean(low))
        assert row["labels"]["low"]["deviation"] == pytest.approx(np.std(low, ddof=1))


def test_seeds_are_independent_of_each_other_and_of_the_explainer(explainer):
    pool = draw_pool(explainer, 50, [0, 1, 0])
    assert np.array_equal(pool.values[0], pool.values[2])
    fitted = PXGen(lambda X: X, threshold=MeanMax(50, 2), sampler=draw).fit()
    values = [*pool.values[:2, :, 0].ravel(), *fitted.calibration.reference[:, 0]]
    assert len(set(values)) == len(values)


def test_a_costlier_setting_takes_the_samples_of_several_seeds(explainer):
    pool = draw_pool(explainer, 100, range(7))
    (row,) = calibration_study(explainer, ANCHORS, [MeanMax(250, 1)], pool=pool).rows
    assert (row["cost"], row["n_calibrations"]) == (250, 2)
    firsts = [pool.values[:3].reshape(-1, 2)[:250], pool.values[3:6].reshape(-1, 2)[:250]]
    assert row["thresholds"]["kld"] == pytest.approx(np.mean([one[:, 0].max() for one in firsts]))
    (single,) = calibration_study(explainer, ANCHORS, [MeanMax(350, 2)], pool=pool).rows
    assert single["n_calibrations"] == 1
    assert single["noise"] is None
    assert single["estimate"] > 0  # by its two repeats
    with pytest.raises(ParameterError, match="settings must be at most 700 samples"):
        calibration_study(explainer, ANCHORS, [MeanMax(701, 1)], pool=pool)


def test_invalid_samples_are_left_out_and_a_tolerance_stops_early(explainer):
    pool = draw_pool(explainer, 400, range(3))
    pool.values[:, ::7, 0] = math.nan
    rules = [MeanMax(20, 20), MeanMax(20, 20, tolerance=100.0)]
    with pytest.warns(UserWarning, match="not finite"):
        whole, short = calibration_study(explainer, ANCHORS, rules, pool=pool).rows
    assert math.isfinite(whole["thresholds"]["kld"])
    assert (whole["cost"], short["cost"]) == (400, 5 * 20)


def test_the_study_is_json_markdown_and_a_figure(explainer):
    pool = SamplePool(draw_pool(explainer, 300, range(4)).values)
    study = calibration_study(explainer, ANCHORS, [MeanMax(30, 10), MeanMax(100, 3)], pool=pool)
    assert Study.from_json(study.to_json()).rows == study.rows
    assert "| MeanMax 30 x 10 |" in study.to_markdown()
    for group in ("HIHE", "LIHE", "largest"):
        (axes,) = plot_calibration_noise({"one": study, "two": study}, group=group)
        drawn = [line for line in axes.lines if line.get_gid() == "noise"]
        assert len(drawn) == 2
        for (n, sd), row in zip(drawn[0].get_xydata(), study.rows, strict=True):
            of = row["noise"] if group == "largest" else row["deviations"][group]
            assert (n, sd) == (row["n_samples"], pytest.approx(100 * of))
    assert study.plot()[0].get_xlabel() == "samples per repeat, at a fixed number in all"
    for wrong in (3, {"a": 3}, Study("thresholds", [{"case": "x"}])):
        with pytest.raises(ParameterError, match="studies must be calibration studies"):
            plot_calibration_noise(wrong)


def test_the_code_on_the_page_runs(explainer):
    page = Path(__file__).parents[2] / "docs" / "calibration.md"
    (block,) = re.findall(r"```python\n(.*?)```", page.read_text("utf-8"), re.DOTALL)
    space = {"explainer": explainer, "images": ANCHORS[::10], "print": lambda text: None}
    exec(block, space)
    assert [row["cost"] for row in space["study"].rows] == [2_000, 2_000]


def test_wrong_arguments_are_named(explainer):
    for options, text in (
        ({"n_seeds": 1}, "n_seeds must be"),
        ({"pool": SamplePool(np.zeros((2, 3)))}, "pool must be of values of shape"),
        ({"settings": ["MeanMix"]}, "MeanMix"),
    ):
        with pytest.raises(ParameterError, match=text):
            calibration_study(explainer, ANCHORS, **{"budget": 10, **options})


def test_the_noise_of_one_calibration_has_the_right_size():
    # thresholds of r normal repeats have the deviation sd / sqrt(r); so has the share, by 20
    rng = np.random.default_rng(0)
    for r, rel in ((2, 0.3), (5, 0.15), (100, 0.1)):
        squares = []
        for seed in range(100):
            repeats = np.c_[rng.normal(10.0, 1.0, r), np.ones(r)]
            noise = calibration_noise(
                ANCHORS, repeats, lambda r: r.mean(0), ["intrinsic", "extrinsic"], seed=seed
            )
            squares.append(noise["HIHE"] ** 2)
        assert math.sqrt(np.mean(squares)) == pytest.approx(1 / math.sqrt(r) / LONGEST, rel=rel)
        assert noise["LIHE"] == pytest.approx(noise["HIHE"])  # who leaves the one is in the other
        assert noise["HILE"] == 0.0
    for values, few in ((ANCHORS[:0], repeats), (ANCHORS, repeats[:1])):
        none = calibration_noise(values, few, np.mean, ["intrinsic", "extrinsic"])
        assert none == dict.fromkeys(GROUPS)
