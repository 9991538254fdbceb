"""Comparisons of tables: rows have units, and no result may hang on them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from pxgen_plugins import compare
from pxgen_plugins.models import Tabular

matplotlib = pytest.importorskip("matplotlib")
RULE = {"threshold": {"name": "Quantile", "q": 0.95, "n_samples": 100, "n_repeats": 2}}


class Resampled:
    """A synthesizer: rows of its table, drawn again, with the incomes times a factor."""

    def __init__(self, table, factor):
        self.table, self.factor = table, factor

    def sample(self, n):
        rows = self.table.sample(n, replace=True).reset_index(drop=True)
        rows["income"] *= self.factor
        return rows


def people(unit):
    rng = np.random.default_rng(0)
    age, income = rng.uniform(20, 60, 80), rng.uniform(1, 9, 80)
    city = np.where(age > 40, "Rome", "Bern")
    return pd.DataFrame({"age": age, "income": unit * income, "city": city})


def comparison(unit):
    table = people(unit)
    models = {
        name: Tabular(Resampled(table, factor), table)
        for name, factor in (("good", 1.0), ("rich", 3.0))
    }
    return compare(models, table.iloc[:30], options=dict.fromkeys(models, RULE))


@pytest.fixture(scope="module")
def units():
    return comparison(1.0), comparison(2.0**20)  # a power of 2: no rounding


def test_distances_of_samples_do_not_hang_on_units(units):
    one, other = units
    for pair, distance in one.distances.items():
        assert other.distances[pair].frechet == pytest.approx(distance.frechet, rel=1e-3)
        assert other.distances[pair].kernel == pytest.approx(distance.kernel, rel=1e-3, abs=1e-6)
    assert one.distances["good / anchors"].frechet < one.distances["rich / anchors"].frechet


def test_the_target_is_a_criterion_that_has_learned(units):
    for row in units[0].table():
        if row["method"] == "saliency":
            assert row["status"] == "ran", row["reason"]


def test_saliencies_do_not_hang_on_units(units):
    ranked = []
    for both in units:
        found = both.comparisons["good"].outcomes
        (saliency,) = [o.explanation.attributions for o in found if o.label == "saliency"]
        assert (saliency[:, 2] == 0.0).all()  # no gradient between categories
        assert (saliency[:, :2].max(axis=0) > 0.0).all()
        ranked.append(saliency)
    np.testing.assert_allclose(ranked[0], ranked[1], rtol=1e-3, atol=1e-5)


def heights(axes):
    bars = [p for p in axes.patches if isinstance(p, matplotlib.patches.Rectangle)]
    return np.array([bar.get_height() for bar in bars])


def test_rows_are_drawn_in_the_range_of_their_columns(units):
    pictures = []
    for both in units:
        one = replace(both.comparisons["good"], outcomes=[])
        axes = one.plot()
        pictures.append(np.concatenate([heights(ax) for ax in axes[-2:]]))
        words = " ".join(t.get_text() for t in axes[0].figure.findobj(matplotlib.text.Text))
        assert "age, income, city" in words
        assert "reconstruction" not in words  # the model has none
        shown = pictures[-1].reshape(-1, 3)
        assert (np.ptp(shown, axis=0) > 0.8).all()  # every column spans its cell
        matplotlib.pyplot.close("all")
    np.testing.assert_allclose(pictures[0], pictures[1], atol=1e-4)
