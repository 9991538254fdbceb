"""Pixels of a colour."""

from __future__ import annotations

import torch
from torch import Tensor

from pxgen_plugins.concepts.base import RangedConcept, pictures
from pxgen_plugins.utils import validation
from pxgen_plugins.utils.errors import ParameterError, caller, short_repr

__all__ = ["Colour"]


class Colour(RangedConcept):
    """Pixels whose hue, saturation and value lie in given ranges.

    Hue, saturation and value (HSV; Smith 1978) of instances scaled to [0, 1] by ``data_range``.
    Hues are degrees: 0 red, 120 green, 240 blue; a range may pass through 0, as (330, 30).

    Args:
        hue: Lowest and highest hue, in degrees.
        saturation: Lowest and highest saturation, in [0, 1].
        value: Lowest and highest value, in [0, 1].
        data_range: Lowest and highest value of an instance; None takes the model's, where an
            adapter knows it, else (0, 1), and refuses instances outside.
        label: Name; None makes one.

    Raises:
        ParameterError: When a range is none; when called on pictures that have no colours.

    Example:
        >>> red = torch.tensor([1.0, 0.0, 0.0]).reshape(1, 3, 1, 1)
        >>> Colour((330, 30))(red).item(), Colour((90, 150))(red).item()
        (1.0, 0.0)
    """

    def __init__(
        self,
        hue: tuple[float, float] = (0.0, 360.0),
        saturation: tuple[float, float] = (0.2, 1.0),
        value: tuple[float, float] = (0.2, 1.0),
        *,
        data_range: tuple[float, float] | None = None,
        label: str | None = None,
    ) -> None:
        with caller("Colour"):
            self.hue = _pair(hue, "hue", 360.0, ordered=False)
            self.saturation = _pair(saturation, "saturation", 1.0)
            self.value = _pair(value, "value", 1.0)
            super().__init__(data_range)
        self.label = label or f"hue {self.hue[0]:g} to {self.hue[1]:g}"

    def __call__(self, x: Tensor) -> Tensor:
        """Return masks (n, height, width)."""
        image = pictures(x)
        if image.shape[1] not in (3, 4):
            with caller("Colour"):
                hint = "Use Threshold for grey pictures."
                got = f"{image.shape[1]} channels"
                raise ParameterError("instances", "of three colours", got, hint)
        low, high = self.range_of(image[:, :3])
        rgb = ((image[:, :3] - low) / (high - low)).clamp(0.0, 1.0)
        top, place = rgb.max(1)
        chroma = top - rgb.min(1).values
        red, green, blue = rgb.unbind(1)
        safe = chroma.clamp_min(1e-12)
        sextant = torch.stack([(green - blue) / safe % 6, (blue - red) / safe + 2,
                               (red - green) / safe + 4], 1)  # fmt: skip
        degrees = 60.0 * sextant.gather(1, place[:, None])[:, 0]
        saturation = chroma / top.clamp_min(1e-12)
        first, last = self.hue
        turn = (degrees >= first) & (degrees <= last)
        if first > last:
            turn = (degrees >= first) | (degrees <= last)
        # without colour there is no hue: only a range of all hues takes such a pixel
        if (first, last) != (0.0, 360.0):
            turn = turn & (chroma > 0)
        inside = turn & _within(saturation, self.saturation) & _within(top, self.value)
        return inside.to(x.dtype)


def _within(values: Tensor, bounds: tuple[float, float]) -> Tensor:
    return (values >= bounds[0]) & (values <= bounds[1])


def _pair(
    given: tuple[float, float], name: str, highest: float, *, ordered: bool = True
) -> tuple[float, float]:
    try:
        low, high = given
    except (TypeError, ValueError):
        hint = f"Give two numbers, as in {name}=(0, {highest:g})."
        raise ParameterError(name, "a lowest and a highest", short_repr(given), hint) from None
    pair = tuple(validation.real(v, name, minimum=0.0, maximum=highest) for v in (low, high))
    if ordered and pair[0] > pair[1]:
        hint = "Give the lower one first."
        raise ParameterError(name, "in order", short_repr(given), hint)
    return pair[0], pair[1]
