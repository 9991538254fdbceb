"""What is explained: a scalar of (model, anchor), by name or as a callable."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from pxgen_plugins.criteria import Batch, Criterion, make
from pxgen_plugins.models import require
from pxgen_plugins.utils import validation
from pxgen_plugins.utils.errors import ModelError, ParameterError, caller, short_repr

__all__ = ["Latent", "Pixel", "Target", "resolve"]

_NAME = re.compile(r"(latent|pixel)\[\s*(\d+(?:\s*,\s*\d+)*)\s*\]")


@dataclass(frozen=True)
class Latent:
    """Dimension ``index`` of the posterior mean, flattened.

    Example:
        >>> Latent(3).label
        'latent[3]'
    """

    index: int

    @property
    def label(self) -> str:
        """Name in results."""
        return f"latent[{self.index}]"


@dataclass(frozen=True)
class Pixel:
    """One element of the reconstruction, by its position in ``sample_shape``.

    Args:
        position: As many indices as ``sample_shape`` has dimensions.

    Example:
        >>> Pixel(0, 14, 14).label
        'pixel[0, 14, 14]'
    """

    position: tuple[int, ...]

    def __init__(self, *position: int) -> None:
        with caller("Pixel"):
            for index in position:
                validation.integer(index, "position", minimum=0)
        object.__setattr__(self, "position", tuple(position))

    @property
    def label(self) -> str:
        """Name in results."""
        return f"pixel[{', '.join(str(i) for i in self.position)}]"


@dataclass(frozen=True)
class Target:
    """A differentiable scalar of (model, anchor).

    Attributes:
        label: Name in results.
        of: From a :class:`~pxgen_plugins.criteria.Batch` to values, (b,).
        spec: What the user gave, for the metadata.
    """

    label: str
    of: Callable[[Batch], Tensor]
    spec: Any

    def value(
        self,
        model: Any,
        x: Tensor,
        *,
        first: int = 0,
        seed: int = 0,
        reconstruction: str = "mean",
    ) -> Tensor:
        """Return the values (b,) at anchors ``x`` (b, *sample_shape), with gradient.

        Raises:
            ModelError: When the target does not return one value per anchor.
        """
        return self._values(Batch(model, x, first=first, seed=seed, reconstruction=reconstruction))

    def value_at(
        self,
        model: Any,
        z: Tensor,
        x: Tensor | None = None,
        log_var: Tensor | None = None,
        *,
        first: int = 0,
        seed: int = 0,
    ) -> Tensor:
        """Return the values (b,) with the posterior mean replaced by ``z`` (b, *latent_shape).

        The target as a function of the latent code: the anchor stays what it was, its code is
        moved, and the target is computed from the code and what it decodes to.

        Args:
            model: The model.
            z: Latent codes, with gradient if wanted.
            x: The anchors, (b, *sample_shape); None takes the decoded codes themselves.
            log_var: Log variances of the posterior, of the shape of ``z``; None encodes ``x``.
            first: Position of the first anchor, which with ``seed`` fixes the noise.
            seed: Seed of the target's own noise.

        Raises:
            ModelError: When the target does not return one value per anchor.
        """
        if x is None:
            x = model.decode(z)
        if log_var is None:
            with torch.no_grad():
                log_var = model.encode(x)[1]
        return self._values(Batch(model, x, first=first, seed=seed, posterior=(z, log_var)))

    def _values(self, batch: Batch) -> Tensor:
        values = self.of(batch)
        if tuple(values.shape) != (len(batch),):
            hint = "Return one number per anchor."
            allowed = f"of shape ({len(batch)},)"
            raise ModelError("target", allowed, short_repr(values), hint, where=self.label)
        return values


def resolve(target: Any, model: Any) -> Target:
    """Return the target that ``target`` stands for.

    Args:
        target: A criterion's name, mapping or object (``"elbo"`` among them), :class:`Latent` or
            :class:`Pixel`, their names (``"latent[3]"``, ``"pixel[0, 4, 4]"``), or a callable
            from a :class:`~pxgen_plugins.criteria.Batch` to (b,), such as
            :class:`~pxgen_plugins.adapters.margins.Margin`.
        model: The model.

    Raises:
        ParameterError: When it is none of these, or an index lies outside.
        CapabilityError: When the model lacks what the target needs.

    Example:
        >>> class Flat:
        ...     capabilities, latent_shape = {"encode"}, (2,)
        ...     def encode(self, x): return x, torch.zeros_like(x)
        >>> resolve(Latent(1), Flat()).value(Flat(), torch.tensor([[3.0, 4.0]])).tolist()
        [4.0]
    """
    target = _by_name(target)
    hint = "Use a criterion the model can serve."
    if isinstance(target, Latent):
        require(model, ["encode"], hint)
        return _latent(target, model)
    if isinstance(target, Pixel):
        require(model, ["reconstruct"], hint)
        return _pixel(target, model)
    if callable(target) and not isinstance(target, Criterion):
        name = getattr(target, "__name__", type(target).__name__)
        label = getattr(target, "label", name)
        return Target(label, target, short_repr(target))
    criterion = make(target, "target")
    criterion.check(model)
    return Target(criterion.name, criterion, {"name": criterion.name, **criterion.params})


def _by_name(target: Any) -> Any:
    """Return ``target``, or what its name stands for: settings files hold no objects.

    Example:
        >>> _by_name("latent[3]"), _by_name("pixel[0, 14, 14]"), _by_name("mse")
        (Latent(index=3), Pixel(position=(0, 14, 14)), 'mse')
    """
    match = _NAME.fullmatch(target.strip()) if isinstance(target, str) else None
    if match is None:
        return target
    numbers = [int(part) for part in match[2].split(",")]
    if match[1] == "pixel":
        return Pixel(*numbers)
    return Latent(numbers[0]) if len(numbers) == 1 else target


def _latent(target: Latent, model: Any) -> Target:
    size = math.prod(model.latent_shape)
    index = validation.integer(target.index, "Latent index", minimum=0)
    if index >= size:
        hint = f"Choose one of 0 to {size - 1}."
        raise ParameterError("Latent index", f"below {size}", str(index), hint)
    return Target(target.label, lambda batch: batch.mean.flatten(1)[:, index], target.label)


def _pixel(target: Pixel, model: Any) -> Target:
    shape = tuple(model.sample_shape)
    inside = len(target.position) == len(shape) and all(
        0 <= i < side for i, side in zip(target.position, shape, strict=True)
    )
    if not inside:
        hint = f"Give {len(shape)} indices inside the sample shape."
        raise ParameterError("Pixel position", f"inside {shape}", str(target.position), hint)
    flat = int(np.ravel_multi_index(target.position, shape))
    return Target(
        target.label, lambda batch: batch.reconstruction.flatten(1)[:, flat], target.label
    )
