"""What a discriminator says, as log odds that an instance is real."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from pxgen_plugins.utils.errors import ModelError, short_repr

__all__ = ["log_odds"]


def log_odds(raw: Any, output: str) -> Tensor:
    """Return a discriminator's results as log odds, (n,).

    Args:
        raw: What it returned.
        output: ``"logits"`` or ``"probabilities"``.

    Raises:
        ModelError: When it is not one number per instance, or no probabilities.

    Example:
        >>> log_odds(torch.tensor([[0.5], [1.0]]), "probabilities").isfinite().tolist()
        [True, True]
    """
    n = len(raw) if isinstance(raw, Tensor) and raw.ndim else 0
    if n == 0 or raw.numel() != n:
        hint = "Return one number each; of patches their mean: lambda x: net(x).mean((1, 2, 3))."
        allowed = "one score per instance"
        raise ModelError("discriminator's result", allowed, short_repr(raw), hint)
    scores: Tensor = raw.reshape(n)
    if output == "logits":
        return scores
    if bool(((scores < 0) | (scores > 1)).any()):
        got = f"values from {float(scores.min()):.3g} to {float(scores.max()):.3g}"
        hint = "Pass discriminator_output='logits'."
        raise ModelError("discriminator's result", "in [0, 1]", got, hint)
    # clipped where the type cannot tell them from 0 and 1
    return scores.logit(eps=torch.finfo(scores.dtype).eps)
