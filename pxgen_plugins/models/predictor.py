"""What users give an explainer: a model, or a function that computes the criteria's values."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from torch import nn

from pxgen_plugins.models.base import Model, capabilities
from pxgen_plugins.models.blackbox import BlackBox
from pxgen_plugins.utils.errors import ModelError, ParameterError, short_repr

__all__ = ["as_model", "is_function", "sample_shape"]


def is_function(predictor: Any) -> bool:
    """Return whether ``predictor`` is a function of the anchors, not a model."""
    return (
        callable(predictor) and not isinstance(predictor, nn.Module) and not capabilities(predictor)
    )


def as_model(
    predictor: Any, sampler: Callable[[int, int], Any] | None, n_values: int
) -> Model | BlackBox:
    """Return ``predictor`` when it is a model, or one around it when it is a function.

    Args:
        predictor: A model, or a callable from anchors (n, ...) to values (n, n_values).
        sampler: For a callable: ``sampler(n, seed)`` to n samples of the model.
        n_values: Number of criteria.

    Raises:
        ParameterError: When it is neither.
    """
    if isinstance(predictor, type):
        allowed, got = "an instance, a model", f"the class {predictor.__name__}"
        hint = f"Make one of it, and wrap it: wrap({predictor.__name__}(...), sample_shape=...)."
        raise ParameterError("predictor", allowed, got, hint)
    if is_function(predictor):
        return BlackBox(predictor, sampler, n_values=n_values)
    if isinstance(predictor, Model):
        return predictor
    raise ParameterError(
        "predictor",
        "a model of pxgen_plugins.models or a callable X -> (n, m) criterion values",
        short_repr(predictor) if not hasattr(predictor, "encode") else type(predictor).__name__,
        "Wrap it: VAE(net, sample_shape=...).",
    )


def sample_shape(box: BlackBox) -> tuple[int, ...] | None:
    """Return the shape of the samples of ``box``, on two of which it is tried; None without any.

    Raises:
        PredictorCallError: When its function raises, with Alibi's class for that.
        PredictorReturnTypeError: When it returns anything but one finite row per instance.
    """
    from pxgen_plugins.host import (  # Alibi's, which nobody shall need to import defaults
        PredictorCallError,
        PredictorReturnTypeError,
    )

    if "sample" not in box.capabilities:
        return None
    try:
        drawn = box.sample(2, 0)
        values = box.values(drawn)
    except ModelError as error:
        raise PredictorReturnTypeError(str(error)) from error
    except Exception as error:
        text = f"PXGen: predictor raised {type(error).__name__}: {error}"
        raise PredictorCallError(text) from error
    if not bool(np.isfinite(values.numpy()).all()):
        raise PredictorReturnTypeError(
            "PXGen: predictor must be finite on the model's own samples; got NaN or infinity. "
            "Check its values on sampler(2, 0)."
        )
    return tuple(drawn.shape[1:])
