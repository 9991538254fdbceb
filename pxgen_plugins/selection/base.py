"""What a selector is, what it returns, and the checks that all selectors share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from pxgen_plugins.utils.errors import ParameterError, caller, short_repr, warn
from pxgen_plugins.utils.registry import Registry
from pxgen_plugins.utils.validation import integer

__all__ = [
    "REGISTRY",
    "Properties",
    "Selection",
    "Selector",
    "check_finite",
    "count",
    "matrix",
    "properties",
    "register",
    "row",
]

Array = NDArray[Any]
Indices = NDArray[np.int64]
Floats = NDArray[np.float64]

_BLOCK = 1 << 20


@dataclass(frozen=True, eq=False)
class Selection:
    """The k representatives that a selector picked out of n rows.

    Attributes:
        indices: Rows of ``X`` in the order in which they were picked, (k,) int64, all different.
        objective: What the selector minimises or maximises, at these rows; its docstring says what
            and in which unit.
        assignment: For each row of ``X`` the position in ``indices`` of its representative, (n,)
            int64; None where the selector assigns nothing.
        lower_bound: For a selector that minimises, no choice of k rows has a smaller objective
            than this; None where nothing is proved.
        radii: Objective of every prefix: ``radii[i]`` is that of the first i + 1 rows, (k,)
            float64; None where prefixes mean nothing.
        outliers: Rows that were ignored as outliers, sorted, int64; None where none were asked
            for.

    Example:
        >>> Selection(np.array([4, 1]), 0.5)
        Selection(k=2, objective=0.5, indices=[4, 1])
    """

    indices: Indices
    objective: float
    assignment: Indices | None = None
    lower_bound: float | None = None
    radii: Floats | None = None
    outliers: Indices | None = None

    def __repr__(self) -> str:
        shown = ", ".join(str(index) for index in self.indices[:8])
        dots = ", ..." if len(self.indices) > 8 else ""
        return f"Selection(k={len(self)}, objective={self.objective:.6g}, indices=[{shown}{dots}])"

    def __len__(self) -> int:
        return len(self.indices)


class Selector(Protocol):
    """A function ``f(X, k, *, start=None, seed=0, **options) -> Selection``.

    ``X`` is a table of n rows (anchors) and d features, an array or a CPU or device tensor; it is
    never changed. The same arguments always give the same result.
    """

    def __call__(self, *args: Any, **kwargs: Any) -> Selection:
        """Pick k of the n rows of a table."""


@dataclass(frozen=True)
class Properties:
    """What a selector declares of itself; the conformance suite holds it to that.

    Attributes:
        space: The feature space that it works in when the user names none; None leaves the choice
            to the caller. ``"anchor_value"`` is one column, the anchor values.
        starts_lowest: Whether PXGen passes the member with the lowest anchor value as ``start``;
            otherwise ``start`` is None.
        uses_start: Whether ``start`` has an effect. It is checked in any case.
        uses_seed: Whether ``seed`` has an effect. It is checked in any case.
        repeats: Whether it may pick a row that equals a pick while other rows are left.
        order_matters: Whether other rows may be picked when the rows come in another order,
            though ``start`` is the same row.
    """

    space: str | None = None
    starts_lowest: bool = False
    uses_start: bool = True
    uses_seed: bool = True
    repeats: bool = False
    order_matters: bool = False


REGISTRY: Registry[Selector] = Registry(
    "selector", "pxgen_plugins.selection", "pxgen_plugins.selectors"
)
_PROPERTIES: dict[str, Properties] = {}

F = TypeVar("F", bound=Callable[..., Selection])


def register(
    name: str,
    *,
    space: str | None = None,
    starts_lowest: bool = False,
    uses_start: bool = True,
    uses_seed: bool = True,
    repeats: bool = False,
    order_matters: bool = False,
) -> Callable[[F], F]:
    """Return a decorator that registers a selector as ``name``; its errors begin with that name.

    Put the function into a module of its own whose name differs from the function's, because
    Python binds a submodule's name in its package.

    Args:
        name: A lower-case identifier.
        space: See :class:`Properties`, like all that follow.
        starts_lowest: Whether PXGen passes the lowest member as ``start``.
        uses_start: Whether ``start`` has an effect.
        uses_seed: Whether ``seed`` has an effect.
        repeats: Whether equal rows may be picked while others are left.
        order_matters: Whether the picks may depend on the order of the rows.

    Raises:
        ParameterError: When the name is no lower-case identifier, or is taken.
    """
    declared = Properties(space, starts_lowest, uses_start, uses_seed, repeats, order_matters)

    def add(function: F) -> F:
        selector: F = caller(name)(function)
        REGISTRY.register(name)(selector)
        _PROPERTIES[name] = declared
        return selector

    return add


def properties(name: str) -> Properties:
    """Return what the selector ``name`` declares; the defaults where it declares nothing.

    Raises:
        ParameterError: When no selector has that name.

    Example:
        >>> properties("top").space, properties("k_dispersion").starts_lowest
        ('anchor_value', True)
    """
    REGISTRY.get(name)
    return _PROPERTIES.get(name, Properties())


def matrix(X: Any) -> Array:
    """Return ``X`` as a 2-D numpy array without copying what is an array already.

    One dimension is read as one column. Memory-mapped arrays stay on disk. Values are not looked
    at: see :func:`check_finite`.

    Args:
        X: An array, tensor or nested sequence of real numbers, shape (n, d) or (n,).

    Raises:
        ParameterError: When it is no real table, or has no rows or no columns.
    """
    allowed = "a table of numbers with shape (n, d)"
    if hasattr(X, "detach"):
        X = X.detach().cpu()
        X = X.float().numpy() if str(X.dtype) == "torch.bfloat16" else X.numpy()
    try:
        array: Array = np.asanyarray(X)
    except Exception as error:
        hint = "Pass a numpy array or a tensor with one row per anchor."
        raise ParameterError("X", allowed, short_repr(X), hint) from error
    if array.dtype.kind not in "fiub":
        hint = "Pass real numbers; encode labels and dates as numbers first."
        raise ParameterError("X", allowed, short_repr(array), hint)
    if array.ndim == 1:
        array = array[:, None]
    if array.ndim != 2:
        hint = "Flatten each anchor to one row: X.reshape(len(X), -1)."
        raise ParameterError("X", allowed, short_repr(X), hint)
    if 0 in array.shape:
        hint = "Give at least one row and one column."
        raise ParameterError("X", allowed, short_repr(array), hint)
    return array


def check_finite(X: Array) -> None:
    """Raise unless every value is finite and small enough for its square to be finite.

    Args:
        X: Table of shape (n, d), read block by block.

    Raises:
        ParameterError: Naming the first rows that hold NaN, infinity or more than 1e150.
    """
    step = max(1, _BLOCK // X.shape[1])
    bad: list[int] = []
    total = 0
    for first in range(0, len(X), step):
        block = X[first : first + step]
        # NaN fails the comparison too, so one test finds all three kinds.
        rows = np.flatnonzero(~(np.abs(block.astype(np.float64)) <= 1e150).all(axis=1)) + first
        total += len(rows)
        bad.extend(int(row) for row in rows[: 5 - len(bad)])
    if total:
        more = f" and {total - len(bad)} more" if total > len(bad) else ""
        got = f"NaN, infinity or a value over 1e150 in rows {', '.join(map(str, bad))}{more}"
        hint = "Leave these rows out, or correct them."
        raise ParameterError("X", "finite", got, hint)


def count(k: Any, n: int) -> int:
    """Return how many rows to pick, at most n; asking for more warns.

    Raises:
        ParameterError: When ``k`` is no integer >= 1.
    """
    wanted = integer(k, "k", minimum=1, hint="Ask for at least one representative.")
    if wanted > n:
        message = f"k must be at most the number of rows; got {wanted}. All {n} are used."
        warn(message)
    return min(wanted, n)


def row(start: Any, n: int) -> int | None:
    """Return ``start`` as the index of a row, or None when it is None.

    Raises:
        ParameterError: When it is no integer in [0, n).
    """
    if start is None:
        return None
    hint = f"Pass an index from 0 to {n - 1}, or None."
    index = integer(start, "start", minimum=0, hint=hint)
    if index >= n:
        raise ParameterError("start", f"an integer < {n}", short_repr(start), hint)
    return index
