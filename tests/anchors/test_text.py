"""Labels and ids of any type."""

from __future__ import annotations

import enum
from decimal import Decimal
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pxgen_plugins.anchors import open_anchors
from pxgen_plugins.anchors.label_text import as_ids, as_labels, as_text
from pxgen_plugins.utils.errors import AnchorError


class Colour(enum.Enum):
    RED = 1


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ([0, 1, -2], ["0", "1", "-2"]),
        ([0.0, 1.5, float("nan")], ["0", "1.5", ""]),
        ([1e300, float("inf"), -0.0], ["1e+300", "inf", "0"]),
        (["a", "b c", ""], ["a", "b c", ""]),
        (["a", 1, None], ["a", "1", ""]),
        ([True, False, np.bool_(True)], ["True", "False", "True"]),
        ([b"a", b"\xff", b""], ["a", "\\xff", ""]),
        ([pd.NA, pd.NaT, np.datetime64("NaT")], ["", "", ""]),
        ([Decimal("1.0"), Decimal("NaN"), 3], ["1.0", "", "3"]),
        ([torch.tensor(1), torch.tensor(2.0), np.float32(0.1)], ["1", "2", "0.1"]),
        ((1, 2, 3), ["1", "2", "3"]),
        (range(3), ["0", "1", "2"]),
        (np.array([3, 1, 3], np.uint8), ["3", "1", "3"]),
        (np.array([3, np.nan, 3.5], np.float16), ["3", "", "3.5"]),
        (np.array([True, False, True]), ["True", "False", "True"]),
        (np.array(["b", "a", "b"]), ["b", "a", "b"]),
        (np.array(["b", None, 2], object), ["b", "", "2"]),
        (np.array([[1], [2], [3]]), ["1", "2", "3"]),
        (np.array(["2026-11-22", "NaT", "2026-11-23"], "M8[D]"), ["2026-11-22", "", "2026-11-23"]),
        (torch.tensor([1, 2, 1]), ["1", "2", "1"]),
        (torch.tensor([1.0, 2.0, 1.0], requires_grad=True), ["1", "2", "1"]),
        (pd.Series([1, 2, None]), ["1", "2", ""]),
        (pd.Series([1, 2, None], dtype="Int64"), ["1", "2", ""]),
        (pd.Series(["a", "b", "a"], dtype="category", index=[7, 8, 9]), ["a", "b", "a"]),
        (["line\nbreak", "<script>", "../.."], ["line\nbreak", "<script>", "../.."]),
    ],
)
def test_become_strings(given: Any, expected: list[str]) -> None:
    found = as_labels(given, 3)
    assert found.tolist() == expected
    assert found.dtype.kind == "U"


def test_an_enumeration_keeps_its_name() -> None:
    assert as_text(Colour.RED) == "Colour.RED"


@settings(deadline=None)
@given(st.lists(st.integers() | st.text() | st.floats() | st.booleans() | st.none()))
def test_an_object_array_and_a_list_give_the_same(values: list[Any]) -> None:
    array = np.empty(len(values), object)
    array[:] = values
    one, other = as_labels(values, len(values)), as_labels(array, len(values))
    assert one.tolist() == other.tolist()


@settings(deadline=None)
@given(st.lists(st.integers(-(2**53), 2**53) | st.floats(width=32)))
def test_a_float_array_and_its_values_one_by_one_give_the_same(values: list[float]) -> None:
    array = np.array(values, np.float64)
    assert as_labels(array, len(values)).tolist() == [as_text(v) for v in array.tolist()]


@pytest.mark.parametrize("wrong", ["abc", b"abc", {"a": 1, "b": 2, "c": 3}, 3, np.eye(3), 1.5])
def test_what_is_no_sequence_of_scalars_is_refused(wrong: Any) -> None:
    with pytest.raises(AnchorError, match="labels must be a sequence with one value per anchor"):
        as_labels(wrong, 3)


@pytest.mark.parametrize("wrong", [[[1], [2], [3]], [{}, {}, {}], [np.zeros(2)] * 3])
def test_a_sequence_of_groups_is_refused(wrong: Any) -> None:
    with pytest.raises(AnchorError, match="labels must be"):
        as_labels(wrong, 3)


def test_an_overlong_label_is_refused_before_it_fills_the_memory() -> None:
    with pytest.raises(AnchorError, match="at most 1024 characters; got one of 5000"):
        as_labels(["a", "b" * 5000], 2)


def test_another_length_names_both() -> None:
    with pytest.raises(AnchorError) as caught:
        open_anchors(np.zeros((3, 2)), sample_shape=(2,), labels=[1, 2])
    assert str(caught.value) == (
        "open_anchors: labels must be of length 3, the number of anchors; got length 2. "
        "Pass as many labels as there are anchors, in the same order."
    )


@pytest.mark.parametrize("twice", [["a", "b", "a"], [1, 2, 1.0], np.array([5, 4, 5])])
def test_an_id_that_occurs_twice_is_named(twice: Any) -> None:
    with pytest.raises(AnchorError, match=r"ids must be distinct.*again at position 2"):
        as_ids(twice, 3)


def test_an_empty_id_is_refused() -> None:
    with pytest.raises(AnchorError, match="empty id at position 1"):
        as_ids(["a", None, "b"], 3)


def test_none_at_all_is_an_empty_array() -> None:
    assert as_labels([], 0).shape == (0,)
