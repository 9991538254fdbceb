"""Anchors in a map-style data set: anything with a length and items."""

from __future__ import annotations

import contextlib
from types import MappingProxyType
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from pxgen_plugins.anchors._images import form_of_shape
from pxgen_plugins.anchors._item_formats import pair, pixels
from pxgen_plugins.anchors._shapes import Layout, fit_item, refuse_shape
from pxgen_plugins.anchors.base import (
    REGISTRY,
    Anchors,
    module_in_use,
    positions,
    reason,
    row_dtype,
    warn_of_rounding,
)
from pxgen_plugins.anchors.label_text import as_labels, item_label
from pxgen_plugins.anchors.tensors import TensorAnchors
from pxgen_plugins.utils.errors import AnchorError

__all__ = ["DatasetAnchors", "RowFormat", "why_not"]

_PROBES = 16  # failing items in front of which the first good one is still looked for


class RowFormat:
    """Turns what a source yields into rows of one shape and type, which the first one fixes.

    Args:
        sample_shape: Shape of one anchor, None to take the first one's.
    """

    def __init__(self, sample_shape: tuple[int, ...] | None) -> None:
        self._sample_shape = sample_shape
        self.form = None if sample_shape is None else form_of_shape(sample_shape)
        self.layout: Layout | None = None
        self.dtype: np.dtype[Any] | None = None

    def fix(self, item: NDArray[Any]) -> None:
        """Take shape and type from the first readable ``item``.

        Raises:
            AnchorError: When the shape does not fit, as then it is likely wrong for all.
        """
        self.layout = fit_item(item.shape, self._sample_shape)
        self.dtype = row_dtype(item.dtype)
        if self.dtype is None:
            hint = "Convert it to uint8 or a floating type first."
            got = f"an item of dtype {item.dtype}"
            raise AnchorError("X", "made of real numbers", got, hint)
        if self.layout is None:
            refuse_shape(item.shape, self._sample_shape or (), item=True)

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of one row."""
        return self.layout.sample_shape if self.layout else self._sample_shape or ()

    def row(self, item: NDArray[Any]) -> NDArray[Any]:
        """Return an item of any accepted layout in the shape and type of all rows.

        Raises:
            ValueError: When it has another shape than the anchors, or a type whose numbers mean
                something else than the first one's (uint8 beside floating).
        """
        layout = self.layout
        warn_of_rounding(item, "items")
        if layout is None or layout.item_shape != item.shape:
            layout = fit_item(item.shape, self.shape)
        if layout is None:
            raise ValueError(f"its shape is {item.shape}, not {self.shape}")
        dtype = row_dtype(item.dtype)
        if dtype is None or self.dtype is None or dtype.kind != self.dtype.kind:
            raise ValueError(f"its type is {item.dtype}, but the first anchor's is {self.dtype}")
        return layout.apply(item[None]).astype(self.dtype).reshape(self.shape)


@REGISTRY.register("dataset")
class DatasetAnchors(Anchors):
    """Anchors in anything with ``len`` and items ``x``, ``(x, y)`` or dicts.

    An item that raises, or has another shape than the others, is a failed row. Items are read
    again whenever they are asked for, so random augmentation gives other anchors each time.

    Args:
        dataset: The data set.
        sample_shape: Shape of one anchor, None to take that of the first readable item.

    Attributes:
        labels: From ``targets`` if the data set has them; else those of the rows read so far, ""
            for the others, None while none was seen. Labels that are no scalars are passed over.

    Raises:
        AnchorError: When the first readable item does not fit the model.
    """

    order: ClassVar[int] = 90
    origins = MappingProxyType({"labels": "its items, where they have any"})

    def __init__(self, dataset: Any, sample_shape: tuple[int, ...] | None) -> None:
        self._dataset = dataset
        self._n = len(dataset)
        self._seen: list[str] = []
        self._labels = _targets(dataset, self._n)
        self._collect = self._labels is None
        self._rows = RowFormat(sample_shape)
        self._probe(sample_shape)

    @classmethod
    def matches(cls, X: Any) -> bool:
        """Return whether ``X`` has a length and items, and is no text, dict, list or array."""
        known = (str, bytes, bytearray, dict, list, tuple, np.ndarray)
        return (
            not isinstance(X, known)
            and not hasattr(X, "__array__")
            and not hasattr(X, "keys")
            and hasattr(X, "__getitem__")
            and _has_length(X)
        )

    @classmethod
    def open(cls, X: Any, sample_shape: tuple[int, ...] | None) -> Anchors:
        """Return the anchors in the data set ``X``; those of a TensorDataset without its items."""
        torch = module_in_use("torch")
        if torch is not None and type(X) is torch.utils.data.TensorDataset and X.tensors:
            anchors = TensorAnchors.open(X.tensors[0], sample_shape)
            if len(X.tensors) > 1 and X.tensors[1].ndim and len(anchors) == len(X):
                with contextlib.suppress(AnchorError):  # targets that are no scalars
                    anchors.labels = as_labels(X.tensors[1], len(X))
                    anchors.origins = {"labels": "the second tensor"}
            if len(anchors) == len(X):
                return anchors
        return cls(X, sample_shape)

    @property
    def labels(self) -> NDArray[np.str_] | None:
        """Labels known so far, shape (n,), or None."""
        if self._labels is None and self._seen:
            return np.array(self._seen, np.str_)
        return self._labels

    @labels.setter
    def labels(self, labels: NDArray[np.str_] | None) -> None:
        self._labels, self._seen, self._collect = labels, [], False

    def __len__(self) -> int:
        return self._n

    def read(self, index: slice | NDArray[np.int64]) -> tuple[NDArray[Any], dict[int, str]]:
        """Return the items, and why some could not be had; notes their labels."""
        chosen = positions(index, self._n).tolist()
        rows = np.zeros((len(chosen), *self._rows.shape), self._rows.dtype or np.float32)
        failed: dict[int, str] = {}
        for place, position in enumerate(chosen):
            item = self._item(position)
            if isinstance(item, str):
                failed[place] = item
            else:
                rows[place] = item
        return rows, failed

    def _item(self, position: int, *, raw: bool = False) -> NDArray[Any] | str:
        """Return one anchor, ``raw`` before it takes the others' shape, or why there is none."""
        try:
            x, label = pair(self._dataset[position])
            self._note(position, label)
            item = pixels(x, self._rows.form)
            return item if raw else self._rows.row(item)
        except Exception as error:  # the data set is the user's code: it may raise anything
            return why_not(error)

    def _note(self, position: int, label: Any) -> None:
        text = item_label(label) if self._collect else ""
        if text:
            self._seen = self._seen or [""] * self._n
            self._seen[position] = text

    def _probe(self, sample_shape: tuple[int, ...] | None) -> None:
        why = ""
        for position in range(min(self._n, _PROBES)):
            item = self._item(position, raw=True)
            if not isinstance(item, str):
                self._rows.fix(item)
                return
            why = why or item
        if why and sample_shape is None:
            hint = "Repair its items, or use a model with a sample shape."
            raise AnchorError("X", "a data set of arrays", f"items that fail: {why}", hint)


def why_not(error: Exception) -> str:
    """Return why an item could not become an anchor, on one line."""
    if isinstance(error, AnchorError):
        return reason(f"it must be {error.allowed}, not {error.got}")
    return reason(str(error) if type(error) is ValueError and str(error) else error)


def _targets(dataset: Any, n: int) -> NDArray[np.str_] | None:
    """Return the labels that a data set holds apart from its items, if they are the items' own."""
    targets = getattr(dataset, "targets", None)
    if getattr(dataset, "target_transform", None) is not None or targets is None:
        return None
    try:
        return as_labels(targets, n)
    except AnchorError:
        return None


def _has_length(X: Any) -> bool:
    try:
        return isinstance(len(X), int)
    except Exception:
        return False
