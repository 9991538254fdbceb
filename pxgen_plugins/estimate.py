"""What fit and explain will cost, in passes of the model's network and in seconds."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from pxgen_plugins import defaults
from pxgen_plugins.anchors import Anchors
from pxgen_plugins.criteria.base import Batch, Criterion
from pxgen_plugins.criteria.fitted_criterion import FittedCriterion
from pxgen_plugins.criteria.passes import value_passes
from pxgen_plugins.models import trial
from pxgen_plugins.models.base import CHEAP, capabilities, passes
from pxgen_plugins.scoring import Scorer, always_raises
from pxgen_plugins.thresholds import Rule
from pxgen_plugins.utils.errors import warn
from pxgen_plugins.utils.html import rows_card
from pxgen_plugins.utils.text import duration_text

__all__ = ["Estimate", "estimate", "warn_if_long"]

_LONG = 600.0  # seconds beyond which fit and explain warn
_FEW_PASSES = 2_000  # not worth the timing
_LONG_TRIAL = 0.25  # seconds that one timed call should take
_WHOLE = 1.0  # seconds up to which an answer is timed whole, and not by one of its passes


@dataclass(frozen=True)
class Work:
    """Instances that are drawn, scored or both, and what one takes.

    Attributes:
        n: How many.
        draws: Whether they are drawn from the model.
        criteria: Under which criteria they are scored.
        learns: Whether the criteria learn from them instead.
    """

    n: int
    draws: bool
    criteria: tuple[Criterion, ...]
    learns: bool = False

    def passes(self, model: Any) -> int:
        """Return how many passes it takes at most."""
        drawn = passes(model, "sample") if self.draws else 0
        return self.n * drawn + self.n_scored(model) * value_passes(model, self.criteria)

    def n_scored(self, model: Any) -> int:
        """Return ``n`` in whole blocks where values take many passes: a part takes as long."""
        block = getattr(model, "block", 1) if value_passes(model, self.criteria) > CHEAP else 1
        return -(-self.n // block) * block


@dataclass(frozen=True)
class Estimate:
    """What fit and explain will cost, about.

    Attributes:
        fit_passes: Passes of the model's network in ``fit``, at most.
        fit_seconds: Seconds of ``fit`` on this machine.
        explain_passes: Passes in ``explain``, at most.
        explain_seconds: Seconds of ``explain``.
        n: Anchors that ``explain`` is asked about.
        n_timed: Instances that were timed.
        cheaper: Choices that cost less, a sentence each; none where nothing takes long.
    """

    fit_passes: int
    fit_seconds: float
    explain_passes: int
    explain_seconds: float
    n: int
    n_timed: int
    cheaper: tuple[str, ...] = ()

    def __str__(self) -> str:
        lines = [
            f"fit: about {duration_text(self.fit_seconds)} ({self.fit_passes:,} passes)",
            f"explain, {self.n:,} anchors: about {duration_text(self.explain_seconds)} "
            f"({self.explain_passes:,} passes)",
        ]
        return "\n".join([*lines, *(f"cheaper: {choice}" for choice in self.cheaper)])

    def _repr_html_(self) -> str:
        """Return the estimate as a card for notebooks."""
        rows = [
            {"step": "fit", "passes": self.fit_passes, "time": duration_text(self.fit_seconds)},
            {
                "step": f"explain, {self.n:,} anchors",
                "passes": self.explain_passes,
                "time": duration_text(self.explain_seconds),
            },
        ]
        return rows_card("Estimate", rows, [f"Cheaper: {choice}" for choice in self.cheaper])


def estimate(
    scorer: Scorer,
    rule: Rule,
    n: int,
    anchors: Anchors | None = None,
    n_reference: int | None = None,
) -> Estimate:
    """Return what a fit by ``rule`` and the scoring of ``n`` anchors will cost.

    Passes are what the model states (see ``costs`` of :class:`~pxgen_plugins.models.Model`), times
    the instances. For the seconds a few instances are timed: the cheapest call of the model in
    batches of 1, 4, 16, ... until one takes a quarter of a second, then a whole sample and a whole
    value where these take a second at most; where not, they are taken for as many such passes.
    Picking representatives comes on top.

    Args:
        scorer: Model and criteria, which need not have learned.
        rule: How thresholds are found.
        n: Number of anchors.
        anchors: The anchors, whose first ones are timed; None takes samples or noise.
        n_reference: Instances of reference data, where criteria or thresholds use it; None takes
            as many as there are anchors.

    Raises:
        ModelError: When the model raises.
    """
    n_reference = n if n_reference is None else n_reference
    fit = _work_of_fit(scorer, rule, n_reference)
    explain = Work(n, False, tuple(scorer.criteria))
    clock = _Clock(scorer, anchors)
    try:
        fit_seconds = sum(clock.seconds(work) for work in fit)
        explain_seconds = clock.seconds(explain)
    except Exception as error:  # whatever the model raises
        raise always_raises(scorer.model, error) from error
    found = Estimate(
        sum(work.passes(scorer.model) for work in fit),
        fit_seconds,
        explain.passes(scorer.model),
        explain_seconds,
        n,
        clock.n_timed,
    )
    long = max(found.fit_seconds, found.explain_seconds) > _LONG
    return replace(found, cheaper=tuple(_cheaper(scorer, rule, found))) if long else found


def warn_if_long(
    where: str,
    scorer: Scorer,
    rule: Rule | None,
    anchors: Anchors | None,
    n_reference: int = 0,
    times: float = 1.0,
    hint: str = "",
) -> None:
    """Warn, with an estimate and cheaper choices, when what begins now will take over ten minutes.

    Args:
        where: Who asks, ``"PXGen.fit"`` or ``"PXGen.explain"``.
        scorer: Model and criteria.
        rule: How thresholds are found, for ``fit``; None for ``explain``.
        anchors: The anchors or the reference data; None where there are none.
        n_reference: Instances of reference data.
        times: How many times over.
        hint: What costs less, beside other criteria, a smaller rule or a cheaper model.
    """
    n = 0 if anchors is None else len(anchors)
    work = [Work(n, False, tuple(scorer.criteria))]
    if rule is not None:
        work = _work_of_fit(scorer, rule, n_reference)
    total = round(times * sum(part.passes(scorer.model) for part in work))
    if total <= _FEW_PASSES:
        return
    try:
        clock = _Clock(scorer, anchors, learn=False)
        if total * clock.first_pass() <= _LONG:  # one by one is the slowest way
            return
        seconds = times * sum(clock.seconds(part) for part in work)
    except Exception:  # what begins now says better what is wrong with the model
        return
    if seconds <= _LONG:
        return
    found = Estimate(total, seconds, total, seconds, n, clock.n_timed)
    cheaper = " ".join(filter(None, [hint, *_cheaper(scorer, rule, found)]))
    warn(f"{where}: this takes about {duration_text(seconds)} ({total:,} passes). {cheaper}")


def _work_of_fit(scorer: Scorer, rule: Rule, n_reference: int) -> list[Work]:
    learning, found = [c for c in scorer.criteria if isinstance(c, FittedCriterion)], []
    by_reference = rule.samples and rule.source == "reference"
    from_data = n_reference > 0 and (by_reference or any(c.learns_from == "data" for c in learning))
    half = n_reference // 2 if by_reference and any(c.learns_from_data for c in learning) else 0
    for criterion in learning:
        draws = not (from_data and criterion.learns_from_data)
        n = criterion.n_fit if draws else (half or n_reference)
        found.append(Work(n, draws, (criterion,), learns=True))
    everything = tuple(scorer.criteria)
    if by_reference:
        found.append(Work(n_reference - half, False, everything))
    elif rule.samples:
        n = int(getattr(rule, "n_samples", 0) * getattr(rule, "n_repeats", 0))
        found.append(Work(n, True, everything))
    return found


def _cheaper(scorer: Scorer, rule: Rule | None, found: Estimate) -> Iterator[str]:
    """Yield choices that cost less, full sentences."""
    model, able = scorer.model, capabilities(scorer.model)
    try:
        choice = defaults.choose(model)
    except Exception:  # a model that has no defaults
        return
    now = value_passes(model, scorer.criteria)
    less = value_passes(model, choice.criteria)
    if less < now / 2:
        kinds = [
            f"{kind}={next(c.name for c in choice.criteria if c.kind == kind)!r}"
            for kind in ("intrinsic", "extrinsic")
        ]
        yield f"Use {', '.join(kinds)}, {less} passes an anchor instead of {now}."
    if rule is not None and rule.source == "samples" and "sample" in able:
        smaller = defaults.choose(model, *_by_kind(scorer.criteria)).threshold
        n, most = (getattr(r, "n_samples", 0) * getattr(r, "n_repeats", 0) for r in (smaller, rule))
        if 0 < n < most / 2:
            yield f"Use threshold={smaller!r}, {n:,} samples instead of {most:,}."
    if rule is None and found.n > 1_000:
        yield "Explain fewer anchors: 1,000 drawn at random tell shares to 3 points."
    if now > CHEAP and "token_loss" in able:
        yield "Give the model shorter texts: max_tokens= says how many tokens a sample has."
    elif now > CHEAP:
        yield "Give the model fewer steps: Inversion(steps=50, restarts=1), or Diffusion(steps=10)."


def _by_kind(criteria: list[Criterion]) -> list[list[Criterion]]:
    return [[c for c in criteria if c.kind == kind] for kind in ("intrinsic", "extrinsic")]


@dataclass(frozen=True)
class _Trial:
    """What was timed: seconds of an instance, in batches of ``size``."""

    seconds: float
    size: int


class _Clock:
    """Times a few instances, and says what others will take.

    Args:
        scorer: Model and criteria.
        anchors: Instances to time; None takes samples or noise.
        learn: Whether criteria that have not learned do so on a few samples, to be timed too.
    """

    def __init__(self, scorer: Scorer, anchors: Anchors | None, learn: bool = True) -> None:
        self.scorer, self.model = scorer, scorer.model
        if several := getattr(self.model, "prompts", ())[1:]:  # none costs more than another
            self.model = self.model.bind(several[0])
        self.n_timed = 0
        self._anchors, self._learn = anchors, learn
        self._x: Tensor | None = None
        self._most = scorer.batch_size
        self._known: dict[Any, float] = {}
        self._of_pass: dict[int, _Trial] = {}
        self._ready: dict[int, Criterion | None] = {}

    def seconds(self, work: Work) -> float:
        """Return how long some work takes."""
        if not work.n:
            return 0.0
        # in batches no larger than there are instances: larger ones leave caches, small ones idle
        self._most = min(self.scorer.batch_size, work.n_scored(self.model))
        drawn = self._drawn() if work.draws else 0.0
        if work.learns:
            each = value_passes(self.model, work.criteria)
            return work.n * (drawn + (each * self._pass().seconds if each else 0.0))
        return work.n * drawn + work.n_scored(self.model) * self._scored(work.criteria)

    def first_pass(self) -> float:
        """Return the seconds of a pass of one instance alone."""
        name, each = trial.cheapest(self.model)
        return self._time(lambda n: self._call(name, n), most=1).seconds / each

    def _pass(self) -> _Trial:
        """Return the seconds of a pass of one instance, in batches as they are scored."""
        if self._most not in self._of_pass:
            name, each = trial.cheapest(self.model)
            found = self._time(lambda n: self._call(name, n))
            self._of_pass[self._most] = _Trial(found.seconds / each, found.size)
        return self._of_pass[self._most]

    def _drawn(self) -> float:
        key = ("sample", self._most)
        if key not in self._known:
            each = passes(self.model, "sample")
            self._known[key] = self._whole(lambda n: self._call("sample", n), each)
        return self._known[key]

    def _scored(self, criteria: tuple[Criterion, ...]) -> float:
        key = (criteria, self._most)
        if key not in self._known:
            each = value_passes(self.model, criteria)
            ready = [c for c in map(self._prepare, criteria) if c is not None]
            self._known[key] = self._whole(lambda n: self._values(n, ready), each)
        return self._known[key]

    def _whole(self, function: Callable[[int], Any], each: int) -> float:
        """Return the seconds of an answer of so many passes."""
        if each <= 1:
            return self._time(function).seconds
        one = self._pass()
        if each > CHEAP or each * one.seconds * one.size > _WHOLE:
            return each * one.seconds
        found = self._time(function)
        # a few instances alone are slower than a batch of them
        return found.seconds if found.size >= one.size else each * one.seconds

    def _time(self, function: Callable[[int], Any], most: int | None = None) -> _Trial:
        """Time batches as large as a short trial allows."""
        size, most = 1, self._most if most is None else most
        warm = False
        while True:
            start = time.perf_counter()
            with torch.no_grad():
                function(size)
            spent = time.perf_counter() - start
            self.n_timed += size
            if not warm and spent < _WHOLE:  # a first call loads and allocates
                warm = True
                continue
            if size >= most or spent > _LONG_TRIAL:
                return _Trial(spent / size, size)
            size = min(4 * size, most)

    def _call(self, name: str, n: int) -> Any:
        return trial.call(self.model, name, self._instances(n))

    def _values(self, n: int, criteria: list[Criterion]) -> None:
        batch = Batch(self.model, self._instances(n), reconstruction=self.scorer.reconstruction)
        for criterion in criteria:
            criterion(batch)

    def _prepare(self, criterion: Criterion) -> Criterion | None:
        """Return a criterion that can be called; None where it would have to learn first."""
        if not isinstance(criterion, FittedCriterion) or criterion.state:
            return criterion
        if id(criterion) not in self._ready:
            self._ready[id(criterion)] = self._learned(criterion) if self._learn else None
        return self._ready[id(criterion)]

    def _learned(self, criterion: FittedCriterion) -> FittedCriterion | None:
        each = value_passes(self.model, [criterion])
        each += passes(self.model, "sample") if "sample" in capabilities(self.model) else 0
        n = min(criterion.n_fit, int(_WHOLE / (each * self._pass().seconds + 1e-9)))
        if n < 1:
            return None
        own = copy.copy(criterion)
        try:  # in more than these few instances arithmetic is nothing beside the passes
            own.fit(iter([Batch(self.model, self._instances(n))]))
        except Exception:
            return None
        return own

    def _instances(self, n: int) -> Tensor:
        """Return ``n`` instances as the model takes them, repeated where they are few."""
        if self._x is None or len(self._x) < n:
            self._x = self._read(n)
        return self._x[:n]

    def _read(self, n: int) -> Tensor:
        model, scorer = self.model, self.scorer
        if self._anchors is not None and len(self._anchors):
            rows = range(min(n, len(self._anchors)))
            x = torch.cat([x.clone() for _, x in scorer.batches(self._anchors, rows, {})])
        else:
            x = trial.instances(model, n)
        x = x.to(scorer.device, model.dtype)
        return torch.cat([x] * -(-n // len(x)))[:n]
