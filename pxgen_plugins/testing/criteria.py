"""The suite for criteria."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor

from pxgen_plugins.criteria import Batch, Criterion, FittedCriterion, for_model, make
from pxgen_plugins.criteria.base import KINDS, REGISTRY
from pxgen_plugins.models.base import CAPABILITIES, capabilities
from pxgen_plugins.testing.checks import Check, Suite, expect, skip
from pxgen_plugins.testing.examples import AbleModel, EchoModel, LinearModel, noise
from pxgen_plugins.testing.guards import moved_generators, random_state
from pxgen_plugins.utils.errors import CapabilityError

__all__ = ["CriterionCase", "check_criterion", "criterion_checks"]

_ROWS = 9
_LEARNING = 40  # instances of each kind that a fitted criterion learns from
_RTOL = 1e-4


@dataclass(frozen=True)
class CriterionCase:
    """A criterion and a model to try it on.

    Args:
        name: Name of the case.
        make: Builds the criterion; a new one each time.
        model: A deterministic model with the capabilities that the criterion needs.
        expected_failures: Reasons, by name of the checks that fail today.
    """

    name: str
    make: Callable[[], Criterion]
    model: Any = field(default_factory=LinearModel)
    expected_failures: Mapping[str, str] = field(default_factory=dict)

    def values(self, x: Tensor, **batch: Any) -> Tensor:
        """Return the values of ``x`` by a new criterion."""
        return self.ready()(Batch(self.model, x, **batch))

    def ready(self) -> Criterion:
        """Return a new criterion that has learned what it needs."""
        return fit(self.make(), self.model)

    def anchors(self) -> Tensor:
        """Return a few ordinary anchors: noise and, when the model can sample, its samples."""
        x = noise(self.model, _ROWS)
        if "sample" in capabilities(self.model):
            drawn = torch.as_tensor(self.model.sample(4, 1)).detach()
            x = torch.cat([x[: _ROWS - 4], drawn.to(x.device, x.dtype)])
        return x


SUITE: Suite[CriterionCase] = Suite("criterion")


@SUITE.check()
def declares_itself(case: CriterionCase) -> None:
    """Name, kind, unit and required capabilities are declared, and the model has the latter."""
    criterion = case.make()
    name = getattr(criterion, "name", None)
    good = isinstance(name, str) and name.isidentifier() and name == name.lower()
    expect(good, f"name is {name!r}, no lower-case identifier")
    expect(criterion.kind in KINDS, f"kind is {criterion.kind!r}, none of {KINDS}")
    expect(isinstance(criterion.unit, str) and criterion.unit, f"unit is {criterion.unit!r}")
    expect(isinstance(criterion.requires, frozenset), "requires is no frozenset")
    unknown = sorted(criterion.requires - set(CAPABILITIES))
    expect(not unknown, f"requires the unknown capabilities {unknown}")
    criterion.check(case.model)


@SUITE.check()
def registered_name_is_its_name(case: CriterionCase) -> None:
    """Where the name is registered, it stands for this class."""
    criterion = case.make()
    if criterion.name not in REGISTRY.names():
        skip("not registered")
    found = REGISTRY.get(criterion.name)
    expect(found is type(criterion), f"{criterion.name!r} is registered for {found.__name__}")


@SUITE.check()
def parameters_rebuild_it(case: CriterionCase) -> None:
    """``params`` is JSON, and a criterion built from it gives the same values."""
    criterion = case.make()
    params = json.loads(json.dumps(criterion.params, allow_nan=False))
    rebuilt = fit(type(criterion)(**params), case.model)
    expect(rebuilt.params == criterion.params, f"{rebuilt.params} against {criterion.params}")
    x = case.anchors()
    same = _close(rebuilt(Batch(case.model, x)), case.values(x), 0.0)
    expect(same, "the rebuilt criterion gives other values")
    if criterion.name in REGISTRY.names() and REGISTRY.get(criterion.name) is type(criterion):
        named = make({"name": criterion.name, **params})
        expect(type(named) is type(criterion), "the settings mapping gives another class")


@SUITE.check()
def one_finite_value_per_anchor(case: CriterionCase) -> None:
    """Values have shape (b,), a floating type, and are finite on ordinary anchors."""
    for n in (1, _ROWS):
        x = case.anchors()[:n]
        values = case.values(x)
        expect(isinstance(values, Tensor), f"it returned {type(values).__name__}, no tensor")
        expect(tuple(values.shape) == (n,), f"{n} anchors gave values of shape {values.shape}")
        expect(values.is_floating_point(), f"values are {values.dtype}")
        expect(bool(values.isfinite().all()), f"not finite on ordinary anchors: {values.tolist()}")


@SUITE.check()
def batch_size_does_not_matter(case: CriterionCase) -> None:
    """Anchors get the same values in one batch, one by one, and in pieces."""
    x = case.anchors()
    for mode in _modes(case):
        whole = case.values(x, reconstruction=mode)
        for size in (1, 4):
            parts = [
                case.values(x[first : first + size], first=first, reconstruction=mode)
                for first in range(0, len(x), size)
            ]
            same = _close(torch.cat(parts), whole, _RTOL)
            expect(same, f"batches of {size} give other values (reconstruction={mode!r})")


@SUITE.check()
def order_does_not_matter(case: CriterionCase) -> None:
    """A value belongs to its anchor, wherever it stands in the batch."""
    x = case.anchors()
    whole = case.values(x)
    if not _close(whole, case.values(x, seed=1), 0.0):
        skip("the criterion draws noise, which belongs to positions")
    turned = torch.flip(torch.arange(len(x)), [0])
    expect(_close(case.values(x[turned]), whole[turned], _RTOL), "reversed anchors, other values")


@SUITE.check()
def same_seed_gives_the_same_values(case: CriterionCase) -> None:
    """Two criteria and two calls agree exactly for the same seed."""
    x = case.anchors()
    criterion = case.ready()
    first = criterion(Batch(case.model, x, seed=3))
    second = criterion(Batch(case.model, x, seed=3))
    expect(_close(first, second, 0.0), "two calls differ")
    expect(_close(first, case.values(x, seed=3), 0.0), "two criteria differ")


@SUITE.check()
def gradient_reaches_the_anchor(case: CriterionCase) -> None:
    """Values can be differentiated with respect to the anchor, where the model can."""
    x = case.anchors().requires_grad_(True)
    if not _differentiable(case, x):
        skip("the model is not differentiable")
    values = case.values(x)
    expect(values.requires_grad, "the value is cut off from the anchor (no gradient)")
    (gradient,) = torch.autograd.grad(values.sum(), x)
    expect(bool(gradient.isfinite().all()), "the gradient is not finite")
    expect(bool((gradient != 0).any()), "the gradient is zero everywhere")


@SUITE.check()
def bad_anchors_stay_alone(case: CriterionCase) -> None:
    """An anchor with a NaN gets no finite value, and the others keep theirs."""
    x = case.anchors()
    clean = case.values(x)
    rest = torch.ones(len(x), dtype=torch.bool)
    for row in (2, 5):
        x[row].view(-1)[3] = float("nan")
        rest[row] = False
    values = case.values(x)
    expect(not bool(values[~rest].isfinite().any()), f"NaN pixels gave {values[~rest].tolist()}")
    expect(_close(values[rest], clean[rest], _RTOL), "NaN in two anchors changed the others")


@SUITE.check()
def input_is_not_modified(case: CriterionCase) -> None:
    """The anchors are the same before and after."""
    x = case.anchors()
    before = x.clone()
    case.values(x)
    expect(bool(torch.equal(x, before)), "the anchors changed")


@SUITE.check()
def global_random_state_is_left_alone(case: CriterionCase) -> None:
    """Construction and use leave the generators of random, numpy and torch alone."""
    x = case.anchors()
    before = random_state()
    case.values(x)
    moved = moved_generators(before)
    expect(not moved, f"it moved the global state of {', '.join(moved)}")


@SUITE.check()
def missing_capability_is_named(case: CriterionCase) -> None:
    """A model without a required capability is refused by an error that says what would work."""
    criterion = case.make()
    if not criterion.requires:
        skip("nothing is required")
    for missing in sorted(criterion.requires):
        model = EchoModel(capabilities=criterion.requires - {missing})
        usable = for_model(model)
        try:
            criterion.check(model)
        except CapabilityError as error:
            text = str(error)
            for word in (criterion.name, missing, *usable):
                expect(word in text, f"the error does not mention {word!r}: {text}")
        else:
            raise AssertionError(f"a model without {missing!r} was accepted")


@SUITE.check()
def smaller_is_closer(case: CriterionCase) -> None:
    """A perfect reconstruction, or a posterior equal to the prior, has the smallest value."""
    criterion = case.ready()
    x = case.anchors()
    settings = (tuple(x.shape[1:]), case.model.data_range)
    if criterion.kind == "extrinsic":
        if not criterion.requires <= {"encode", "decode", "reconstruct"}:
            skip("it needs more than a reconstruction")
        ladder = [EchoModel(*settings, blend=blend) for blend in (0.0, 0.3, 1.0)]
    else:
        if not criterion.requires <= {"encode"}:
            skip("it needs more than the posterior")
        ladder = [EchoModel(*settings, code=code) for code in (1e-6, 1.0, 3.0)]
    values = [criterion(Batch(model, x)) for model in ladder]
    for near, far in pairwise(values):
        worst = float((near - far).max())
        expect(worst <= 0.0, f"a closer model has a value that is larger by {worst:.3g}")
        expect(bool((near < far).any()), "the value does not rise with the distance")


def criterion_checks() -> list[Check[CriterionCase]]:
    """Return the named checks of criteria.

    Example:
        >>> "smaller_is_closer" in {check.name for check in criterion_checks()}
        True
    """
    return SUITE.checks()


def check_criterion(
    criterion: Any, model: Any = None, *, expected_failures: Mapping[str, str] | None = None
) -> None:
    """Check that a criterion does what every part of the package expects of it.

    Args:
        criterion: A registered name, a class, a criterion, or a mapping with ``"name"`` and
            parameters.
        model: A deterministic model that has what it requires; None uses a tiny linear one.
        expected_failures: Reasons, by the names of checks that fail today.

    Raises:
        AssertionError: Naming every check that failed, with its message.

    Example:
        >>> check_criterion("kld")
        >>> check_criterion({"name": "mse", "reduction": "sum"})
    """
    case = criterion_case(criterion, model)
    SUITE.run(case, case.name, expected_failures)


def criterion_case(criterion: Any, model: Any = None) -> CriterionCase:
    """Return the case that :func:`check_criterion` runs on."""
    if model is not None:
        used = model
    else:
        needs = (criterion() if isinstance(criterion, type) else make(criterion)).requires
        used = LinearModel() if needs <= LinearModel.capabilities else AbleModel()
    if isinstance(criterion, type):
        return CriterionCase(criterion.__name__, criterion, used)
    if isinstance(criterion, Criterion):
        kind, params = type(criterion), criterion.params
        return CriterionCase(repr(criterion), lambda: kind(**params), used)
    label = criterion if isinstance(criterion, str) else repr(make(criterion))
    return CriterionCase(label, lambda: make(criterion), used)


def fit(criterion: Criterion, model: Any) -> Criterion:
    """Return ``criterion`` after it has learned from instances inside the model's range."""
    if isinstance(criterion, FittedCriterion):
        able = "sample" in capabilities(model)
        drawn = [torch.as_tensor(model.sample(_LEARNING, 1)).detach()] if able else []
        x = torch.cat([noise(model, _LEARNING, 7), *drawn])
        parts = torch.split(x.to(model.device, model.dtype), _LEARNING // 2)
        firsts = range(0, len(x), _LEARNING // 2)
        batches = (Batch(model, part, first=n) for n, part in zip(firsts, parts, strict=True))
        criterion.fit(batches)
    return criterion


def _modes(case: CriterionCase) -> tuple[str, ...]:
    drawn = {"encode", "decode"} <= capabilities(case.model)
    return ("mean", "sample") if drawn else ("mean",)


def _differentiable(case: CriterionCase, x: Tensor) -> bool:
    model, needed = case.model, case.make().requires
    batch = Batch(model, x)
    if "codes" in needed or "continuation" in needed:
        return False
    results: list[Tensor] = []
    if "encode" in needed:
        results += list(batch.posterior)
    if "embed" in needed:
        results.append(batch.code)
    results += [getattr(model, name)(x) for name in ("log_prob", "score") if name in needed]
    if "reconstruct" in needed or "decode" in needed:
        results.append(batch.reconstruction)
    return bool(results) and any(result.requires_grad for result in results)


def _close(one: Tensor, other: Tensor, rtol: float) -> bool:
    one, other = one.detach(), other.detach()
    if rtol == 0.0:
        return bool(torch.equal(one, other))
    return bool(torch.allclose(one, other, rtol=rtol, atol=1e-6, equal_nan=True))
