"""Axes: ways through latent space that can be followed by equal steps."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from pxgen_plugins.utils import validation
from pxgen_plugins.utils.errors import ParameterError, caller, short_repr

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["KEEPS", "Axis", "check_shapes", "dimensions", "keep_for", "on_shell"]

KEEPS = ("free", "shell")
_SHELL_FROM = 16  # latent dimensions from which normal codes lie close to a sphere


@dataclass(frozen=True)
class Axis:
    """A way through latent space: from a code z by a steps to z + a * scale * vector.

    Attributes:
        label: Name in figures and tables.
        vector: Unit vector, float32, of the shape of one latent code.
        scale: Length of one step in latent space, > 0.
        source: What it comes from, such as ``"dimension"`` or the name of an adapter.
        keep: ``"free"`` moves on the straight line; ``"shell"`` puts every code back to the norm
            that it had, so that a long way does not leave the sphere near which the codes of a
            normal prior of many dimensions lie.

    Raises:
        ParameterError: When the vector is zero or not finite, or an argument is not allowed.

    Example:
        >>> axis = Axis("x", np.array([3.0, 4.0]), scale=2.0)
        >>> axis.vector.tolist()
        [0.6000000238418579, 0.800000011920929]
    """

    label: str
    vector: NDArray[np.float32]
    scale: float = 1.0
    source: str = "user"
    keep: str = "free"

    def __post_init__(self) -> None:
        with caller("Axis"):
            given = np.asarray(self.vector)
            vector = given.astype(np.float64) if given.dtype.kind in "biuf" else np.empty(0)
            norm = float(np.linalg.norm(vector))
            if not vector.size or not math.isfinite(norm) or norm == 0.0:
                hint = "Give a vector of the shape of one latent code."
                raise ParameterError("vector", "finite and not zero", short_repr(self.vector), hint)
            validation.real(self.scale, "scale", above=0.0)
            validation.choice(self.keep, "keep", KEEPS)
        # a frozen class sets what it has checked and scaled in this way
        object.__setattr__(self, "vector", (vector / norm).astype(np.float32))
        object.__setattr__(self, "scale", float(self.scale))

    def move(self, z: Tensor, amounts: float | Sequence[float] | Tensor) -> Tensor:
        """Return codes moved along the axis.

        Args:
            z: Codes, (n, *latent_shape).
            amounts: Steps: one number for all, or one per code, (n,).

        Returns:
            Codes of the shape, type and device of ``z``.

        Raises:
            ParameterError: When codes or amounts do not have such a shape.

        Example:
            >>> import torch
            >>> axis = Axis("x", np.array([0.0, 1.0]), scale=2.0, keep="shell")
            >>> round(axis.move(torch.tensor([[1.0, 0.0]]), 0.5).norm().item(), 6)
            1.0
        """
        import torch

        step = torch.as_tensor(amounts, dtype=z.dtype, device=z.device).reshape(-1)
        if tuple(z.shape[1:]) != self.vector.shape or len(step) not in (1, len(z)):
            hint = "Give codes of the axis's shape, and one amount or one for each."
            got = f"{tuple(z.shape)} and {len(step)} amounts"
            allowed = f"of shape (n, {', '.join(map(str, self.vector.shape))})"
            raise ParameterError("z", allowed, got, hint, where="Axis.move")
        step = step.reshape(-1, *[1] * (z.ndim - 1)) * self.scale
        moved = z + step * torch.as_tensor(self.vector, dtype=z.dtype, device=z.device)
        return on_shell(moved, z) if self.keep == "shell" else moved

    def to_data(self) -> dict[str, Any]:
        """Return the axis as plain data; ``Axis(**data)`` is the same axis."""
        return {
            "label": self.label,
            "vector": self.vector.tolist(),
            "scale": self.scale,
            "source": self.source,
            "keep": self.keep,
        }


def check_shapes(axes: Sequence[Axis], latent_shape: Sequence[int]) -> None:
    """Check that axes are of a model's codes.

    Raises:
        ParameterError: When one has not the shape of a code.
    """
    for axis in axes:
        if axis.vector.shape != tuple(latent_shape):
            allowed = f"of shape {tuple(latent_shape)}, the shape of a code"
            got = f"{short_repr(axis.label)} of shape {axis.vector.shape}"
            raise ParameterError("axes", allowed, got, "Give axes of this model.")


def on_shell(moved: Tensor, z: Tensor) -> Tensor:
    """Return codes ``moved`` with, row by row, the norm of ``z``."""
    shape = (-1, *[1] * (z.ndim - 1))
    before = z.flatten(1).norm(dim=1).reshape(shape)
    after = moved.flatten(1).norm(dim=1).clamp_min(1e-12).reshape(shape)
    scaled: Tensor = moved * (before / after)
    return scaled


def keep_for(keep: str | None, model: Any) -> str:
    """Return ``keep``, or for None what fits the model's codes: ``"shell"`` or ``"free"``.

    Codes of N(0, I) in d dimensions have a norm of sqrt(d) with a deviation of about 0.7, so they
    lie close to a sphere from 16 dimensions on.
    """
    if keep is not None:
        return validation.choice(keep, "keep", KEEPS)
    size = math.prod(model.latent_shape)
    normal = getattr(model, "prior", "normal") == "normal"
    return "shell" if normal and size >= _SHELL_FROM else "free"


def dimensions(
    latent_shape: Sequence[int], indices: Sequence[int] | None = None, scale: float = 1.0
) -> list[Axis]:
    """Return one axis per latent dimension, flattened.

    Args:
        latent_shape: Shape of one code.
        indices: Dimensions; None takes all.
        scale: Length of one step.

    Raises:
        ParameterError: When an index lies outside.

    Example:
        >>> [axis.label for axis in dimensions((2, 2), [3])]
        ['z3']
    """
    shape = tuple(latent_shape)
    size = math.prod(shape)
    axes = []
    for given in range(size) if indices is None else indices:
        j = validation.integer(given, "indices", minimum=0)
        if j >= size:
            hint = f"Choose out of 0 to {size - 1}."
            raise ParameterError("indices", f"below {size}", str(j), hint)
        vector = np.zeros(size, dtype=np.float32)
        vector[j] = 1.0
        axes.append(Axis(f"z{j}", vector.reshape(shape), scale, "dimension"))
    return axes
