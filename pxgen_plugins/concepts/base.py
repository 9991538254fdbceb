"""The base of all concepts, and the pictures that they look at."""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from typing import ClassVar, Self

import numpy as np
import torch
from torch import Tensor, nn

from pxgen_plugins.utils import validation
from pxgen_plugins.utils.errors import ModelError, ParameterError, caller, short_repr, warn

__all__ = ["Concept", "RangedConcept", "intensity", "masks_of", "pictures"]

_LUMA = (0.299, 0.587, 0.114)  # of red, green and blue, ITU-R BT.601
_COLOURS = 3
_UNIT = (0.0, 1.0)  # the range of instances of which nothing else is known
_SLACK = 0.05  # of a range, by which the output of a network may overshoot it


class Concept(ABC):
    """A function from instances to masks.

    Attributes:
        differentiable: Whether the masks have a gradient, as soft sets of units need it.
        label: Name in figures and tables.
        networks: Torch modules that it runs; who uses it keeps them in evaluation mode meanwhile.
    """

    differentiable: ClassVar[bool] = False
    networks: tuple[nn.Module, ...] = ()
    label: str

    @abstractmethod
    def __call__(self, x: Tensor) -> Tensor:
        """Return masks (n, height, width) in [0, 1] of instances ``x``, (n, *sample_shape)."""

    def for_range(self, data_range: tuple[float, float] | None) -> Concept:
        """Return the concept for instances of a range, lowest and highest; None for unbounded ones.

        Adapters hand it the model's. Itself, unless it needs a range and was given none.
        """
        return self

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.label})"


class RangedConcept(Concept):
    """A concept that must know which values are lowest and highest.

    Args:
        data_range: Lowest and highest value of an instance; None takes the model's, where an
            adapter knows it, else (0, 1).
    """

    def __init__(self, data_range: tuple[float, float] | None = None) -> None:
        self.data_range = validation.data_range(data_range)
        self._handed = False  # by an adapter: units that are moved may take instances out of it

    def for_range(self, data_range: tuple[float, float] | None) -> Self:
        """Return a copy of that range, where neither is None; else itself."""
        if data_range is None or self.data_range is not None:
            return self
        known = copy.copy(self)
        known.data_range, known._handed = validation.data_range(data_range), True
        return known

    def range_of(self, x: Tensor) -> tuple[float, float]:
        """Return the range of instances ``x``.

        Raises:
            ParameterError: When none was given and values lie outside of (0, 1); where one was
                given, that is a warning.
        """
        low, high = self.data_range or _UNIT
        if self._handed or not x.numel():
            return low, high
        least, most = (float(end) for end in x.detach().aminmax())
        slack = _SLACK * (high - low)
        if least < low - slack or most > high + slack:
            with caller(type(self).__name__):
                got = f"values from {least:g} to {most:g}"
                hint = "Say what the lowest and the highest value are, as in data_range=(-1, 1)."
                allowed = f"within {(low, high)}, which is taken where no data_range is given"
                if self.data_range is None:
                    raise ParameterError("instances", allowed, got, hint)
            warn(f"{self!r}: instances have {got}, and data_range is {(low, high)}. {hint}")
        return low, high


def pictures(x: Tensor) -> Tensor:
    """Return instances as pictures with channels first, (n, c, height, width).

    Args:
        x: Of shape (n, h, w), (n, c, h, w), or (n, h, w, c) with 1, 3 or 4 channels.

    Raises:
        ParameterError: When they are none of these.

    Example:
        >>> pictures(torch.zeros(2, 8, 8, 3)).shape
        torch.Size([2, 3, 8, 8])
    """
    if x.ndim == 3:
        return x[:, None]
    few = (1, _COLOURS, _COLOURS + 1)
    if x.ndim == 4 and x.shape[1] not in few and x.shape[3] in few:
        return x.movedim(-1, 1)
    if x.ndim != 4:
        hint = "Give a concept of your own: any callable from instances to masks."
        raise ParameterError("instances", "pictures", f"of shape {tuple(x.shape)}", hint)
    return x


def intensity(x: Tensor) -> Tensor:
    """Return the luminance of pictures, (n, height, width); differentiable.

    Of three or four channels red, green and blue count as in ITU-R BT.601, of others the mean.

    Example:
        >>> intensity(torch.ones(1, 3, 2, 2))[0, 0, 0].item()
        1.0
    """
    image = pictures(x)
    if image.shape[1] in (_COLOURS, _COLOURS + 1):
        weight = torch.tensor(_LUMA, dtype=image.dtype, device=image.device)
        return (image[:, :_COLOURS] * weight[:, None, None]).sum(1)
    return image.mean(1)


def masks_of(masks: object, n: int, label: str) -> Tensor:
    """Return what a concept returned as float masks (n, height, width), or raise.

    Raises:
        ModelError: When it is no such tensor, or holds values outside [0, 1].
    """
    given = masks
    if isinstance(masks, np.ndarray) and masks.dtype.kind in "biuf":
        given = torch.from_numpy(np.ascontiguousarray(masks))
    if isinstance(given, Tensor) and given.ndim == 4 and given.shape[1] == 1:
        given = given[:, 0]
    hint = "Return masks (n, height, width) with values between 0 and 1."
    if not isinstance(given, Tensor) or given.ndim != 3 or len(given) != n or given.is_complex():
        allowed = f"masks ({n}, height, width)"
        raise ModelError("concept's result", allowed, short_repr(masks), hint, where=label)
    given = given.float() if not given.is_floating_point() else given
    ends = given.detach()
    low, high = (float(ends.min()), float(ends.max())) if ends.numel() else (0.0, 0.0)
    if not (low >= -1e-4 and high <= 1 + 1e-4):  # also where one is NaN
        got = f"values from {low:g} to {high:g}"
        raise ModelError("concept's result", "within [0, 1]", got, hint, where=label)
    return given.clamp(0.0, 1.0)
