"""The class of what every latent code decodes to."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor

from pxgen_plugins.models.callables import as_tensor
from pxgen_plugins.models.runtime import EvaluationMode, modules_of
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
        with torch.no_grad(), EvaluationMode(modules_of(classify))():
            classes = as_tensor(classify(model.decode(part.to(model.device, model.dtype))))
        if not isinstance(classes, Tensor) or len(classes.shape) not in (1, 2):
            raise _unusable(parameter, len(part), classes)
        parts.append(classes.argmax(1).cpu() if classes.ndim == 2 else classes.cpu())
        if len(parts[-1]) != len(part):
            raise _unusable(parameter, len(part), classes)
    names: NDArray[Any] = torch.cat(parts).numpy()
    return names


def _unusable(parameter: str, n: int, got: Any) -> ModelError:
    hint = "Return one class per instance, or logits (b, c)."
    return ModelError(f"{parameter}'s result", f"of shape ({n},)", short_repr(got), hint)
