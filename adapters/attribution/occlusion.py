"""Occlusion: what covering a window of the anchor does to the target."""

from __future__ import annotations

import math
import numbers
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from pxgen_plugins.adapters._latent_target import TargetFunction
from pxgen_plugins.adapters.attribution._baselines import anchors_per_call
from pxgen_plugins.adapters.attribution.base import Attribution, Table
from pxgen_plugins.adapters.base import register
from pxgen_plugins.utils import validation
from pxgen_plugins.utils.errors import ParameterError, short_repr
from pxgen_plugins.utils.optional import load

__all__ = ["Occlusion"]


@register("occlusion")
@dataclass(repr=False, eq=False, kw_only=True)
class Occlusion(Attribution):
    """Loss of the target's value when a sliding window of the anchor is replaced by a baseline.

    Zeiler and Fergus 2014 ("Visualizing and understanding convolutional networks"), by
    ``captum.attr.Occlusion``: the value minus that of the covered anchor, averaged per element
    over the windows that cover it. It needs values only, no gradients.

    Args:
        predictor: The model.
        window: Shape of the window, one size per dimension of an instance, or one size for all
            dimensions but the first (the channels, covered whole). None takes a seventh of each
            side, rounded up, across all channels, and single elements of a vector.
        stride: Step of the window, given alike; None takes half the window. At most the window,
            so that no element stays uncovered.
        baseline: What covers: None (the low end of ``data_range``, 0 when unbounded), a number, an
            array of one instance's shape, or ``"mean"`` of the data given to ``fit``.
        batch_size: Instances per model call, covered ones included.
        target, normalize, seed, verbose: See
            :class:`~pxgen_plugins.adapters.attribution.base.Attribution`.

    Fields:
        attributions (float32 (n, *sample_shape)): Loss of the target's value at each of n anchors
            when an element is covered, mean over the windows that cover it, in units of the target.
            Positive = the target falls without the element. NaN for anchors left out.
        target (str): Label of what is explained.
        target_values (float64 (n,)): Its value at each anchor; NaN for those left out.
        space (str): ``"input"``.
        normalized (bool): Whether ``attributions`` are scaled to [0, 1] for each anchor: then they
            have neither unit nor sign.
        ranges (float64 (n, 2)): Lowest and highest attribution of each anchor before that; NaN for
            those left out.
        baseline (str or float): What covers, in words or as a number.
        baseline_values (float64 (n,)): The target of the baseline alone, as if all were covered;
            NaN for anchors left out; None where there are no anchors.
        labels, ids (str (n,)): Labels and names of the anchors; None where they have none.
        convergence_delta, layer, maps (None): Set by other methods.
        invalid (int64 (i,)): Indices of the anchors left out.
        reasons (list of str): Why, i of them.

    Raises:
        NotFittedError: From ``explain``, when the mean was not fitted.
        MissingDependencyError: From ``explain``, when captum is absent.

    Cost: one forward pass of the target per window position, for n anchors.

    Example:
        >>> import numpy as np
        >>> from pxgen_plugins.models import VAE
        >>> flat = VAE(encode=lambda x: (2 * x, 0 * x - 1), decode=lambda z: z / 4,
        ...            modules=(), sample_shape=(2,), data_range=None)
        >>> Occlusion(flat, "latent[1]").explain(np.ones((1, 2), "f4")).attributions.tolist()
        [[0.0, 2.0]]
    """

    access = "black box"
    window: Any = None
    stride: Any = None
    baseline: Any = None

    def _check(self) -> None:
        super()._check()
        self.window = _sizes(self.window, "window")
        self.stride = _sizes(self.stride, "stride")

    def _check_model(self, model: Any) -> None:
        super()._check_model(model)
        if model.sample_shape is not None:
            self._windows(tuple(model.sample_shape))

    def _attribute(
        self, function: TargetFunction, point: Tensor, fixed: tuple[Tensor, ...]
    ) -> Table:
        captum = load("captum.attr", "captum")
        window, stride = self._windows(tuple(point.shape[1:]))
        baseline = self._baseline(point)
        attributions = captum.Occlusion(function.values).attribute(
            point,
            sliding_window_shapes=window,
            strides=stride,
            baselines=baseline,
            perturbations_per_eval=anchors_per_call(len(point), self.batch_size),
        )
        return {"attributions": attributions, "baseline_values": function.values(baseline)}

    def _evaluations(self) -> int:
        shape = tuple(self.predictor.sample_shape)
        window, stride = self._windows(shape)
        positions = [-(-(s - w) // t) + 1 for s, w, t in zip(shape, window, stride, strict=True)]
        return math.prod(positions)

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
            raise ParameterError("window", allowed, str(window), hint)
        if any(step > size for step, size in zip(stride, window, strict=True)):
            hint = "Larger steps would leave elements uncovered."
            allowed = f"at most the window {window}"
            raise ParameterError("stride", allowed, str(stride), hint)
        return window, stride


def _sizes(value: Any, parameter: str) -> int | list[int] | None:
    if value is None:
        return None
    if isinstance(value, numbers.Integral) and not isinstance(value, bool):
        return validation.integer(value, parameter, minimum=1)
    return list(validation.shape(value, parameter))


def _full(
    size: int | Sequence[int] | None,
    default: tuple[int, ...],
    channels: tuple[int, ...],
    dimensions: int,
    parameter: str,
) -> tuple[int, ...]:
    if size is None:
        return default
    if isinstance(size, int):
        return (*channels, *(size for _ in range(dimensions - len(channels))))
    if len(size) != dimensions:
        hint = "Count the channels as the first dimension, or pass one integer."
        allowed = f"of {dimensions} sizes"
        raise ParameterError(parameter, allowed, short_repr(list(size)), hint)
    return tuple(size)
