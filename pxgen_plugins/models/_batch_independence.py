"""Whether what a function makes of a row is that row's own, whatever else is in the batch."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from pxgen_plugins.utils.errors import ModelError

__all__ = ["expect_alone"]

_ALONE = 3  # rows that are called again without the others


def expect_alone(
    role: str,
    where: str,
    found: Tensor,
    function: Callable[..., Tensor],
    *given: Tensor,
    hint: str = "",
) -> None:
    """Raise when rows have other results without the rest of their batch; one pass on three rows.

    Args:
        role: What the function is, for messages.
        where: Whose it is.
        found: What ``function(*given)`` was, a row for each instance.
        function: Callable on batches.
        given: The batches.
        hint: What else the user can do, behind the advice.

    Raises:
        ModelError: When they have: values would depend on the batch size.
    """
    if len(found) <= _ALONE:
        return
    alone = function(*(part[:_ALONE] for part in given))
    whole = found[:_ALONE]
    size = max(1.0, float(found.abs().max()))
    if not torch.allclose(whole, alone, rtol=1e-3, atol=1e-4 * size, equal_nan=True):
        allowed = "a function of each instance by itself"
        gap = float((whole - alone).abs().max())
        got = f"results that differ by up to {gap:.3g} with the other rows of a batch"
        advice = f"Normalise by running statistics, not by those of the batch{hint}."
        raise ModelError(role, where, allowed, got, advice)
