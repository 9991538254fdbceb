"""Criteria of language models."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from pxgen_plugins.criteria.base import REGISTRY, Batch, Criterion, Kind

__all__ = ["TokenEdit", "TokenNLL", "edit_distance"]


@REGISTRY.register("token_nll")
class TokenNLL(Criterion):
    """Mean negative log-likelihood per token of a text, nats: the logarithm of its perplexity.

    Cost: one pass of the model.

    Example:
        >>> import torch
        >>> from pxgen_plugins.criteria import Batch
        >>> class Loss:
        ...     capabilities = {"token_loss"}
        ...     def token_loss(self, x): return x[:, 0]
        >>> TokenNLL()(Batch(Loss(), torch.tensor([[2.0]]))).tolist()
        [2.0]
    """

    name = "token_nll"
    kind: Kind = "intrinsic"
    requires = frozenset({"token_loss"})
    unit = "nats per token"

    def __call__(self, batch: Batch) -> Tensor:
        """Return the values, (b,)."""
        return torch.as_tensor(batch.model.token_loss(batch.x))


@REGISTRY.register("token_edit")
class TokenEdit(Criterion):
    """Edit distance between a text's own end and the model's, divided by the longer one's length.

    The model is given the beginning and continues it; 0 when it writes the same tokens, 1 when
    none agree, NaN where a text is too short to have an end. The distance of Levenshtein (1966):
    insertions, deletions and substitutions. Cost: the continuation, and O(t^2) for ends of t
    tokens.

    Example:
        >>> import torch
        >>> from pxgen_plugins.criteria import Batch
        >>> class Writer:
        ...     capabilities = {"continuation"}
        ...     def continuation(self, x): return [(torch.tensor([1, 2, 3]), torch.tensor([1, 3]))]
        >>> round(TokenEdit()(Batch(Writer(), torch.zeros(1, 1))).item(), 3)
        0.333
    """

    name = "token_edit"
    kind: Kind = "extrinsic"
    requires = frozenset({"continuation"})
    unit = "edits per token"

    def __call__(self, batch: Batch) -> Tensor:
        """Return the values, (b,)."""
        pairs = batch.model.continuation(batch.x)
        values = [
            edit_distance(own.tolist(), made.tolist()) / max(len(own), len(made))
            if len(own)
            else math.nan
            for own, made in pairs
        ]
        result = torch.tensor(values, dtype=batch.x.dtype, device=batch.x.device)
        good = batch.x.flatten(1).isfinite().all(1)  # what is NaN has no tokens
        return result.where(good, torch.nan)


def edit_distance(one: list[int], other: list[int]) -> int:
    """Return the least number of insertions, deletions and substitutions between two sequences.

    Example:
        >>> edit_distance([1, 2, 3], [2, 3, 4])
        2
    """
    row = list(range(len(other) + 1))
    for i, token in enumerate(one, 1):
        before, row[0] = row[0], i
        for j, wanted in enumerate(other, 1):
            here = min(row[j] + 1, row[j - 1] + 1, before + (token != wanted))
            before, row[j] = row[j], here
    return row[-1]
