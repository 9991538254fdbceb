"""The suite itself: a good explainer passes, and each way of breaking it is named."""

from __future__ import annotations

import dataclasses
import functools
import unittest

import numpy as np
import pytest

from pxgen_plugins.host import alibi_version
from pxgen_plugins.testing import check_explainer, explainer_checks, parametrize_with_checks

from . import toy
from .mutants import MUTANTS
from .support import failing
from .toy import toy_case


@parametrize_with_checks([toy_case()], explainer_checks())
def test_a_good_explainer_passes(subject, check):
    check(subject)


@functools.cache
def skipped():
    """Why checks do not run on the good explainer, by name: those of alibi's saving."""
    reasons = {}
    for check in explainer_checks():
        try:
            check(toy_case())
        except unittest.SkipTest as reason:
            reasons[check.name] = str(reason)
    return reasons


def test_no_check_is_skipped_on_the_good_explainer_but_for_want_of_alibi():
    assert all("needs alibi" in reason for reason in skipped().values())
    assert not skipped() or alibi_version() is None


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda cls: cls.__name__)
def test_a_broken_explainer_is_noticed(mutant):
    more = (
        {"explain_kwargs": {"scale": np.array(2.0)}} if mutant.__name__ == "ArrayArgument" else {}
    )
    noticed = MUTANTS[mutant] - set(skipped())
    if not noticed:
        pytest.importorskip("alibi")
    assert failing(explainer_checks(), toy_case(mutant, **more)) >= noticed


def test_every_check_is_shown_to_fail():
    noticed = set().union(*MUTANTS.values())
    assert noticed == {check.name for check in explainer_checks()}


def test_every_failure_is_listed_by_name():
    both = next(cls for cls, names in MUTANTS.items() if len(names) == 2)
    with pytest.raises(AssertionError) as caught:
        check_explainer(toy_case(both))
    for name in MUTANTS[both]:
        assert f"- {name} (point" in str(caught.value)


def test_a_failure_that_was_expected_is_not_reported():
    broken = next(cls for cls, names in MUTANTS.items() if names == {"fit_returns_self"})
    check_explainer(toy_case(broken, expected_failures={"fit_returns_self": "known"}))


def test_an_expected_failure_that_passes_is_reported():
    case = toy_case(expected_failures={"fit_returns_self": "was known"})
    with pytest.raises(AssertionError, match="fit_returns_self: passes, but was expected to fail"):
        check_explainer(case)


def test_a_check_that_does_not_exist_cannot_be_expected_to_fail():
    case = toy_case(expected_failures={"fit_returns_them": "misspelt"})
    with pytest.raises(AssertionError, match="fit_returns_them: named by the case"):
        check_explainer(case)
    with pytest.raises(ValueError, match="fit_returns_them"):
        parametrize_with_checks([case], explainer_checks())


def test_a_check_that_is_not_to_run_is_left_out():
    def stop(*_):
        raise KeyboardInterrupt

    case = toy_case(not_run={check.name: "no reason" for check in explainer_checks()}, make=stop)
    check_explainer(case)


def test_expected_failures_become_strict_xfail_marks():
    case = toy_case(
        expected_failures={"fit_returns_self": "known"}, not_run={"threads_agree": "crashes"}
    )
    mark = parametrize_with_checks([case], explainer_checks())
    marked = {p.id: p.marks[0].kwargs for p in mark.args[1] if p.marks}
    assert marked == {
        "Toy-fit_returns_self": {"reason": "known", "strict": True},
        "Toy-threads_agree": {"reason": "crashes", "run": False},
    }


def test_a_predictor_that_no_other_process_can_import_is_told():
    pytest.importorskip("alibi")
    case = toy_case(make_predictor=lambda: toy.make_predictor())
    with pytest.raises(AssertionError, match="top level of a module"):
        check_explainer(case)


def test_the_names_of_checks_are_unique_and_say_what_is_required():
    checks = explainer_checks()
    assert len({check.name for check in checks}) == len(checks)
    assert all(check.requirement.endswith(".") for check in checks)


def test_the_suite_covers_the_points_of_the_contract():
    points = {point for check in explainer_checks() for point in check.points}
    assert points == {*range(1, 13), *range(15, 24), 25, 26, 27, 28, 29}


def test_cases_can_be_changed():
    assert dataclasses.replace(toy_case(), name="other").name == "other"
