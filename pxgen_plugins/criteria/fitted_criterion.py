"""Criteria that learn before they are used: statistics of a data set, a bank of samples."""

from __future__ import annotations

import itertools
from abc import abstractmethod
from collections.abc import Iterator, Mapping
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pxgen_plugins.criteria.base import Batch, Criterion, named_caller
from pxgen_plugins.utils.errors import ParameterError, warn

__all__ = ["FittedCriterion"]

Source = Literal["data", "samples", "any"]


class FittedCriterion(Criterion):
    """A criterion with learned state, which ``PXGen.fit`` fills and ``PXGen.save`` keeps.

    A subclass says in ``learns_from`` where its batches come from. It turns each batch into
    features (:meth:`features`, where the model is asked) and the features of all batches into named
    tensors (:meth:`learn`); when it is called it reads these by :meth:`learned`. So batches may be
    turned into features by several processes.

    Attributes:
        learns_from: ``"data"``, the reference data given to ``fit(X)``; ``"samples"``, the model's
            own; ``"any"``, the data where given, else samples.
        n_fit: How many samples are drawn when it learns from samples.
    """

    learns_from: Source = "data"
    n_fit: int = 1_000
    _state: dict[str, Tensor] | None = None
    _n_seen = _n_left_out = 0

    @abstractmethod
    def features(self, batch: Batch) -> Tensor:
        """Return what it learns from each instance of a batch, (b, ...)."""

    @abstractmethod
    def learn(self, features: Iterator[Tensor], model: Any, seed: int) -> dict[str, Tensor]:
        """Return what is needed later, in constant memory where possible.

        Args:
            features: Those of each batch, in the order of the batches.
            model: The model, for what it declares; None where there is no batch.
            seed: Seed of what is drawn.
        """

    def fit(self, batches: Iterator[Batch]) -> None:
        """Learn from ``batches``; what was learned before is forgotten.

        Instances for which the model gives nothing finite (see :meth:`finite`) are left out, with
        a warning.
        """
        batches = iter(batches)
        first = next(batches, None)
        if first is None:
            self.fit_features(iter(()), None, 0)
        else:
            found = map(self.features, itertools.chain([first], batches))
            self.fit_features(found, first.model, first.seed)

    @named_caller
    def fit_features(self, features: Iterator[Tensor], model: Any, seed: int) -> None:
        """Learn from features of batches, which :meth:`features` gave; as :meth:`fit`."""
        self._n_seen = self._n_left_out = 0
        with torch.no_grad():
            found = self.learn(features, model, seed)
            self._state = {name: value.detach() for name, value in found.items()}
        if self._n_left_out:
            warn(
                f"criterion {self.name!r}: {self._n_left_out} of {self._n_seen} instances to learn "
                "from are left out, because what the model makes of them is not finite",
            )

    def finite(self, values: Tensor) -> Tensor:
        """Return which rows of a batch's features are finite, bool (b,); the others are counted."""
        good = (
            values.detach().flatten(1).isfinite().all(1) if values.ndim > 1 else values.isfinite()
        )
        self._n_seen += len(values)
        self._n_left_out += int((~good).sum())
        return good

    @property
    def learns_from_data(self) -> bool:
        """Whether it learns from reference data where that is given."""
        return self.learns_from != "samples"

    @property
    def state(self) -> dict[str, NDArray[np.generic]]:
        """What was learned, as arrays; empty before :meth:`fit`."""
        return {name: value.cpu().numpy() for name, value in (self._state or {}).items()}

    def restore(self, state: Mapping[str, NDArray[np.generic]]) -> None:
        """Take over what another instance learned (see :attr:`state`)."""
        self._state = {name: torch.tensor(value) for name, value in state.items()}

    @named_caller
    def learned(self, name: str, like: Tensor) -> Tensor:
        """Return a learned tensor on the device of ``like``, in its type unless integer.

        Raises:
            ParameterError: Before :meth:`fit`.
        """
        if self._state is None:
            hint = "Call fit on the explainer, or on the criterion where there is no explainer."
            raise ParameterError("what it learned", "there", "nothing yet", hint)
        value = self._state[name]
        return value.to(like.device, like.dtype if value.is_floating_point() else value.dtype)
