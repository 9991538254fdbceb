"""Columns of Arrow data as rows of anchors."""

from __future__ import annotations

import io
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from pxgen_plugins.anchors._images import ImageForm, Look, look, open_image
from pxgen_plugins.anchors._item_formats import pixels
from pxgen_plugins.anchors._shapes import Layout, fit_item
from pxgen_plugins.anchors.base import reason, row_dtype, warn_of_rounding
from pxgen_plugins.anchors.tables import Kind

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = [
    "Decoder",
    "Features",
    "Images",
    "ListStorage",
    "Lists",
    "common_dtype",
    "image_of",
    "item_shape",
    "kind_of",
    "leaf_type",
    "no_shape",
]

Failures = dict[int, str]


class Decoder(Protocol):
    """Turns a batch of table rows into rows of anchors, and says which failed."""

    @property
    def sample_shape(self) -> tuple[int, ...]:
        """Shape of one anchor."""

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of the rows."""

    def __call__(self, batch: pa.RecordBatch) -> tuple[NDArray[Any], Failures]:
        """Return rows of shape (b, *sample_shape) and {position: reason} of failed ones."""


@dataclass(frozen=True)
class Features:
    """One number per column."""

    names: tuple[str, ...]
    layout: Layout
    dtype: np.dtype[Any]

    @property
    def sample_shape(self) -> tuple[int, ...]:
        """Shape of one anchor."""
        return self.layout.sample_shape

    def __call__(self, batch: pa.RecordBatch) -> tuple[NDArray[Any], Failures]:
        """Return the features side by side; a null fails its row."""
        rows = np.zeros((batch.num_rows, len(self.names)), self.dtype)
        failed: Failures = {}
        for place, name in enumerate(self.names):
            values, missing = _primitive(batch.column(name))
            rows[:, place] = values
            for position in np.flatnonzero(missing).tolist():
                failed.setdefault(position, reason(f"column {name!r} is null"))
        rows[list(failed)] = 0
        return self.layout.apply(rows), failed


@dataclass(frozen=True)
class ListStorage:
    """How lists hold anchors.

    Attributes:
        shape: Lengths of the lists, outermost first.
        axes: Which of them are the axes of an item, in order; None when they are in order.
        layout: How an item becomes an anchor.
    """

    shape: tuple[int, ...]
    axes: tuple[int, ...] | None
    layout: Layout


@dataclass(frozen=True)
class Lists:
    """One list, fixed-size list, list of lists or tensor per row."""

    name: str
    storage: ListStorage
    dtype: np.dtype[Any]

    @property
    def sample_shape(self) -> tuple[int, ...]:
        """Shape of one anchor."""
        return self.storage.layout.sample_shape

    def __call__(self, batch: pa.RecordBatch) -> tuple[NDArray[Any], Failures]:
        """Return the lists as arrays; a null, or another length, fails its row."""
        column = batch.column(self.name)
        array, shape, axes = _storage(column), self.storage.shape, self.storage.axes
        values, bad = _list_values(
            array, (math.prod(shape),) if _is_tensor(column) else shape, self.dtype
        )
        values = values.reshape(len(values), *shape)
        if axes is not None:
            values = values.transpose(0, *(axis + 1 for axis in axes))
        failed: Failures = {}
        for position in np.flatnonzero(bad).tolist():
            if not array[position].is_valid:
                failed[position] = reason(f"column {self.name!r} is null")
            else:
                failed[position] = reason(
                    f"column {self.name!r} holds nulls or has a shape other than {shape}"
                )
        return self.storage.layout.apply(values), failed


_BYTES = np.dtype(np.uint8)


@dataclass(frozen=True)
class Images:
    """One encoded image per row: its bytes, or a struct with the field ``bytes``."""

    name: str
    form: ImageForm
    dtype: np.dtype[Any] = _BYTES

    @property
    def sample_shape(self) -> tuple[int, ...]:
        """Shape of one anchor."""
        return self.form.sample_shape

    def __call__(self, batch: pa.RecordBatch) -> tuple[NDArray[Any], Failures]:
        """Return the decoded images; one that does not decode fails its row."""
        rows = np.zeros((batch.num_rows, *self.form.sample_shape), self.dtype)
        failed: Failures = {}
        for position, value in enumerate(batch.column(self.name)):
            image = image_of(value, self.form)
            if isinstance(image, str):
                failed[position] = image
            elif image.dtype.kind != self.dtype.kind:
                failed[position] = f"transform gives {image.dtype}, and {self.dtype} for others"
            else:
                rows[position] = image
        return rows, failed


def look_of(value: Any) -> Look | str:
    """Return colour and size of the image in an Arrow scalar, or why there is none."""
    content = value.as_py()
    content = content.get("bytes") if isinstance(content, dict) else content
    if content is None:
        return "no image"
    try:
        with open_image(io.BytesIO(content)) as image:
            return look(image)
    except Exception as error:  # a damaged image may raise anything in its decoder
        return reason(str(error) if type(error) is ValueError else error)


def image_of(value: Any, form: ImageForm | None) -> NDArray[Any] | str:
    """Return the image in an Arrow scalar, or why there is none."""
    try:
        return pixels(value.as_py(), form)
    except Exception as error:  # a damaged image may raise anything in its decoder
        return reason(str(error) if type(error) is ValueError else error)


def kind_of(field: Any) -> Kind:
    """Return what the column of an Arrow type can hold."""
    import pyarrow.types as types

    if types.is_struct(field):
        place = field.get_field_index("bytes")
        return "image" if place >= 0 and _is_bytes(field.field(place).type) else "other"
    if _is_bytes(field):
        return "image"
    leaf = leaf_type(field)
    if leaf is None:
        return "other"
    return "number" if leaf == field else "list"


def leaf_type(field: Any) -> Any:
    """Return the type of the numbers in a column of numbers, lists or tensors; None if none."""
    import pyarrow as pa
    import pyarrow.types as types

    if isinstance(field, pa.FixedShapeTensorType):
        return leaf_type(field.value_type)
    if types.is_list(field) or types.is_large_list(field) or types.is_fixed_size_list(field):
        return leaf_type(field.value_type)
    number = types.is_integer(field) or types.is_floating(field) or types.is_boolean(field)
    return field if number else None


def item_shape(column: pa.Array, sample_shape: tuple[int, ...] | None) -> ListStorage | None:
    """Return how the first row that fits the model is stored.

    Without a sample shape, the first row decides; without any row that fits, None is returned.
    """
    tensor = _is_tensor(column)
    order = column.type.permutation if tensor else None
    axes = tuple(order) if order is not None else None
    storage = _storage(column)
    shapes = [tuple(column.type.shape)] if tensor else (_shape(value) for value in storage)
    for shape in shapes:
        if shape is not None:
            item = shape if axes is None else tuple(shape[axis] for axis in axes)
            layout = fit_item(item, sample_shape)
            if layout is not None:
                return ListStorage(shape, axes, layout)
    return None


def no_shape(field: Any, sample_shape: tuple[int, ...]) -> ListStorage:
    """Return some storage for a column of lists of which no row fits ``sample_shape``."""
    depth = 0
    while hasattr(field, "value_type"):
        field, depth = field.value_type, depth + 1
    shape = (math.prod(sample_shape), *(1,) * (depth - 1))
    return ListStorage(shape, None, Layout(shape, sample_shape))


def _shape(value: Any) -> tuple[int, ...] | None:
    """Return the shape of one list scalar, as its first elements tell it; None if null."""
    if not value.is_valid:
        return None
    if not hasattr(value, "values"):
        return ()
    inner = value.values
    if len(inner) == 0 or leaf_type(inner.type) == inner.type:
        return (len(inner),)
    below = _shape(inner[0])
    return None if below is None else (len(inner), *below)


def _list_values(
    array: Any, shape: Sequence[int], dtype: np.dtype[Any]
) -> tuple[NDArray[Any], NDArray[np.bool_]]:
    """Return lists as an array of (b, *shape), and which of them are not of that shape."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if not shape:
        values, missing = _primitive(array)
        return values.astype(dtype), missing
    # Level by level: lists of the right length are flattened to one long column, of which the inner
    # levels are taken likewise; a row is bad when it, or anything inside of it, is.
    lengths = pc.list_value_length(array).fill_null(-1).to_numpy(zero_copy_only=False)
    good = lengths == shape[0]
    kept = array if good.all() else array.filter(pa.array(good))
    inner, wrong = _list_values(kept.flatten(), shape[1:], dtype)
    wrong_rows = wrong.reshape(int(good.sum()), shape[0]).any(axis=1)
    inner = inner.reshape(int(good.sum()), *shape)
    if good.all() and not wrong_rows.any():
        return inner, wrong_rows
    rows = np.zeros((len(array), *shape), dtype)
    rows[np.flatnonzero(good)[~wrong_rows]] = inner[~wrong_rows]
    bad = ~good
    bad[np.flatnonzero(good)[wrong_rows]] = True
    return rows, bad


def _primitive(array: Any) -> tuple[NDArray[Any], NDArray[np.bool_]]:
    """Return numbers, zero where null, and which are null."""
    missing = np.zeros(len(array), bool)
    if array.null_count:
        missing = array.is_null().to_numpy(zero_copy_only=False)
        array = array.drop_null()
    present = array.to_numpy(zero_copy_only=False)
    warn_of_rounding(present, "a Parquet file")
    if not missing.any():
        return present, missing
    values = np.zeros(len(missing), present.dtype)
    values[~missing] = present
    return values, missing


def _is_bytes(field: Any) -> bool:
    import pyarrow.types as types

    binary = types.is_binary(field) or types.is_large_binary(field)
    return bool(binary or types.is_fixed_size_binary(field))


def _is_tensor(column: Any) -> bool:
    return hasattr(column.type, "permutation")


def _storage(column: Any) -> Any:
    return column.storage if hasattr(column, "storage") else column


def common_dtype(types: Sequence[Any]) -> np.dtype[Any]:
    """Return the type of rows made of columns of these Arrow types of numbers."""
    dtypes = [row_dtype(np.dtype(leaf_type(one).to_pandas_dtype())) for one in types]
    return np.result_type(*[one for one in dtypes if one is not None])
