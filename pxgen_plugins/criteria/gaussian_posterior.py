"""Intrinsic criteria in closed form, from the Gaussian posterior."""

from __future__ import annotations

import torch
from torch import Tensor

from pxgen_plugins.criteria.base import REGISTRY, Batch, Criterion, Kind

__all__ = ["KLD", "Mahalanobis"]


@REGISTRY.register("kld")
class KLD(Criterion):
    """Kullback-Leibler divergence KL(N(mu, diag sigma^2) || N(0, I)) of the posterior to the prior.

    0.5 * sum over latent dimensions of (mu^2 + sigma^2 - 1 - log sigma^2), in nats (Kingma and
    Welling 2014, appendix B). Cost: O(n d) for latent dimension d, beside one encoder pass.

    Example:
        >>> import torch
        >>> from pxgen_plugins.criteria import Batch
        >>> from pxgen_plugins.testing.examples import EchoModel
        >>> model = EchoModel((2,), code=3.0)  # whose posterior is N((3, 3), I)
        >>> KLD()(Batch(model, torch.zeros(1, 2))).tolist()
        [9.0]
    """

    name = "kld"
    kind: Kind = "intrinsic"
    requires = frozenset({"encode"})
    unit = "nats"

    def __call__(self, batch: Batch) -> Tensor:
        """Return the values, (b,)."""
        mean, log_var = batch.posterior
        # expm1(t) - t keeps the digits that exp(t) - 1 - t loses near t = 0
        terms = mean.square() + log_var.expm1() - log_var
        return 0.5 * terms.flatten(1).sum(1)


@REGISTRY.register("mahalanobis")
class Mahalanobis(Criterion):
    """Mahalanobis distance of the posterior mean to the prior N(0, I): its Euclidean norm.

    In prior standard deviations (Mahalanobis 1936). Cost: O(n d), beside one encoder pass.

    Example:
        >>> import torch
        >>> from pxgen_plugins.criteria import Batch
        >>> from pxgen_plugins.testing.examples import EchoModel
        >>> Mahalanobis()(Batch(EchoModel((2,)), torch.tensor([[3.0, 4.0]]))).tolist()
        [5.0]
    """

    name = "mahalanobis"
    kind: Kind = "intrinsic"
    requires = frozenset({"encode"})
    unit = "standard deviations"

    def __call__(self, batch: Batch) -> Tensor:
        """Return the values, (b,)."""
        norm: Tensor = torch.linalg.vector_norm(batch.mean.flatten(1), dim=1)
        return norm
