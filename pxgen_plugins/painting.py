"""Painting with the units of a decoder: switch them on or off where a brush went."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from pxgen_plugins.adapters.base import traceless
from pxgen_plugins.adapters.units.change import changes, unit_strength
from pxgen_plugins.adapters.units.steps import noise_range
from pxgen_plugins.adapters.units.unit_maps import UnitLayer, unit_layer
from pxgen_plugins.concepts.base import pictures
from pxgen_plugins.models import require
from pxgen_plugins.utils import validation
from pxgen_plugins.utils.errors import ParameterError, caller, short_repr
from pxgen_plugins.utils.text import number

__all__ = ["Painting", "Stroke", "paint"]

_TYPICAL = 0.99  # quantile of a unit's own values that "typical" stands for


@dataclass(frozen=True)
class Stroke:
    """What a brush does to some units, where it went.

    Attributes:
        mask: Where, values in [0, 1] at the picture's size, (height, width); None everywhere.
        units: The units, by number.
        value: What they are set to: a number, one per unit, ``"off"`` (0), or ``"typical"``, the
            99% quantile of the unit's own values on the codes that are painted.
        strength: How much of it, in [0, 1].

    Raises:
        ParameterError: When one of them is not allowed.
    """

    mask: Any = None
    units: Sequence[int] | int = ()
    value: Any = "off"
    strength: float = 1.0

    def __post_init__(self) -> None:
        with caller("Stroke"):
            validation.real(self.strength, "strength", minimum=0.0, maximum=1.0)
            if isinstance(self.value, str):
                validation.choice(self.value, "value", ("off", "typical"))
            given = np.atleast_1d(np.asarray(self.units))
            if given.ndim != 1 or not len(given) or given.dtype.kind not in "iu":
                hint = "Name some, as in Stroke(mask, units=[3, 7])."
                raise ParameterError("units", "whole numbers, at least one",
                                     short_repr(self.units), hint)  # fmt: skip


@dataclass(frozen=True, repr=False)
class Painting:
    """What painting made of instances.

    Attributes:
        images: float32 (n, *sample_shape), painted; ``before``: likewise, as they were.
        before: See ``images``.
        change_inside: float64 (n,), mean absolute change where a brush went, in units of the data;
            ``change_outside``: (n,), elsewhere: more than 0 where a layer behind the painted one
            spreads it, as convolutions and group norms do.
        change_outside: See ``change_inside``.
        layer: The painted layer.
    """

    images: NDArray[np.float32]
    before: NDArray[np.float32]
    change_inside: NDArray[np.float64]
    change_outside: NDArray[np.float64]
    layer: str

    def __repr__(self) -> str:
        inside, outside = (
            number(float(change.mean()), 2) for change in (self.change_inside, self.change_outside)
        )
        return (
            f"Painting({len(self.images):,} instances, layer {self.layer!r}, mean change {inside} "
            f"where a brush went and {outside} elsewhere)"
        )


@caller("paint")
def paint(
    model: Any,
    z: Any,
    strokes: Sequence[Stroke] | Stroke,
    layer: str | None = None,
    *,
    when: tuple[float, float] | None = None,
    batch_size: int = 256,
) -> Painting:
    """Return what the model makes of codes when units are changed where a brush went.

    As in GANPaint (Bau et al. 2019): the mask is brought to the layer's grid by its maximum in
    every cell, and a unit's value r becomes (1 - a) r + a v, for a the mask times the strength.
    Strokes follow each other, each over what the ones before have left. Weights are not changed.

    Args:
        model: A torch model with ``decode`` and ``layers``.
        z: Codes, (n, *latent_shape).
        strokes: One or several.
        layer: Name of the layer; None takes the activation behind the last convolution before the
            output.
        when: For a network that runs several times, as that of a diffusion model: lowest and
            highest noise level, as shares of all, at which units are changed; None for all.
        batch_size: Codes per model call.

    Raises:
        ParameterError: When a unit does not exist, or a mask does not have the picture's size.
        CapabilityError: When the model cannot decode or names no layers.

    Cost: two decoder passes per code.

    Example:
        >>> from torch import nn
        >>> from pxgen_plugins.models import VAE
        >>> net = nn.Sequential(nn.Unflatten(1, (2, 1, 1)), nn.ConvTranspose2d(2, 4, 4), nn.ReLU(),
        ...                     nn.Conv2d(4, 1, 1), nn.Sigmoid())
        >>> model = VAE(encode=lambda x: (x.flatten(1)[:, :2],) * 2, decode=net.forward,
        ...             latent_shape=(2,), sample_shape=(1, 4, 4), modules=net, check=False)
        >>> mask = np.zeros((4, 4))
        >>> mask[:2] = 1.0
        >>> painting = paint(model, torch.ones(1, 2), Stroke(mask, units=[0], value=5.0), "2")
        >>> painting.change_outside.tolist()
        [0.0]
    """
    require(model, ["decode", "layers"], "Painting needs a decoder of torch layers.")
    several = [strokes] if isinstance(strokes, Stroke) else strokes
    if not isinstance(several, (list, tuple)) or not all(isinstance(s, Stroke) for s in several):
        hint = "Give some, as in Stroke(mask, units=[3, 7])."
        raise ParameterError("strokes", "a Stroke or a list of them", short_repr(strokes), hint)
    validation.integer(batch_size, "batch_size", minimum=1)
    shape = tuple(model.latent_shape)
    codes = _numbers(z.detach().cpu() if isinstance(z, Tensor) else z)
    if codes is None or tuple(codes.shape[1:]) != shape or not len(codes):
        hint = "Draw some, as in torch.randn(4, *model.latent_shape)."
        allowed = f"finite codes (n, {', '.join(map(str, shape))})"
        got = short_repr(z) if codes is None else str(tuple(codes.shape))
        raise ParameterError("z", allowed, got, hint)
    with traceless(model):
        units = unit_layer(model, layer, codes[:1], noise_range(when))
        parts = [units.decode(part) for part in torch.split(codes, batch_size)]
        before = torch.cat([x.float().cpu() for x, _ in parts])
        maps = torch.cat([own.float().cpu() for _, own in parts])
        size = tuple(pictures(before).shape[-2:])
        strength, values = _composite(several, units, maps, size)
        with torch.no_grad():
            after = torch.cat(
                [
                    units.decode_with(part, strength, values).float().cpu()
                    for part in torch.split(codes, batch_size)
                ]
            )
    brushed = torch.zeros(size)
    for stroke in several:
        brushed = torch.maximum(brushed, (_mask(stroke, size) > 0).float())
    inside, outside = changes(before, after, brushed.expand(len(codes), 1, *size))
    return Painting(after.numpy(), before.numpy(), inside[:, 0], outside[:, 0], units.name)


def _composite(
    strokes: Sequence[Stroke], units: UnitLayer, maps: Tensor, size: tuple[int, ...]
) -> tuple[Tensor, Tensor]:
    """Return strength and values (1, u, h, w) of all strokes, each over those before it."""
    grid = units.grid or (1, 1)
    strength = torch.zeros(1, units.n_units, *grid)
    painted = torch.zeros(1, units.n_units, *grid)  # strength times value so far
    for stroke in strokes:
        if units.grid is None and stroke.mask is not None:
            hint = "Leave mask out, or name a layer with maps."
            got = f"a mask for {units.name!r}, whose units have no place in the picture"
            raise ParameterError("mask", "None for this layer", got, hint)
        mask = F.adaptive_max_pool2d(_mask(stroke, size)[None, None], grid)
        own = unit_strength(units.n_units, stroke.units) * mask * stroke.strength
        value = _value(stroke, units, maps)
        painted = (1.0 - own) * painted + own * value
        strength = 1.0 - (1.0 - strength) * (1.0 - own)
    values = torch.where(strength > 0, painted / strength.clamp_min(1e-12), painted)
    return strength, values


def _mask(stroke: Stroke, size: tuple[int, ...]) -> Tensor:
    if stroke.mask is None:
        return torch.ones(size)
    mask = _numbers(stroke.mask)
    inside = mask is not None and bool(((mask >= 0) & (mask <= 1)).all())
    if mask is None or tuple(mask.shape) != size or not inside:
        hint = "Give a mask of the picture's height and width with values between 0 and 1."
        got = short_repr(stroke.mask)
        if mask is not None and inside:
            got = f"of shape {tuple(mask.shape)}"
        raise ParameterError("mask", f"values in [0, 1] of shape {size}", got, hint)
    return mask


def _value(stroke: Stroke, units: UnitLayer, maps: Tensor) -> Tensor:
    """Return the value of every unit, (1, u, 1, 1); those that are not painted do not count."""
    value = torch.zeros(units.n_units)
    if stroke.value == "off":
        return value.reshape(1, -1, 1, 1)
    if isinstance(stroke.value, str):
        flat = maps.transpose(0, 1).flatten(1).numpy()
        value = torch.from_numpy(np.quantile(flat, _TYPICAL, axis=1)).float()
        return value.reshape(1, -1, 1, 1)
    chosen = np.atleast_1d(np.asarray(stroke.units, dtype=np.int64))
    numbers = _numbers(stroke.value)
    given = np.empty(0) if numbers is None else numbers.double().numpy()
    if numbers is None or given.shape not in ((), chosen.shape):
        hint = "Give a number, one per unit, 'off' or 'typical'."
        allowed = f"a finite number or {len(chosen)} of them"
        raise ParameterError("value", allowed, short_repr(stroke.value), hint)
    value[torch.from_numpy(chosen)] = torch.from_numpy(
        np.broadcast_to(given, chosen.shape).copy()
    ).float()
    return value.reshape(1, -1, 1, 1)


def _numbers(value: Any) -> Tensor | None:
    """Return what stands for finite numbers as float32; None for anything else."""
    try:
        given = np.asarray(value)
    except ValueError:  # a ragged list
        return None
    if given.dtype.kind not in "biuf" or not np.isfinite(given).all():
        return None
    return torch.as_tensor(given, dtype=torch.float32)
