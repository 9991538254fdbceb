"""How often the model's own instances use the codes of an anchor."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from pxgen_plugins.criteria.base import REGISTRY, Batch, Kind, named_caller
from pxgen_plugins.criteria.fitted_criterion import FittedCriterion, Source
from pxgen_plugins.utils import validation
from pxgen_plugins.utils.errors import ModelError, caller

__all__ = ["CodeUsage"]


@REGISTRY.register("code_usage")
class CodeUsage(FittedCriterion):
    """Negative log-likelihood of an instance's codes under the usage of codes, in nats.

    Minus the sum over positions of log((c + a) / (N + a K)): c of the N reference codes at the
    position are the same, K is the size of the codebook and ``a`` the smoothing (Lidstone's rule;
    Laplace's for a = 1). Positions count as independent. K is the model's ``n_codes`` where it says
    so, else one more than the highest index learned; a code beyond it counts as never used.

    Learns from the data given to ``fit(X)``, else from 1,000 samples of the model.

    Args:
        pooled: Whether all positions share one table of usage, for codes that mean the same
            wherever they stand (and to learn from little data).
        smoothing: The count a that every code starts with, > 0.

    Raises:
        ParameterError: When an argument is not allowed.
        ModelError: When instances have different numbers of positions, unless ``pooled``.

    Cost: O(n p) for p positions, beside the codes; the table holds p K counts, K when pooled.

    Example:
        >>> import torch
        >>> from pxgen_plugins.criteria import Batch
        >>> class Tokens:
        ...     capabilities, n_codes = {"codes"}, 2
        ...     def codes(self, x): return x.long()
        >>> usage = CodeUsage()
        >>> usage.fit(iter([Batch(Tokens(), torch.tensor([[0.0], [0.0]]))]))
        >>> usage(Batch(Tokens(), torch.tensor([[0.0], [1.0]]))).exp().tolist()  # 4/3 and 4
        [1.333..., 4.0...]
    """

    name = "code_usage"
    kind: Kind = "intrinsic"
    requires = frozenset({"codes"})
    unit = "nats"
    learns_from: Source = "any"

    @caller("CodeUsage")
    def __init__(self, *, pooled: bool = False, smoothing: float = 1.0) -> None:
        self.pooled = validation.boolean(pooled, "pooled")
        self.smoothing = validation.real(smoothing, "smoothing", above=0.0)

    def features(self, batch: Batch) -> Tensor:
        """Return the codes, (b, positions)."""
        return _codes(batch)

    def learn(self, features: Iterator[Tensor], model: Any, seed: int) -> dict[str, Tensor]:
        """Return the counts, (positions, K), or (1, K) when pooled."""
        counts: Tensor | None = None
        for given in features:
            codes = given.cpu()
            if self.pooled:
                codes = codes.reshape(-1, 1)
            rows = codes.shape[1] if counts is None else len(counts)
            _same_positions(codes, rows)
            k = max(int(getattr(model, "n_codes", 1)), int(codes.max()) + 1)
            if counts is None:
                counts = torch.zeros(rows, k, dtype=torch.int64)
            if k > counts.shape[1]:
                grown = torch.zeros(rows, k, dtype=torch.int64)
                grown[:, : counts.shape[1]] = counts
                counts = grown
            k = counts.shape[1]
            flat = (codes + k * torch.arange(rows)).flatten()
            counts += torch.bincount(flat, minlength=rows * k).reshape(rows, k)
        if counts is None:
            hint = "Fit on one instance at least."
            raise ModelError("reference data", "not empty", "no batch", hint)
        return {"counts": counts}

    @named_caller
    def __call__(self, batch: Batch) -> Tensor:
        """Return the values, (b,)."""
        codes = _codes(batch)
        counts = self.learned("counts", batch.x).to(codes.device)
        rows, k = counts.shape
        if not self.pooled:
            _same_positions(codes, rows)
        position = torch.zeros_like(codes) if rows == 1 else torch.arange(rows, device=codes.device)
        used = counts[position.expand_as(codes), codes.clamp(max=k - 1)]
        used = torch.where(codes < k, used, 0)
        total = counts.sum(1)[position] + self.smoothing * k
        values = (total.double().log() - (used + self.smoothing).double().log()).sum(1)
        # an index is a number even where the instance is none
        broken = ~batch.x.flatten(1).isfinite().all(1)
        like = batch.x if batch.x.is_floating_point() else values
        return values.masked_fill(broken.to(values.device), torch.nan).to(like.device, like.dtype)


def _codes(batch: Batch) -> Tensor:
    return torch.as_tensor(batch.model.codes(batch.x)).long()


def _same_positions(codes: Tensor, expected: int) -> None:
    if codes.shape[1] != expected:
        allowed = f"at {expected} positions, as those it learned from"
        hint = "Use pooled=True for instances of different lengths."
        raise ModelError("codes", allowed, f"at {codes.shape[1]}", hint)
