"""The evidence lower bound as a criterion."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from pxgen_plugins.criteria.base import REGISTRY, Batch, Criterion, Kind, named_caller
from pxgen_plugins.criteria.elementwise import cross_entropy, span
from pxgen_plugins.criteria.gaussian_posterior import KLD
from pxgen_plugins.utils import validation
from pxgen_plugins.utils.errors import caller
from pxgen_plugins.utils.seeds import derive, normal_rows

__all__ = ["ELBO"]

LIKELIHOODS = ("bernoulli", "gaussian")


@REGISTRY.register("elbo")
class ELBO(Criterion):
    """Negated evidence lower bound, -(E_q log p(x | z) - KL(q(z | x) || p(z))), in nats.

    The expectation is a mean over ``n_draws`` seeded draws from the posterior, the KL term is
    exact (Kingma and Welling 2014, eq. 3). All anchors share the same standard normal draws, so an
    anchor's value depends neither on its position nor on the batch size. An upper bound of the
    negative log-likelihood, up to Monte Carlo error.

    Args:
        n_draws: Draws from the posterior, >= 1.
        likelihood: ``"bernoulli"`` (values scaled to [0, 1]) or ``"gaussian"``.
        scale: Standard deviation of the Gaussian likelihood, in data units.

    Raises:
        ParameterError: When an argument is not allowed.
        CapabilityError: When the likelihood is Bernoulli and the model has no ``data_range``.

    Cost: one encoder and ``n_draws`` decoder passes.

    Example:
        >>> from pxgen_plugins.criteria import Batch
        >>> from pxgen_plugins.testing.examples import EchoModel
        >>> model = EchoModel((2,), blend=1.0, code=3.0)  # N((3, 3), I), decoded to (0, 1)
        >>> ELBO(n_draws=2)(Batch(model, torch.tensor([[0.0, 1.0]]))).tolist()
        [9.0]
    """

    name = "elbo"
    kind: Kind = "intrinsic"
    requires = frozenset({"encode", "decode"})
    needs = frozenset({"bounded"})
    unit = "nats"

    @caller("ELBO")
    def __init__(
        self, *, n_draws: int = 8, likelihood: str = "bernoulli", scale: float = 1.0
    ) -> None:
        self.n_draws = validation.integer(n_draws, "n_draws", minimum=1)
        self.likelihood = validation.choice(likelihood, "likelihood", LIKELIHOODS)
        self.scale = validation.real(scale, "scale", above=0.0)
        if self.likelihood == "gaussian":
            self.needs = frozenset()

    @named_caller
    def __call__(self, batch: Batch) -> Tensor:
        """Return the values, (b,)."""
        mean, log_var = batch.posterior
        shape = tuple(mean.shape[1:])
        draws = normal_rows(0, self.n_draws, shape, derive(batch.seed, "elbo"))
        total = torch.zeros(len(batch), dtype=mean.dtype, device=mean.device)
        for noise in draws.to(mean.device, mean.dtype):
            decoded = batch.model.decode(mean + (0.5 * log_var).exp() * noise)
            total = total + self._negative_log_likelihood(batch, decoded)
        return total / self.n_draws + KLD()(batch)

    def _negative_log_likelihood(self, batch: Batch, decoded: Tensor) -> Tensor:
        if self.likelihood == "gaussian":
            variance = self.scale**2
            squares = (batch.x - decoded).square() / (2 * variance)
            return (squares + 0.5 * math.log(2 * math.pi * variance)).flatten(1).sum(1)
        low, width = span(batch)
        return cross_entropy(batch.x, decoded, low, width).flatten(1).sum(1)
