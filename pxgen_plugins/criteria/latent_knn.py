"""Distance of a latent code to its nearest reference codes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor

from pxgen_plugins.criteria.base import REGISTRY, Batch, Kind, named_caller
from pxgen_plugins.criteria.fitted_criterion import FittedCriterion, Source
from pxgen_plugins.utils import validation
from pxgen_plugins.utils.errors import AnchorError, caller
from pxgen_plugins.utils.neighbours import blocks, squared_distances
from pxgen_plugins.utils.seeds import derive

__all__ = ["LatentNeighbours"]


@REGISTRY.register("latent_neighbours")
class LatentNeighbours(FittedCriterion):
    """Distance of the code to the k-th nearest of a bank of reference codes, Euclidean.

    As a score of outliers: Ramaswamy, Rastogi and Shim (2000); in the latent space of a network:
    Sun et al. (2022), "Out-of-Distribution Detection with Deep Nearest Neighbors". Needs no form of
    the latent distribution. An instance that is in the bank has itself as first neighbour.

    Learns from the data given to ``fit(X)``, else from samples of the model.

    Args:
        k: Which neighbour, >= 1.
        bank: Most reference codes kept, >= k; of more instances a seeded random subset is.

    Raises:
        ParameterError: When an argument is not allowed.
        AnchorError: When fewer than k instances are given to learn from.

    Cost: O(n bank d) for codes of d elements, beside one embedding; memory O(bank d).

    Example:
        >>> import torch
        >>> from pxgen_plugins.criteria import Batch
        >>> from pxgen_plugins.testing.examples import EchoModel
        >>> model = EchoModel((1,))  # whose codes are the instances themselves
        >>> criterion = LatentNeighbours(k=2)
        >>> criterion.fit(iter([Batch(model, torch.tensor([[0.0], [1.0], [5.0]]))]))
        >>> criterion(Batch(model, torch.tensor([[2.0]]))).tolist()
        [2.0]
    """

    name = "latent_neighbours"
    kind: Kind = "intrinsic"
    requires = frozenset({"embed"})
    unit = "latent units"
    learns_from: Source = "any"

    @caller("LatentNeighbours")
    def __init__(self, *, k: int = 5, bank: int = 10_000) -> None:
        self.k = validation.integer(k, "k", minimum=1)
        hint = "A bank holds at least the k neighbours."
        self.bank = validation.integer(bank, "bank", minimum=self.k, hint=hint)

    def features(self, batch: Batch) -> Tensor:
        """Return the codes, (b, d)."""
        return batch.code.flatten(1)

    def learn(self, features: Iterator[Tensor], model: Any, seed: int) -> dict[str, Tensor]:
        """Return the kept codes, (m, d), and their mean, (d,)."""
        kept, keys = torch.empty(0, 0), np.empty(0)
        generator = np.random.default_rng(derive(seed, self.name))
        for codes in features:
            if not kept.numel():
                kept = codes[:0].cpu()
            # those with the smallest keys, which depend on the order alone, not on the batches
            finite = self.finite(codes).cpu()
            keys = np.concatenate([keys, generator.random(len(codes))[finite.numpy()]])
            kept = torch.cat([kept, codes.cpu()[finite]])
            if len(kept) > self.bank:
                chosen = np.sort(np.argpartition(keys, self.bank - 1)[: self.bank])
                kept, keys = kept[torch.from_numpy(chosen)], keys[chosen]
        if len(kept) < self.k:
            hint = f"Give more reference data, or use k={max(1, len(kept))}."
            allowed = f"at least k={self.k} instances"
            raise AnchorError("X", allowed, str(len(kept)), hint)
        return {"codes": kept, "centre": kept.double().mean(0)}

    @named_caller
    def __call__(self, batch: Batch) -> Tensor:
        """Return the values, (b,)."""
        code = batch.code.flatten(1)
        bank, exact = self.learned("codes", code), code.detach().double()
        rows, centre = bank.double(), self.learned("centre", exact)
        values = [code.new_empty(0)]
        for part in blocks(len(code), len(bank)):
            # who is near, by a matrix product; how far, by differences
            squares, _ = squared_distances(exact[part], rows, centre)
            near = bank[squares.topk(self.k, largest=False).indices]
            distance = torch.linalg.vector_norm(near - code[part][:, None], dim=2)
            values.append(distance.amax(1))
        return torch.cat(values)
