"""A stratified sample: its shares, its seeds, and the labels that it cannot keep."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pxgen_plugins.anchors import open_anchors, stratified_sample
from pxgen_plugins.anchors.sampling import lost_labels, stratified_positions
from pxgen_plugins.anchors.subset import Subset
from pxgen_plugins.utils.errors import ParameterError


def anchors(labels):
    rows = np.arange(len(labels), dtype=float)[:, None]
    return open_anchors(rows, sample_shape=(1,), labels=labels, ids=range(len(labels)))


@given(st.lists(st.integers(1, 60), min_size=1, max_size=8), st.integers(1, 200), st.integers(0, 9))
def test_every_label_has_its_share_and_one_at_least(counts, n, seed):
    labels = np.repeat([str(k) for k in range(len(counts))], counts)
    labels = np.random.default_rng(seed).permutation(labels)
    index = stratified_positions(labels, len(labels), n, seed)
    assert len(index) == min(n, len(labels))
    assert np.all(np.diff(index) > 0)
    if n >= len(labels):
        return
    drawn = np.array([(labels[index] == str(k)).sum() for k in range(len(counts))])
    assert np.all(drawn <= counts)
    exact = n * np.array(counts) / sum(counts)
    if n >= len(counts):
        assert np.all(drawn >= 1)
        if np.all(exact >= 1):  # no label had to be raised
            assert np.all(np.abs(drawn - exact) < 1)
    else:
        assert np.all(drawn <= 1)


def test_it_is_a_fair_draw_within_a_label_and_the_same_for_a_seed():
    labels = np.array(["a"] * 20 + ["b"] * 20)
    draws = np.array([stratified_positions(labels, 40, 10, seed) for seed in range(800)])
    assert np.array_equal(draws[3], stratified_positions(labels, 40, 10, 3))
    times = np.bincount(draws.ravel(), minlength=40)
    assert times.sum() == 8000
    # each is drawn with probability 1/4: 200 times of 800, with a standard deviation of 12
    assert np.all(np.abs(times - 200) < 5 * 12.3)
    assert not np.array_equal(draws[0], draws[1])


def test_rows_labels_ids_and_the_note_are_those_of_the_sample():
    whole = anchors(np.array(list("aaaaaaaabc")))
    part = stratified_sample(whole, 4, seed=2)
    rows = part.read(slice(None))[0][:, 0].astype(int)
    assert part.ids.tolist() == rows.astype(str).tolist()
    assert sorted(set(part.labels.tolist())) == ["a", "b", "c"]
    assert part.notes == ("a random sample of 4 of 10 anchors, stratified by label (seed 2)",)
    assert whole.notes == ()
    assert stratified_sample(whole, 99).notes == ()
    with pytest.raises(ParameterError, match="stratified_sample: n must be"):
        stratified_sample(whole, 0)


def test_labels_that_vanish_are_named():
    whole = anchors(np.array(list("aabbccdd")))
    (text,) = lost_labels(whole, Subset(whole, slice(3)), "limit: 3", "take a sample")
    assert text == "limit: 3 leaves out 2 of 4 labels: 'c', 'd'; take a sample"
    assert lost_labels(whole, Subset(whole, slice(7)), "limit: 7") == ()
    assert "leaves out 2 of 4 labels" in stratified_sample(whole, 2).notes[1]


def test_without_labels_all_are_drawn_alike():
    part = stratified_sample(open_anchors(np.eye(50), sample_shape=(50,)), 5, seed=1)
    assert len(part) == 5
    assert part.notes == ("a random sample of 5 of 50 anchors (seed 1)",)
