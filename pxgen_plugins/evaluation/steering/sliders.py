"""Sliders: one per axis, with the limits that encoded data have, and what each of them changes."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pxgen_plugins.axes import Axis, check_shapes, dimensions, on_shell
from pxgen_plugins.models.base import passes
from pxgen_plugins.utils import validation
from pxgen_plugins.utils.errors import ModelError, ParameterError, short_repr, warn
from pxgen_plugins.utils.properties import lazy_property
from pxgen_plugins.utils.sequences import even_positions

__all__ = ["MOST", "OFFER", "Floats", "Sliders", "decode", "make_sliders"]

MOST = 32
"""Most latent dimensions that get a slider each by default."""

OFFER = 12
"""Sliders that a model of more dimensions gets by default: those that change most."""

_CODES = (2, 16)  # codes that the change of a slider is measured on: fewest and most
_PASSES = 12_800  # of the decoder, for that
_VISIBLE = 0.01  # mean change, in shares of the data's range, from which an axis counts as active
_DEPENDENT = 1e-6  # smallest singular value over the largest of axes that say different things

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Sliders:
    """One slider per axis.

    A code is the sum of the positions times the axes and of what no slider moves: nothing where the
    axes span the latent space.

    Attributes:
        axes: k axes.
        low, high: Ends of each slider in steps of its axis, (k,).
        change: Mean absolute change of the instance between both ends, in shares of the data's
            range, (k,).
        latent_shape: Shape of one code.
    """

    axes: Sequence[Axis]
    low: Floats
    high: Floats
    change: Floats
    latent_shape: tuple[int, ...]

    @property
    def labels(self) -> list[str]:
        """Names of the axes."""
        return [axis.label for axis in self.axes]

    @property
    def span(self) -> Floats:
        """Length of each slider, (k,)."""
        return self.high - self.low

    @property
    def active(self) -> NDArray[np.bool_]:
        """Which sliders change the instance by 1% of the data's range or more, (k,)."""
        visible: NDArray[np.bool_] = self.change >= _VISIBLE
        return visible

    @lazy_property
    def _matrix(self) -> Floats:
        return _columns(self.axes)

    @lazy_property
    def _inverse(self) -> Floats:
        # least squares, as axes of a user need not be orthogonal
        inverse: Floats = np.linalg.pinv(self._matrix)
        return inverse

    def positions(self, codes: Floats) -> Floats:
        """Return the positions (n, k) of flat codes (n, d)."""
        positions: Floats = codes @ self._inverse.T
        return positions

    def codes(self, positions: Floats, base: Floats) -> Floats:
        """Return flat codes (n, d) at positions (n, k), beside what no slider moves of a code (d,).

        Where an axis keeps to the shell, all have the norm of ``base``.
        """
        rest = base - self._matrix @ (self._inverse @ base)
        codes: Floats = positions @ self._matrix.T + rest
        if any(axis.keep == "shell" for axis in self.axes):
            like = torch.from_numpy(np.broadcast_to(base, codes.shape).copy())
            codes = on_shell(torch.from_numpy(codes), like).numpy()
        return codes


def make_sliders(
    model: Any, codes: Floats, axes: Any, limits: tuple[float, float], batch_size: int
) -> Sliders:
    """Return the sliders of a model.

    Args:
        model: A model that can decode.
        codes: Flat codes of data, (n, d).
        axes: Axes; a number, for as many latent dimensions, those that change most; None for all
            dimensions, or where these are more than 32 for the 12 that change most.
        limits: Quantiles of the data's positions at which sliders end.
        batch_size: Codes per call.

    Raises:
        ParameterError: When axes are none, or say the same thing twice.
    """
    shape = tuple(model.latent_shape)
    size = math.prod(shape)
    wanted: int | None = None
    if axes is None:
        wanted = size if size <= MOST else OFFER
        if wanted < size:
            text = f"of {size} latent dimensions the {OFFER} most visible ones have a slider"
            warn(f"ReconstructionTask: {text}; axes= takes others, or another number of them")
    elif isinstance(axes, Axis):
        axes = [axes]
    elif not isinstance(axes, (Sequence, np.ndarray)):
        wanted = validation.integer(axes, "axes", minimum=1, maximum=size)
    chosen = dimensions(shape) if wanted is not None else _checked(axes, shape)
    found = _measured(model, codes, chosen, limits, batch_size)
    if wanted is None or wanted == len(chosen):
        return found
    best = np.sort(np.argsort(-found.change, kind="stable")[:wanted])
    kept = [chosen[j] for j in best]
    return Sliders(kept, found.low[best], found.high[best], found.change[best], shape)


def decode(model: Any, codes: Floats, batch_size: int) -> Tensor:
    """Return the instances behind flat codes, (n, *sample_shape), on the CPU.

    Raises:
        ModelError: When the model returns another number of them, or one that is not finite.
    """
    parts = []
    for start in range(0, len(codes), batch_size):
        z = torch.from_numpy(codes[start : start + batch_size]).reshape(-1, *model.latent_shape)
        with torch.no_grad():
            x = torch.as_tensor(model.decode(z.to(model.device, model.dtype)))
        if len(x) != len(z):
            hint = "Return one instance for each code."
            raise ModelError("decode's result", f"of {len(z)} rows", short_repr(x), hint)
        if not bool(x.isfinite().all()):
            hint = "Narrow limits= to where the model decodes finite instances."
            raise ModelError("decode's result", "finite inside the limits", "NaN or infinity", hint)
        parts.append(x.float().cpu())
    return torch.cat(parts)


def _checked(axes: Any, shape: tuple[int, ...]) -> list[Axis]:
    given = list(axes)
    allowed = "axes of the model's codes, a number of them, or None"
    hint = "Pass Axis objects, as dimensions() or the fitted axes of a direction adapter are."
    if not given or not all(isinstance(axis, Axis) for axis in given):
        raise ParameterError("axes", allowed, short_repr(axes), hint)
    check_shapes(given, shape)
    sizes = np.linalg.svd(_columns(given), compute_uv=False)
    if len(given) > math.prod(shape) or sizes[-1] < _DEPENDENT * sizes[0]:
        hint = "Leave out those that are sums of others: a target would have several answers."
        got = f"{len(given)} axes that are not"
        raise ParameterError("axes", "linearly independent", got, hint)
    return given


def _columns(axes: Sequence[Axis]) -> Floats:
    """Return the axes as columns, one step long, (d, k)."""
    return np.stack([axis.vector.astype(np.float64).ravel() * axis.scale for axis in axes], axis=1)


def _measured(
    model: Any,
    codes: Floats,
    axes: Sequence[Axis],
    limits: tuple[float, float],
    batch_size: int,
) -> Sliders:
    """Return sliders over the limits, each moved from end to end beside some codes of data."""
    k = len(axes)
    free = Sliders(axes, np.zeros(k), np.ones(k), np.zeros(k), tuple(model.latent_shape))
    positions = free.positions(codes)
    low, high = np.quantile(positions, limits, axis=0)
    still = high - low < 1e-9 * np.maximum(1.0, np.abs(high))
    low, high = np.where(still, low - 0.5, low), np.where(still, high + 0.5, high)
    few, many = _CODES
    affordable = _PASSES // (2 * k * passes(model, "decode"))
    rows = even_positions(len(codes), min(max(few, affordable), many))
    change = np.zeros(k)
    least, most = math.inf, -math.inf
    parts = np.array_split(np.arange(k), min(k, -(-2 * k // batch_size)))  # bounded memory
    for row, own in itertools.product(rows, parts):
        ends = np.repeat(np.clip(positions[row], low, high)[None], 2 * len(own), axis=0)
        place = 2 * np.arange(len(own))
        ends[place, own], ends[place + 1, own] = low[own], high[own]
        x = decode(model, free.codes(ends, codes[row]), batch_size).flatten(1)
        change[own] += (x[1::2] - x[::2]).abs().mean(1).double().numpy() / len(rows)
        least, most = min(least, float(x.min())), max(most, float(x.max()))
    least, most = model.data_range or (least, most)
    return replace(free, low=low, high=high, change=change / max(most - least, 1e-12))
