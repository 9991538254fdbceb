"""Criteria whose values a black box computes: one column of its table each."""

from __future__ import annotations

from torch import Tensor

from pxgen_plugins.criteria.base import Batch, Criterion, Kind
from pxgen_plugins.utils.errors import ModelError

__all__ = ["Column"]


class Column(Criterion):
    """Column ``column`` of what a :class:`~pxgen_plugins.models.BlackBox` returns.

    Not in the registry: it has no meaning without the black box.

    Args:
        column: Position in the black box's table.
        name: Name of the criterion.
        kind: ``"intrinsic"`` or ``"extrinsic"``.

    Attributes:
        n_columns: Number of columns that the table must have; None takes any.

    Example:
        >>> Column(column=0, name="kld", kind="intrinsic")
        Column(column=0, name='kld', kind='intrinsic')
    """

    requires = frozenset({"values"})
    unit = "unit of the predictor"

    n_columns: int | None = None

    def __init__(self, *, column: int, name: str, kind: Kind) -> None:
        self.column = column
        self.name = name
        self.kind = kind

    def __call__(self, batch: Batch) -> Tensor:
        """Return the values, (b,).

        Raises:
            ModelError: When the table has another number of columns.
        """
        n = batch.values.shape[1]
        if self.n_columns not in (None, n):
            hint = "Name the criteria, one for each column: PXGen(f, intrinsic=..., extrinsic=...)."
            allowed = f"a table of {self.n_columns} columns"
            raise ModelError("predictor's result", allowed, f"{n} columns", hint)
        return batch.values[:, self.column]
