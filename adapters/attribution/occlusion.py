"""Occlusion: what covering a window of the anchor does to the target."""

from __future__ import annotations

import numbers
from collections.abc import Sequence
from typing import Any

from torch import Tensor

from pxgen_plugins.adapters.base import register
from pxgen_plugins.adapters.attribution._baselines import bounded
from pxgen_plugins.adapters._latent_target import Question
from pxgen_plugins.adapters.attribution.base import Attribution, Found
from pxgen_plugins.utils import validation
from pxgen_plugins.utils.errors import ParameterError, short_repr
from pxgen_plugins.utils.optional import load

__all__ = ["Occlusion"]


@register("occlusion")
class Occlusion(Attribution):
    """Loss of the target's value when a sliding window of the anchor is replaced by a baseline.

    Zeiler and Fergus 2014 ("Visualizing and understanding convolutional networks"), by
    ``captum.attr.Occlusion``: the value minus that of the covered anchor, averaged per element
    over the windows that cover it. It needs values only, no gradients.

    Args:
        predictor: The model.
        target: What is explained (see :class:`~pxgen_plugins.adapters.attribution.base.Attribution`).
        window: Shape of the window, one size per dimension of an instance, or one size for all
            dimensions but the first (the channels, covered whole). None takes a seventh of each
            side, rounded up, across all channels, and single elements of a vector.
        stride: Step of the window, given alike; None takes half the window. At most the window,
            so that no element stays uncovered.
        baseline: What covers: None (the low end of ``data_range``, 0 when unbounded), a number, an
            array of one instance's shape, or ``"mean"`` of the data given to ``fit``.
        normalize: Scale the attributions of each anchor to [0, 1].
        seed: Seed of the target's noise.
        batch_size: Instances per model call, covered ones included.
        verbose: Show a progress bar.

    Raises:
        ParameterError: When an argument is not allowed.
        CapabilityError: When the model lacks what the target needs.
        NotFittedError: From ``explain``, when the mean was not fitted.
        MissingDependencyError: From ``explain``, when captum is absent.

    Cost: one forward pass of the target per window position, for n anchors.

    Example:
        >>> import numpy as np
        >>> from pxgen_plugins.models import VAE
        >>> flat = VAE(encode=lambda x: (2 * x, 0 * x - 1), decode=lambda z: z / 4,
        ...            latent_shape=(2,), sample_shape=(2,), data_range=None)
        >>> Occlusion(flat, "latent[1]").explain(np.ones((1, 2), "f4")).attributions.tolist()
        [[0.0, 2.0]]
    """

    access = "black box"
    compares = True

    def __init__(
        self,
        predictor: Any,
        target: Any = "mse",
        *,
        window: Any = None,
        stride: Any = None,
        baseline: Any = None,
        normalize: bool = False,
        seed: int = 0,
        batch_size: int = 256,
        verbose: bool = False,
    ) -> None:
        self.window = _sizes(window, "window")
        self.stride = _sizes(stride, "stride")
        super().__init__(
            predictor,
            target,
            {"window": self.window, "stride": self.stride, "normalize": normalize},
            normalize=normalize,
            baseline=baseline,
            words=("mean",),
            seed=seed,
            batch_size=batch_size,
            verbose=verbose,
        )
        if predictor is not None and predictor.sample_shape is not None:
            self._windows(tuple(predictor.sample_shape))

    def _attribute(self, question: Question, point: Tensor, fixed: tuple[Tensor, ...]) -> Found:
        captum = load("captum.attr", "captum", "Occlusion")
        window, stride = self._windows(tuple(point.shape[1:]))
        baseline = self._baseline(point)
        found = captum.Occlusion(question.values).attribute(
            point,
            sliding_window_shapes=window,
            strides=stride,
            baselines=baseline,
            perturbations_per_eval=bounded(len(point), self.batch_size),
        )
        return {"attributions": found, "baseline_values": question.values(baseline)}

    def _windows(self, shape: tuple[int, ...]) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """Return window and stride for instances of ``shape``."""
        channels = shape[:1] if len(shape) > 1 else ()
        sides = shape[len(channels) :]
        default = tuple(-(-side // 7) if channels else 1 for side in sides)
        window = _full(self.window, (*channels, *default), channels, len(shape), "window")
        half = tuple(max(1, side // 2) for side in window)
        if channels and window[:1] == channels:
            half = (*channels, *half[1:])
        stride = _full(self.stride, half, channels, len(shape), "stride")
        if any(size > side for size, side in zip(window, shape, strict=True)):
            hint = "Make the window smaller, or let it be None."
            allowed = f"inside the instance's shape {shape}"
            raise ParameterError("window", "Occlusion", allowed, str(window), hint)
        if any(step > size for step, size in zip(stride, window, strict=True)):
            hint = "Larger steps would leave elements uncovered."
            allowed = f"at most the window {window}"
            raise ParameterError("stride", "Occlusion", allowed, str(stride), hint)
        return window, stride


def _sizes(value: Any, parameter: str) -> int | list[int] | None:
    if value is None:
        return None
    if isinstance(value, numbers.Integral) and not isinstance(value, bool):
        return validation.integer(value, parameter, "Occlusion", minimum=1)
    return list(validation.shape(value, parameter, "Occlusion"))


def _full(
    given: int | Sequence[int] | None,
    default: tuple[int, ...],
    channels: tuple[int, ...],
    dimensions: int,
    parameter: str,
) -> tuple[int, ...]:
    if given is None:
        return default
    if isinstance(given, int):
        return (*channels, *(given for _ in range(dimensions - len(channels))))
    if len(given) != dimensions:
        hint = "Count the channels as the first dimension, or pass one integer."
        allowed = f"of {dimensions} sizes"
        raise ParameterError(parameter, "Occlusion", allowed, short_repr(list(given)), hint)
    return tuple(given)
