"""Criteria whose values a black box computes: one column of its table each."""

from __future__ import annotations

from torch import Tensor

from pxgen_plugins.criteria.base import Batch, Criterion, Kind

__all__ = ["Column"]


class Column(Criterion):
    """Column ``column`` of what a :class:`~pxgen_plugins.models.BlackBox` returns.

    Not in the registry: it has no meaning without the black box.

    Args:
        column: Position in the black box's table.
        name: Name of the criterion.
        kind: ``"intrinsic"`` or ``"extrinsic"``.

    Example:
        >>> Column(column=0, name="kld", kind="intrinsic")
        Column(column=0, name='kld', kind='intrinsic')
    """

    requires = frozenset({"values"})
    unit = "as the predictor returns it"

    def __init__(self, *, column: int, name: str, kind: Kind) -> None:
        self.column = column
        self.name = name
        self.kind = kind

    def __call__(self, batch: Batch) -> Tensor:
        """Return the values, (b,)."""
        return batch.values[:, self.column]
