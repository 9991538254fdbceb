"""What one worker does with one shard of a table, and how the driver asks all of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from pxgen_plugins.errors import ParameterError, describe
from pxgen_plugins.selection.base import Array, Floats, Indices, check_finite, matrix

__all__ = [
    "Front",
    "Loader",
    "Map",
    "Owners",
    "ShardSource",
    "State",
    "Table",
    "advance",
    "fetch",
    "nearest_row",
    "on_all",
    "survey",
]

Map = Callable[..., Iterable[Any]]
Owners = NDArray[np.int32]

_CELLS = 1 << 16
_CHUNK = 32
_EPS = 2.0**-53


class ShardSource(Protocol):
    """Shards by number: shard i has the rows after those of shards 0 to i - 1."""

    def __len__(self) -> int:
        """Return the number of shards."""

    def load(self, index: int) -> Any:
        """Return the rows of a shard, shape (n_i, d); the same at every call."""


class Loader(NamedTuple):
    """How a worker reads its shard; it is sent to the worker, the rows are not."""

    shard: int
    load: Callable[[], Any]
    where: str
    shape: tuple[int, ...] | None = None

    def read(self) -> Array:
        """Return the shard as a table, shape (n_i, d); an empty one has shape (0, 1).

        Raises:
            ParameterError: When it is no table, or not of the shape that it had before.
        """
        found = self.load()
        if getattr(found, "shape", (1,))[:1] == (0,) or (isinstance(found, list) and not found):
            table = np.empty((0, 1))
        else:
            table = matrix(found, self.name)
        if self.shape is not None and table.shape != self.shape:
            got = f"shape {self.shape}, then {table.shape}"
            do = "Let it return the same rows at every call."
            raise ParameterError("shards", self.name, "the same at every load", got, do)
        return table

    @property
    def name(self) -> str:
        return f"{self.where}, shard {self.shard}"


class Summary(NamedTuple):
    """One shard at first sight."""

    shard: int
    shape: tuple[int, ...]
    total: Floats
    low: float
    high: float


class Table(NamedTuple):
    """What the driver knows of the whole table.

    Attributes:
        loaders: One for each shard.
        offsets: First row of each shard, and the number of rows at the end.
        mean: Mean row, float64, shape (d,).
        scale: A power of two that values are divided by before they are squared.
    """

    loaders: list[Loader]
    offsets: list[int]
    mean: Floats
    scale: float

    @property
    def n(self) -> int:
        return self.offsets[-1]


class Front(NamedTuple):
    """One shard after a pass.

    Attributes:
        shard: Its number.
        squares: Squared distance of each row to its nearest pick, (n_i,) float64.
        owners: Position of that pick, (n_i,) int32; of equal ones the first.
        rows: Candidates: rows of the shard, farthest first, of equal ones the lowest first.
        values: Their features in units of the scale, (m, d) float64.
        outside: (negative square, row) of the farthest row that is no candidate, or None.
    """

    shard: int
    squares: Floats
    owners: Owners
    rows: Indices
    values: Floats
    outside: tuple[float, int] | None


def loaders(shards: Sequence[Callable[[], Any]] | ShardSource, where: str) -> list[Loader]:
    """Return how to read each shard.

    Raises:
        ParameterError: When ``shards`` is neither a sequence of callables nor has ``load``.
    """
    allowed = "a sequence of functions without arguments, or an object with len() and load(i)"
    do = "Pass functions that return the rows of a shard, shape (n_i, d)."
    load = getattr(shards, "load", None)
    if not hasattr(shards, "__len__") or not (callable(load) or hasattr(shards, "__getitem__")):
        raise ParameterError("shards", where, allowed, describe(shards), do)
    numbers = range(len(shards))
    listed: Any = shards
    each = [partial(load, i) for i in numbers] if callable(load) else [listed[i] for i in numbers]
    for one in each:
        if not callable(one):
            raise ParameterError("shards", where, allowed, describe(one), do)
    return [Loader(index, one, where) for index, one in enumerate(each)]


def on_all(map: Map, function: Callable[..., Any], *columns: Sequence[Any]) -> list[Any]:
    """Return the results for all shards in the order of the shards, whatever order they come in."""
    return sorted(map(function, *columns), key=lambda result: int(result.shard))


def survey(shards: Sequence[Callable[[], Any]] | ShardSource, map: Map, where: str) -> Table:
    """Read every shard once: sizes, mean and range.

    Raises:
        ParameterError: On NaN or infinity, when there are no rows at all, or when the shards
            differ in their number of columns.
    """
    read = loaders(shards, where)
    found: list[Summary] = on_all(map, _summary, read)
    full = [one for one in found if one.shape[0]]
    if not full:
        do = "Give at least one row in one shard."
        raise ParameterError("shards", where, "of one row at least", "no rows", do)
    for one in full:
        width, other = full[0].shape[1], one.shape[1]
        if width != other:
            got = f"{width} columns in shard {full[0].shard} and {other} in shard {one.shard}"
            do = "Give all shards the same features."
            raise ParameterError("shards", where, "of equal width", got, do)
    read = [loader._replace(shape=one.shape) for loader, one in zip(read, found, strict=True)]
    offsets = [0]
    for one in found:
        offsets.append(offsets[-1] + one.shape[0])
    mean = np.sum([one.total for one in full], axis=0) / offsets[-1]
    spread = max(one.high for one in full) - min(one.low for one in full)
    extreme = spread > 0 and not 1e-12 < spread < 1e12
    return Table(read, offsets, mean, float(2.0 ** np.ceil(np.log2(spread))) if extreme else 1.0)


def _summary(loader: Loader) -> Summary:
    X = loader.read()
    if len(X) == 0:
        return Summary(loader.shard, X.shape, np.empty(0), np.inf, -np.inf)
    check_finite(X, loader.name)
    total = np.zeros(X.shape[1])
    for _, block in blocks(X, 1.0):
        total += block.sum(axis=0)
    low, high = float(X.min()), float(X.max())
    return Summary(loader.shard, X.shape, total, low, high)


def blocks(X: Array, scale: float) -> Iterable[tuple[slice, Floats]]:
    """Yield (rows, their values in units of ``scale``, float64) over a table, piece by piece."""
    step = max(64, _CELLS // X.shape[1])
    for first in range(0, len(X), step):
        values = np.array(X[first : first + step], dtype=np.float64, order="C")
        if scale != 1.0:
            values /= scale
        yield slice(first, first + len(values)), values


def rows_of(X: Array, rows: Indices, scale: float) -> Floats:
    """Return some rows in units of ``scale``, float64, shape (len(rows), d)."""
    values = np.array(X[rows], dtype=np.float64, order="C")
    return values if scale == 1.0 else values / scale


class Near(NamedTuple):
    """One shard's rows nearest the mean: distinct squares, the first row of each, its values."""

    shard: int
    squares: Floats
    rows: Indices
    longest: float


def nearest_row(table: Table, map: Map) -> int:
    """Return the row nearest the mean, the lowest one of those equal up to rounding."""
    mean, scale = [table.mean / table.scale] * len(table.loaders), table.scale
    found: list[Near] = on_all(map, partial(_near, scale=scale), table.loaders, mean)
    tiny = 1e-14 * max(one.longest for one in found)
    best = min(float(one.squares.min()) for one in found if len(one.squares))
    for one in found:
        close = one.rows[one.squares <= best + tiny]
        if len(close):
            return table.offsets[one.shard] + int(close.min())
    raise AssertionError("the row of the least square is close to itself")


def _near(loader: Loader, mean: Floats, scale: float) -> Near:
    X = loader.read()
    squares = np.empty(len(X))
    for span, values in blocks(X, scale) if len(X) else ():
        values -= mean
        values *= values
        squares[span] = values.sum(axis=1)
    longest = float(squares.max(initial=0.0))
    # Only squares equal up to rounding to the least of all matter, and those are few.
    distinct, first = np.unique(squares, return_index=True)
    return Near(loader.shard, distinct[:64], first[:64].astype(np.int64), longest)


class State(NamedTuple):
    """What one worker is given for a pass."""

    loader: Loader
    squares: Floats | None
    owners: Owners | None


def fetch(loader: Loader, rows: Indices, scale: float) -> Floats:
    """Return some rows of a shard, for a map of one call."""
    return rows_of(loader.read(), rows, scale)


def advance(
    state: State, picks: Floats, first: int, mean: Floats, scale: float, size: int
) -> Front:
    """Lower a shard's squared distances by some new picks, and return its candidates.

    Squares are float64 sums of squared differences. A matrix product about the mean tells, within
    a bound of its rounding, which of them can be less than what is known; only those are computed.

    Args:
        state: The shard, and its squares and owners after the earlier picks.
        picks: New picks in units of ``scale``, shape (p, d).
        first: Position of the first of them among all picks.
        mean: Mean of all rows in units of ``scale``, shape (d,).
        scale: See :class:`Table`.
        size: Number of candidates.
    """
    X = state.loader.read()
    if state.squares is None or state.owners is None:
        squares, owners = np.full(len(X), np.inf), np.zeros(len(X), dtype=np.int32)
    else:
        # What came through a process is read-only at times, and the caller's must stay.
        squares, owners = state.squares.copy(), state.owners.copy()
    for span, values in blocks(X, scale) if len(X) else ():
        for start in range(0, len(picks), _CHUNK):
            chunk = picks[start : start + _CHUNK]
            _lower(values, chunk, mean, squares[span], owners[span], first + start)
    rows = np.arange(len(X), dtype=np.int64)
    if len(X) > size + 1:
        edge = np.partition(squares, len(X) - size - 1)[len(X) - size - 1]
        # Rows equal to the edge compete by their index: the lowest of them come first.
        above, tied = np.flatnonzero(squares > edge), np.flatnonzero(squares == edge)
        rows = np.concatenate([above, tied[: size + 1 - len(above)]])
    rows = rows[np.lexsort((rows, -squares[rows]))]
    outside = None
    if len(rows) > size:
        outside = (-float(squares[rows[size]]), int(rows[size]))
        rows = rows[:size]
    chosen = rows_of(X, rows, scale) if len(rows) else np.empty((0, len(mean)))
    return Front(state.loader.shard, squares, owners, rows, chosen, outside)


def _lower(
    values: Floats, picks: Floats, mean: Floats, squares: Floats, owners: Owners, first: int
) -> None:
    """Lower squares and owners of one block in place."""
    about, centres = values - mean, picks - mean
    norms = np.einsum("ij,ij->i", about, about)
    lengths = np.einsum("ij,ij->i", centres, centres)
    rough = (-2.0 * centres) @ about.T
    rough += norms
    rough += lengths[:, None]
    # |error| <= gamma (|x| + |c|)^2 <= 2 gamma (|x|^2 + |c|^2), and an underflow here and there.
    error = (norms + lengths[:, None]) * (4 * (len(mean) + 16) * _EPS) + 1e-300
    limit = np.minimum(squares, (rough + error).min(axis=0))
    possible = rough - error <= limit
    for position in np.flatnonzero(possible.any(axis=1)):
        rows = np.flatnonzero(possible[position])
        difference = values[rows] - picks[position]
        difference *= difference
        exact = difference.sum(axis=1)
        closer = exact < squares[rows]
        squares[rows[closer]] = exact[closer]
        owners[rows[closer]] = first + position
