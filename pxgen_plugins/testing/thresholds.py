"""The suite for threshold rules."""

from __future__ import annotations

import inspect
import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pxgen_plugins.criteria.base import KINDS
from pxgen_plugins.criteria.black_box import Column
from pxgen_plugins.models import BlackBox
from pxgen_plugins.scoring import Scorer
from pxgen_plugins.testing.checks import Check, Suite, expect, skip
from pxgen_plugins.testing.guards import moved_generators, random_state
from pxgen_plugins.testing.trees import differences
from pxgen_plugins.thresholds import Calibration, Rule, make
from pxgen_plugins.thresholds.base import REGISTRY
from pxgen_plugins.utils.errors import CapabilityError, ModelError, ParameterError

__all__ = ["ThresholdCase", "check_threshold_rule", "threshold_checks"]

_SIZES = {"n_samples": 120, "n_repeats": 3}  # where a rule takes them: quick, yet with a spread
_NAMES = ("near", "far", "wide")
_RTOL = 1e-9

Floats = NDArray[np.float64]


def samples(n: int, seed: int) -> Floats:
    """Return ``n`` instances whose values under the three criteria of the suite are themselves."""
    draws = np.random.default_rng(seed).gamma(2.0, size=(n, len(_NAMES)))
    values: Floats = draws * np.array([1.0, 1.0, 50.0]) + np.array([0.0, 10.0, 0.0])
    return values


@dataclass(frozen=True)
class ThresholdCase:
    """A threshold rule to be checked.

    Args:
        name: Name of the case.
        make: Builds the rule; a new one each time.
        expected_failures: Reasons, by name of the checks that fail today.
    """

    name: str
    make: Callable[[], Rule]
    expected_failures: Mapping[str, str] = field(default_factory=dict)

    def calibrate(
        self,
        seed: int = 0,
        *,
        order: tuple[int, ...] = (0, 1, 2),
        sampler: Callable[[int, int], Any] | None = samples,
        batch_size: int | None = None,
    ) -> Calibration:
        """Return what a new rule finds for three criteria of a model made of numbers."""
        box = BlackBox(lambda X: X, sampler)
        columns = [Column(column=j, name=_NAMES[j], kind=KINDS[j > 0]) for j in order]
        return self.make().calibrate(Scorer(box, columns, batch_size=batch_size), seed)

    def values(self) -> Floats:
        """Return the values of one repeat, (s, m), for a rule that samples."""
        rule = self.make()
        if not rule.samples:
            skip("the rule draws no samples")
        return samples(getattr(rule, "n_samples", _SIZES["n_samples"]), 0)


SUITE: Suite[ThresholdCase] = Suite("threshold rule")


@SUITE.check()
def registered_name_is_its_class(case: ThresholdCase) -> None:
    """Where the class is registered, its name there is the class's own."""
    kind = type(case.make())
    expect(issubclass(kind, Rule), f"{kind.__name__} is no Rule")
    names = [name for name in REGISTRY.names() if REGISTRY.get(name) is kind]
    if not names:
        skip("not registered")
    # saved explainers and settings name the rule by its class
    expect(names == [kind.__name__], f"{kind.__name__} is registered as {', '.join(names)}")


@SUITE.check()
def parameters_rebuild_it(case: ThresholdCase) -> None:
    """``params`` is JSON, and a rule built from it finds the same thresholds."""
    rule = case.make()
    params = json.loads(json.dumps(rule.params, allow_nan=False))
    again = ThresholdCase(case.name, lambda: type(rule)(**params))
    expect(again.make().params == rule.params, f"{again.make().params} against {rule.params}")
    here, there = case.calibrate().thresholds, again.calibrate().thresholds
    expect(np.array_equal(here, there), f"the rebuilt rule gives {there}, not {here}")
    if type(rule).__name__ in REGISTRY.names():
        named = make({"name": type(rule).__name__, **params})
        expect(type(named) is type(rule), "the settings mapping gives another class")


@SUITE.check()
def wrong_sizes_are_refused(case: ThresholdCase) -> None:
    """No samples and no repeats are refused at construction, by name."""
    rule = case.make()
    sizes = [name for name in _SIZES if name in rule.params]
    if not sizes:
        skip("the rule takes no sizes")
    for name in sizes:
        error = _parameter_error(type(rule), **{**rule.params, name: 0})
        expect(error, f"{name}=0 was accepted")
        expect(name in error, f"the error does not mention {name!r}: {error}")


@SUITE.check()
def one_finite_threshold_per_criterion(case: ThresholdCase) -> None:
    """Thresholds have shape (m,), those of the repeats (r, m), and all are finite."""
    for m in (1, 2, 3):
        order = tuple(range(m))
        if m < len(_NAMES) and _parameter_error(case.calibrate, order=order):
            continue  # its parameters name all three
        result = case.calibrate(order=order)
        r = result.n_repeats
        expect(r >= 1, "there is no repeat")
        shapes = (result.thresholds.shape, result.repeats.shape)
        expect(shapes == ((m,), (r, m)), f"{m} criteria gave thresholds and repeats of {shapes}")
        finite = np.isfinite(result.thresholds).all() and np.isfinite(result.repeats).all()
        expect(finite, f"not finite on ordinary samples: {result.thresholds.tolist()}")


@SUITE.check()
def calibration_says_what_was_done(case: ThresholdCase) -> None:
    """The result names rule, parameters, criteria, samples and seed."""
    rule, result = case.make(), case.calibrate(seed=5)
    expect(result.method == type(rule).__name__, f"method is {result.method!r}")
    expect(result.params == rule.params, f"params are {result.params}")
    expect(tuple(result.names) == _NAMES, f"names are {result.names}")
    expect(result.seed == 5, f"seed is {result.seed}")
    expect(result.n_repeats <= getattr(rule, "n_repeats", 1), "more repeats than were asked for")
    if result.reference is None:
        expect(result.n_samples == 0, f"n_samples is {result.n_samples}, and no reference")
    else:
        repeats, rest = divmod(len(result.reference), result.n_samples)
        whole = 1 <= repeats <= result.n_repeats and not rest
        expect(whole, f"{len(result.reference)} in the reference, {result.n_samples} a repeat")


@SUITE.check()
def thresholds_lie_among_the_repeats(case: ThresholdCase) -> None:
    """The reported thresholds are within the range of the repeats', also of repeats drawn anew."""
    result, rule = case.calibrate(), case.make()
    repeats = result.repeats
    reported = rule.combine(repeats)
    expect(np.array_equal(result.thresholds, reported), "combine gives other thresholds")
    # studies may combine some of the repeats
    for rows in ([0] * len(repeats), [-1] * len(repeats), list(range(len(repeats)))):
        part = repeats[rows]
        cut = rule.combine(part)
        margin = _RTOL * np.abs(part).max(axis=0)
        inside = (part.min(axis=0) - margin <= cut) & (cut <= part.max(axis=0) + margin)
        expect(inside.all(), f"{cut.tolist()} from repeats {part.tolist()}")


@SUITE.check()
def thresholds_follow_their_criteria(case: ThresholdCase) -> None:
    """The criteria in another order have the same thresholds, in that order."""
    order = (2, 0, 1)
    turned, plain = case.calibrate(order=order), case.calibrate()
    same = np.allclose(turned.thresholds, plain.thresholds[list(order)], rtol=_RTOL, atol=0)
    expect(same, f"{turned.thresholds.tolist()} against {plain.thresholds.tolist()}")


@SUITE.check()
def order_of_samples_does_not_matter(case: ThresholdCase) -> None:
    """The samples of a repeat in another order give the same thresholds."""
    values, rule = case.values(), case.make()
    here, there = rule.threshold(values), rule.threshold(values[::-1].copy())
    same = np.allclose(here, there, rtol=_RTOL, atol=0)
    expect(same, f"reversed samples give {there.tolist()}, not {here.tolist()}")


@SUITE.check()
def farther_samples_give_no_nearer_threshold(case: ThresholdCase) -> None:
    """Where the model's own samples have larger values, no threshold is smaller."""
    values, rule = case.values(), case.make()
    near, far = rule.threshold(values), rule.threshold(values + 1.0)
    expect((far >= near - _RTOL * np.abs(near)).all(), f"{near.tolist()} became {far.tolist()}")


@SUITE.check()
def batch_size_does_not_matter(case: ThresholdCase) -> None:
    """Samples scored one by one and many at a time give the same thresholds."""
    repeats = [case.calibrate(batch_size=size).repeats for size in (1, 7, 256)]
    for other in repeats[1:]:
        expect(np.allclose(other, repeats[0], rtol=_RTOL, atol=0), "batch sizes give others")


@SUITE.check()
def same_seed_gives_the_same_thresholds(case: ThresholdCase) -> None:
    """Two rules agree exactly for the same seed; where samples are drawn, the seed chooses them."""
    first, again, other = (case.calibrate(seed) for seed in (3, 3, 4))
    changes = differences(vars(first), vars(again))
    expect(not changes, f"two calibrations of one seed differ: {'; '.join(changes[:3])}")
    if first.reference is not None and other.reference is not None:
        expect(not np.array_equal(first.reference, other.reference), "the seed changes no sample")


@SUITE.check()
def bad_samples_are_left_out(case: ThresholdCase) -> None:
    """Samples without finite values are left out and counted; if there are no others, it raises."""

    def some(n: int, seed: int) -> Floats:
        values = samples(n, seed)
        values[::9, 1] = math.nan
        return values

    result = case.calibrate(sampler=some)
    finite = bool(np.isfinite(result.thresholds).all())
    expect(finite, f"NaN in some samples gave {result.thresholds.tolist()}")
    if result.reference is None:
        return
    expect(result.n_invalid > 0, "samples without finite values are not counted")
    expect(np.isfinite(result.reference).all(), "the reference holds NaN")
    try:
        case.calibrate(sampler=lambda n, seed: np.full((n, len(_NAMES)), math.nan))
    except ModelError:
        return
    raise AssertionError("samples of nothing but NaN were accepted")


@SUITE.check()
def a_model_without_samples_is_refused(case: ThresholdCase) -> None:
    """A rule that draws samples declares it, and refuses a model that cannot; others need none."""
    draws = case.make().samples
    drew = case.calibrate().reference is not None
    expect(drew == draws, f"samples is {draws}, but there is {'a' if drew else 'no'} reference")
    try:
        case.calibrate(sampler=None)
    except CapabilityError as error:
        expect(draws, f"the rule draws no samples, and still: {error}")
    else:
        expect(not draws, "a model that cannot sample was accepted")


@SUITE.check()
def values_are_not_modified(case: ThresholdCase) -> None:
    """The values of the samples are the same before and after."""
    values = case.values()
    before = values.copy()
    case.make().threshold(values)
    expect(np.array_equal(values, before), "the values changed")


@SUITE.check()
def global_random_state_is_left_alone(case: ThresholdCase) -> None:
    """Calibration leaves the generators of random, numpy and torch alone."""
    before = random_state()
    case.calibrate()
    generators = moved_generators(before)
    expect(not generators, f"it moved the global state of {', '.join(generators)}")


def threshold_checks() -> list[Check[ThresholdCase]]:
    """Return the named checks of threshold rules.

    Example:
        >>> "bad_samples_are_left_out" in {check.name for check in threshold_checks()}
        True
    """
    return SUITE.checks()


def check_threshold_rule(rule: Any, *, expected_failures: Mapping[str, str] | None = None) -> None:
    """Check that a threshold rule does what every part of the package expects of it.

    Args:
        rule: A registered name, a class that needs no arguments, a rule, or a mapping with
            ``"name"`` and parameters. The suite's criteria are called near, far and wide, where
            parameters name them.
        expected_failures: Reasons, by the names of checks that fail today.

    Raises:
        AssertionError: Naming every check that failed, with its message.

    Example:
        >>> check_threshold_rule("MeanMax")
        >>> check_threshold_rule({"name": "Fixed", "values": 0.5})
    """
    case = threshold_case(rule)
    SUITE.run(case, case.name, expected_failures)


def threshold_case(rule: Any) -> ThresholdCase:
    """Return the case that :func:`check_threshold_rule` runs on, with small samples by default."""
    if isinstance(rule, Rule):
        kind, params = type(rule), rule.params
        return ThresholdCase(repr(rule), lambda: kind(**params))
    if isinstance(rule, type):
        return ThresholdCase(rule.__name__, lambda: rule(**_small(rule)))
    function, options = REGISTRY.parse(rule)
    label = rule if isinstance(rule, str) else repr(make(rule))
    return ThresholdCase(label, lambda: make({**_small(function), **options, "name": _name(rule)}))


def _parameter_error(function: Callable[..., Any], **options: Any) -> str:
    """Return the text of the ParameterError that a call raises; empty when it raises none."""
    try:
        function(**options)
    except ParameterError as error:
        return str(error)
    return ""


def _name(spec: Any) -> str:
    return spec if isinstance(spec, str) else str(spec["name"])


def _small(kind: type[Rule]) -> dict[str, int]:
    """Return sizes for a quick calibration, as far as the rule takes them."""
    known = inspect.signature(kind).parameters
    return {name: size for name, size in _SIZES.items() if name in known}
