"""What an attribution is measured against: a constant, an array, or the mean of fitted data."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pxgen_plugins.adapters._latent_target import Question
from pxgen_plugins.adapters.base import NotFittedError
from pxgen_plugins.utils.errors import ParameterError, short_repr

__all__ = ["against", "baseline_like", "bounded", "check_baseline"]


def check_baseline(value: Any, where: str, *words: str) -> Any:
    """Return a baseline as it is kept: None, a float, a word, or an array of finite numbers.

    Args:
        value: What the user gave.
        where: Who was given it, for messages.
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
    raise ParameterError("baseline", where, allowed, short_repr(value), hint)


def baseline_like(
    point: Tensor, value: Any, mean: NDArray[np.float32] | None, model: Any, space: str, where: str
) -> Tensor:
    """Return the baseline of every row of ``point``, of its shape.

    Args:
        point: Anchors or latent codes, (b, *shape).
        value: A baseline as :func:`check_baseline` returns it.
        mean: What ``"mean"`` stands for, (*shape); None before ``fit``.
        model: The model, for its range.
        space: ``"input"`` or ``"latent"``.
        where: Who asks, for messages.

    Raises:
        NotFittedError: When the mean was not fitted.
        ParameterError: When an array has another shape.
    """
    if isinstance(value, str):
        if mean is None:
            raise NotFittedError(f"{where}: baseline={value!r} needs data. Call fit(X) first.")
        value = mean
    if value is None:
        bounded = space == "input" and model.data_range is not None
        value = float(model.data_range[0]) if bounded else 0.0
    if isinstance(value, float):
        return torch.full_like(point, value)
    shape = tuple(point.shape[1:])
    row = torch.as_tensor(value, dtype=point.dtype, device=point.device)
    if tuple(row.shape) == (1, *shape):
        row = row[0]
    if tuple(row.shape) != shape:
        hint = "Give one instance, without a batch axis."
        raise ParameterError("baseline", where, f"of shape {shape}", short_repr(value), hint)
    return row.expand_as(point).clone()


def against(
    question: Question, point: Tensor, fixed: tuple[Tensor, ...], baseline: Tensor, found: Tensor
) -> dict[str, Tensor]:
    """Return the target at the baseline, and by how much the attributions miss the difference."""
    before = question.values(baseline, *fixed).double()
    after = question.values(point, *fixed).double()
    total = found.detach().double().flatten(1).sum(1)
    return {"baseline_values": before, "convergence_delta": total - (after - before)}


def bounded(per_call: int, batch_size: int) -> int:
    """Return how many anchors fit a model call that takes ``per_call`` instances of each.

    Example:
        >>> bounded(2, 5), bounded(2, 1)
        (2, 1)
    """
    return max(1, batch_size // per_call)
