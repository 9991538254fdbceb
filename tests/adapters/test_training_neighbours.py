"""The nearest training instances: equal to a slow oracle, planted copies found, no others."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats
from scipy.spatial.distance import cdist

from pxgen_plugins.adapters import TrainingNeighbours
from pxgen_plugins.adapters.base import NotFittedError
from pxgen_plugins.testing.examples import EchoModel
from pxgen_plugins.utils.errors import AnchorError


def uniform(seed: int, *shape: int):
    return np.random.default_rng(seed).uniform(size=shape).astype(np.float32)


def closeness(row, training):
    """Distance to the nearest row, over that one's to its nearest other; written from the paper."""
    distance = np.linalg.norm(training - row, axis=1)
    at = int(distance.argmin())
    gap = np.linalg.norm(np.delete(training, at, 0) - training[at], axis=1).min()
    return distance[at] / gap


@pytest.mark.parametrize("with_held_out", [True, False])
def test_neighbours_and_ranks_equal_a_slow_oracle(with_held_out):
    training, new, X = (uniform(seed, n, 3) for seed, n in ((0, 25), (1, 18), (2, 9)))
    training[7] = training[3]  # a repeat, of which the first counts
    model, held_out = EchoModel((3,)), new if with_held_out else None
    labels = [f"t{i}" for i in range(25)]
    found = TrainingNeighbours(model, 4).fit(training, held_out, labels).explain(X)
    rows = np.delete(training, 7, 0).astype(np.float64)
    places = np.delete(np.arange(25), 7)
    every = cdist(X.astype(np.float64), rows)
    order = np.argsort(every, axis=1)[:, :4]
    np.testing.assert_array_equal(found.indices, places[order])
    np.testing.assert_allclose(found.distances, np.take_along_axis(every, order, 1), rtol=1e-12)
    assert found.labels[0].tolist() == [f"t{i}" for i in found.indices[0]]
    own = [closeness(row, rows) for row in X]
    others = [closeness(row, rows) for row in new]
    if not with_held_out:
        others = [closeness(rows[i], np.delete(rows, i, 0)) for i in range(len(rows))]
    np.testing.assert_allclose(found.closeness, own, rtol=1e-9)
    slow = [(1 + sum(other <= one for other in others)) / (len(others) + 1) for one in own]
    np.testing.assert_allclose(found.p_values, slow, rtol=1e-12)
    expected = stats.false_discovery_control(slow)
    np.testing.assert_allclose(found.adjusted, expected, rtol=1e-12)
    assert found.control == ("held_out" if with_held_out else "training")


@pytest.mark.parametrize("with_held_out", [True, False])
def test_planted_copies_are_found_and_new_instances_are_not(with_held_out):
    hits, wrong, p_values = [], [], []
    for seed in range(40):
        rows = uniform(seed, 500, 4)
        explainer = TrainingNeighbours(EchoModel((4,)), 1)
        explainer.fit(rows[:200], held_out=rows[200:400] if with_held_out else None)
        X = rows[400:].copy()
        X[:20] = rows[:20] + 1e-3
        found = explainer.explain(X)
        listed = np.flatnonzero(found.adjusted <= 0.05)
        hits.append(np.mean(np.isin(np.arange(20), listed)))
        wrong.append((listed >= 20).sum() / max(len(listed), 1))
        p_values.append(found.p_values[-1])
        np.testing.assert_array_equal(found.indices[:20, 0], np.arange(20))
    assert np.mean(hits) > 0.9
    assert np.mean(wrong) <= 0.06
    assert stats.kstest(p_values, "uniform").pvalue > 0.01


def test_what_cannot_be_asked_is_named():
    explainer = TrainingNeighbours(EchoModel((3,)))
    with pytest.raises(NotFittedError):
        explainer.explain(uniform(0, 4, 3))
    with pytest.raises(AnchorError, match="2 different instances"):
        explainer.fit(np.zeros((9, 3), "f4"))
    X = uniform(1, 6, 3)
    X[2] = np.nan
    found = explainer.fit(uniform(2, 4, 3)).explain(X)
    assert found.indices.shape == (6, 4)  # all of the training set
    assert found.indices[2].tolist() == [-1] * 4
    assert found.invalid.tolist() == [2]
    assert np.isnan(found.p_values[2])
