"""The denoising loss of diffusion models as a criterion."""

from __future__ import annotations

import torch
from torch import Tensor

from pxgen_plugins.criteria.base import REGISTRY, Batch, Criterion, Kind
from pxgen_plugins.utils import validation
from pxgen_plugins.utils.errors import caller
from pxgen_plugins.utils.seeds import derive

__all__ = ["DenoisingLoss"]


@REGISTRY.register("denoising_loss")
class DenoisingLoss(Criterion):
    """Mean denoising loss over a fixed grid of noise levels, with noise that all anchors share.

    With the simple loss this is the weighted variational bound that the model was trained on (Ho,
    Jain and Abbeel 2020, equation 14; Kingma and Gao 2023); a model may return the terms of the
    bound itself (see ``loss`` of :class:`~pxgen_plugins.models.Diffusion`). Noise shared by all
    anchors costs no comparison between them any variance. Cost: ``levels`` passes of the network.

    The terms of the bound are largest where there is least noise, which few levels do not reach:
    ten compare anchors, hundreds estimate the bound.

    Args:
        levels: Number of noise levels: the middles of as many equal parts of [lowest, highest].
        lowest: Lowest noise level, in [0, 1).
        highest: Highest noise level, in (lowest, 1].

    Raises:
        ParameterError: When an argument is not allowed.

    Example:
        >>> import torch
        >>> from pxgen_plugins.criteria import Batch
        >>> class Net:
        ...     capabilities = {"noise_loss"}
        ...     def noise_loss(self, x, t, seed): return x.mean(1) * t
        >>> DenoisingLoss(levels=2)(Batch(Net(), torch.tensor([[4.0]]))).tolist()
        [2.0]
    """

    name = "denoising_loss"
    kind: Kind = "intrinsic"
    requires = frozenset({"noise_loss"})
    unit = "loss per dimension"

    @caller("DenoisingLoss")
    def __init__(self, *, levels: int = 10, lowest: float = 0.0, highest: float = 1.0) -> None:
        self.levels = self.calls = validation.integer(levels, "levels", minimum=1)
        self.lowest = validation.real(lowest, "lowest", minimum=0.0, below=1.0)
        self.highest = validation.real(highest, "highest", above=self.lowest, maximum=1.0)

    def __call__(self, batch: Batch) -> Tensor:
        """Return the values, (b,)."""
        width = (self.highest - self.lowest) / self.levels
        losses = [
            batch.model.noise_loss(
                batch.x, self.lowest + (k + 0.5) * width, derive(batch.seed, "denoising", k)
            )
            for k in range(self.levels)
        ]
        return torch.stack(losses).mean(0)
