"""One class of a user's segmenter."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from pxgen_plugins.concepts.base import Concept, masks_of
from pxgen_plugins.utils import validation
from pxgen_plugins.utils.errors import ModelError, caller, short_repr

__all__ = ["Segmenter"]


class Segmenter(Concept):
    """One class of what a segmentation network or any other function says of every pixel.

    Args:
        segment: From instances (n, *sample_shape) to class indices (n, h, w), to scores
            (n, classes, h, w), of which the largest counts, or to masks (n, h, w) in [0, 1] where
            ``target`` is None.
        target: The class; None for a function that returns the masks themselves.
        label: Name; None makes one.

    Example:
        >>> concept = Segmenter(lambda x: (x[:, 0] > 0.5).long(), 1)
        >>> concept(torch.tensor([[[[0.2, 0.7]]]])).tolist()
        [[[0.0, 1.0]]]
    """

    def __init__(
        self, segment: Callable[[Tensor], Any], target: int | None = None, label: str | None = None
    ) -> None:
        with caller("Segmenter"):
            self.segment = validation.function(segment, "segment", "instances -> classes")
            self.target = (
                None if target is None else validation.integer(target, "target", minimum=0)
            )
        owner = getattr(segment, "__self__", segment)  # of a method
        self.networks = (owner,) if isinstance(owner, nn.Module) else ()
        name = getattr(segment, "__name__", type(segment).__name__)
        self.label = label or (name if target is None else f"segment {target}")

    def __call__(self, x: Tensor) -> Tensor:
        """Return masks (n, height, width)."""
        with torch.no_grad():
            found = self.segment(x)
        if isinstance(found, np.ndarray) and found.dtype.kind in "biuf":
            found = torch.from_numpy(np.ascontiguousarray(found))
        if self.target is None:
            return masks_of(found, len(x), self.label)
        if isinstance(found, Tensor) and found.ndim == 4:
            found = found.argmax(1)
        known = isinstance(found, Tensor) and found.ndim == 3 and len(found) == len(x)
        if not known or found.is_floating_point():
            hint = "Return class indices (n, h, w) or scores (n, classes, h, w)."
            with caller(f"concept {self.label!r}"):
                allowed = "classes of pixels"
                raise ModelError("segment's result", allowed, short_repr(found), hint)
        masks: Tensor = (found == self.target).to(x.device, x.dtype)
        return masks
