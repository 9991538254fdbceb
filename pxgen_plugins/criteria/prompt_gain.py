"""How much a prompt helps a text-to-image model to denoise an anchor, as a criterion."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from pxgen_plugins.criteria.base import REGISTRY, Batch, Criterion, Kind
from pxgen_plugins.criteria.denoising import DenoisingLoss
from pxgen_plugins.utils.errors import caller

__all__ = ["PromptGain"]


@REGISTRY.register("prompt_gain")
class PromptGain(Criterion):
    """The denoising loss under the prompt, less that under the empty prompt.

    Both with the same noise. Below 0 the prompt describes the anchor better than nothing does: in
    nats, where the loss is the bound, it is the pointwise mutual information of anchor and prompt
    with the sign changed (Kong et al. 2024, "Interpretable Diffusion via Information
    Decomposition"). What no prompt changes, as how hard the anchor is to denoise at all, drops out.
    Cost: twice ``levels`` passes of the network.

    Args:
        levels: Number of noise levels: the middles of as many equal parts of [lowest, highest].
        lowest: Lowest noise level, in [0, 1).
        highest: Highest noise level, in (lowest, 1].

    Raises:
        ParameterError: When an argument is not allowed.

    Example:
        >>> import torch
        >>> from pxgen_plugins.models import TextToImage
        >>> model = TextToImage.example()  # bound to "bright", which means 0.5 on average
        >>> gain = PromptGain(levels=4)(Batch(model, torch.tensor([0.5, -0.5])[:, None, None, None]
        ...                                   .expand(2, 1, 2, 2)))
        >>> (gain < 0).tolist()
        [True, False]
    """

    name = "prompt_gain"
    kind: Kind = "intrinsic"
    requires = frozenset({"noise_loss", "prompt"})
    unit = "loss per dimension"

    @caller("PromptGain")
    def __init__(self, *, levels: int = 10, lowest: float = 0.0, highest: float = 1.0) -> None:
        self._loss = DenoisingLoss(levels=levels, lowest=lowest, highest=highest)
        self.levels, self.lowest, self.highest = levels, self._loss.lowest, self._loss.highest
        self.calls = 2 * levels

    def __call__(self, batch: Batch) -> Tensor:
        """Return the values, (b,)."""
        model: Any = batch.model
        plain = Batch(model.bind(model.empty_prompt), batch.x, first=batch.first, seed=batch.seed)
        return self._loss(batch) - self._loss(plain)
