"""How many directions there are, where that hangs on the model."""

from __future__ import annotations

import math
from typing import Any

from pxgen_plugins.utils.errors import ParameterError

__all__ = ["count_for"]


def count_for(given: int | None, usual: int, model: Any, parameter: str) -> int:
    """Return how many directions to find: those asked for, or the usual number if it has these.

    Args:
        given: What the user asked for; None leaves it to the model.
        usual: What is taken then, or all latent dimensions where there are fewer.
        model: A model with codes.
        parameter: What the user calls ``given``, for the error.

    Raises:
        ParameterError: When more are asked for than there are latent dimensions.
    """
    size: int = math.prod(model.latent_shape)
    if given is None:
        return min(usual, size)
    if given > size:
        hint = f"Ask for fewer, or leave it out: {min(usual, size)} are taken then."
        allowed = f"at most {size}, the latent dimensions of the model"
        raise ParameterError(parameter, allowed, str(given), hint)
    return given
