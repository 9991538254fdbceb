"""Multi-scale structural similarity of anchor and reconstruction."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d

from pxgen_plugins.criteria.base import REGISTRY, Batch, Criterion, Kind, named_caller
from pxgen_plugins.criteria.ssim import intensities, maps

__all__ = ["MSSSIM"]

_WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)  # Wang, Simoncelli and Bovik 2003, table 1
_SMALLEST = 11  # the window of SSIM: a scale smaller than that says little
_FLOOR = 1e-8  # a negative factor counts as none, and powers keep finite gradients


@REGISTRY.register("ms_ssim")
class MSSSIM(Criterion):
    """Negated multi-scale structural similarity (Wang, Simoncelli and Bovik 2003), in [-1, 0].

    The product over scales, each half as large as the last (averages of 2 x 2 pixels), of the mean
    contrast-structure factor, with the full similarity at the coarsest, raised to the paper's
    weights; mean over channels. As many of the five scales are used as keep the shorter side at 11
    pixels or more, at least one, and their weights are scaled to sum to 1: images under 22 pixels
    have one scale, and the value is that of SSIM. Factors below zero count as zero.

    Negated, so that smaller is closer; -1 is an exact reconstruction.

    Raises:
        CapabilityError: When the anchors are no images or the model has no ``data_range``.

    Cost: O(n d (h + w)) for d elements, beside one reconstruction.

    Example:
        >>> from pxgen_plugins.criteria import Batch
        >>> from pxgen_plugins.testing.examples import EchoModel
        >>> MSSSIM()(Batch(EchoModel((1, 32, 32)), torch.zeros(1, 1, 32, 32))).tolist()
        [-1.0]
    """

    name = "ms_ssim"
    kind: Kind = "extrinsic"
    requires = frozenset({"reconstruct"})
    needs = frozenset({"bounded", "images"})
    unit = "-MS-SSIM"

    @named_caller
    def __call__(self, batch: Batch) -> Tensor:
        """Return the values, (b,)."""
        x, y, width = intensities(batch)
        side, scales = min(x.shape[-2:]), 1
        while scales < len(_WEIGHTS) and side >> scales >= _SMALLEST:
            scales += 1
        weights = torch.tensor(_WEIGHTS[:scales], dtype=x.dtype, device=x.device)
        # contrast and structure at every scale, luminance at the coarsest alone
        factors = []
        for scale in range(scales):
            if scale:
                x, y = avg_pool2d(x, 2), avg_pool2d(y, 2)
            whole, structure = maps(x, y, width)
            # rounding leaves the range where pictures are constant
            factors.append((whole if scale == scales - 1 else structure).mean(2).clamp(-1.0, 1.0))
        if scales == 1:
            return -factors[0].mean(1)
        powers = torch.stack(factors, -1).clamp(min=_FLOOR) ** (weights / weights.sum())
        return -powers.prod(-1).mean(1)
