"""Base class of the criteria that compare an anchor with samples of the model."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from pxgen_plugins.criteria.base import Batch, named_caller
from pxgen_plugins.criteria.feature_distance import (
    Network,
    check_independence,
    feature_maps,
    flat,
    network_or_none,
)
from pxgen_plugins.criteria.fitted_criterion import FittedCriterion, Source
from pxgen_plugins.utils import validation
from pxgen_plugins.utils.errors import ModelError, caller
from pxgen_plugins.utils.neighbours import blocks, squared_distances

__all__ = ["SampleCriterion", "bank_rows"]


class SampleCriterion(FittedCriterion):
    """A criterion of an anchor's distances to samples of the model, in some feature space.

    Distances are computed in float64. The bank and the samples that thresholds come from are
    different draws, and different instances where a model has a finite number of them (see
    :class:`~pxgen_plugins.models.SampleBank`); so no sample is compared with itself.

    Args:
        k: Which neighbour, >= 1.
        n_fit: Samples in the bank, >= k + 2.
        network: Callable from a batch (b, *sample_shape) to features, as those of
            :class:`~pxgen_plugins.criteria.FeatureDistance`; all of them are flattened to one
            vector. None takes the elements themselves, of a table the model's own features.

    Raises:
        ParameterError: When an argument is not allowed.
        ModelError: When samples or their features are too few, or not finite.
    """

    requires = frozenset({"sample"})
    needs = frozenset({"numbers"})
    learns_from: Source = "samples"

    def __init__(self, *, k: int = 5, n_fit: int = 1_000, network: Network | None = None) -> None:
        with caller(type(self).__name__):
            self.k = validation.integer(k, "k", minimum=1)
            hint = f"A bank holds k + 2 samples or more, as n_fit={self.k + 2}."
            self.n_fit = validation.integer(n_fit, "n_fit", minimum=self.k + 2, hint=hint)
            self.network = network_or_none(network)
        if network is not None:
            self.needs = frozenset()

    @abstractmethod
    def summary(self, rows: Tensor) -> dict[str, Tensor]:
        """Return what else is needed later, from the bank's features, float64 (m, d)."""

    @abstractmethod
    def value(self, x: Tensor, squares: Tensor, slack: Tensor) -> Tensor:
        """Return the values (b,) of features ``x``, float64 (b, d).

        Args:
            x: The anchors' features.
            squares: Squared distances to the bank, (b, m), without gradient.
            slack: By how much these may be off through rounding, (b, m).
        """

    def features(self, batch: Batch) -> Tensor:
        """Return the features of samples, (b, d)."""
        maps = self._maps(batch)
        if not batch.first:
            check_independence(self.network, batch.x, maps)
        return flat(maps)

    def learn(self, features: Iterator[Tensor], model: Any, seed: int) -> dict[str, Tensor]:
        """Return the bank's features (m, d), their mean (d,) and the summary."""
        parts = [rows.cpu() for rows in features]
        rows = bank_rows(parts, self.k + 2, f"k + 2 = {self.k + 2}")
        exact = rows.double()
        return {"rows": rows, "centre": exact.mean(0), **self.summary(exact)}

    @named_caller
    def __call__(self, batch: Batch) -> Tensor:
        """Return the values, (b,)."""
        x = flat(self._maps(batch)).double()
        rows, centre = self.learned("rows", x), self.learned("centre", x)
        if x.shape[1] != rows.shape[1]:
            hint = "Fit again, or use the network and the model it was fitted with."
            allowed = f"of {rows.shape[1]} elements, like those it learned from"
            raise ModelError("features", allowed, str(x.shape[1]), hint)
        values = [
            self.value(x[part], *squared_distances(x[part].detach(), rows, centre))
            for part in blocks(len(x), len(rows))
        ]
        # what is not finite is far from all samples, which would pass for a value
        good = x.detach().isfinite().all(1)
        return torch.cat([x.new_empty(0), *values]).where(good, torch.nan).to(batch.x.dtype)

    def kth_distance(self, x: Tensor, squares: Tensor) -> Tensor:
        """Return the distances of features ``x`` to the k-th nearest of the bank, (b,)."""
        kth = squares.topk(self.k, largest=False).indices[:, -1]
        return self.distance(x, kth)

    def distance(self, x: Tensor, index: Tensor) -> Tensor:
        """Return the distances of features ``x`` to one sample each, (b,), differentiable."""
        gap: Tensor = torch.linalg.vector_norm(x - self.learned("rows", x)[index], dim=1)
        return gap

    def _maps(self, batch: Batch) -> list[Tensor]:
        x = batch.x if self.network is not None else batch.comparable(batch.x)
        return feature_maps(self.network, x)


def bank_rows(parts: list[Tensor], least: int, bound: str) -> Tensor:
    """Return a bank of samples, (m, d), from parts of it.

    Args:
        parts: Rows of each batch.
        least: How many there must be.
        bound: That number in words, for the error.

    Raises:
        ModelError: When they are fewer, or not finite.
    """
    rows = torch.cat(parts) if parts else torch.empty(0, 1)
    if len(rows) < least:
        hint = "Give more samples, or lower k."
        raise ModelError("the number of samples", f"at least {bound}", str(len(rows)), hint)
    bad = int((~rows.isfinite().all(1)).sum())
    if bad:
        hint = "Find out why the model's samples, or a network's features of them, are not."
        raise ModelError("samples", "finite", f"{bad} of {len(rows)} that are not", hint)
    return rows
