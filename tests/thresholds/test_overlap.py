"""Anchors in the reference data are counted by their values, and no others."""

from __future__ import annotations

import numpy as np
import pytest

from pxgen_plugins import PXGen
from pxgen_plugins.testing.examples import LinearModel
from pxgen_plugins.thresholds import Conformal
from pxgen_plugins.thresholds.overlap import count_shared
from pxgen_plugins.utils.errors import PXGenWarning


def test_the_count_is_that_of_all_pairs():
    for seed in range(20):
        draws = np.random.default_rng(seed)
        reference, values = draws.lognormal(size=(300, 3)), draws.lognormal(size=(500, 3))
        some = draws.choice(500, 40, replace=False)
        noise = 1 + 1e-7 * draws.uniform(-1, 1, (40, 3))
        values[some] = reference[draws.choice(300, 40, replace=False)] * noise
        values[some[:5], 2] *= 1.01  # like it in two of three
        pairs = np.abs(values[:, None] - reference) <= 1e-6 * reference
        assert count_shared(values, reference) == pairs.all(-1).any(-1).sum() == 35


def test_others_of_a_kind_are_not_counted_and_few_values_tell_nothing():
    draws = np.random.default_rng(0)
    assert count_shared(draws.random((50_000, 2)), draws.random((10_000, 2))) == 0
    steps = draws.integers(0, 5, (200, 2)).astype(float)
    assert count_shared(steps, steps) == 0
    alone = draws.random((200, 1))
    assert count_shared(alone, alone) == 0
    assert count_shared(np.full((3, 2), np.nan), draws.random((200, 2))) == 0


@pytest.mark.parametrize("batch_size", [7, 64])
def test_explaining_what_was_fitted_on_warns_and_other_data_does_not(recwarn, batch_size):
    model = LinearModel()
    data, others = model.sample(120, 0), model.sample(80, 1)
    rule = Conformal(0.05, source="reference")
    explainer = PXGen(model, threshold=rule, batch_size=batch_size).fit(data)
    recwarn.clear()
    explainer.explain(others)
    assert not [one for one in recwarn if "reference data" in str(one.message)]
    mixed = np.concatenate([others.numpy(), data[:30].numpy()])
    with pytest.warns(PXGenWarning, match="30 of 110 anchors have the values"):
        explanation = explainer.explain(mixed)
    assert any("hold anchors and reference data apart" in note for note in explanation.notes)
