"""Checks of randomness, threads and silence (points 18, 19, 27 and 29)."""

from __future__ import annotations

import logging
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from pxgen_plugins.testing.checks import expect, skip
from pxgen_plugins.testing.explainer_case import ExplainerCase
from pxgen_plugins.testing.explainer_interface import SUITE
from pxgen_plugins.testing.guards import (
    captured_output,
    moved_generators,
    other_random_state,
    random_state,
)
from pxgen_plugins.testing.trees import differences

__all__: list[str] = []

_THREADS = 4


@SUITE.check(18)
def init_leaves_global_random_state(case: ExplainerCase) -> None:
    """Construction leaves the generators of random, numpy and torch alone."""
    predictor = case.make_predictor()
    before = random_state()
    case.new(predictor)
    moved = moved_generators(before)
    expect(not moved, f"__init__ moved the global state of {', '.join(moved)}")


@SUITE.check(18)
def fit_leaves_global_random_state(case: ExplainerCase) -> None:
    """``fit`` leaves the generators of random, numpy and torch alone."""
    if case.fit_args is None:
        skip("no fit")
    explainer = case.new()
    before = random_state()
    case.fit(explainer)
    moved = moved_generators(before)
    expect(not moved, f"fit moved the global state of {', '.join(moved)}")


@SUITE.check(18)
def explain_leaves_global_random_state(case: ExplainerCase) -> None:
    """``explain`` leaves the generators of random, numpy and torch alone."""
    explainer = case.fitted()
    before = random_state()
    case.explain(explainer)
    moved = moved_generators(before)
    expect(not moved, f"explain moved the global state of {', '.join(moved)}")


@SUITE.check(19)
def new_instances_agree(case: ExplainerCase) -> None:
    """Two instances with the same arguments agree, whatever the global random state is."""
    one = case.explained().data
    with other_random_state():
        other = case.explained().data
    found = differences(one, other)
    expect(not found, f"two instances differ: {found[:3]}")


@SUITE.check(19)
def second_explain_agrees(case: ExplainerCase) -> None:
    """A second ``explain`` of the same input on the same instance agrees with the first."""
    explainer = case.fitted()
    one = case.explain(explainer).data
    with other_random_state():
        other = case.explain(explainer).data
    found = differences(one, other)
    expect(not found, f"the second explanation differs: {found[:3]}")


@SUITE.check(19)
def another_seed_differs(case: ExplainerCase) -> None:
    """Another seed gives another explanation where sampling is used."""
    if not (case.seed_matters and case.has_option(case.seed_option)):
        skip("no seed that matters")
    one = case.explain(case.fitted(**{case.seed_option: 1})).data
    other = case.explain(case.fitted(**{case.seed_option: 2})).data
    expect(differences(one, other), "seeds 1 and 2 give the same explanation")


@SUITE.check(27)
def threads_agree(case: ExplainerCase) -> None:
    """Four threads that explain on one instance get what they would get one after the other."""
    inputs = [case.X.copy() for _ in range(2 * _THREADS)]
    if case.batched:
        inputs = [np.roll(X, shift, axis=0) for shift, X in enumerate(inputs)]
    alone = case.fitted()
    expected = [case.explain(alone, X.copy()).data for X in inputs]
    shared = case.fitted()
    with ThreadPoolExecutor(_THREADS) as pool:
        results = list(pool.map(lambda X: case.explain(shared, X).data, inputs))
    for number, (result, wanted) in enumerate(zip(results, expected, strict=True)):
        found = differences(result, wanted, rtol=case.rtol, atol=case.atol)
        expect(not found, f"call {number} differs from the sequential one: {found[:3]}")


@SUITE.check(29)
def use_is_silent(case: ExplainerCase) -> None:
    """With ``verbose=False`` nothing reaches standard output or standard error."""
    options = {case.verbose_option: False} if case.has_option(case.verbose_option) else {}
    predictor = case.make_predictor()
    with captured_output() as output:
        explainer = case.fitted(predictor, **options)
        case.explain(explainer)
        repr(explainer)
    text = " ".join(output.text.split())
    expect(not text, f"it wrote {text[:200]!r}")


@SUITE.check(29)
def logging_is_not_configured(case: ExplainerCase) -> None:
    """Use adds no handler to the root logger and leaves its level."""
    root = logging.getLogger()
    before = (root.level, list(root.handlers))
    case.explained()
    expect((root.level, list(root.handlers)) == before, "use of the explainer configured logging")
