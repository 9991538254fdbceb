"""Some rows of an anchor set behave as an anchor set of these rows."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from pxgen_plugins.anchors import Anchors, Subset, open_anchors

ROWS = np.arange(28.0).reshape(7, 4)
LABELS = np.array(list("abcdefg"))

places = st.lists(st.integers(-7, 6), max_size=9)
slices = st.slices(7)


def whole() -> Anchors:
    return open_anchors(ROWS, sample_shape=(4,), labels=LABELS, ids=range(7))


class Damaged(Anchors):
    """Seven rows, of which row 3 cannot be read."""

    def __len__(self) -> int:
        return 7

    def read(self, index: slice | NDArray[np.int64]) -> tuple[NDArray[np.float64], dict[int, str]]:
        rows = np.arange(7)[index]
        return ROWS[rows], dict.fromkeys(np.flatnonzero(rows == 3).tolist(), "gone")


@given(places | slices, st.data())
def test_rows_labels_and_ids_are_those_of_the_set(index, data):
    index = index if isinstance(index, slice) else np.array(index, np.int64)
    subset = Subset(whole(), index)
    assert len(subset) == len(ROWS[index])
    assert subset.labels.tolist() == LABELS[index].tolist()
    assert subset.ids.tolist() == np.arange(7).astype(str)[index].tolist()
    inner = data.draw(st.slices(len(subset)))
    rows, failed = subset.read(inner)
    np.testing.assert_array_equal(rows, ROWS[index][inner])
    assert failed == {}


@given(st.permutations(range(7)))
def test_positions_are_those_of_the_subset(order):
    subset = Subset(whole(), np.array([5, 1, 2, 3]))
    inner = np.array([row for row in order if row < 4])
    np.testing.assert_array_equal(subset.read(inner)[0], ROWS[[5, 1, 2, 3]][inner])


@given(places)
def test_rows_that_fail_are_found_where_they_stand(index):
    index = np.array(index, np.int64)
    failed = Subset(Damaged(), index).read(slice(None))[1]
    assert sorted(failed) == np.flatnonzero(index % 7 == 3).tolist()


def test_a_set_without_labels_and_ids_gives_a_subset_without():
    subset = Subset(Damaged(), slice(2))
    assert subset.labels is None
    assert subset.ids is None


def test_a_subset_of_a_subset_and_new_labels():
    subset = Subset(Subset(whole(), np.array([6, 4, 2, 0])), slice(1, 3))
    again = open_anchors(subset, sample_shape=(4,), labels=["x", "y"])
    np.testing.assert_array_equal(again.read(slice(None))[0], ROWS[[4, 2]])
    assert again.labels.tolist() == ["x", "y"]
    assert subset.labels.tolist() == ["e", "c"]


@pytest.mark.parametrize("index", [np.array([7]), np.array([-8]), np.array([0.5])])
def test_positions_out_of_range_are_refused(index):
    with pytest.raises(IndexError):
        Subset(whole(), index)
    with pytest.raises(IndexError):
        Subset(whole(), slice(None)).read(index)


def test_the_rows_are_not_read_when_it_is_made():
    class Unreadable(Damaged):
        def read(self, index):
            raise AssertionError("read")

    assert len(Subset(Unreadable(), slice(3))) == 3
