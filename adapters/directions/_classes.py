"""The class of what every latent code decodes to."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor

from pxgen_plugins.models.callables import as_tensor
from pxgen_plugins.utils.errors import ModelError, short_repr

__all__ = ["classes_of"]


def classes_of(
    classify: Callable[[Any], Any], model: Any, z: Tensor, batch_size: int, parameter: str
) -> NDArray[Any]:
    """Return the class of every code, (n,).

    Args:
        classify: From instances (b, *sample_shape) to classes, (b,), or logits, (b, c).
        model: A model that can decode.
        z: Codes, (n, *latent_shape).
        batch_size: Codes per model call.
        parameter: What the user calls ``classify``, for the error.

    Raises:
        ModelError: When it does not return one class per instance.
    """
    parts = []
    for part in torch.split(z, batch_size):
        with torch.no_grad():
            classes = as_tensor(classify(model.decode(part.to(model.device, model.dtype))))
        parts.append(classes.argmax(1).cpu() if classes.ndim == 2 else classes.cpu())
    found = torch.cat(parts)
    if tuple(found.shape) != (len(z),):
        hint = "Return one class per instance, or logits (b, c)."
        raise ModelError(parameter, f"of shape ({len(z)},)", short_repr(found), hint)
    names: NDArray[Any] = found.numpy()
    return names
