"""The suite for selectors."""

from __future__ import annotations

import inspect
import math
import tempfile
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pxgen_plugins.selection.base import REGISTRY, Properties, Selection
from pxgen_plugins.selection.base import properties as properties_of
from pxgen_plugins.testing.checks import Check, Suite, expect
from pxgen_plugins.testing.guards import moved_generators, other_random_state, random_state
from pxgen_plugins.utils.errors import ParameterError, PXGenWarning

__all__ = ["SelectorCase", "check_selector", "selector_checks"]

Table = NDArray[Any]


@dataclass(frozen=True)
class SelectorCase:
    """A selector to check.

    Args:
        name: Name of the case.
        select: The selector.
        options: Further arguments for every call.
        registered: Name under which it is registered; None when it is not.
        properties: What it declares.
        expected_failures: Reasons, by name of the checks that fail today.
    """

    name: str
    select: Callable[..., Selection]
    options: Mapping[str, Any] = field(default_factory=dict)
    registered: str | None = None
    properties: Properties = field(default_factory=Properties)
    expected_failures: Mapping[str, str] = field(default_factory=dict)

    def __call__(self, X: Any, k: Any, **more: Any) -> Selection:
        """Select, with the case's options."""
        return self.select(X, k, **{**self.options, **more})

    @property
    def columns(self) -> int:
        """Features of the tables it is tried on."""
        return 1 if self.properties.space == "anchor_value" else 3

    def table(self, n: int = 40, seed: int = 0) -> Table:
        """Return n different rows; exact in float32, so that types agree."""
        drawn = np.random.default_rng(seed).normal(size=(n, self.columns))
        return drawn.astype(np.float32).astype(np.float64)


SUITE: Suite[SelectorCase] = Suite("selector")


@SUITE.check()
def registered_name_stands_for_it(case: SelectorCase) -> None:
    """The name it is registered under stands for this function."""
    if case.registered is not None:
        function = REGISTRY.get(case.registered)
        expect(function is case.select, f"{case.registered!r} is registered for another function")


@SUITE.check()
def start_and_seed_are_keywords(case: SelectorCase) -> None:
    """``start`` and ``seed`` are taken by name, by default None and 0."""
    parameters = inspect.signature(case.select).parameters
    if any(p.kind is p.VAR_KEYWORD for p in parameters.values()):
        return  # handed on to another function
    for name, default in (("start", None), ("seed", 0)):
        expect(name in parameters, f"it takes no {name}")
        value = parameters[name].default
        expect(value == default and type(value) is type(default), f"{name} is {value!r} by default")


@SUITE.check()
def picks_are_different_rows(case: SelectorCase) -> None:
    """Picks are k different row numbers in range, as int64, with an objective that is a number."""
    X = case.table()
    for k in (1, 2, 7, len(X)):
        _expect_selection(case(X, k), X, k)


@SUITE.check()
def assignment_points_to_picks(case: SelectorCase) -> None:
    """Where rows are assigned, each is to one of the picks, and a pick to itself."""
    X = case.table()
    selection = case(X, 5)
    if selection.assignment is None:
        return
    position = np.asarray(selection.assignment)
    expect(position.shape == (len(X),), f"assignment has shape {position.shape}")
    expect(position.dtype == np.int64, f"assignment is {position.dtype}")
    inside = (position >= 0) & (position < 5)
    expect(bool(inside.all()), "assignment leaves the range of the picks")
    own = position[np.asarray(selection.indices)]
    expect(np.array_equal(own, np.arange(5)), f"the picks are assigned to {own.tolist()}")


@SUITE.check()
def single_row_is_picked(case: SelectorCase) -> None:
    """One row gives that row."""
    X = case.table(1)
    _expect_selection(case(X, 1), X, 1)


@SUITE.check()
def too_many_are_all_with_a_warning(case: SelectorCase) -> None:
    """More than n gives all n rows and a PXGenWarning."""
    X = case.table(4)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        picks = np.asarray(case(X, 9).indices)
    expect(sorted(picks.tolist()) == [0, 1, 2, 3], f"picked {picks}")
    kinds = [w.category for w in caught]
    expect(any(issubclass(kind, PXGenWarning) for kind in kinds), f"warnings were {kinds}")


@SUITE.check()
def wrong_numbers_are_refused(case: SelectorCase) -> None:
    """Only a positive integer is taken as k, or ParameterError is raised."""
    X = case.table()
    for k in (0, -1, 2.5, True, "3", None):
        _expect_refused(partial(case, X, k), f"k={k!r}")


@SUITE.check()
def wrong_tables_are_refused(case: SelectorCase) -> None:
    """NaN, infinity and what is no table of real numbers raise ParameterError."""
    for bad in (np.nan, np.inf, -np.inf):
        X = case.table()
        X[11, -1] = bad
        _expect_refused(partial(case, X, 3), f"a table with {bad}", mention="11")
    _expect_refused(partial(case, np.empty((0, case.columns)), 1), "a table without rows")
    _expect_refused(partial(case, np.empty((4, 0)), 1), "a table without columns")
    _expect_refused(partial(case, np.zeros((4, 2, 2)), 1), "a table of three dimensions")
    _expect_refused(partial(case, np.full((4, case.columns), "a"), 1), "a table of text")
    _expect_refused(partial(case, np.zeros((4, case.columns), complex), 1), "complex numbers")
    _expect_refused(partial(case, [[1.0], [1.0, 2.0]], 1), "rows of different lengths")
    for other in (5.0, None):
        _expect_refused(partial(case, other, 1), f"{other} in the place of a table")


@SUITE.check()
def start_is_a_row(case: SelectorCase) -> None:
    """``start`` takes a row number, and refuses one that is out of range."""
    X = case.table()
    _expect_selection(case(X, 3, start=17), X, 3)
    for start in (len(X), -1, 1.5):
        _expect_refused(partial(case, X, 3, start=start), f"start={start!r}")


@SUITE.check()
def seed_is_a_number(case: SelectorCase) -> None:
    """Only an integer >= 0 is taken as seed, also where it has no effect."""
    X = case.table()
    _expect_selection(case(X, 3, seed=2**63 - 1), X, 3)
    for seed in (-1, 1.5, "0", None):
        _expect_refused(partial(case, X, 3, seed=seed), f"seed={seed!r}")


@SUITE.check()
def what_is_declared_unused_has_no_effect(case: SelectorCase) -> None:
    """Where ``uses_seed`` or ``uses_start`` is False, the argument changes nothing."""
    X = case.table()
    one = case(X, 6)
    others = [] if case.properties.uses_seed else [case(X, 6, seed=5)]
    others += [] if case.properties.uses_start else [case(X, 6, start=17)]
    for other in others:
        expect(np.array_equal(one.indices, other.indices), "other rows were picked")
        expect(one.objective == other.objective, "the objective changed")


@SUITE.check()
def rows_may_come_in_any_order(case: SelectorCase) -> None:
    """From the same start the same rows are picked, unless ``order_matters`` is declared."""
    if case.properties.order_matters:
        return
    X = case.table(200)  # so many that nothing is decided by a tie, as in a cluster of two rows
    order = np.random.default_rng(1).permutation(len(X))
    picks = np.asarray(case(X, 9, start=17).indices)
    others = np.asarray(case(X[order], 9, start=int(np.flatnonzero(order == 17)[0])).indices)
    same = np.array_equal(np.sort(order[others]), np.sort(picks))
    expect(same, f"{np.sort(order[others])} against {np.sort(picks)} in another order")


@SUITE.check()
def same_arguments_give_the_same_picks(case: SelectorCase) -> None:
    """Two calls agree exactly, whatever the global random state is; any seed works."""
    X = case.table()
    for seed in (0, 5):
        one = case(X, 6, seed=seed)
        with other_random_state():
            other = case(X, 6, seed=seed)
        expect(np.array_equal(one.indices, other.indices), f"seed {seed}: two calls differ")
        expect(one.objective == other.objective, f"seed {seed}: objectives differ")


@SUITE.check()
def global_random_state_is_left_alone(case: SelectorCase) -> None:
    """Use leaves the generators of random, numpy and torch alone."""
    X = case.table()
    before = random_state()
    case(X, 6)
    moved = moved_generators(before)
    expect(not moved, f"it moved the global state of {', '.join(moved)}")


@SUITE.check()
def duplicates_are_picked_last(case: SelectorCase) -> None:
    """No row is picked that equals a pick while others are left, unless ``repeats`` is declared."""
    distinct = case.table(6, seed=2)
    X = np.repeat(distinct, 5, axis=0)
    values = {tuple(row) for row in X[np.asarray(case(X, 6).indices)]}
    least = 1 if case.properties.repeats else 6
    expect(len(values) >= least, f"6 picks out of 6 distinct rows have {len(values)} values")
    _expect_selection(case(X, 10), X, 10)


@SUITE.check()
def rounding_decides_nothing(case: SelectorCase) -> None:
    """Errors in the last digits leave the picks, also where two rows fit equally well."""
    rng = np.random.default_rng(4)
    for trial in range(8):
        centres = 10.0 * rng.normal(size=(5, case.columns))
        X = np.repeat(centres, 2, axis=0) + rng.normal(size=(10, case.columns))  # pairs
        picks = np.asarray(case(X, 5, seed=trial).indices)
        for factor in (1.0, 7.0, 1.0 / 3.0):
            noisy = factor * X * (1.0 + 1e-13 * rng.normal(size=X.shape))
            others = np.asarray(case(noisy, 5, seed=trial).indices)
            same = np.array_equal(others, picks)
            expect(same, f"{others} against {picks} after errors of 1e-13")


@SUITE.check()
def equal_rows_are_fine(case: SelectorCase) -> None:
    """A table of equal rows gives k different row numbers."""
    for value in (0.0, 1.0, -3.25e8):
        X = np.full((12, case.columns), value)
        _expect_selection(case(X, 5), X, 5)


@SUITE.check()
def number_types_agree(case: SelectorCase) -> None:
    """Other number types and lists work as float64 of the same values does."""
    for dtype in (np.float32, np.float16, ">f8", np.int64, np.int16, np.uint8, bool):
        X = np.abs(4 * case.table(30)).astype(dtype)
        picks, others = (np.asarray(case(Y, 5).indices) for Y in (X.astype(np.float64), X))
        expect(np.array_equal(others, picks), f"{np.dtype(dtype)}: {others} against {picks}")
    X = case.table(30)
    expect(np.array_equal(case(X.tolist(), 5).indices, case(X, 5).indices), "lists differ")


@SUITE.check()
def memory_layouts_agree(case: SelectorCase) -> None:
    """Strided, Fortran-ordered, read-only, memory-mapped and torch tables give the same picks."""
    import torch

    X = case.table()
    picks = np.asarray(case(X, 6).indices)
    read_only = X.copy()
    read_only.setflags(write=False)
    strided = np.repeat(np.repeat(X, 2, axis=0), 2, axis=1)[::2, ::2]
    tables: dict[str, Any] = {
        "strided": strided,
        "Fortran": np.asfortranarray(X),
        "reversed": X[::-1].copy()[::-1],
        "read-only": read_only,
        "torch": torch.tensor(X),
        "torch with gradients": torch.tensor(X, requires_grad=True),
    }
    for name, table in tables.items():
        others = np.asarray(case(table, 6).indices)
        expect(np.array_equal(others, picks), f"{name}: {others} against {picks}")
    with tempfile.TemporaryDirectory(prefix="pxgen-check-") as folder:
        path = Path(folder, "table.npy")
        np.save(path, X, allow_pickle=False)
        mapped = np.load(path, mmap_mode="r", allow_pickle=False)
        others = np.asarray(case(mapped, 6).indices)
        expect(np.array_equal(others, picks), f"memory-mapped: {others} against {picks}")
        del mapped


@SUITE.check()
def one_dimension_is_one_column(case: SelectorCase) -> None:
    """A table of shape (n,) is read as one of shape (n, 1)."""
    values = case.table(30)[:, 0]
    one, other = (np.asarray(case(X, 4).indices) for X in (values, values[:, None]))
    expect(np.array_equal(one, other), f"{one} against {other}")


@SUITE.check()
def input_is_not_modified(case: SelectorCase) -> None:
    """The table is the same before and after."""
    X = case.table()
    before = X.copy()
    case(X, 6)
    expect(np.array_equal(X, before), "the table changed")


def selector_checks() -> list[Check[SelectorCase]]:
    """Return the named checks of selectors.

    Example:
        >>> "duplicates_are_picked_last" in {check.name for check in selector_checks()}
        True
    """
    return SUITE.checks()


def check_selector(
    selector: str | Callable[..., Selection],
    *,
    options: Mapping[str, Any] | None = None,
    properties: Properties | None = None,
    expected_failures: Mapping[str, str] | None = None,
) -> None:
    """Check that a selector does what every part of the package expects of it.

    Args:
        selector: A registered name, or a function
            ``f(X, k, *, start=None, seed=0, **options) -> Selection``.
        options: Further arguments for every call.
        properties: What it declares; None takes what it was registered with.
        expected_failures: Reasons, by the names of checks that fail today.

    Raises:
        AssertionError: Naming every check that failed, with its message.
        ParameterError: When no selector has that name.
    """
    case = selector_case(selector, options, properties)
    SUITE.run(case, case.name, expected_failures)


def selector_case(
    selector: str | Callable[..., Selection],
    options: Mapping[str, Any] | None = None,
    properties: Properties | None = None,
) -> SelectorCase:
    """Return the case that :func:`check_selector` runs on."""
    options = dict(options or {})
    if not isinstance(selector, str):
        name = getattr(selector, "__name__", repr(selector))
        return SelectorCase(name, selector, options, properties=properties or Properties())
    name = selector + "".join(f" {key}={value}" for key, value in options.items())
    properties = properties or properties_of(selector)
    return SelectorCase(name, REGISTRY.get(selector), options, selector, properties)


def _expect_selection(result: Any, X: Table, k: int) -> None:
    expect(isinstance(result, Selection), f"it returned {type(result).__name__}, no Selection")
    indices = np.asarray(result.indices)
    expect(indices.shape == (k,), f"k={k} gave indices of shape {indices.shape}")
    expect(indices.dtype == np.int64, f"indices are {indices.dtype}")
    expect(len(set(indices.tolist())) == k, f"a row is picked twice: {indices.tolist()}")
    expect(bool(((indices >= 0) & (indices < len(X))).all()), f"out of range: {indices.tolist()}")
    expect(isinstance(result.objective, float), f"objective is {type(result.objective).__name__}")
    # a smallest distance between picks is infinite where there is one pick only
    bounded = math.isfinite(result.objective) or (k == 1 and not math.isnan(result.objective))
    expect(bounded, f"objective is {result.objective} for k={k}")


def _expect_refused(call: Callable[[], Any], what: str, mention: str = "") -> None:
    try:
        call()
    except ParameterError as error:
        expect(mention in str(error), f"{what}: the error does not mention {mention}: {error}")
    except Exception as error:
        kind = f"{type(error).__name__}: {error}"
        raise AssertionError(f"{what} raised {kind}, no ParameterError") from error
    else:
        raise AssertionError(f"{what} was accepted")
