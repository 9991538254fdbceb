"""Arrays, lists, tensors and memory maps."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from pxgen_plugins.anchors import open_anchors
from pxgen_plugins.anchors.memmaps import MemmapAnchors
from pxgen_plugins.utils.errors import AnchorError, caller

HANDED_OVER = {
    **{name: name for name in ("uint8", "float16", "float32", "float64")},
    **{"bool": "float32", "int8": "float32", "uint16": "float32", "int16": "float32"},
    **{"int32": "float64", "uint32": "float64", "int64": "float64", "uint64": "float64"},
    **{">f4": "float32", ">f8": "float64", ">i2": "float32"},
}


@pytest.mark.parametrize(("given", "expected"), HANDED_OVER.items())
def test_numbers_keep_their_value_and_floats_and_bytes_their_type(
    given: str, expected: str
) -> None:
    array = np.array([[0, 1, 100], [1, 0, 7]]).astype(given)
    rows, failed = open_anchors(array, sample_shape=(3,)).read(slice(None))
    assert rows.dtype == expected
    assert rows.dtype.isnative
    assert failed == {}
    np.testing.assert_array_equal(rows, array.astype(np.float64))


@settings(deadline=None)
@given(
    hnp.arrays(
        st.sampled_from([np.uint8, np.float16, np.float32, np.float64]),
        hnp.array_shapes(min_dims=1, max_dims=4, min_side=0, max_side=4),
    ),
    st.data(),
)
def test_any_array_any_slice_any_positions(array: Any, data: st.DataObject) -> None:
    anchors = open_anchors(array, sample_shape=None)
    part = data.draw(st.slices(len(array)))
    np.testing.assert_array_equal(anchors.read(part)[0], array[part], strict=True)
    if len(array):
        places = st.lists(st.integers(-len(array), len(array) - 1), max_size=6)
        index = np.array(data.draw(places), np.int64)
        np.testing.assert_array_equal(anchors.read(index)[0], array[index], strict=True)


def test_nan_and_infinity_pass_through() -> None:
    rows, failed = open_anchors([[np.nan, np.inf]], sample_shape=(2,)).read(slice(None))
    assert failed == {}
    np.testing.assert_array_equal(rows, [[np.nan, np.inf]])


_masked: Any = np.ma.MaskedArray  # which has no types
MASKED = _masked([[1.0, 2.0]], [[False, True]])


@pytest.mark.parametrize(
    "wrong",
    [
        np.array([["a", "b"]]),
        np.array([[1j, 2j]]),
        np.array([["a", object()]], object),
        np.array(["2026-11-22"], "M8[D]"),
        np.zeros(2, [("a", "f4"), ("b", "f4")]),
        [[1, 2], [3]],
        [["1", "2"]],
        [{}, {}],
        [torch.zeros(2), torch.zeros(3)],
        5,
        object(),
        (x for x in [1, 2]),
        MASKED,
        torch.zeros(2, 2, dtype=torch.complex64),
        torch.zeros(2, 2).to_sparse(),
        torch.zeros(2, 2, device="meta"),
    ],
    ids=lambda wrong: type(wrong).__name__,
)
def test_what_holds_no_numbers_is_one_clear_error(wrong: Any) -> None:
    with pytest.raises(AnchorError, match=r"^open_anchors: X must be .*; got .*\. [A-Z].*\.$"):
        open_anchors(wrong, sample_shape=(2,))


@pytest.mark.parametrize(
    "wrong", [None, {}, {"x": 1}, {1, 2}, b"abc", "no such file", Path("no"), __file__]
)
def test_what_is_no_source_at_all_is_one_clear_error(wrong: Any) -> None:
    message = r"^here: X must be .*; got .*\. [A-Z].*\.$"
    with pytest.raises(AnchorError, match=message), caller("here"):
        open_anchors(wrong, sample_shape=(2,))


def test_an_array_whose_conversion_raises_is_one_clear_error() -> None:
    class Broken:
        def __array__(self, *args: Any, **kwargs: Any) -> Any:
            raise RuntimeError("lost\nconnection")

    with pytest.raises(AnchorError, match=r"RuntimeError: lost\\nconnection"):
        open_anchors(Broken(), sample_shape=(2,))


@pytest.mark.parametrize("good", [np.array([[1, 2.5]], object), np.array([[1, None]], object)])
def test_an_object_array_of_numbers_is_converted(good: Any) -> None:
    rows, _ = open_anchors(good, sample_shape=(2,)).read(slice(None))
    assert rows.dtype == np.float64
    assert rows[0, 0] == 1


@pytest.mark.parametrize("empty", [[], np.empty(0), np.empty((0, 2)), torch.empty(0), ()])
def test_the_empty_set_has_length_zero_and_empty_rows(empty: Any) -> None:
    anchors = open_anchors(empty, sample_shape=(2,), labels=[])
    assert len(anchors) == 0
    assert anchors.read(slice(None))[0].shape == (0, 2)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float8_e4m3fn])
def test_a_tensor_of_a_type_that_numpy_lacks_becomes_float32(dtype: torch.dtype) -> None:
    values = torch.arange(12.0).reshape(2, 6)
    anchors = open_anchors(values.to(dtype), sample_shape=(1, 2, 3))
    rows, _ = anchors.read(np.array([1, 1, 0]))
    assert rows.dtype == np.float32
    np.testing.assert_array_equal(rows.reshape(3, 6), values[[1, 1, 0]])
    assert open_anchors(values.to(dtype)[0], sample_shape=(6,)).read(slice(None))[0].shape == (1, 6)


def test_a_tensor_with_a_graph_is_read_without_it() -> None:
    tensor = torch.ones(2, 3, requires_grad=True)
    rows, _ = open_anchors(tensor, sample_shape=(3,)).read(slice(None))
    rows[:] = 5
    assert tensor.detach().eq(1).all()


@pytest.mark.parametrize("mode", ["r", "r+", "c"])
def test_a_memory_map_keeps_the_users_changes(mode: Any, tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.zeros((500, 1024), np.float32))
    mapped = np.load(tmp_path / "a.npy", mmap_mode=mode)
    if mode != "r":
        mapped[::7] = 3
    expected = np.array(mapped)
    anchors = open_anchors(mapped, sample_shape=(1024,))
    assert isinstance(anchors, MemmapAnchors) == (mode == "r")
    for _ in range(2):
        for start in range(0, 500, 50):
            rows, _ = anchors.read(slice(start, start + 50))
            np.testing.assert_array_equal(rows, expected[start : start + 50])
    np.testing.assert_array_equal(mapped, expected)


def test_a_copy_of_a_memory_map_is_not_taken_for_the_map(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.arange(12.0).reshape(4, 3))
    copy = np.load(tmp_path / "a.npy", mmap_mode="r")[[2, 0]] + 1
    rows, _ = open_anchors(copy, sample_shape=(3,)).read(slice(None))
    np.testing.assert_array_equal(rows, [[7, 8, 9], [1, 2, 3]])
