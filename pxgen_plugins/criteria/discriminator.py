"""Score of a GAN's discriminator as a criterion."""

from __future__ import annotations

import torch
from torch import Tensor

from pxgen_plugins.criteria.base import REGISTRY, Batch, Criterion, Kind

__all__ = ["Discriminator"]


@REGISTRY.register("discriminator")
class Discriminator(Criterion):
    """Minus the discriminator's score, so that what it takes for real has a small value.

    For a discriminator of log odds the optimum is log p_generator - log p_data, up to a constant
    (Goodfellow et al. 2014, proposition 1). It was trained on real data and the generator's samples
    only, so on other data it may say anything. Cost: one pass through the discriminator.

    Example:
        >>> import torch
        >>> from pxgen_plugins.criteria import Batch
        >>> class Judge:
        ...     capabilities = {"score"}
        ...     def score(self, x): return x.mean(1)
        >>> Discriminator()(Batch(Judge(), torch.tensor([[1.0, 3.0]]))).tolist()
        [-2.0]
    """

    name = "discriminator"
    kind: Kind = "intrinsic"
    requires = frozenset({"score"})
    unit = "minus score"

    def __call__(self, batch: Batch) -> Tensor:
        """Return the values, (b,)."""
        return -torch.as_tensor(batch.model.score(batch.x))
