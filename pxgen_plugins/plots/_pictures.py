"""Anchors and reconstructions as small pictures: images, or curves and bars when they are flat."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle
from numpy.typing import NDArray

from pxgen_plugins.plots.style import BLOCK, FAINT
from pxgen_plugins.result import Examples, Result
from pxgen_plugins.utils.errors import ParameterError, short_repr
from pxgen_plugins.utils.text import number

__all__ = ["Gallery", "collect", "draw_picture", "unit_range"]

_BARS = 16  # up to this many elements a flat anchor is drawn as bars
_CHANNELS = (1, 3)


@dataclass(frozen=True)
class Gallery:
    """Pictures of some anchors, all drawn on one scale.

    Attributes:
        originals: One array per anchor, as it is drawn: (h, w), (h, w, 3) or (d,).
        reconstructions: Likewise, or None when there are none.
        low: Value drawn darkest (or lowest).
        high: Value drawn brightest (or highest).
        aspect: Height of a picture over its width.
        note: What was done to shapes that are no picture; empty for most.
    """

    originals: list[NDArray[Any]]
    reconstructions: list[NDArray[Any]] | None
    low: float
    high: float
    aspect: float
    note: str

    @property
    def rows(self) -> int:
        """Pictures above each other: 1, or 2 with reconstructions."""
        return 1 if self.reconstructions is None else 2


def collect(
    result: Result,
    rows: NDArray[np.int64],
    images: Any,
    reconstructions: Any,
    *,
    both: bool = True,
) -> Gallery:
    """Return the pictures of the rows anchors.

    Args:
        result: The explanation; its examples are used where the caller gives nothing.
        rows: Indices into the anchor set, shape (e,).
        images: Anything that gives an anchor for an index (array, list, dataset), or None.
        reconstructions: Likewise.
        both: Whether reconstructions are asked for at all.

    Raises:
        ParameterError: When an anchor is neither in the examples nor in ``images``, or what is
            there is no array of numbers.
    """
    examples = result.examples or Examples(np.empty(0, dtype=np.int64))
    place = {int(row): at for at, row in enumerate(examples.indices)}
    examples_at = _from_examples(examples.anchors, place)
    lookup = examples_at if images is None else _from_caller(images, "images")
    originals = _fetch(lookup, rows, "images")
    others = None
    if both:
        again = _from_examples(examples.reconstructions, place)
        if reconstructions is not None:
            again = _from_caller(reconstructions, "reconstructions")
        complete = reconstructions is not None or all(int(row) in place for row in rows)
        if again is not None and complete:
            others = _fetch(again, rows, "reconstructions")
    return _gallery(originals, others, examples.data_range)


def draw_picture(
    ax: Axes, picture: NDArray[Any], gallery: Gallery, box: tuple[float, float, float, float]
) -> None:
    """Draw one picture into a box.

    Args:
        ax: Axes whose y runs downwards.
        picture: One of the gallery's arrays.
        gallery: Where it comes from; gives the scale.
        box: Left, top, width and height.
    """
    left, top, width, height = box
    if picture.ndim > 1:
        image = ax.imshow(
            picture,
            cmap="gray",
            vmin=gallery.low,
            vmax=gallery.high,
            extent=(left, left + width, top + height, top),
            aspect="equal",
            zorder=2,
        )
        image.set_gid("picture")
    else:
        _draw_flat(ax, picture, gallery, box)
    frame = Rectangle((left, top), width, height, fill=False, edgecolor=FAINT, linewidth=0.4)
    frame.set_zorder(3)
    ax.add_patch(frame)


def unit_range(picture: NDArray[Any]) -> NDArray[Any]:
    """Return a picture moved and stretched to [0, 1]; one of a single value becomes 0."""
    low, high = float(picture.min()), float(picture.max())
    return (picture - low) / (high - low) if high > low else picture * 0.0


def _draw_flat(
    ax: Axes, values: NDArray[Any], gallery: Gallery, box: tuple[float, float, float, float]
) -> None:
    left, top, width, height = box
    length = gallery.high - gallery.low
    ax.add_patch(Rectangle((left, top), width, height, facecolor=BLOCK, linewidth=0, zorder=1))
    level = top + height * (1.0 - (values - gallery.low) / length)
    level = np.where(np.isfinite(level), level, np.nan)  # infinities have no place in a transform
    zero = top + height * (1.0 - (min(max(0.0, gallery.low), gallery.high) - gallery.low) / length)
    step = width / max(len(values), 1)
    middle = left + step * (np.arange(len(values)) + 0.5)
    if len(values) <= _BARS:
        look: dict[str, Any] = {"width": 0.8 * step, "color": "#444444", "zorder": 2}
        for bar in ax.bar(middle, level - zero, bottom=zero, **look):
            bar.set_gid("picture")
    else:
        (line,) = ax.plot(middle, level, color="#222222", linewidth=0.7, zorder=2)
        line.set_gid("picture")
    ax.plot([left, left + width], [zero, zero], color=FAINT, linewidth=0.5, zorder=1.5)


def _from_examples(arrays: Any, place: dict[int, int]) -> Callable[[int], Any] | None:
    return None if arrays is None else lambda row: arrays[place[row]]


def _from_caller(source: Any, parameter: str) -> Callable[[int], Any]:
    if not hasattr(source, "__getitem__") or isinstance(source, (str, bytes)):
        hint = "Pass an array, list or dataset that gives the anchor at an index."
        raise ParameterError(parameter, "indexable by anchor index", short_repr(source), hint)

    def one(row: int) -> Any:
        item = source[row]
        item = item[0] if isinstance(item, tuple) else item  # a dataset gives (anchor, label)
        return item.detach().cpu() if hasattr(item, "detach") else item

    return one


def _fetch(
    lookup: Callable[[int], Any] | None, rows: NDArray[np.int64], parameter: str
) -> list[NDArray[Any]]:
    arrays = []
    for row in map(int, rows):
        allowed = f"an array of numbers for anchor {row}"
        hint = f"Pass {parameter}=, indexable by anchor index, or keep examples in the explanation."
        if lookup is None:
            raise ParameterError(parameter, allowed, "neither that nor examples", hint)
        try:
            array = _plain(np.asarray(lookup(row)))
        except (LookupError, TypeError, ValueError) as error:
            got = f"{type(error).__name__} when it was read"
            raise ParameterError(parameter, allowed, got, hint) from error
        arrays.append(array)
    return arrays


def _gallery(
    originals: list[NDArray[Any]], others: list[NDArray[Any]] | None, limits: Any
) -> Gallery:
    everything = originals + (others or [])
    shapes = {array.shape for array in everything}
    if len(shapes) > 1:
        hint = "Pass anchors and reconstructions of one shape."
        raise ParameterError("images", "of one shape", ", ".join(map(str, shapes)), hint)
    shape = shapes.pop() if shapes else (1,)
    everything, low, high = _on_one_scale(everything, limits)
    arrange, note = _arrangement(shape)
    ready = [_colours(arrange(array), low, high) for array in everything]
    first = ready[0] if ready else np.zeros((1, 1))
    if first.ndim == 1:
        # bytes stand for the data range, whatever they are drawn as
        first_value, last_value = (low, high) if limits is None else map(float, limits)
        ends = f"{number(first_value, 3)} to {number(last_value, 3)}"
        aspect, note = 0.7, f"Curves and bars run from {ends}."
    else:
        aspect = float(np.clip(first.shape[0] / first.shape[1], 0.2, 5.0))
    count = len(originals)
    again = None if others is None else ready[count:]
    return Gallery(ready[:count], again, low, high, aspect, note)


def _plain(array: NDArray[Any]) -> NDArray[Any]:
    """Return bytes as uint8 (JSON gives them back as int64), everything else as float64."""
    if array.dtype.kind in "iu" and (array.size == 0 or (array.min() >= 0 and array.max() <= 255)):
        return array.astype(np.uint8)
    return array.astype(np.float64)


def _on_one_scale(
    arrays: list[NDArray[Any]], limits: Any
) -> tuple[list[NDArray[Any]], float, float]:
    """Return the arrays in one unit, with the values that are drawn darkest and brightest.

    Bytes span the data range. Where bytes stand beside floats, they are converted to it.
    """
    if arrays and all(array.dtype == np.uint8 for array in arrays):
        return arrays, 0.0, 255.0
    low, high = (0.0, 1.0) if limits is None else (float(limits[0]), float(limits[1]))
    arrays = [
        low + array * ((high - low) / 255.0) if array.dtype == np.uint8 else array
        for array in arrays
    ]
    if limits is None:
        pool = np.concatenate([array[np.isfinite(array)] for array in arrays] or [np.zeros(1)])
        low, high = (float(pool.min()), float(pool.max())) if pool.size else (0.0, 1.0)
    return arrays, low, high if high > low else low + 1.0


def _arrangement(shape: tuple[int, ...]) -> tuple[Callable[[NDArray[Any]], NDArray[Any]], str]:
    """Return how an anchor of this shape becomes (h, w), (h, w, 3) or (d,), and a note on it."""
    if len(shape) < 2 or sum(size > 1 for size in shape) < 2:
        return lambda array: array.reshape(-1), ""
    if len(shape) == 2:
        return lambda array: array, ""
    if len(shape) > 3:
        inner, _ = _arrangement((shape[0], *shape[-2:]))
        middle = tuple(size // 2 for size in shape[1:-2])
        return lambda array: inner(array[(slice(None), *middle)]), "Middle slices are shown."
    if shape[0] in _CHANNELS:
        return lambda array: array[0] if shape[0] == 1 else np.moveaxis(array, 0, -1), ""
    if shape[2] in _CHANNELS:
        return lambda array: array[..., 0] if shape[2] == 1 else array, ""
    # a mean of bytes is rounded, so that it stays on the scale of bytes
    return (
        lambda array: (
            _plain(np.rint(array.mean(0)).astype(np.int64))
            if array.dtype == np.uint8
            else array.mean(0)
        ),
        f"The mean of {shape[0]} channels is shown.",
    )


def _colours(picture: NDArray[Any], low: float, high: float) -> NDArray[Any]:
    """Return colours on [0, 1], as matplotlib takes them; anything else as it is."""
    if picture.ndim < 3 or picture.dtype == np.uint8:
        return picture
    scaled = np.nan_to_num((picture - low) / (high - low), nan=0.0, posinf=1.0, neginf=0.0)
    return np.clip(scaled, 0.0, 1.0)
