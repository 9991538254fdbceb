"""Data sets and loaders that misbehave."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import DataLoader, IterableDataset, RandomSampler, Subset, TensorDataset

from pxgen_plugins.anchors import open_anchors
from pxgen_plugins.utils.errors import AnchorError


class Items:
    """A map-style data set of given items; exceptions among them are raised."""

    def __init__(self, *items: Any) -> None:
        self.items = items
        self.asked: list[int] = []

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, position: int) -> Any:
        self.asked.append(position)
        item = self.items[position]
        if isinstance(item, Exception):
            raise item
        return item


class Flow(IterableDataset[Any]):
    """An iterable data set of given items; exceptions among them are raised."""

    def __init__(self, *items: Any) -> None:
        self.items = items

    def __iter__(self) -> Any:
        for item in self.items:
            if isinstance(item, Exception):
                raise item
            yield item


ONE = np.ones((2, 3), np.float32)
BAD: list[tuple[Any, str]] = [
    (RuntimeError("disk\ngone"), r"RuntimeError: disk\ngone"),
    (IndexError("no"), "IndexError: no"),
    (np.ones((3, 3), np.float32), "shape is (3, 3), not (1, 2, 3)"),
    (np.ones((2, 3), np.uint8), "type is uint8, but the first anchor's is float32"),
    (None, "missing"),
    ("../../etc/passwd", "a str is no array"),
    ({}, "no key out of"),
    ((), "an empty tuple"),
    ([[1, 2, 3], [4]], "an array of numbers"),
    (np.array([["a", "b", "c"]] * 2), "an array of numbers"),
    (torch.zeros(2, 3).to_sparse(), "Sparse layout"),
    ({"image": b"\x89PNG\r\n\x1a\nrest"}, "UnidentifiedImageError"),
    ({"image": {"bytes": None, "path": "/etc/passwd"}}, "paths that come with data"),
]


@pytest.mark.parametrize(("bad", "why"), BAD)
@pytest.mark.parametrize("place", [0, 1])
def test_a_bad_item_is_a_failed_row_with_its_reason(bad: Any, why: str, place: int) -> None:
    items: list[Any] = [ONE, ONE, ONE]
    items[place] = bad
    if place == 0 and "shape" in why:
        with pytest.raises(AnchorError, match=r"items of shape \(1, 2, 3\); got an item of shape"):
            open_anchors(Items(*items), sample_shape=(1, 2, 3))
        return
    if place == 0 and "type" in why:
        items, place, why = [items[0], ONE], 1, "type is float32, but the first anchor's is uint8"
    anchors = open_anchors(Items(*items), sample_shape=(1, 2, 3))
    rows, failed = anchors.read(np.array([place, 1 - place, place]))
    assert sorted(failed) == [0, 2]
    assert why in failed[0]
    assert failed[0].isprintable()
    assert rows[0].sum() == 0
    assert rows[1].sum() == 6


@pytest.mark.parametrize(("bad", "why"), [one for one in BAD if not isinstance(one[0], Exception)])
def test_so_it_is_in_a_stream(bad: Any, why: str) -> None:
    anchors = open_anchors(Flow((ONE, "a"), bad, (ONE, "c")), sample_shape=(1, 2, 3))
    rows, failed = anchors.read(np.array([1, 2, -2]))
    assert sorted(failed) == [0, 2]
    assert why in failed[0]
    assert rows.sum(axis=(1, 2, 3)).tolist() == [0, 6, 0]
    assert anchors.read(slice(1, None))[1].keys() == {0}
    assert anchors.labels is not None
    assert anchors.labels.tolist() == ["a", "", "c"]


def test_bad_items_before_the_first_good_one_fail_alone_in_a_stream() -> None:
    anchors = open_anchors(Flow(None, None, ONE.astype(np.float64)), sample_shape=(6,))
    rows, failed = anchors.read(slice(None))
    assert sorted(failed) == [0, 1]
    assert rows.dtype == np.float64
    assert rows.sum(axis=1).tolist() == [0, 0, 6]


@pytest.mark.parametrize("kind", [Items, Flow])
def test_when_all_items_fail_each_row_says_why(kind: Any) -> None:
    anchors = open_anchors(kind(None, None), sample_shape=(2,))
    rows, failed = anchors.read(slice(None))
    assert rows.shape == (2, 2)
    assert sorted(failed) == [0, 1]
    with pytest.raises(AnchorError, match="items that fail: it is missing"):
        open_anchors(kind(None, None), sample_shape=None)


@pytest.mark.parametrize("kind", [Items, Flow])
def test_an_empty_data_set_is_an_empty_set(kind: Any) -> None:
    anchors = open_anchors(kind(), sample_shape=(2,))
    assert anchors.read(slice(None))[0].shape == (0, 2)
    assert anchors.labels is None


def test_a_stream_that_breaks_off_is_one_clear_error_and_leaves_no_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with pytest.raises(AnchorError, match=r"iterable to its end; got OSError: gone after 1 steps"):
        open_anchors(Flow(ONE, OSError("gone"), ONE), sample_shape=(2, 3))
    assert list(tmp_path.iterdir()) == []


def test_the_temporary_file_of_a_stream_goes_with_the_last_user(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    anchors = open_anchors(DataLoader(Flow(ONE, ONE, ONE), batch_size=2), sample_shape=(2, 3))
    again = open_anchors(anchors, sample_shape=(2, 3), labels=list("abc"))
    assert len(list(tmp_path.iterdir())) == 1
    del anchors
    assert again.read(slice(None))[0].sum() == 18
    del again
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_is_one_clear_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", "/no/such/folder")
    with pytest.raises(AnchorError, match="small enough for the temporary directory"):
        open_anchors(Flow(ONE), sample_shape=(2, 3))


def test_targets_give_labels_before_anything_is_read() -> None:
    data = Items((ONE, 5), (ONE, 6))
    data.targets = torch.tensor([5, 6])  # type: ignore[attr-defined]
    anchors = open_anchors(data, sample_shape=(2, 3))
    assert anchors.labels is not None
    assert anchors.labels.tolist() == ["5", "6"]
    source: Any = data
    loader = DataLoader(source, sampler=[1, 0, 1])
    found = open_anchors(loader, sample_shape=(2, 3)).labels
    assert found is not None
    assert found.tolist() == ["6", "5", "6"]


@pytest.mark.parametrize("targets", [[1], "ab", None])
def test_targets_that_are_not_the_items_labels_are_passed_over(targets: Any) -> None:
    data = Items((ONE, "a"), (ONE, "b"))
    data.targets = targets  # type: ignore[attr-defined]
    anchors = open_anchors(data, sample_shape=(2, 3))
    anchors.read(slice(None))
    assert anchors.labels is not None
    assert anchors.labels.tolist() == ["a", "b"]


def test_targets_before_a_target_transform_are_passed_over() -> None:
    data = Items((ONE, "one"), (ONE, "two"))
    data.targets, data.target_transform = [1, 2], str  # type: ignore[attr-defined]
    anchors = open_anchors(data, sample_shape=(2, 3))
    anchors.read(slice(None))
    assert anchors.labels is not None
    assert anchors.labels.tolist() == ["one", "two"]


def test_labels_fill_in_as_rows_are_read() -> None:
    anchors = open_anchors(Items((ONE, "a"), (ONE, 2), (ONE, 3.0)), sample_shape=(2, 3))
    anchors.read(slice(2, 3))
    assert anchors.labels is not None
    assert anchors.labels.tolist() == ["a", "", "3"]


@pytest.mark.parametrize("label", [np.zeros(40), [1, 2], torch.zeros(3), {}, "x" * 2000])
def test_a_label_that_is_no_scalar_does_not_cost_the_anchor(label: Any) -> None:
    anchors = open_anchors(Items((ONE, label), (ONE, label)), sample_shape=(2, 3))
    assert anchors.read(slice(None))[1] == {}
    assert anchors.labels is None


@pytest.mark.parametrize("key", ["anchor", "image", "x", "pixel_values", "only_array"])
def test_dicts_are_searched_for_the_anchor(key: str) -> None:
    data = Items({"name": "n", key: ONE, "label": 1}, {"name": "m", key: ONE, "label": 2})
    anchors = open_anchors(data, sample_shape=(2, 3))
    assert anchors.read(slice(None))[0].sum() == 12
    assert anchors.labels is not None
    assert anchors.labels.tolist() == ["1", "2"]


@pytest.mark.parametrize("row", [[1.0, 2.0], np.array([1.0, 2.0]), torch.tensor([1.0, 2.0])])
def test_rows_of_numbers_are_no_pairs(row: Any) -> None:
    anchors = open_anchors(Items(row, row), sample_shape=(2,))
    assert anchors.read(slice(None))[0].tolist() == [[1, 2], [1, 2]]


def test_images_are_converted_to_the_models_channels() -> None:
    grey = Image.new("L", (3, 2), 7)
    colour = Image.new("RGB", (3, 2), (1, 2, 3))
    assert open_anchors(Items(colour, grey), sample_shape=(1, 2, 3)).read(slice(1, 2))[0].max() == 7
    rows, failed = open_anchors(Items(grey, colour), sample_shape=(3, 2, 3)).read(slice(None))
    assert failed == {}
    assert rows[:, :, 0, 0].tolist() == [[7, 7, 7], [1, 2, 3]]
    wrong = open_anchors(Items(grey, Image.new("L", (2, 3))), sample_shape=(2, 3))
    assert wrong.read(slice(None))[1] == {1: "the image has 2 x 3 pixels, not 3 x 2"}


def test_a_subset_and_a_tensor_data_set_keep_their_order() -> None:
    tensors = TensorDataset(torch.arange(12.0).reshape(6, 2), torch.arange(6))
    whole = open_anchors(tensors, sample_shape=(2,))
    assert whole.labels is not None
    assert whole.labels.tolist() == ["0", "1", "2", "3", "4", "5"]
    part = open_anchors(Subset(tensors, [4, 1]), sample_shape=(2,))
    assert part.read(slice(None))[0].tolist() == [[8, 9], [2, 3]]
    assert part.labels is not None
    assert part.labels.tolist() == ["4", "1"]


def test_a_tensor_data_set_of_as_many_rows_as_channels_is_no_single_instance() -> None:
    data = TensorDataset(torch.zeros(3, 2, 2))
    with pytest.raises(AnchorError, match="an item of shape"):
        open_anchors(data, sample_shape=(3, 2, 2))


def test_a_sampler_that_draws_again_is_followed() -> None:
    data = TensorDataset(torch.arange(4.0)[:, None])
    sampler = RandomSampler(data, replacement=True, num_samples=9)
    assert len(open_anchors(DataLoader(data, sampler=sampler), sample_shape=(1,))) == 9


def test_a_sampler_that_raises_is_one_clear_error() -> None:
    class Broken:
        def __iter__(self) -> Any:
            raise KeyError("weights")

        def __len__(self) -> int:
            return 2

    data: Any = Items(ONE, ONE)
    loader = DataLoader(data, sampler=Broken())
    with pytest.raises(AnchorError, match="sampler must be iterable to its end"):
        open_anchors(loader, sample_shape=(2, 3))


def test_items_are_read_only_when_asked_for() -> None:
    data = Items(*[ONE] * 100)
    anchors = open_anchors(data, sample_shape=(2, 3))
    anchors.read(slice(50, 52))
    assert data.asked == [0, 50, 51]
