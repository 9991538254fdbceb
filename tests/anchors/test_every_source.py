"""What holds for every kind of source, against the same anchors in an array."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from pxgen_plugins.anchors import Anchors, open_anchors
from pxgen_plugins.utils.errors import AnchorError

SHAPE = (1, 6, 5)
INDICES: list[Any] = [
    slice(None),
    slice(3, 20),
    slice(20, 3, -4),
    slice(30, 500),
    slice(5, 5),
    slice(-4, None),
    np.array([36, 0, 17, 17, 3, 0]),
    np.array([-1, 5, -37]),
    np.array([], np.int64),
]


def test_gives_the_rows_of_the_array(source: Any, pixels: Any) -> None:
    anchors = open_anchors(source, sample_shape=SHAPE)
    assert isinstance(anchors, Anchors)
    assert len(anchors) == len(pixels)
    for index in INDICES:
        rows, failed = anchors.read(index)
        assert failed == {}
        np.testing.assert_array_equal(rows, pixels[index], strict=True)
        assert rows.flags.writeable
        assert rows.flags.c_contiguous


def test_batches_in_any_order_make_up_the_whole(source: Any, pixels: Any) -> None:
    anchors = open_anchors(source, sample_shape=SHAPE)
    order = np.random.default_rng(1).permutation(len(pixels))
    parts = [anchors.read(order[start : start + 5])[0] for start in range(0, len(order), 5)]
    np.testing.assert_array_equal(np.concatenate(parts), pixels[order])


def test_rows_may_be_changed_without_changing_the_source(source: Any, pixels: Any) -> None:
    anchors = open_anchors(source, sample_shape=SHAPE)
    anchors.read(slice(0, 4))[0][:] = 0
    anchors.read(np.array([0, 1]))[0][:] = 0
    np.testing.assert_array_equal(anchors.read(slice(0, 4))[0], pixels[:4])


def test_labels_are_known_once_all_was_read(
    source: Any, labels: list[str], labelled: bool, kind: str
) -> None:
    anchors = open_anchors(source, sample_shape=SHAPE)
    anchors.read(slice(None))
    if not labelled:
        assert anchors.labels is None
        return
    assert anchors.labels is not None
    expected = labels if kind != "loader of whole batches" else [str(i) for i in range(37)]
    assert anchors.labels.tolist() == expected
    assert anchors.labels.dtype.kind == "U"


def test_given_labels_and_ids_replace_those_of_the_source(source: Any) -> None:
    anchors = open_anchors(source, sample_shape=SHAPE, labels=range(37), ids=range(100, 137))
    anchors.read(slice(None))
    assert anchors.labels is not None
    assert anchors.ids is not None
    assert anchors.labels.tolist() == [str(i) for i in range(37)]
    assert anchors.ids.tolist() == [str(i) for i in range(100, 137)]


@pytest.mark.parametrize("parameter", ["labels", "ids"])
def test_labels_and_ids_of_another_length_are_refused(source: Any, parameter: str) -> None:
    wrong: dict[str, Any] = {parameter: list(range(36))}
    with pytest.raises(AnchorError, match=r"of length 37, the number of anchors; got length 36"):
        open_anchors(source, sample_shape=SHAPE, **wrong)


def test_a_model_of_another_shape_is_told_both_shapes(source: Any, kind: str) -> None:
    undecoded = ("folder", "list of paths", "Parquet, images", "Parquet, bytes")
    if kind in undecoded:  # nothing is decoded to open these
        _, failed = open_anchors(source, sample_shape=(1, 4, 4)).read(slice(None))
        assert failed == dict.fromkeys(range(37), "the image has 5 x 6 pixels, not 4 x 4")
        return
    with pytest.raises(AnchorError, match=r"\(.*4, 4.*\).*\(.*(6|30).*\)"):
        open_anchors(source, sample_shape=(1, 4, 4))


def test_a_position_out_of_range_is_an_error(source: Any) -> None:
    anchors = open_anchors(source, sample_shape=SHAPE)
    for wrong in ([37], [-38], [0.5]):
        with pytest.raises(IndexError):
            anchors.read(np.array(wrong))


def test_reading_leaves_global_random_state_alone(source: Any) -> None:
    state: Any = np.random.get_state()  # noqa: NPY002
    before = torch.get_rng_state(), state[1].copy()
    open_anchors(source, sample_shape=SHAPE).read(slice(None))
    assert torch.equal(before[0], torch.get_rng_state())
    state = np.random.get_state()  # noqa: NPY002
    np.testing.assert_array_equal(before[1], state[1])


def test_without_a_sample_shape_the_rows_are_taken_as_they_are(source: Any, kind: str) -> None:
    anchors = open_anchors(source, sample_shape=None)
    rows, failed = anchors.read(slice(None))
    assert (len(rows), failed) == (37, {})
    assert rows[0].size == 30
    assert rows.dtype == np.uint8


def test_an_anchor_set_can_be_opened_again_with_other_labels(source: Any, pixels: Any) -> None:
    first = open_anchors(source, sample_shape=SHAPE)
    again = open_anchors(first, sample_shape=SHAPE, labels=["a"] * 37)
    before = None if first.labels is None else first.labels.tolist()
    np.testing.assert_array_equal(again.read(slice(None))[0], pixels)
    assert again.labels is not None
    assert again.labels.tolist() == ["a"] * 37
    assert before is None or before[0] != "a"
