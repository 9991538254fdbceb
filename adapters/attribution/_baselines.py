"""What an attribution is measured against: a constant, an array, or the mean of fitted data."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from pxgen_plugins.adapters._latent_target import TargetFunction
from pxgen_plugins.utils.errors import ParameterError, short_repr

__all__ = ["anchors_per_call", "baseline_like", "check_baseline", "completeness"]


def check_baseline(value: Any, *words: str) -> Any:
    """Return a baseline as it is kept: None, a float, a word, or an array of finite numbers.

    Args:
        value: What the user gave.
        words: The words that are allowed.

    Raises:
        ParameterError: When it is none of these.
    """
    if value is None or (isinstance(value, str) and value in words):
        return value
    if not isinstance(value, str | bool):
        try:
            given = value.detach().cpu().numpy() if isinstance(value, Tensor) else value
            array = np.array(given, dtype=np.float32)
        except (TypeError, ValueError):
            array = np.array(np.nan, dtype=np.float32)
        if np.isfinite(array).all() and array.size:
            return float(given) if array.ndim == 0 else array
    allowed = "None, a finite number, an array of one instance's shape" + "".join(
        f" or {word!r}" for word in words
    )
    hint = "None is the low end of data_range, and the prior mean in latent space."
    raise ParameterError("baseline", allowed, short_repr(value), hint)


def baseline_like(point: Tensor, value: Any, model: Any, space: str) -> Tensor:
    """Return the baseline of every row of ``point``, of its shape.

    Args:
        point: Anchors or latent codes, (b, *shape).
        value: A baseline as :func:`check_baseline` returns it, a word excepted.
        model: The model, for its range.
        space: ``"input"`` or ``"latent"``.

    Raises:
        ParameterError: When an array has another shape.
    """
    if value is None:
        ranged = space == "input" and model.data_range is not None
        value = float(model.data_range[0]) if ranged else 0.0
    if isinstance(value, float):
        return torch.full_like(point, value)
    shape = tuple(point.shape[1:])
    row = torch.as_tensor(value, dtype=point.dtype, device=point.device)
    if tuple(row.shape) == (1, *shape):
        row = row[0]
    if tuple(row.shape) != shape:
        hint = "Give one instance, without a batch axis."
        raise ParameterError("baseline", f"of shape {shape}", short_repr(value), hint)
    return row.expand_as(point).clone()


def completeness(
    function: TargetFunction,
    point: Tensor,
    fixed: tuple[Tensor, ...],
    baseline: Tensor,
    attributions: Tensor,
) -> dict[str, Tensor]:
    """Return the target at the baseline, and by how much the attributions miss the difference."""
    before = function.values(baseline, *fixed).double()
    after = function.values(point, *fixed).double()
    total = attributions.detach().double().flatten(1).sum(1)
    return {"baseline_values": before, "convergence_delta": total - (after - before)}


def anchors_per_call(per_anchor: int, batch_size: int) -> int:
    """Return how many anchors fit a model call that takes ``per_anchor`` instances of each.

    Example:
        >>> anchors_per_call(2, 5), anchors_per_call(2, 1)
        (2, 1)
    """
    return max(1, batch_size // per_anchor)
