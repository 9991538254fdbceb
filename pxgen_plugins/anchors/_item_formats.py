"""Anchor and label of one item of a data set, whatever form it has."""

from __future__ import annotations

import io
import numbers
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pxgen_plugins.anchors._images import ImageForm, decode, form_of_image, is_image
from pxgen_plugins.anchors.arrays import numbers_of
from pxgen_plugins.anchors.base import module_in_use
from pxgen_plugins.anchors.label_text import is_missing
from pxgen_plugins.anchors.tables import ANCHOR_NAMES, ID_NAMES, LABEL_NAMES
from pxgen_plugins.anchors.tensors import array_of

__all__ = ["pair", "pixels"]

_MORE_ANCHORS = (*ANCHOR_NAMES, "pixel_values", "img", "input", "inputs", "data")
_MORE_LABELS = (*LABEL_NAMES, "target", "targets", "fine_label")


def pair(item: Any) -> tuple[Any, Any]:
    """Return anchor and label of what a data set yields; the label is None when there is none.

    A tuple is (x, y, ...). A list is so too when it starts with an array, a tensor or an image, and
    a row of numbers otherwise. A dict is searched for the usual keys, or for its only array.

    Raises:
        ValueError: When a dict or an empty tuple has no anchor.
    """
    if isinstance(item, Mapping):
        others = set(item) - {*_MORE_LABELS, *ID_NAMES}
        if sum(_is_number(item[name]) for name in others) > 1:  # "x" may be one coordinate of some
            others -= {name for name in others if _is_number(item[name])}
        key = next((name for name in _MORE_ANCHORS if name in others), None)
        if key is None:
            arrays = [name for name, value in item.items() if _holds_rows(value)]
            if len(arrays) != 1:
                raise ValueError(f"no key out of {', '.join(_MORE_ANCHORS)} in {list(item)[:8]}")
            key = arrays[0]
        return item[key], next((item[name] for name in _MORE_LABELS if name in item), None)
    if isinstance(item, tuple) or (isinstance(item, list) and item and _holds_rows(item[0])):
        if not item:
            raise ValueError("an empty tuple")
        return item[0], item[1] if len(item) > 1 else None
    return item, None


def pixels(x: Any, form: ImageForm | None) -> NDArray[Any]:
    """Return one anchor, or a batch of them, as an array of numbers.

    Args:
        x: A tensor, array, number, nested list, Pillow image, encoded image, or a dict of the
            latter's ``bytes``.
        form: What images become; None for their own form.

    Raises:
        Exception: Whatever is raised on a damaged image.
        ValueError: When there are no numbers in it.
    """
    if isinstance(x, Mapping) and "bytes" in x:
        if x["bytes"] is None:
            raise ValueError("only a path is given, and paths that come with data are not followed")
        x = x["bytes"]
    if isinstance(x, (bytes, bytearray, memoryview)):
        return decode(io.BytesIO(x), form)[0]
    if is_image(x):
        return (form or form_of_image(x)).convert(x)
    torch = module_in_use("torch")
    if torch is not None and isinstance(x, torch.Tensor):
        return array_of(x)
    if is_missing(x):
        raise ValueError("it is missing")
    if isinstance(x, (str, Mapping)):
        raise ValueError(f"a {type(x).__name__} is no array of numbers")
    return numbers_of(x)


def _is_number(value: Any) -> bool:
    return isinstance(value, numbers.Real) or getattr(value, "ndim", None) == 0


def _holds_rows(value: Any) -> bool:
    return is_image(value) or (hasattr(value, "shape") and np.ndim(value) > 0)
