"""Extrinsic criteria that compare anchor and reconstruction element by element."""

from __future__ import annotations

import math
from abc import abstractmethod

import torch
from torch import Tensor

from pxgen_plugins.criteria.base import REGISTRY, Batch, Criterion, Kind, named_caller
from pxgen_plugins.models.base import PROPERTIES
from pxgen_plugins.utils import validation
from pxgen_plugins.utils.errors import CapabilityError, caller

__all__ = ["BCE", "MAE", "MSE", "PSNR", "channels_first", "cross_entropy", "images", "span"]

REDUCTIONS = ("mean", "sum")
_CHANNELS = (1, 3, 4)
_LEAST = -100.0  # where logarithms are cut


def span(batch: Batch) -> tuple[float, float]:
    """Return the lowest value and the width of the model's range.

    Args:
        batch: Anchors and their model.

    Raises:
        CapabilityError: When the model declares none.
    """
    if batch.model.data_range is None:
        raise CapabilityError(
            "model",
            PROPERTIES["bounded"],
            "data_range=None",
            "Give the model its data_range, or use 'mse' or 'mae'.",
        )
    low, high = batch.model.data_range
    return low, high - low


def images(batch: Batch) -> tuple[Tensor, Tensor]:
    """Return anchors and reconstructions as images, (b, channels, height, width) each.

    Of a model with (height, width, channels) too; see :func:`channels_first`.

    Raises:
        CapabilityError: When the anchors are no images.
    """
    shape = batch.x.shape[1:]
    if len(shape) not in (2, 3):
        raise CapabilityError(
            "model",
            PROPERTIES["images"],
            f"sample_shape {tuple(shape)}",
            "Use 'mse' or 'mae' for anchors that are no images.",
        )
    x, y = channels_first(batch.x), channels_first(batch.reconstruction)
    layout = (len(batch), -1, *x.shape[-2:])
    return x.reshape(layout), y.reshape(layout)


def channels_first(x: Tensor) -> Tensor:
    """Return batches of images (b, height, width, channels) with their channels first.

    They are told as image files are: the last of three axes is the channels when it has 1, 3 or 4
    elements and the first has not. Anything else is returned as it is.
    """
    last = x.ndim == 4 and x.shape[1] not in _CHANNELS and x.shape[3] in _CHANNELS
    return x.movedim(3, 1) if last else x


def cross_entropy(x: Tensor, p: Tensor, low: float, width: float) -> Tensor:
    """Return the binary cross-entropy of ``x`` under ``p`` per element, both scaled to [0, 1].

    Logarithms are cut at -100, as torch does; ``p`` is clipped to the range. Gradients are finite
    wherever the value is: 0 where a logarithm is cut, as that of a constant is.
    """
    target = (x - low) / width
    scaled = ((p - low) / width).clamp(0.0, 1.0)
    return -(target * _log(scaled) + (1.0 - target) * _log_rest(scaled))


def _log(p: Tensor) -> Tensor:
    """Return log p, cut at -100.

    Where the logarithm is cut, or its slope 1 / p overflows, the value is a constant: the backward
    pass of a clamp would multiply that slope by 0 instead, which is NaN. A NaN stays what it is.
    """
    small = p < max(math.exp(_LEAST), 1.0 / torch.finfo(p.dtype).max)
    constant = p.detach().log().clamp(min=_LEAST)
    return torch.where(small, constant, torch.where(small, 1.0, p).log().clamp(min=_LEAST))


def _log_rest(p: Tensor) -> Tensor:
    """Return log(1 - p), cut at -100, which it falls below only where p is 1."""
    full = p == 1.0
    return torch.where(full, _LEAST, (-torch.where(full, 0.0, p)).log1p())


def _differences(batch: Batch) -> Tensor:
    """Return anchors less reconstructions; of a table in its own features, which have no units."""
    return batch.comparable(batch.x) - batch.comparable(batch.reconstruction)


class _ElementLoss(Criterion):
    kind: Kind = "extrinsic"
    requires = frozenset({"reconstruct"})

    def __init__(self, *, reduction: str = "mean") -> None:
        with caller(type(self).__name__):
            self.reduction = validation.choice(reduction, "reduction", REDUCTIONS)

    @abstractmethod
    def _elements(self, batch: Batch) -> Tensor:
        """Return the loss of every element, shape (b, *sample_shape)."""

    @named_caller
    def __call__(self, batch: Batch) -> Tensor:
        """Return the values, (b,)."""
        elements = self._elements(batch).flatten(1)
        return elements.mean(1) if self.reduction == "mean" else elements.sum(1)


@REGISTRY.register("mse")
class MSE(_ElementLoss):
    """Squared error of anchor and reconstruction, averaged over the elements of an anchor.

    Args:
        reduction: ``"mean"``, or ``"sum"`` over the elements, as in the paper's code.

    Cost: O(n d) for d elements, beside one reconstruction.

    Example:
        >>> import torch
        >>> from pxgen_plugins.criteria import Batch
        >>> from pxgen_plugins.testing.examples import EchoModel
        >>> model = EchoModel((2,), blend=1.0)  # reconstructs all as (0, 1)
        >>> MSE()(Batch(model, torch.tensor([[0.0, 1.0], [0.5, 0.5]]))).tolist()
        [0.0, 0.25]
    """

    name = "mse"
    unit = "squared value"

    def _elements(self, batch: Batch) -> Tensor:
        return _differences(batch).square()


@REGISTRY.register("mae")
class MAE(_ElementLoss):
    """Absolute error of anchor and reconstruction, averaged over the elements of an anchor.

    Args:
        reduction: ``"mean"`` or ``"sum"`` over the elements.

    Cost: O(n d) for d elements, beside one reconstruction.

    Example:
        >>> import torch
        >>> from pxgen_plugins.criteria import Batch
        >>> from pxgen_plugins.testing.examples import EchoModel
        >>> model = EchoModel((2,), blend=1.0)  # reconstructs all as (0, 1)
        >>> MAE()(Batch(model, torch.tensor([[0.0, 1.0], [0.5, 0.5]]))).tolist()
        [0.0, 0.5]
    """

    name = "mae"
    unit = "value"

    def _elements(self, batch: Batch) -> Tensor:
        return _differences(batch).abs()


@REGISTRY.register("bce")
class BCE(_ElementLoss):
    """Binary cross-entropy of the anchor under the reconstruction, both scaled to [0, 1].

    -(x log r + (1 - x) log(1 - r)), in nats, averaged over the elements; logarithms are cut at
    -100, as torch does. It is the Bernoulli reconstruction loss of Kingma and Welling 2014
    (appendix C.1). For grey values its minimum is the entropy of x, not 0.

    Args:
        reduction: ``"mean"`` or ``"sum"`` over the elements.

    Raises:
        CapabilityError: When the model has no ``data_range``.

    Cost: O(n d) for d elements, beside one reconstruction.

    Example:
        >>> import torch
        >>> from pxgen_plugins.criteria import Batch
        >>> from pxgen_plugins.testing.examples import EchoModel
        >>> round(BCE()(Batch(EchoModel((2,)), torch.tensor([[0.5, 0.5]]))).item(), 4)  # log 2
        0.6931
    """

    name = "bce"
    unit = "nats"
    needs = frozenset({"bounded"})

    def _elements(self, batch: Batch) -> Tensor:
        low, width = span(batch)
        return cross_entropy(batch.x, batch.reconstruction, low, width)


@REGISTRY.register("psnr")
class PSNR(Criterion):
    """Negated peak signal-to-noise ratio, -10 log10(range^2 / MSE), in decibels.

    Negated, so that smaller is closer, as for every criterion. An exact reconstruction is given
    -120 dB, the value at an MSE of 1e-12 of the squared range, instead of minus infinity.

    It rises with ``"mse"``, so it is no second opinion: under a threshold rule that keeps the order
    of values both give the same groups.

    Raises:
        CapabilityError: When the model has no ``data_range``.

    Cost: O(n d) for d elements, beside one reconstruction.

    Example:
        >>> import torch
        >>> from pxgen_plugins.criteria import Batch
        >>> from pxgen_plugins.testing.examples import EchoModel
        >>> model = EchoModel((2,), blend=1.0)  # reconstructs all as (0, 1)
        >>> round(PSNR()(Batch(model, torch.tensor([[0.1, 0.9]]))).item(), 3)
        -20.0
    """

    name = "psnr"
    kind: Kind = "extrinsic"
    requires = frozenset({"reconstruct"})
    needs = frozenset({"bounded"})
    unit = "-dB"

    @named_caller
    def __call__(self, batch: Batch) -> Tensor:
        """Return the values, (b,)."""
        _, width = span(batch)
        mse = (batch.x - batch.reconstruction).square().flatten(1).mean(1)
        return 10.0 * torch.log10((mse / width**2).clamp(min=1e-12))
