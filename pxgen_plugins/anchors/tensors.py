"""Anchors in a torch tensor, on any device."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from pxgen_plugins.anchors._shapes import as_batch
from pxgen_plugins.anchors.arrays import ArrayAnchors
from pxgen_plugins.anchors.base import REGISTRY, Anchors, module_in_use, positions, reason
from pxgen_plugins.utils.errors import AnchorError, short_repr

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["TensorAnchors", "array_of"]


@REGISTRY.register("tensor")
class TensorAnchors(Anchors):
    """Anchors in a tensor that numpy cannot share: on another device, or bfloat16.

    Rows are fetched batch by batch, so no second copy of the whole is made. Types that numpy lacks
    become float32.

    Args:
        tensor: Real numbers, shape as :func:`~pxgen_plugins.anchors.fit_shape` understands.
        sample_shape: Shape of one anchor, None to take the tensor as it is.
    """

    order: ClassVar[int] = 10

    def __init__(self, tensor: Tensor, sample_shape: tuple[int, ...] | None) -> None:
        outline = np.broadcast_to(np.zeros((), np.uint8), tuple(tensor.shape))
        batch, self._layout = as_batch(outline, sample_shape)
        self._tensor = tensor.detach().reshape(batch.shape)

    @classmethod
    def matches(cls, X: Any) -> bool:
        """Return whether ``X`` is a tensor."""
        torch = module_in_use("torch")
        return torch is not None and isinstance(X, torch.Tensor)

    @classmethod
    def open(cls, X: Any, sample_shape: tuple[int, ...] | None) -> Anchors:
        """Return the anchors in tensor ``X``, sharing its memory where numpy can."""
        import torch

        tensor = X.detach()
        dense = tensor.layout == torch.strided and not tensor.is_quantized and not tensor.is_meta
        if not dense or tensor.is_complex():
            hint = "Convert it with X.to_dense(), X.dequantize() or X.real first."
            raise AnchorError("X", "a dense tensor of real numbers", short_repr(X), hint)
        if tensor.device.type == "cpu":
            try:
                return ArrayAnchors(tensor.resolve_neg().numpy(), sample_shape)
            except TypeError:  # a type that numpy lacks
                pass
        return cls(tensor, sample_shape)

    def __len__(self) -> int:
        return len(self._tensor)

    def read(self, index: slice | NDArray[np.int64]) -> tuple[NDArray[Any], dict[int, str]]:
        """Return the rows on the CPU; none ever fails."""
        import torch

        places = torch.from_numpy(positions(index, len(self))).to(self._tensor.device)
        rows = array_of(self._tensor[places])
        return ArrayAnchors(self._layout.apply(rows), None).read(slice(None))


def array_of(tensor: Any) -> NDArray[Any]:
    """Return a tensor as an array on the CPU; types that numpy lacks become float32.

    Raises:
        ValueError: When it cannot be turned into one, as a sparse tensor.
    """
    try:
        tensor = tensor.detach().cpu().resolve_neg()
        try:
            return np.asarray(tensor.numpy())
        except TypeError:
            return np.asarray(tensor.float().numpy())
    except Exception as error:
        raise ValueError(reason(error)) from error
