"""What an axis does to instances: the response of assessors along it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pxgen_plugins.adapters.directions._assessors import Assessor
from pxgen_plugins.axes import Axis
from pxgen_plugins.utils.seeds import derive, normal_rows

__all__ = [
    "Floats",
    "Response",
    "frames",
    "leakage",
    "means",
    "random_axes",
    "statistics",
    "tables",
    "walk",
]

Floats = NDArray[np.float64]
_SPREAD = (0.1, 0.9)  # of the response over codes


@dataclass(frozen=True)
class Response:
    """What happens along one axis, for n codes and s amounts.

    Attributes:
        values: Standardised values of m assessors, (m, n, s).
        change: Mean absolute difference of the instance from the one at amount 0, (n, s).
    """

    values: Floats
    change: Floats


def walk(
    model: Any,
    axis: Axis,
    assessors: Sequence[Assessor],
    z: Tensor,
    amounts: Floats,
    batch_size: int,
    update: Callable[[int], Any] = lambda _: None,
) -> Response:
    """Return the response along ``axis``.

    Args:
        model: A model that can decode.
        axis: The axis.
        assessors: m assessors.
        z: Codes, (n, *latent_shape).
        amounts: Steps along the axis, (s,), with a 0 among them.
        batch_size: Codes per model call.
        update: Called with the number of codes done, for a progress bar.

    Cost: n s decoder passes, and as many of every assessor.
    """
    n, s = len(z), len(amounts)
    values = np.empty((len(assessors), n, s))
    change = np.empty((n, s))
    origin = int(np.flatnonzero(amounts == 0)[0])
    order = [origin, *(j for j in range(s) if j != origin)]
    for low in range(0, n, batch_size):
        rows = slice(low, low + batch_size)
        code = z[rows].to(model.device, model.dtype)
        still: Tensor | None = None
        for j in order:
            with torch.no_grad():
                x = model.decode(axis.move(code, float(amounts[j])))
                still = x if still is None else still
                moved = (x - still).abs().flatten(1).double().mean(1)
                change[rows, j] = moved.cpu().numpy()
                for i, assessor in enumerate(assessors):
                    values[i, rows, j] = assessor(x).double().cpu().numpy()
            update(len(code))
    return Response(values, change)


def statistics(values: Floats, amounts: Floats) -> dict[str, float]:
    """Return slope, fit and monotony of a response.

    The response of a code is its value at an amount less that at 0. ``slope`` is the regression
    through 0 of all responses on the amounts, and ``r2`` the share of their variance around their
    mean that it leaves explained. ``monotone`` is the share of codes whose value rises strictly at
    every step (falls, where the slope is negative), ``ends`` the share whose last value lies beyond
    the first in that sense.

    Args:
        values: Values of n codes, (n, s).
        amounts: Steps in ascending order, (s,), with a 0 among them.

    Example:
        >>> amounts = np.array([-1.0, 0.0, 1.0])
        >>> statistics(np.array([[1.0, 3.0, 5.0], [0.0, 2.0, 4.0]]), amounts)
        {'slope': 2.0, 'r2': 1.0, 'monotone': 1.0, 'ends': 1.0}
    """
    response = values - values[:, amounts == 0]
    slope = float((response * amounts).sum() / (len(values) * (amounts**2).sum()))
    residual = float(((response - slope * amounts) ** 2).sum())
    total = float(((response - response.mean()) ** 2).sum())
    sign = -1.0 if slope < 0 else 1.0
    steps = sign * np.diff(values, axis=1)
    return {
        "slope": slope,
        "r2": 1.0 - residual / total if total > 0 else float("nan"),
        "monotone": float((steps > 0).all(axis=1).mean()),
        "ends": float((sign * (values[:, -1] - values[:, 0]) > 0).mean()),
    }


def random_axes(axis: Axis, n: int, seed: int) -> list[Axis]:
    """Return ``n`` axes in random directions, with the step length and the shell of ``axis``."""
    rows = normal_rows(0, n, axis.vector.shape, derive(seed, "random axes")).numpy()
    return [Axis(f"random {i}", row, axis.scale, "random", axis.keep) for i, row in enumerate(rows)]


def frames(
    model: Any, axes: Sequence[Axis], z: Tensor, amounts: Floats, batch_size: int
) -> NDArray[np.float32]:
    """Return the instances along every axis from every code, (k, n, s, *sample_shape)."""
    steps = torch.as_tensor(amounts, dtype=torch.float32).repeat(len(z))
    codes = z.repeat_interleave(len(amounts), dim=0)
    strips = []
    for axis in axes:
        moved = axis.move(codes, steps)
        with torch.no_grad():
            parts = [
                model.decode(part.to(model.device, model.dtype)).float().cpu()
                for part in torch.split(moved, batch_size)
            ]
        strip = torch.cat(parts).numpy()
        strips.append(strip.reshape(len(z), len(amounts), *strip.shape[1:]))
    return np.stack(strips)


def means(responses: Sequence[Response]) -> Floats:
    """Return the mean response over codes, (k, m, s)."""
    middle = responses[0].values.shape[-1] // 2
    curves = [r.values - r.values[..., middle : middle + 1] for r in responses]
    means: Floats = np.stack([curve.mean(axis=1) for curve in curves])
    return means


def tables(responses: Sequence[Response], m: int, amounts: Floats) -> dict[str, Floats]:
    """Return statistics (k, m) and curves of k responses."""
    names = ("slope", "r2", "monotone", "ends")
    rows = [[statistics(response.values[j], amounts) for j in range(m)] for response in responses]
    shape = (len(responses), m)
    tables = {
        name: np.array([[one[name] for one in row] for row in rows]).reshape(shape)
        for name in names
    }
    moved = [r.values[:m] - r.values[:m, :, amounts == 0] for r in responses]
    spread = np.stack([np.quantile(one, _SPREAD, axis=1) for one in moved])
    return {
        **tables,
        "response": means(responses)[:, :m],
        "response_spread": spread.transpose(0, 2, 3, 1),
        "change": np.stack([response.change.mean(axis=0) for response in responses]),
    }


def leakage(slope: Floats, own: Sequence[int]) -> Floats:
    """Return the steepest slope of the assessors that an axis was not made for, (k,)."""
    steepest = np.full(len(slope), np.nan)
    for i, place in enumerate(own):
        others = np.delete(np.abs(slope[i]), place) if place >= 0 else np.abs(slope[i])
        if len(others):
            steepest[i] = others.max()
    return steepest
