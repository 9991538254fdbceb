"""Generated instances and nothing else: arrays, files and folders of them."""

from __future__ import annotations

import os
from typing import Any

import numpy as np
from torch import Tensor

from pxgen_plugins.models.sample_bank import SampleBank
from pxgen_plugins.models.sources.base import Source, register

__all__ = ["from_samples"]

_WEIGHTS = (".pt", ".pth", ".ckpt", ".bin", ".safetensors")  # files of weights, no instances


def from_samples(obj: Any, **settings: Any) -> SampleBank:
    """Return the :class:`~pxgen_plugins.models.SampleBank` of generated instances.

    Args:
        obj: An array or tensor, or the path of a file or folder that
            :func:`~pxgen_plugins.anchors.open_anchors` reads.
        settings: Arguments of the family.

    Raises:
        AnchorError: When it cannot be read.
        ModelError: When the instances are too few, not finite or out of range.
    """
    model = SampleBank(obj, **settings)
    kind = f"path {os.fspath(obj)!r}" if isinstance(obj, (str, os.PathLike)) else "an array"
    model.origin = f"generated instances, {kind}"
    return model


@register("samples")
class Samples(Source):
    """Arrays, files and folders of generated instances."""

    order = 90
    what = "an array, a file or a folder of generated instances"
    families = (SampleBank,)
    build = staticmethod(from_samples)

    @classmethod
    def matches(cls, obj: Any) -> bool:
        """Return whether ``obj`` is an array of several axes, or an existing path."""
        if isinstance(obj, (str, os.PathLike)):
            return os.path.exists(obj) and not os.fspath(obj).lower().endswith(_WEIGHTS)
        return isinstance(obj, (np.ndarray, Tensor)) and obj.ndim > 1
