"""Intrinsic criteria of models with an exact log density."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from pxgen_plugins.criteria.base import REGISTRY, Batch, Criterion, Kind, named_caller
from pxgen_plugins.criteria.fitted_criterion import FittedCriterion, Source
from pxgen_plugins.utils import validation
from pxgen_plugins.utils.errors import AnchorError, ParameterError, caller

__all__ = ["NLL", "BitsPerDim", "TypicalNLL"]


@REGISTRY.register("nll")
class NLL(Criterion):
    """Negative log density of an instance, in nats. Cost: one pass of the model.

    Example:
        >>> import torch
        >>> from pxgen_plugins.criteria import Batch
        >>> class Density:
        ...     capabilities = {"log_prob"}
        ...     def log_prob(self, x): return -x.sum(1)
        >>> NLL()(Batch(Density(), torch.tensor([[1.0, 2.0]]))).tolist()
        [3.0]
    """

    name = "nll"
    kind: Kind = "intrinsic"
    requires = frozenset({"log_prob"})
    unit = "nats"

    def __call__(self, batch: Batch) -> Tensor:
        """Return the values, (b,)."""
        return -torch.as_tensor(batch.model.log_prob(batch.x))


@REGISTRY.register("bits_per_dim")
class BitsPerDim(Criterion):
    """Bits per dimension of a quantised instance, the density taken as constant over a step.

    -log p(x) / (d log 2) - log2(step), d the number of values of an instance: the usual measure of
    flows of images (Theis, van den Oord and Bethge 2016). Cost: one pass of the model.

    A linear function of ``"nll"``: calibrated, both give the same groups.

    Args:
        step: Distance of neighbouring values; None takes that of the ``levels`` of the model's
            ``preprocess``, else 1/255 of its ``data_range``, as of 8-bit images.

    Raises:
        ParameterError: When ``step`` is not positive; when called with None and the model has no
            ``data_range``.

    Example:
        >>> import torch
        >>> from pxgen_plugins.criteria import Batch
        >>> class Uniform:
        ...     capabilities, data_range = {"log_prob"}, (0.0, 1.0)
        ...     def log_prob(self, x): return torch.zeros(len(x))
        >>> round(BitsPerDim()(Batch(Uniform(), torch.zeros(1, 4))).item(), 3)  # log2(255)
        7.994
    """

    name = "bits_per_dim"
    kind: Kind = "intrinsic"
    requires = frozenset({"log_prob"})
    needs = frozenset({"bounded"})
    unit = "bits per dimension"

    @caller("BitsPerDim")
    def __init__(self, *, step: float | None = None) -> None:
        self.step = step
        if step is not None:
            self.step = validation.real(step, "step", above=0.0)
            self.needs = frozenset()

    @named_caller
    def __call__(self, batch: Batch) -> Tensor:
        """Return the values, (b,)."""
        step = self.step
        if step is None:
            bounds = getattr(batch.model, "data_range", None)
            if bounds is None:
                hint = "Pass step=1.0 for integer data, say, or use 'nll'."
                allowed = "given, for a model without data_range"
                raise ParameterError("step", allowed, "None", hint)
            levels = getattr(getattr(batch.model, "preprocess", None), "levels", None) or 256
            step = (bounds[1] - bounds[0]) / (levels - 1)
        d = batch.x[0].numel()
        nats = -torch.as_tensor(batch.model.log_prob(batch.x)) / d - math.log(step)
        return nats / math.log(2.0)


@REGISTRY.register("typical_nll")
class TypicalNLL(FittedCriterion):
    """Distance of the negative log density to its mean over data or samples, in nats.

    The typicality test of Nalisnick et al. (2019, "Detecting Out-of-Distribution Inputs to Deep
    Generative Models Using Typicality") for one instance: what is denser than the model's own kind
    (plain images under a flow of photographs) is as far as what is less dense. It learns from the
    data given to ``fit``, else from the model's own samples. Cost: one pass of the model.

    Args:
        n_fit: Samples to learn from without data.

    Example:
        >>> import torch
        >>> from pxgen_plugins.criteria import Batch
        >>> class Density:
        ...     capabilities = {"log_prob"}
        ...     def log_prob(self, x): return -x.sum(1)
        >>> criterion = TypicalNLL()
        >>> criterion.fit(iter([Batch(Density(), torch.tensor([[1.0], [3.0]]))]))
        >>> criterion(Batch(Density(), torch.tensor([[0.0], [2.0], [5.0]]))).tolist()
        [2.0, 0.0, 3.0]
    """

    name = "typical_nll"
    kind: Kind = "intrinsic"
    requires = frozenset({"log_prob"})
    unit = "nats"
    learns_from: Source = "any"

    @caller("TypicalNLL")
    def __init__(self, *, n_fit: int = 1_000) -> None:
        self.n_fit = validation.integer(n_fit, "n_fit", minimum=1)

    def features(self, batch: Batch) -> Tensor:
        """Return the negative log densities, (b,)."""
        return -torch.as_tensor(batch.model.log_prob(batch.x)).double()

    def learn(self, features: Iterator[Tensor], model: Any, seed: int) -> dict[str, Tensor]:
        """Return the mean negative log density, a scalar."""
        total, count = 0.0, 0
        for given in features:
            values = given[self.finite(given)]
            total += float(values.sum())
            count += len(values)
        if not count:
            hint = "Check the model's log_prob, and that the data lies where it is positive."
            allowed = "with a finite log_prob for at least one"
            raise AnchorError("X", allowed, "none", hint)
        return {"mean": torch.tensor(total / count, dtype=torch.float64)}

    @named_caller
    def __call__(self, batch: Batch) -> Tensor:
        """Return the values, (b,)."""
        nll = -torch.as_tensor(batch.model.log_prob(batch.x))
        return (nll - self.learned("mean", nll)).abs()
