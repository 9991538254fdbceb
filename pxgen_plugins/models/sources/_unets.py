"""What is read off UNets and schedulers of diffusers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pxgen_plugins.utils.errors import ModelError, ParameterError, short_repr

__all__ = ["RANGE", "expect_no_variance", "image_shape", "scheduler_of"]

_PREDICTIONS = {"epsilon": "epsilon", "v_prediction": "v", "sample": "x0"}
RANGE = (-1.0, 1.0)  # in which all of them take their images


def scheduler_of(scheduler: Any) -> str:
    """Return what a network predicts under its scheduler, as our families name it.

    Raises:
        ParameterError: When there is no scheduler with a schedule.
        ModelError: When it predicts something else.
    """
    if scheduler is None or not hasattr(scheduler, "alphas_cumprod"):
        allowed = "given, with alphas_cumprod, beside a UNet alone"
        hint = "Pass scheduler=DDPMScheduler.from_config(...), the one it was trained with."
        raise ParameterError("scheduler", allowed, short_repr(scheduler), hint)
    kind = scheduler.config.prediction_type
    if kind not in _PREDICTIONS:
        hint = "Use a Diffusion with a function of your own."
        allowed = "a prediction_type of " + ", ".join(_PREDICTIONS)
        raise ModelError("scheduler", allowed, repr(kind), hint)
    return _PREDICTIONS[kind]


def expect_no_variance(net: Any) -> None:
    """Raise unless a UNet gives as many channels as it takes."""
    if net.config.out_channels != net.config.in_channels:
        hint = "Use a Diffusion with a function that returns the mean prediction alone."
        got = f"{net.config.in_channels} channels in and {net.config.out_channels} out"
        raise ModelError("obj", "a UNet that predicts no variance", got, hint)


def image_shape(config: Any, given: Any) -> tuple[int, ...]:
    """Return the shape of the images of a UNet, the one given or that of its configuration."""
    if given is not None:
        return tuple(given)
    size = config.sample_size
    if size is None:
        hint = "Pass sample_shape=(channels, height, width)."
        allowed = "given where the configuration has no sample_size"
        raise ParameterError("sample_shape", allowed, "None", hint)
    height, width = size if isinstance(size, Sequence) else (size, size)
    return (int(config.in_channels), int(height), int(width))
