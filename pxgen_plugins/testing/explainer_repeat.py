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
    generators = moved_generators(before)
    expect(not generators, f"__init__ moved the global state of {', '.join(generators)}")


@SUITE.check(18)
def fit_leaves_global_random_state(case: ExplainerCase) -> None:
    """``fit`` leaves the generators of random, numpy and torch alone."""
    if case.fit_args is None:
        skip("no fit")
    explainer = case.new()
    before = random_state()
    case.fit(explainer)
    generators = moved_generators(before)
    expect(not generators, f"fit moved the global state of {', '.join(generators)}")


@SUITE.check(18)
def explain_leaves_global_random_state(case: ExplainerCase) -> None:
    """``explain`` leaves the generators of random, numpy and torch alone."""
    explainer = case.fit_new()
    before = random_state()
    case.explain(explainer)
    generators = moved_generators(before)
    expect(not generators, f"explain moved the global state of {', '.join(generators)}")


@SUITE.check(19)
def new_instances_agree(case: ExplainerCase) -> None:
    """Two instances with the same arguments agree, whatever the global random state is."""
    one = case.explain_new().data
    with other_random_state():
        other = case.explain_new().data
    changes = differences(one, other)
    expect(not changes, f"two instances differ: {changes[:3]}")


@SUITE.check(19)
def second_explain_agrees(case: ExplainerCase) -> None:
    """A second ``explain`` of the same input on the same instance agrees with the first."""
    explainer = case.fit_new()
    one = case.explain(explainer).data
    with other_random_state():
        other = case.explain(explainer).data
    changes = differences(one, other)
    expect(not changes, f"the second explanation differs: {changes[:3]}")


@SUITE.check(19)
def another_seed_differs(case: ExplainerCase) -> None:
    """Another seed gives another explanation where sampling is used."""
    if not (case.seed_matters and case.has_option(case.seed_option)):
        skip("no seed that matters")
    one = case.explain(case.fit_new(**{case.seed_option: 1})).data
    other = case.explain(case.fit_new(**{case.seed_option: 2})).data
    expect(differences(one, other), "seeds 1 and 2 give the same explanation")


@SUITE.check(27)
def threads_agree(case: ExplainerCase) -> None:
    """Four threads that explain on one instance get what they would get one after the other."""
    inputs = [case.X.copy() for _ in range(2 * _THREADS)]
    if case.batched:
        inputs = [np.roll(X, shift, axis=0) for shift, X in enumerate(inputs)]
    single = case.fit_new()
    expected = [case.explain(single, X.copy()).data for X in inputs]
    shared = case.fit_new()
    with ThreadPoolExecutor(_THREADS) as pool:
        results = list(pool.map(lambda X: case.explain(shared, X).data, inputs))
    for number, (result, alone) in enumerate(zip(results, expected, strict=True)):
        changes = differences(result, alone, rtol=case.rtol, atol=case.atol)
        expect(not changes, f"call {number} differs from the sequential one: {changes[:3]}")


@SUITE.check(29)
def use_is_silent(case: ExplainerCase) -> None:
    """With ``verbose=False`` nothing reaches standard output or standard error."""
    options = {case.verbose_option: False} if case.has_option(case.verbose_option) else {}
    predictor = case.make_predictor()
    with captured_output() as output:
        explainer = case.fit_new(predictor, **options)
        case.explain(explainer)
        repr(explainer)
    text = " ".join(output.text.split())
    expect(not text, f"it wrote {text[:200]!r}")


@SUITE.check(29)
def logging_is_not_configured(case: ExplainerCase) -> None:
    """Use adds no handler to the root logger and leaves its level."""
    root = logging.getLogger()
    before = (root.level, list(root.handlers))
    case.explain_new()
    expect((root.level, list(root.handlers)) == before, "use of the explainer configured logging")
