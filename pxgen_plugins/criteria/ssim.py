"""Structural similarity of anchor and reconstruction, as extrinsic criteria."""

from __future__ import annotations

import functools

import torch
from torch import Tensor

from pxgen_plugins.criteria.base import REGISTRY, Batch, Criterion, Kind, named_caller
from pxgen_plugins.criteria.elementwise import images, span

__all__ = ["DSSIM", "SSIM", "intensities", "maps", "similarity"]

_WINDOW = 11
_SIGMA = 1.5


@functools.lru_cache(maxsize=64)
def _filter(size: int, window: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    """Return the banded matrix (size - window + 1, size) that slides a Gaussian window."""
    with torch.inference_mode(False):  # kept for later calls, which may want gradients
        offsets = torch.arange(window, dtype=torch.float64) - (window - 1) / 2
        weights = torch.exp(-offsets.square() / (2 * _SIGMA**2))
        weights /= weights.sum()
        rows = size - window + 1
        matrix = torch.zeros(rows, size, dtype=torch.float64)
        for row in range(rows):
            matrix[row, row : row + window] = weights
        return matrix.to(device=device, dtype=dtype)


def similarity(x: Tensor, y: Tensor, width: float) -> Tensor:
    """Return the mean structural similarity of image pairs (Wang et al. 2004).

    Gaussian window of 11 pixels and sigma 1.5, K1 = 0.01, K2 = 0.03, population covariance, mean
    over the valid positions and the channels; images under 11 pixels use the largest odd window
    that fits. The window is applied as two banded matrix products.

    Args:
        x: Images, shape (b, c, h, w), whose lowest possible value is 0.
        y: Images of the same shape.
        width: Highest minus lowest possible value.

    Returns:
        Tensor of shape (b,), in [-1, 1].

    Cost: O(b c h w (h + w)).

    Example:
        >>> x = torch.rand(2, 1, 16, 16, generator=torch.Generator().manual_seed(0))
        >>> similarity(x, x, 1.0).tolist()
        [1.0, 1.0]
    """
    whole, _ = maps(x, y, width)
    # rounding leaves the range where pictures are constant
    return whole.flatten(1).mean(1).clamp(-1.0, 1.0)


def maps(x: Tensor, y: Tensor, width: float) -> tuple[Tensor, Tensor]:
    """Return similarity and its contrast-structure factor at every valid position.

    Args:
        x: Images, shape (b, c, h, w), whose lowest possible value is 0.
        y: Images of the same shape.
        width: Highest minus lowest possible value.

    Returns:
        Two tensors of shape (b, c, positions); see :func:`similarity`.
    """
    b, c, h, w = x.shape
    smallest = min(h, w)
    window = min(_WINDOW, smallest if smallest % 2 else smallest - 1)
    down = _filter(h, window, x.dtype, x.device)
    across = _filter(w, window, x.dtype, x.device).T
    # The window is linear, so that one pass over the pictures, their squares and their product
    # gives all local moments: var x = E[x x] - E[x]^2, cov = E[x y] - E[x] E[y].
    products_of = torch.stack([x, y, x * x, y * y, x * y]).reshape(5, b * c, h, w)
    mean_x, mean_y, mean_xx, mean_yy, mean_xy = down @ (products_of @ across)
    c1, c2 = (0.01 * width) ** 2, (0.03 * width) ** 2
    products, squares = mean_x * mean_y, mean_x.square() + mean_y.square()
    structure = (2 * (mean_xy - products) + c2) / (mean_xx + mean_yy - squares + c2)
    whole = (2 * products + c1) / (squares + c1) * structure
    return whole.reshape(b, c, -1), structure.reshape(b, c, -1)


def intensities(batch: Batch) -> tuple[Tensor, Tensor, float]:
    """Return anchors and reconstructions as images that begin at 0, and the width of their range.

    Wang et al. compare luminances, which are positive: at a range of [-1, 1] the product of two
    nearly equal greys on either side of 0 would be negative.

    Raises:
        CapabilityError: When the anchors are no images or the model has no ``data_range``.
    """
    low, width = span(batch)
    x, y = images(batch)
    return (x, y, width) if low == 0.0 else (x - low, y - low, width)


class _Similarity(Criterion):
    kind: Kind = "extrinsic"
    requires = frozenset({"reconstruct"})
    needs = frozenset({"bounded", "images"})

    def _similarity(self, batch: Batch) -> Tensor:
        return similarity(*intensities(batch))


@REGISTRY.register("ssim")
class SSIM(_Similarity):
    """Negated structural similarity (Wang et al. 2004), in [-1, 1]; -1 is an exact reconstruction.

    Negated, so that smaller is closer, as for every criterion; see :func:`similarity` for window
    and constants. A linear function of ``"dssim"``: calibrated, both give the same groups.

    Raises:
        CapabilityError: When the anchors are no images or the model has no ``data_range``.

    Cost: O(n d (h + w)) for d elements, beside one reconstruction.

    Example:
        >>> from pxgen_plugins.criteria import Batch
        >>> from pxgen_plugins.testing.examples import EchoModel
        >>> SSIM()(Batch(EchoModel((1, 12, 12)), torch.zeros(1, 1, 12, 12))).tolist()
        [-1.0]
    """

    name = "ssim"
    unit = "-SSIM"

    @named_caller
    def __call__(self, batch: Batch) -> Tensor:
        """Return the values, (b,)."""
        return -self._similarity(batch)


@REGISTRY.register("dssim")
class DSSIM(_Similarity):
    """Structural dissimilarity (1 - SSIM) / 2, in [0, 1]; 0 is an exact reconstruction.

    See :func:`similarity` for window and constants (Wang et al. 2004). A linear function of
    ``"ssim"``: calibrated, both give the same groups.

    Raises:
        CapabilityError: When the anchors are no images or the model has no ``data_range``.

    Cost: O(n d (h + w)) for d elements, beside one reconstruction.

    Example:
        >>> from pxgen_plugins.criteria import Batch
        >>> from pxgen_plugins.testing.examples import EchoModel
        >>> DSSIM()(Batch(EchoModel((1, 12, 12)), torch.zeros(1, 1, 12, 12))).tolist()
        [0.0]
    """

    name = "dssim"
    unit = "(1 - SSIM) / 2"

    @named_caller
    def __call__(self, batch: Batch) -> Tensor:
        """Return the values, (b,)."""
        return (1.0 - self._similarity(batch)) / 2.0
