"""Shapes of arrays that are understood as anchors of a given shape."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from pxgen_plugins.utils.errors import AnchorError

__all__ = ["Layout", "as_batch", "fit_item", "fit_shape", "refuse_shape"]

_FEW = 2  # columns beside those of an anchor, such as a label and an id


@dataclass(frozen=True)
class Layout:
    """How a batch of items of one shape becomes a batch of anchors.

    Attributes:
        item_shape: Shape of one item as it is stored.
        sample_shape: Shape of one anchor.
        channels_last: Whether the items' last axis is the anchors' first.
    """

    item_shape: tuple[int, ...]
    sample_shape: tuple[int, ...]
    channels_last: bool = False

    def apply(self, rows: NDArray[Any]) -> NDArray[Any]:
        """Return rows of shape (b, *item_shape) as (b, *sample_shape), a view if possible."""
        if self.channels_last:
            rows = np.moveaxis(rows, -1, 1)
        return rows.reshape(len(rows), *self.sample_shape)


def fit_item(item: tuple[int, ...], sample: tuple[int, ...] | None) -> Layout | None:
    """Return how items of shape ``item`` become anchors of shape ``sample``, None if never."""
    if sample is None or item == sample:
        return Layout(item, item)
    if sample == (1, *item) or item == (1, *sample):
        return Layout(item, sample)
    if len(sample) == 3 and item == (*sample[1:], sample[0]):
        return Layout(item, sample, channels_last=True)
    if math.prod(item) == math.prod(sample):
        one_channel = len(sample) <= 2 or sample[0] == 1
        image = len(item) == 2 or (len(item) == 3 and item[0] == 1)
        if (len(item) == 1 and one_channel) or (len(sample) == 1 and image):
            return Layout(item, sample)
    return None


def as_batch(
    array: NDArray[Any], sample_shape: tuple[int, ...] | None
) -> tuple[NDArray[Any], Layout]:
    """Return ``array`` with the anchors along its first axis, and the layout of its items.

    Raises:
        AnchorError: As :func:`fit_shape`.
    """
    if array.ndim == 0:
        hint = "Put the anchors along the first axis of an array."
        raise AnchorError("X", "an array of anchors", "a single number", hint)
    if sample_shape is not None and array.shape == (0,):
        array = array.reshape(0, *sample_shape)
    layout = fit_item(array.shape[1:], sample_shape)
    if layout is None and array.shape == sample_shape:
        array, layout = array[None], Layout(sample_shape, sample_shape)
    if layout is None:
        refuse_shape(array.shape, sample_shape or ())
    return array, layout


def fit_shape(array: NDArray[Any], sample_shape: tuple[int, ...] | None) -> NDArray[Any]:
    """Return ``array`` as anchors of shape (n, *sample_shape), without copying where possible.

    Understood, besides (n, *sample_shape) itself: one instance without the batch axis; a single
    channel too few or too many, (n, 28, 28) and (n, 1, 28, 28); channels last, (n, H, W, C) for
    (C, H, W); rows of numbers, (n, 784), for anchors of one channel; images of one channel for
    anchors that are rows of numbers; and an array of shape (0,), which holds no anchor. Rows of
    numbers are refused for several channels, because their order cannot be told.

    Args:
        array: Any array.
        sample_shape: Shape of one anchor; None takes the array as it is.

    Raises:
        AnchorError: When the shape is none of these; the message names both shapes.

    Example:
        >>> fit_shape(np.zeros((5, 32, 32, 3)), (3, 32, 32)).shape
        (5, 3, 32, 32)
        >>> fit_shape(np.zeros((5, 784)), (1, 28, 28)).shape
        (5, 1, 28, 28)
    """
    batch, layout = as_batch(array, sample_shape)
    return layout.apply(batch)


def refuse_shape(
    shape: tuple[int, ...], sample_shape: tuple[int, ...], *, item: bool = False
) -> NoReturn:
    """Raise the AnchorError for anchors of ``shape``, or with ``item`` for one of that shape."""
    allowed = f"of shape (n, {', '.join(str(size) for size in sample_shape)})"
    hint = "Reshape X, with the anchors along the first axis."
    got = f"shape {shape}"
    if item:
        allowed = f"made of items of shape {sample_shape}"
        hint = f"Reshape the items to {sample_shape}."
        got = f"an item of shape {shape}"
    elif len(shape) == 2 and shape[1] == math.prod(sample_shape):
        hint = f"The order of the channels cannot be told: pass X.reshape(-1, *{sample_shape})."
    elif len(shape) == 2 and 0 < shape[1] - math.prod(sample_shape) <= _FEW:
        more = shape[1] - math.prod(sample_shape)
        hint = f"Of {shape[1]} columns {more} may be a label or id: name it, as in labels='target'."
    elif math.prod(shape) == math.prod(sample_shape):
        hint = f"For a single anchor pass X.reshape(1, *{sample_shape})."
    raise AnchorError("X", allowed, got, hint)
