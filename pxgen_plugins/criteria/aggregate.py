"""Distance of a latent code to the aggregate distribution of reference codes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from pxgen_plugins.criteria.base import REGISTRY, Batch, Kind, named_caller
from pxgen_plugins.criteria.fitted_criterion import FittedCriterion, Source
from pxgen_plugins.utils.errors import AnchorError, ModelError

__all__ = ["AggregateMahalanobis"]

_LARGEST = 8_192  # latent dimensions whose covariance still fits memory, 512 MiB
_LEAST = 1e-8


@REGISTRY.register("aggregate_mahalanobis")
class AggregateMahalanobis(FittedCriterion):
    """Mahalanobis distance of the code to mean and covariance of reference codes (1936).

    sqrt((z - m)^T C^-1 (z - m)), where C is the covariance S of the reference codes shrunk towards
    a multiple of the identity, (1 - s) S + s tr(S) / d I, with the s of Ledoit and Wolf (2004),
    which is well conditioned when there are fewer codes than dimensions too. As a distance for
    out-of-distribution instances: Lee et al. (2018), there with one mean per class.

    Learns from the data given to ``fit(X)``, else from 1,000 samples of the model.

    Raises:
        ModelError: When codes have more than 8,192 elements.
        AnchorError: When all reference codes are the same.

    Cost: learning takes one pass, O(n d^2 + d^3) for d elements of a code, and memory O(d^2)
    whatever n; a value O(d^2), beside one embedding.

    Example:
        >>> import torch
        >>> from pxgen_plugins.criteria import Batch
        >>> from pxgen_plugins.testing.examples import EchoModel
        >>> model = EchoModel((2,))  # whose codes are the instances themselves
        >>> corners = torch.tensor([[1.0, 1.0], [1.0, -1.0], [-1.0, 1.0], [-1.0, -1.0]])
        >>> criterion = AggregateMahalanobis()
        >>> criterion.fit(iter([Batch(model, corners)]))
        >>> criterion(Batch(model, torch.tensor([[3.0, 4.0]]))).tolist()
        [5.0]
    """

    name = "aggregate_mahalanobis"
    kind: Kind = "intrinsic"
    requires = frozenset({"embed"})
    unit = "standard deviations"
    learns_from: Source = "any"

    def features(self, batch: Batch) -> Tensor:
        """Return the codes, (b, d)."""
        return batch.code.flatten(1)

    def learn(self, features: Iterator[Tensor], model: Any, seed: int) -> dict[str, Tensor]:
        """Return mean (d,), whitening matrix (d, d) and the shrinkage, a scalar."""
        moments: _Moments | None = None
        for given in features:
            codes = given.double().cpu()
            codes = codes[self.finite(codes)]
            if not len(codes):
                continue
            if moments is None:
                moments = _Moments(codes[0].clone())
            moments.add(codes)
        mean, covariance, shrinkage = (moments or _Moments(torch.zeros(0))).shrunk()
        factor = torch.linalg.cholesky(covariance)
        identity = torch.eye(len(mean), dtype=torch.float64)
        whitening = torch.linalg.solve_triangular(factor, identity, upper=False)
        return {"mean": mean, "whitening": whitening, "shrinkage": torch.tensor(shrinkage)}

    @named_caller
    def __call__(self, batch: Batch) -> Tensor:
        """Return the values, (b,)."""
        code = batch.code.flatten(1)
        centred = code - self.learned("mean", code)
        norm: Tensor = torch.linalg.vector_norm(centred @ self.learned("whitening", code).T, dim=1)
        return norm


class _Moments:
    """Sums of powers of codes about a fixed point, from which mean, covariance and shrinkage come.

    Args:
        origin: The point, (d,); a code does, so that a large mean costs no digits.
    """

    def __init__(self, origin: Tensor) -> None:
        d = len(origin)
        if d > _LARGEST:
            hint = "Use 'latent_neighbours' instead."
            allowed = f"of at most {_LARGEST} elements"
            raise ModelError("codes", allowed, f"of {d}", hint)
        self.origin, self.n, self.fourth = origin, 0, 0.0
        self.first, self.third = torch.zeros_like(origin), torch.zeros_like(origin)
        self.second = torch.zeros(d, d, dtype=torch.float64)

    def add(self, codes: Tensor) -> None:
        """Take in codes (b, d)."""
        away = codes - self.origin
        squares = away.square().sum(1)
        self.n += len(codes)
        self.first += away.sum(0)
        self.second += away.T @ away
        self.third += squares @ away
        self.fourth += float(squares.square().sum())

    def shrunk(self) -> tuple[Tensor, Tensor, float]:
        """Return mean, shrunk covariance and the share that is shrunk (Ledoit and Wolf 2004)."""
        n, d = self.n, len(self.origin)
        shift = self.first / max(n, 1)
        covariance = self.second / max(n, 1) - torch.outer(shift, shift)
        trace = float(covariance.trace())
        total = float(self.second.trace())
        if n < 2 or not trace > 1e-12 * total / n:
            hint = "Give reference data of the kind the model was trained on."
            allowed = "at least two instances with different codes"
            got = f"{n} with one code" if n else "none with a finite code"
            raise AnchorError("X", allowed, got, hint)
        # the mean over codes of |z - m|^4, from the sums about the origin
        length = float(shift @ shift)
        fourth = (
            self.fourth
            + 4 * float(shift @ self.second @ shift)
            + n * length**2
            - 4 * float(self.third @ shift)
            + 2 * total * length
            - 4 * n * length**2
        ) / n
        square = float(covariance.square().sum())
        scatter = square - trace**2 / d  # of S about the multiple of the identity
        error = min(max(fourth - square, 0.0) / n, scatter)
        # never quite 0, so that codes in a plane still have a distance to what is outside of it
        share = max(error / scatter, _LEAST) if scatter > 0 else 1.0
        target = torch.eye(d, dtype=torch.float64) * (trace / d)
        return self.origin + shift, (1 - share) * covariance + share * target, share
