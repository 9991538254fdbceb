"""Gower's distance: of rows of a table, with numbers and categories, to what the model makes."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from pxgen_plugins.criteria._nearest_samples import bank_rows
from pxgen_plugins.criteria.base import REGISTRY, Batch, Criterion, Kind, named_caller
from pxgen_plugins.criteria.elementwise import span
from pxgen_plugins.criteria.fitted_criterion import FittedCriterion, Source
from pxgen_plugins.utils import validation
from pxgen_plugins.utils.errors import ModelError, ParameterError, caller, short_repr
from pxgen_plugins.utils.neighbours import blocks

__all__ = ["Gower", "GowerNearest", "contributions"]


class _Gower(Criterion):
    """Gower's distance of an anchor to another row, of which a subclass says which it is."""

    kind: Kind = "extrinsic"
    unit = "share of range"

    @abstractmethod
    def other(self, batch: Batch) -> Tensor:
        """Return the row that each anchor is compared with, (b, d)."""

    def parts(self, batch: Batch) -> Tensor:
        """Return each column's part of the distance, (b, d); the value is their mean."""
        return _parts(batch.x.flatten(1), self.other(batch), _widths(batch))

    @named_caller
    def __call__(self, batch: Batch) -> Tensor:
        """Return the values, (b,)."""
        return self.parts(batch).mean(1)


@REGISTRY.register("gower")
class Gower(_Gower):
    """Gower's distance of an anchor and its reconstruction.

    The mean over the columns of |a - b| / range for numbers and of 0 (same) or 1 for categories
    (Gower 1971, "A General Coefficient of Similarity and Some of Its Properties", all weights 1).
    Ranges and categories are those of ``model.columns`` (see
    :class:`~pxgen_plugins.models.Tabular`); elements of a model without are all numbers, with the
    width of ``data_range`` as range. A part is more than 1 where the two are further apart than
    the range. A column that is constant in the reference counts as one of categories.

    Cost: one reconstruction; O(n d).

    Example:
        >>> from pxgen_plugins.testing.examples import EchoModel
        >>> model = EchoModel((2,), (0.0, 10.0), blend=1.0)  # reconstructs all as (0, 10)
        >>> Gower()(Batch(model, torch.tensor([[5.0, 10.0]]))).tolist()
        [0.25]
    """

    name = "gower"
    requires = frozenset({"reconstruct"})
    needs = frozenset({"ranges"})

    def other(self, batch: Batch) -> Tensor:
        """Return the reconstructions, (b, d)."""
        return batch.reconstruction.flatten(1)


@REGISTRY.register("gower_nearest")
class GowerNearest(_Gower, FittedCriterion):
    """Gower's distance of an anchor to the k-th nearest of ``n_fit`` samples of the model.

    The distance is that of :class:`Gower`; the nearest sample by this distance is the "distance to
    the closest record" by which synthetic tables are audited (Park et al. 2018, "Data Synthesis
    based on Generative Adversarial Networks", with Euclidean distances), seen from the anchor. It
    stands in for a reconstruction where a model only gives samples.

    Args:
        k: Which neighbour, >= 1.
        n_fit: Samples in the bank, >= k.

    Raises:
        ParameterError: When an argument is not allowed.
        ModelError: When samples are fewer than k, or not finite.

    Cost: O(n n_fit d); memory a block of distances, and O(n_fit d) for the bank.

    Example:
        >>> from pxgen_plugins.testing.examples import EchoModel
        >>> model = EchoModel((2,), (0.0, 10.0))
        >>> criterion = GowerNearest(k=1)
        >>> criterion.fit(iter([Batch(model, torch.tensor([[0.0, 0.0], [9.0, 9.0]]))]))
        >>> criterion(Batch(model, torch.tensor([[1.0, 2.0]]))).tolist()
        [0.15...]
    """

    name = "gower_nearest"
    requires = frozenset({"sample"})
    needs = frozenset({"ranges"})
    learns_from: Source = "samples"

    @caller("GowerNearest")
    def __init__(self, *, k: int = 5, n_fit: int = 1_000) -> None:
        self.k = validation.integer(k, "k", minimum=1)
        hint = "A bank holds at least the k neighbours."
        self.n_fit = validation.integer(n_fit, "n_fit", minimum=self.k, hint=hint)

    def features(self, batch: Batch) -> Tensor:
        """Return the samples, (b, d)."""
        return batch.x.flatten(1)

    def learn(self, features: Iterator[Tensor], model: Any, seed: int) -> dict[str, Tensor]:
        """Return the samples, (m, d)."""
        parts = [rows.cpu() for rows in features]
        return {"rows": bank_rows(parts, self.k, f"k={self.k}")}

    def other(self, batch: Batch) -> Tensor:
        """Return the k-th nearest samples, (b, d)."""
        x = batch.x.detach().flatten(1)
        rows, widths = self.learned("rows", x), _widths(batch)
        if x.shape[1] != rows.shape[1]:
            hint = "Fit again with this model."
            allowed = f"of {rows.shape[1]} columns, like those it learned from"
            raise ModelError("anchors", allowed, str(x.shape[1]), hint)
        nearest = [rows[:0]]
        for part in blocks(len(x), len(rows)):
            sums = _sums(x[part].double(), rows.double(), widths.double())
            nearest.append(rows[sums.topk(self.k, largest=False).indices[:, -1]])
        return torch.cat(nearest)


@caller("contributions")
def contributions(criterion: Any, model: Any, X: Any) -> Any:
    """Return each column's part of Gower's distance, as a DataFrame: what makes a row foreign.

    Args:
        criterion: A :class:`Gower`, or a :class:`GowerNearest` that has learned, as those in
            ``explainer.criteria`` have after ``fit``.
        model: A :class:`~pxgen_plugins.models.Tabular`.
        X: n rows of a table, as ``model.rows`` takes them.

    Returns:
        A DataFrame (n, d) with the columns of the model. The mean of a row is the criterion's
        value; a bad row is NaN.

    Raises:
        ParameterError: When criterion or model is another.

    Cost: that of the criterion.

    Example:
        >>> import pandas as pd
        >>> from pxgen_plugins.models import Tabular
        >>> data = pd.DataFrame({"age": [20, 60, 30], "city": ["Rome", "Bern", "Rome"]})
        >>> class Bootstrap:
        ...     def sample(self, num_rows):
        ...         return data.sample(num_rows, replace=True)
        >>> model = Tabular(Bootstrap(), data, modules=(),
        ...                 reconstruct=lambda rows: rows.assign(city="Rome"))
        >>> contributions(Gower(), model, data.head(2)).to_dict("list")
        {'age': [0.0, 0.0], 'city': [0.0, 1.0]}
    """
    import pandas as pd

    if not isinstance(criterion, _Gower):
        hint = "Pass Gower(), or the GowerNearest among an explainer's criteria."
        allowed = "a Gower or a GowerNearest"
        raise ParameterError("criterion", allowed, short_repr(criterion), hint)
    if getattr(model, "columns", None) is None or not callable(getattr(model, "rows", None)):
        hint = "Wrap the synthesizer in pxgen_plugins.models.Tabular."
        raise ParameterError("model", "of a table", type(model).__name__, hint)
    x = model.rows(X)
    good = x.isfinite().all(1)
    parts = torch.full_like(x, torch.nan)
    if bool(good.any()):
        with torch.no_grad():
            parts[good] = criterion.parts(Batch(model, x[good]))
    return pd.DataFrame(parts.numpy(), columns=[column.name for column in model.columns])


def _widths(batch: Batch) -> Tensor:
    """Return the range of each column, (d,), 0 where values are the same or not."""
    x = batch.x.flatten(1)
    columns = getattr(batch.model, "columns", None)
    if columns is None:
        width = span(batch)[1]
        return torch.full(x.shape[1:], width, dtype=x.dtype, device=x.device)
    return torch.tensor([column.width for column in columns], dtype=x.dtype, device=x.device)


def _parts(a: Tensor, b: Tensor, widths: Tensor) -> Tensor:
    gap = (a - b).abs()
    other = (gap != 0).to(gap.dtype) + 0.0 * gap  # a NaN stays one
    return torch.where(widths > 0, gap / torch.where(widths > 0, widths, 1.0), other)


def _sums(a: Tensor, b: Tensor, widths: Tensor) -> Tensor:
    """Return the summed parts of all pairs of rows, (len(a), len(b)), a column at a time."""
    number = widths > 0
    total = torch.cdist(a[:, number] / widths[number], b[:, number] / widths[number], p=1.0)
    for place in (~number).nonzero().flatten().tolist():
        total += a[:, place, None] != b[:, place]
    return total
