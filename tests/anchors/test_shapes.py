"""Which layouts are understood."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from pxgen_plugins.anchors import fit_shape
from pxgen_plugins.utils.errors import AnchorError

RNG = np.random.default_rng(0)


@pytest.mark.parametrize("n", [0, 1, 4])
@pytest.mark.parametrize(
    ("item", "sample"),
    [
        ((6, 5), (1, 6, 5)),
        ((1, 6, 5), (6, 5)),
        ((30,), (1, 6, 5)),
        ((30,), (6, 5)),
        ((1, 6, 5), (30,)),
        ((6, 5), (30,)),
        ((), (1,)),
        ((7, 3, 5), (7, 3, 5)),
    ],
)
def test_one_channel_may_be_laid_out_in_several_ways(
    n: int, item: tuple[int, ...], sample: tuple[int, ...]
) -> None:
    array = RNG.normal(size=(n, *item))
    found = fit_shape(array, sample)
    assert found.shape == (n, *sample)
    np.testing.assert_array_equal(found.reshape(-1), array.reshape(-1))
    assert not n or np.shares_memory(found, array)


def test_channels_last_is_transposed() -> None:
    array = RNG.normal(size=(4, 6, 5, 3))
    found = fit_shape(array, (3, 6, 5))
    for i, c, h, w in np.ndindex(*found.shape):
        assert found[i, c, h, w] == array[i, h, w, c]


def test_the_exact_shape_wins_over_channels_last() -> None:
    array = RNG.normal(size=(4, 3, 3, 3))
    np.testing.assert_array_equal(fit_shape(array, (3, 3, 3)), array)


@pytest.mark.parametrize("sample", [(3, 6, 5), (30,), (6, 5), (1, 6, 5), (1,)])
def test_one_instance_without_batch_axis_is_one_anchor(sample: tuple[int, ...]) -> None:
    array = RNG.normal(size=sample)
    np.testing.assert_array_equal(fit_shape(array, sample), array.reshape(1, *sample))


@pytest.mark.parametrize("empty", [np.empty(0), np.array([])])
def test_an_empty_array_is_an_empty_set(empty: NDArray[np.float64]) -> None:
    assert fit_shape(empty, (3, 6, 5)).shape == (0, 3, 6, 5)


@pytest.mark.parametrize(
    ("shape", "sample"),
    [
        ((2, 90), (3, 6, 5)),  # in which order are the channels?
        ((2, 6, 15), (3, 6, 5)),
        ((2, 5, 6), (1, 6, 5)),
        ((6, 5), (1, 6, 5)),  # six rows of five, or one image?
        ((2, 6, 5, 3), (90,)),
        ((0, 4, 4), (1, 6, 5)),
        ((2, 3, 1, 6, 5), (1, 6, 5)),
    ],
)
def test_any_other_shape_is_refused_and_both_are_named(
    shape: tuple[int, ...], sample: tuple[int, ...]
) -> None:
    with pytest.raises(AnchorError) as caught:
        fit_shape(np.zeros(shape), sample)
    text = str(caught.value)
    assert text.startswith("X must be of shape (n, ")
    assert ", ".join(str(size) for size in sample) in text
    assert f"got shape {shape}." in text


def test_a_single_number_is_refused() -> None:
    with pytest.raises(AnchorError, match="a single number"):
        fit_shape(np.array(1.0), (1,))


@settings(deadline=None)
@given(st.lists(st.integers(1, 4), min_size=1, max_size=4), st.integers(0, 3))
def test_whatever_is_accepted_keeps_every_number(sample: list[int], n: int) -> None:
    target = tuple(sample)
    shapes = [(n, *target), (n, math.prod(target)), (n, *target[1:]), (n, *target[1:], target[0])]
    shapes += [(n, 1, *target), target]
    for shape in shapes:
        array = np.arange(math.prod(shape), dtype=np.float64).reshape(shape)
        try:
            found = fit_shape(array, target)
        except AnchorError:
            assert shape not in ((n, *target), target)
            continue
        assert found.shape[1:] == target
        assert sorted(found.reshape(-1)) == sorted(array.reshape(-1))
