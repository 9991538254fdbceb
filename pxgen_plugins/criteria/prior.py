"""Intrinsic criteria from the prior density of a latent code."""

from __future__ import annotations

import math

from torch import Tensor

from pxgen_plugins.criteria.base import REGISTRY, Batch, Criterion, Kind

__all__ = ["PriorNLL", "Typicality"]


class _NormCriterion(Criterion):
    kind: Kind = "intrinsic"
    requires = frozenset({"embed"})
    needs = frozenset({"normal prior"})

    def _squares(self, batch: Batch) -> tuple[Tensor, int]:
        """Return the codes' squared norms, (b,), and their dimension."""
        flat = batch.code.flatten(1)
        return flat.square().sum(1), flat.shape[1]


@REGISTRY.register("prior_nll")
class PriorNLL(_NormCriterion):
    """Negative log density of the prior N(0, I) at the code, 0.5 (|z|^2 + d log 2 pi), in nats.

    For models whose prior it is (a GAN, a flow); for others the number says little. In many
    dimensions its minimum, a code of 0, is no likely draw: see :class:`Typicality`. Cost: O(n d)
    for latent dimension d, beside one embedding.

    Example:
        >>> import torch
        >>> from pxgen_plugins.criteria import Batch
        >>> from pxgen_plugins.testing.examples import EchoModel
        >>> value = PriorNLL()(Batch(EchoModel((2,)), torch.tensor([[3.0, 4.0]])))
        >>> round(value.item() - 1.8379, 3)  # log 2 pi
        12.5
    """

    name = "prior_nll"
    unit = "nats"

    def __call__(self, batch: Batch) -> Tensor:
        """Return the values, (b,)."""
        squares, d = self._squares(batch)
        return 0.5 * (squares + d * math.log(2 * math.pi))


@REGISTRY.register("typicality")
class Typicality(_NormCriterion):
    """Distance of the code to the typical set of the prior N(0, I): | |z|^2 - d | / sqrt(2 d).

    The typicality test of Nalisnick et al. (2019, "Detecting Out-of-Distribution Inputs to Deep
    Generative Models Using Typicality") for one instance, -log p(z) against the prior's entropy.
    |z|^2 follows a chi-square law of mean d and variance 2 d, so the unit is its standard
    deviation; codes too close to 0 are as far as those too long. Cost: O(n d) for latent dimension
    d, beside one embedding.

    Example:
        >>> import torch
        >>> from pxgen_plugins.criteria import Batch
        >>> from pxgen_plugins.testing.examples import EchoModel
        >>> model = EchoModel((2,))  # whose codes are the instances themselves
        >>> Typicality()(Batch(model, torch.tensor([[1.0, 1.0], [0.0, 0.0]]))).tolist()
        [0.0, 1.0]
    """

    name = "typicality"
    unit = "standard deviations of |z|^2"

    def __call__(self, batch: Batch) -> Tensor:
        """Return the values, (b,)."""
        squares, d = self._squares(batch)
        return (squares - d).abs() / math.sqrt(2 * d)
