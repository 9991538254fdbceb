"""How well a picture agrees with the target: a number in [0, 1] by the kind of data."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pxgen_plugins.models.base import own_features
from pxgen_plugins.utils import validation
from pxgen_plugins.utils.errors import ParameterError, short_repr

__all__ = [
    "TOLERANCE",
    "Agreement",
    "IoU",
    "Overlap",
    "Tolerance",
    "agreement_for",
    "measure",
]

Agreement = Callable[[Tensor, Tensor], Any]
"""From instances (n, *sample_shape) and their targets of the same shape to (n,) in [0, 1]."""

TOLERANCE = 1e-3
"""How far the agreement of a solved question may be below the goal, as in the published task."""

_FLOOR = 0.01  # keeps the ratio of two empty pictures defined, as in the published task
_SLACK = 1e-6  # rounding beyond [0, 1] that is no mistake


@dataclass(frozen=True)
class Overlap:
    """1 - sum |a - b| / (0.01 + sum |a| + sum |b|), for bright things on an empty ground.

    The published measure for dSprites (Ross et al. 2021). A picture that misses the object has 0,
    whatever the size of the ground.

    Args:
        ground: Value of the empty ground.

    Example:
        >>> x = torch.tensor([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]])
        >>> [round(v, 2) for v in Overlap()(x, x[:1].expand(2, 3)).tolist()]
        [1.0, 0.0]
    """

    ground: float = 0.0

    def __call__(self, x: Tensor, target: Tensor) -> Tensor:
        """Return the agreement of each instance, (n,)."""
        a, b = ((part.double() - self.ground).flatten(1) for part in (x, target))
        size = _FLOOR + a.abs().sum(1) + b.abs().sum(1)
        return (1.0 - (a - b).abs().sum(1) / size).clamp(0.0, 1.0)


@dataclass(frozen=True)
class IoU:
    """Intersection over union of the elements above a level: the published measure for MNIST.

    Args:
        level: Elements above it are part of the object.

    Example:
        >>> x = torch.tensor([[1.0, 1.0, 0.0], [0.0, 0.0, 0.0]])
        >>> IoU()(x, torch.tensor([[1.0, 0.0, 0.0]] * 2)).tolist()
        [0.5, 0.0]
    """

    level: float = 0.5

    def __call__(self, x: Tensor, target: Tensor) -> Tensor:
        """Return the agreement of each instance, (n,); 1 where both are empty."""
        a, b = (part.flatten(1) > self.level for part in (x, target))
        union = (a | b).sum(1).double()
        common = (a & b).sum(1).double()
        return torch.where(union > 0, common / union.clamp_min(1.0), torch.ones_like(union))


@dataclass(frozen=True)
class Tolerance:
    """Share of the elements that differ by at most ``within``, for curves and other dense data.

    The published measure for sine lines, there with 0.5. On pictures that are mostly ground an
    empty one scores high: take :class:`Overlap` or :class:`IoU` for these.

    Args:
        within: Largest difference that counts as equal, in units of the data.

    Example:
        >>> Tolerance(0.5)(torch.tensor([[0.0, 1.0]]), torch.tensor([[0.4, 0.0]])).tolist()
        [0.5]
    """

    within: float

    def __call__(self, x: Tensor, target: Tensor) -> Tensor:
        """Return the agreement of each instance, (n,)."""
        gap = (x.double() - target.double()).abs().flatten(1)
        return (gap <= self.within).double().mean(1)


def agreement_for(spec: Any, model: Any) -> Agreement:
    """Return the measure that ``spec`` stands for; rows of a table count in the table's own units.

    Args:
        spec: ``"overlap"`` (the ground is the lowest value of the range, or 0), ``"iou"`` (the
            level is the middle of the range), ``"tolerance"`` (a tenth of the range), or a
            callable, such as :class:`Tolerance` of another width.
        model: The model.

    Raises:
        ParameterError: When it is none of these, or a name needs the range of the data.
    """
    measured = _measure_of(spec, model.data_range)
    features = own_features(model)
    if features is None:
        return measured
    return lambda x, target: measured(features(x), features(target))


def _measure_of(spec: Any, data_range: tuple[float, float] | None) -> Agreement:
    if callable(spec):
        given: Agreement = spec
        return given
    name = validation.choice(spec, "agreement", ("overlap", "iou", "tolerance"))
    if name == "overlap":
        return Overlap(0.0 if data_range is None else data_range[0])
    if data_range is None:
        allowed = "'overlap' or a callable for a model without data_range"
        hint = "Pass an object with its own scale, such as IoU(0.5) or Tolerance(0.5)."
        raise ParameterError("agreement", allowed, short_repr(spec), hint)
    low, high = data_range
    return IoU((low + high) / 2) if name == "iou" else Tolerance((high - low) / 10)


def measure(agreement: Agreement, x: Tensor, target: Tensor) -> NDArray[np.float64]:
    """Return the agreement of instances with one target, float64 (n,).

    Args:
        agreement: The measure.
        x: (n, *sample_shape).
        target: (*sample_shape), or one target for each instance.

    Raises:
        ParameterError: When a user's measure returns something else than n numbers in [0, 1].
    """
    with torch.no_grad():
        values = agreement(x, target.expand_as(x))
    if isinstance(values, Tensor):
        values = values.detach().cpu().numpy()
    try:
        found = np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError):
        found = np.empty(0)
    inside = found.shape == (len(x),) and bool(((found >= -_SLACK) & (found <= 1 + _SLACK)).all())
    if not inside:
        allowed = f"a function that returns {len(x)} numbers in [0, 1]"
        hint = "Return one number for each instance: 1 where it equals its target."
        raise ParameterError("agreement", allowed, short_repr(values), hint)
    return np.clip(found, 0.0, 1.0)
