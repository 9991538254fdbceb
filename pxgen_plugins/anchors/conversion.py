"""Convert anchors to the type and data range that a model takes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from pxgen_plugins.anchors.base import Anchors
from pxgen_plugins.utils.errors import AnchorError, short_repr, warn

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["convert", "warn_of_dark"]

_RANGE_SLACK = 1e-3  # part of the range by which float anchors may overshoot it
_DARK = 32  # a set of bytes without any above this was hardly meant to span 0 to 255


def convert(
    raw: NDArray[Any],
    x: Tensor,
    bounds: tuple[float, float] | None,
    start: int,
    anchors: Anchors,
) -> dict[int, str]:
    """Fill ``x`` with ``raw`` in the model's range.

    Args:
        raw: Rows as read, uint8 (0 to 255 spans the range) or floating, (b, *sample_shape).
        x: Where they go, of the same shape, in the model's type and on its device.
        bounds: Lowest and highest value the model takes; None when unbounded.
        start: Position of the first row, for messages.
        anchors: Where the rows come from, for messages.

    Returns:
        The reasons, by row, of those that are not finite; in their place stands the lowest value.

    Raises:
        AnchorError: When a row leaves the range.
    """
    import torch

    if x.device.type == "cpu" and x.dtype in (torch.float32, torch.float64):
        np.copyto(x.numpy(), raw, casting="unsafe")  # no detour, and read-only arrays do
    else:
        x.copy_(torch.from_numpy(np.array(raw, order="C")))
    if raw.dtype == np.uint8:
        if bounds is not None:
            x.mul_((bounds[1] - bounds[0]) / 255.0).add_(bounds[0])
        return {}
    if x.numel() == 0:
        return {}
    low, high = (float(extreme) for extreme in torch.aminmax(x))
    bad: dict[int, str] = {}
    if not math.isfinite(low) or not math.isfinite(high):
        broken = (~torch.isfinite(x.flatten(1)).all(1)).nonzero().flatten().tolist()
        bad = dict.fromkeys(broken, "the anchor holds NaN or infinity")
        x[broken] = 0.0 if bounds is None else bounds[0]
        low, high = (float(extreme) for extreme in torch.aminmax(x))
    if bounds is not None:
        slack = _RANGE_SLACK * (bounds[1] - bounds[0])
        if low < bounds[0] - slack or high > bounds[1] + slack:
            raise _outside(x, start, anchors, bounds, slack)
    return bad


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
    as_bytes = max(64.0, 2 * bounds[1]) <= high <= 255 and low >= 0
    hint = (
        "Values of 0 to 255 are scaled by themselves when given as uint8: pass X.astype('uint8')."
        if as_bytes
        else "Scale the anchors as the model's training data were, or correct data_range."
    )
    allowed = f"inside the model's data_range [{bounds[0]:g}, {bounds[1]:g}]"
    return AnchorError("X", allowed, f"{name} with values {low:.4g} to {high:.4g}", hint)


def warn_of_dark(highest: Sequence[int]) -> None:
    """Warn when the highest values of batches of bytes, scaled to a range, are all close to 0."""
    if highest and 0 < max(highest) <= _DARK:
        warn(
            "PXGen: uint8 anchors are scaled as if 255 were the highest value, and the highest "
            f"here is {max(highest)}; pass floats in the model's range if the scale is another",
        )
