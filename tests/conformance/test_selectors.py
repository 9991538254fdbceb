"""Every registered selector under the suite for selectors, and the suite itself."""

from __future__ import annotations

import dataclasses
import warnings

import numpy as np
import pytest

from pxgen_plugins import selection
from pxgen_plugins.selection import Properties, Selection
from pxgen_plugins.testing import (
    SelectorCase,
    check_selector,
    parametrize_with_checks,
    selector_checks,
)
from pxgen_plugins.testing.selectors import selector_case
from pxgen_plugins.utils.errors import ParameterError, PXGenWarning

from .support import failing

CASES = [
    *(selector_case(name) for name in selection.names()),
    dataclasses.replace(
        selector_case("k_dispersion", {"objective": "max_sum"}),
        expected_failures={
            "duplicates_are_picked_last": "documented: repeats may make the sum larger, and the "
            "sum has to stay within 1.2 of the best"
        },
    ),
    # which exchanges are tried follows the order of the rows
    selector_case("k_center", {"refine": True}, Properties(order_matters=True)),
]


@parametrize_with_checks(CASES, selector_checks())
def test_a_registered_selector_keeps_the_contract(subject, check):
    check(subject)


def refuse(parameter, got):
    raise ParameterError(parameter, "allowed", repr(got), "Change it.")


def good(X, k, *, start=None, seed=0):
    """The k lowest rows by their first column; `start` first."""
    try:
        X = np.asarray(X.detach() if hasattr(X, "detach") else X)
        X = (X[:, None] if X.ndim == 1 else X).astype(np.float64, casting="same_kind")
    except (ValueError, TypeError):
        refuse("X", "no numbers")
    if X.ndim != 2 or 0 in X.shape:
        refuse("X", X.shape)
    if not np.isfinite(X).all():
        refuse("X", f"rows {np.flatnonzero(~np.isfinite(X).all(1))}")
    if isinstance(k, bool) or not isinstance(k, int) or k < 1:
        refuse("k", k)
    bad = not isinstance(start, int) or not 0 <= start < len(X)
    if start is not None and bad:
        refuse("start", start)
    if isinstance(seed, bool) or not isinstance(seed, int) or seed < 0:
        refuse("seed", seed)
    if k > len(X):
        warnings.warn("too many", PXGenWarning, stacklevel=2)
        k = len(X)
    _, first = np.unique(X, axis=0, return_index=True)
    first = np.sort(first)
    rest = np.setdiff1d(np.arange(len(X)), first)
    order = np.concatenate([first[np.argsort(X[first, 0], kind="stable")], rest])
    if start is not None:
        order = np.concatenate([[start], order[order != start]])
    picks = order[:k].astype(np.int64)
    gaps = ((X[:, None] - X[picks][None]) ** 2).sum(2)
    nearest = gaps.argmin(1)
    nearest[picks] = np.arange(k)
    return Selection(picks, float(gaps.min(1).max()), nearest)


def with_objective(X, k, **options):
    found = good(X, k, **options)
    return Selection(found.indices, np.nan, found.assignment)


def same_row_again(X, k, **options):
    found = good(X, k, **options)
    return Selection(found.indices[[0] * len(found)], found.objective)


def assigns_nowhere(X, k, **options):
    found = good(X, k, **options)
    return Selection(found.indices, found.objective, np.zeros(len(X), dtype=np.int64))


def no_seed(X, k, *, start=None):
    return good(X, k, start=start)


def any_seed(X, k, *, start=None, seed=0):
    return good(X, k, start=start)


def start_by_seed(X, k, *, start=None, seed=0):
    found = good(X, k, start=start, seed=seed)
    return good(X, k, start=seed % len(X)) if start is None and seed < 2**32 else found


def two_dimensions_only(X, k, **options):
    if np.ndim(X) == 1:
        raise IndexError("one dimension")
    return good(X, k, **options)


def rows_as_they_come(X, k, **options):
    found = good(X, k, **options)
    first = np.sort(np.unique(np.asarray(X), axis=0, return_index=True)[1])
    rest = np.setdiff1d(np.arange(len(X)), first)
    return Selection(np.concatenate([first, rest])[: len(found)], 0.0)


def no_warning(X, k, **options):
    return good(X, min(k, len(X)) if isinstance(k, int) else k, **options)


def any_k(X, k, **options):
    return good(X, max(int(k or 1), 1), **options)


def any_table(X, k, **options):
    return good(np.nan_to_num(X), k, **options)


def any_start(X, k, *, start=None, seed=0):
    return good(X, k, seed=seed)


def random_start(X, k, *, start=None, seed=0):
    found = good(X, k, start=start)
    if start is None and isinstance(k, int):
        return good(X, k, start=int(np.random.randint(len(X))))  # noqa: NPY002
    return found


def first_rows(X, k, **options):
    good(X, k, **options)
    return Selection(np.arange(min(k, len(X))), 0.0)


def doubles_only(X, k, **options):
    if getattr(X, "dtype", None) != np.float64:
        raise TypeError("doubles only")
    return good(X, k, **options)


def several_rows_only(X, k, **options):
    if len(X) == 1:
        raise IndexError("one row")
    return good(X, k, **options)


def different_rows_only(X, k, **options):
    found = good(X, k, **options)
    if len(X) > 1 and (np.asarray(X) == np.asarray(X)[:1]).all():
        raise ZeroDivisionError("no spread")
    return found


def contiguous_only(X, k, **options):
    if isinstance(X, np.ndarray) and not X.flags.c_contiguous:
        raise ValueError("not contiguous")
    return good(X, k, **options)


def last_digits(X, k, *, start=None, seed=0):
    found = good(X, k, start=start)
    if start is None:
        return good(X, k, start=int(np.abs(np.asarray(X, dtype=float)).sum() * 1e9) % len(X))
    return found


def writes(X, k, **options):
    found = good(X, k, **options)
    if isinstance(X, np.ndarray) and X.flags.writeable:
        X[0] = 0
    return found


MUTANTS = {
    with_objective: "picks_are_different_rows",
    same_row_again: "picks_are_different_rows",
    assigns_nowhere: "assignment_points_to_picks",
    no_warning: "too_many_are_all_with_a_warning",
    any_k: "wrong_numbers_are_refused",
    any_table: "wrong_tables_are_refused",
    any_start: "start_is_a_row",
    no_seed: "start_and_seed_are_keywords",
    any_seed: "seed_is_a_number",
    two_dimensions_only: "one_dimension_is_one_column",
    rows_as_they_come: "rows_may_come_in_any_order",
    random_start: "same_arguments_give_the_same_picks",
    first_rows: "duplicates_are_picked_last",
    doubles_only: "number_types_agree",
    several_rows_only: "single_row_is_picked",
    different_rows_only: "equal_rows_are_fine",
    contiguous_only: "memory_layouts_agree",
    last_digits: "rounding_decides_nothing",
    writes: "input_is_not_modified",
}


def test_a_good_selector_passes():
    check_selector(good)


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda function: function.__name__)
def test_a_broken_selector_is_noticed(mutant):
    assert MUTANTS[mutant] in failing(selector_checks(), selector_case(mutant))


def test_a_name_registered_for_another_function_is_noticed():
    case = SelectorCase("mine", good, registered="k_center")
    assert failing(selector_checks(), case) == {"registered_name_stands_for_it"}


@pytest.mark.parametrize("mutant", [start_by_seed, good], ids=["seed", "start"])
def test_an_argument_that_is_declared_unused_and_is_not_is_noticed(mutant):
    declared = Properties(uses_seed=mutant is good, uses_start=mutant is not good)
    case = selector_case(mutant, properties=declared)
    assert failing(selector_checks(), case) == {"what_is_declared_unused_has_no_effect"}


def test_what_is_declared_is_not_asked():
    declared = Properties(repeats=True, order_matters=True)
    assert not failing(selector_checks(), selector_case(first_rows, properties=declared)) & {
        "duplicates_are_picked_last",
        "rows_may_come_in_any_order",
    }


def test_every_check_is_shown_to_fail():
    elsewhere = {
        "registered_name_stands_for_it",
        "global_random_state_is_left_alone",
        "what_is_declared_unused_has_no_effect",
    }
    assert {*MUTANTS.values(), *elsewhere} == {check.name for check in selector_checks()}


def test_use_of_global_randomness_is_noticed():
    assert "global_random_state_is_left_alone" in failing(
        selector_checks(), selector_case(random_start)
    )


def test_every_failure_is_listed_by_name():
    with pytest.raises(AssertionError) as caught:
        check_selector(any_table)
    assert "wrong_tables_are_refused: " in str(caught.value)


def test_a_name_that_is_not_registered_is_refused():
    with pytest.raises(ParameterError, match="k_centre"):
        check_selector("k_centre")
