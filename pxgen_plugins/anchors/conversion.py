"""Convert anchors to the type and data range that a model takes."""

from __future__ import annotations

import math
from collections.abc import Collection
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from pxgen_plugins.anchors.base import Anchors
from pxgen_plugins.anchors.scale import Span
from pxgen_plugins.utils.errors import AnchorError, short_repr, warn

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["convert", "warn_of_scale"]

_RANGE_SLACK = 1e-3  # part of the range by which float anchors may overshoot it


def convert(
    raw: NDArray[Any],
    x: Tensor,
    bounds: tuple[float, float] | None,
    start: int,
    anchors: Anchors,
    span: Span | None = None,
    failed: Collection[int] = (),
) -> dict[int, str]:
    """Fill ``x`` with ``raw`` in the model's range.

    Args:
        raw: Rows as read, uint8 (0 to 255 spans the range) or floating, (b, *sample_shape).
        x: Where they go, of the same shape, in the model's type and on its device.
        bounds: Lowest and highest value the model takes; None when unbounded.
        start: Position of the first row, for messages.
        anchors: Where the rows come from, for messages, and their ``anchors_range``: where it is
            stated, it becomes the model's range, whatever the type of the rows.
        span: Gains the values of the rows as they were given.
        failed: Rows that could not be read; they become the lowest value.

    Returns:
        The reasons, by row, of those that are not finite; in their place stands the lowest value.

    Raises:
        AnchorError: When a row leaves the range, or a range is stated for a model without one.
    """
    import torch

    stated = anchors.anchors_range
    if stated is not None and bounds is None:
        hint = "Give the model a data_range, or leave anchors_range out."
        raise AnchorError("anchors_range", "absent for a model without range", f"{stated}", hint)
    if x.device.type == "cpu" and x.dtype in (torch.float32, torch.float64):
        np.copyto(x.numpy(), raw, casting="unsafe")  # no detour, and read-only arrays do
    else:
        x.copy_(torch.from_numpy(np.array(raw, order="C")))
    if x.numel() == 0:
        return {}
    lowest = 0.0 if bounds is None else bounds[0]
    source = (0.0, 255.0) if raw.dtype == np.uint8 and stated is None else stated
    if raw.dtype == np.uint8 and (stated is None or stated == (0.0, 255.0)):
        if span is not None:
            span.add(np.delete(raw, list(failed), 0) if failed else raw)
        low, high, bad = 0.0, 255.0, dict[int, str]()
    else:
        if failed:
            x[list(failed)] = lowest if source is None else source[0]
        low, high, bad = _finite(x, lowest if source is None else source[0])
        if span is not None and len(failed) + len(bad) < len(x):
            if failed or bad:  # what stands in for a bad row is no value of the anchors
                good = np.delete(raw, [*failed, *bad], 0)
                low, high = float(good.min()), float(good.max())
            span.merge(Span(len(x) - len(failed) - len(bad), low, high, raw.dtype == np.uint8))
        limits = bounds if source is None else source
        if limits is not None:
            slack = _RANGE_SLACK * (limits[1] - limits[0])
            if low < limits[0] - slack or high > limits[1] + slack:
                raise _outside(x, start, anchors, limits, slack)
    if source is not None and bounds is not None and source != bounds:
        factor = (bounds[1] - bounds[0]) / (source[1] - source[0])
        x.mul_(factor).add_(bounds[0] - source[0] * factor)
    if failed or bad:
        x[[*failed, *bad]] = lowest
    return bad


def _finite(x: Tensor, lowest: float) -> tuple[float, float, dict[int, str]]:
    """Return the lowest and highest value, and why rows are bad, which become ``lowest``."""
    import torch

    low, high = (float(extreme) for extreme in torch.aminmax(x))
    if math.isfinite(low) and math.isfinite(high):
        return low, high, {}
    broken = (~torch.isfinite(x.flatten(1)).all(1)).nonzero().flatten().tolist()
    x[broken] = lowest
    low, high = (float(extreme) for extreme in torch.aminmax(x))
    return low, high, dict.fromkeys(broken, "the anchor holds NaN or infinity")


def _outside(
    x: Tensor, start: int, anchors: Anchors, bounds: tuple[float, float], slack: float
) -> AnchorError:
    flat = x.flatten(1)
    bad = (flat.amin(1) < bounds[0] - slack) | (flat.amax(1) > bounds[1] + slack)
    first = int(bad.nonzero()[0])
    name = f"anchor {start + first}" + (
        "" if anchors.ids is None else f" ({short_repr(str(anchors.ids[start + first]))})"
    )
    low, high = float(flat[first].min()), float(flat[first].max())
    got = f"{name} with values {low:.4g} to {high:.4g}"
    if anchors.anchors_range is not None:
        hint = "Correct anchors_range, which is the range of the anchors as they are given."
        allowed = f"inside the stated anchors_range [{bounds[0]:g}, {bounds[1]:g}]"
        return AnchorError("X", allowed, got, hint)
    as_bytes = max(64.0, 2 * bounds[1]) <= high <= 255 and low >= 0
    near = _usual(float(flat.min()), float(flat.max()))
    hint = (
        "Values of 0 to 255 are scaled by themselves when given as uint8: pass X.astype('uint8')."
        if as_bytes
        else "Scale the anchors as the model's training data were, state their range, as in "
        f"anchors_range=({near[0]}, {near[1]}), or correct data_range."
    )
    allowed = f"inside the model's data_range [{bounds[0]:g}, {bounds[1]:g}]"
    return AnchorError("X", allowed, got, hint)


def _usual(low: float, high: float) -> tuple[float, float]:
    """Return the usual range that values span, else what they span."""
    for one in ((0.0, 1.0), (-1.0, 1.0), (0.0, 255.0), (0.0, 65535.0)):
        if one[0] <= low and 0.5 * one[1] < high <= one[1]:
            return one
    return float(f"{low:.4g}"), float(f"{high:.4g}")


def warn_of_scale(
    span: Span,
    bounds: tuple[float, float] | None,
    anchors: Anchors,
    drawn: tuple[float, float] | None = None,
) -> None:
    """Warn when anchors may be of another scale than the model; once for as many anchors.

    Pictures of a few anchors that were read as a whole before are no news, and whoever stated a
    range knows it: of that there is a note in the explanation.

    Args:
        span: Their values.
        bounds: The model's range.
        anchors: The set.
        drawn: Range of samples of a model without one.
    """
    if anchors.anchors_range is not None or span.rows <= anchors.rows_read:
        return
    anchors.rows_read = span.rows
    doubt = span.doubt(bounds, drawn=drawn)
    if doubt is not None:
        warn(f"PXGen: {doubt}")
