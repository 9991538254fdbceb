"""The methods of a comparison: named, made and run; a failure is a result too."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

from pxgen_plugins.adapters.base import REGISTRY
from pxgen_plugins.adapters.targets import resolve
from pxgen_plugins.comparison import measures
from pxgen_plugins.comparison.agreement import evidence_of, representatives
from pxgen_plugins.comparison.cost import Stopwatch, measure_cost
from pxgen_plugins.comparison.default_methods import default_methods
from pxgen_plugins.comparison.obstacles import (
    Obstacle,
    expect_data,
    expect_time,
    expect_what_it_needs,
    reason_of,
)
from pxgen_plugins.comparison.outcome import SHARED, Outcome, Task
from pxgen_plugins.evaluation import quality
from pxgen_plugins.host import NotFittedError
from pxgen_plugins.models.base import capabilities
from pxgen_plugins.result import Result
from pxgen_plugins.utils.errors import ParameterError, caller, short_repr, warn
from pxgen_plugins.utils.redaction import redact, without_addresses

__all__ = ["ALL", "Method", "choose_methods", "methods_of", "pxgen_outcome", "run"]

ALL = "all"
_ON_ANCHORS = "fitted on the anchors: pass training= for data of the model's kind"
_ONE_CHECKPOINT = "the present weights stand for the checkpoints: pass checkpoints="


class Method(NamedTuple):
    """One method of a comparison.

    Attributes:
        label: Its name in the comparison.
        maker: Name of an adapter (which is made, and fitted on the anchors), an explainer, or a
            function without arguments that makes one.
        X: What the explainer explains; None gives a local one the chosen anchors and a global one
            all, as ndarrays to explainers of other libraries.
        chosen: Whether it is one that nobody named; then it must not take minutes.
    """

    label: str
    maker: Any
    X: Any = None
    chosen: bool = False


def methods_of(methods: Any) -> list[Method]:
    """Return the methods that the argument of ``compare`` stands for.

    Raises:
        ParameterError: When it is no sequence or mapping of methods, or labels do not differ.
    """
    if isinstance(methods, Mapping):
        parsed = [Method(str(label), maker) for label, maker in methods.items()]
    elif isinstance(methods, Sequence) and not isinstance(methods, str):
        parsed = [_method(entry) for entry in methods]
    else:
        hint = "Pass a list, as in methods=['saliency', LatentView(model)]."
        allowed = "a sequence of names, explainers and pairs, a mapping, 'all' or None"
        raise ParameterError("methods", allowed, short_repr(methods), hint)
    labels = [method.label for method in parsed]
    for label in labels:
        if labels.count(label) > 1 or label in ("PXGen", SHARED):
            hint = "Pass (label, explainer) pairs."
            raise ParameterError("methods", "of different labels", repr(label), hint)
    return parsed


def choose_methods(methods: Any, task: Task) -> list[Method]:
    """Return the methods of a comparison whose ``methods`` is None or ``"all"``."""
    names = REGISTRY.names() if methods == ALL else default_methods(task)
    if not names:
        warn(
            f"compare: no other method is run by default with a {type(task.model).__name__} that "
            f"can {', '.join(sorted(capabilities(task.model)))}. methods='all' lists what each "
            "method needs; with vectors of its instances (embed=) a model gets prototypes and a "
            "view."
        )
    return [Method(name, name, chosen=True) for name in names]


def run(method: Method, task: Task) -> Outcome:
    """Return what becomes of a method; an exception is an outcome, never raised."""
    label, maker, X, chosen = method
    named = isinstance(maker, str)
    made = False
    with measure_cost() as cost:
        try:
            explainer = _make(maker, task, chosen)
            made = True
            local = "local" in explainer.meta.get("explanations", ["local"])
            if X is None:
                X = task.inputs if local else task.everything(explainer)
            if chosen:
                expect_time(explainer, task, len(X))
            options: dict[str, Any] = {}
            if "groups" in inspect.signature(explainer.explain).parameters:
                options["groups"] = task.group[task.local] if local else task.group
            note = _fit(explainer, task) if named else ""
            explanation, later = _explain(explainer, X, options, task)
            outcome = Outcome(
                label,
                evidence=evidence_of(explanation),
                access=getattr(explainer, "access", None),
                explanation=explanation,
                helpful=measures.helpful_samples(explanation, explainer),
                note="; ".join(filter(None, [note, later, _space_note(maker, task, chosen)])),
            )
        except Exception as error:  # one method's failure must not end the others' run
            known = named and (made or maker in REGISTRY.names())
            reason = reason_of(error, made_here=known)
            text = None if reason else _error_text(error)
            outcome = Outcome(label, reason=reason, error=text)
    outcome = replace(outcome, seconds=cost["seconds"], peak_mib=cost["peak_mib"])
    if not task.quality or outcome.explanation is None:
        return outcome
    watch = Stopwatch()
    with watch.running():
        try:
            outcome = measures.with_repeats(outcome, explainer, X, options)
            outcome = replace(outcome, quality=measures.quality_of(outcome, explainer, task))
        except Exception as error:  # nor may a measure take the explanation away
            failure = {"not measured": _error_text(error)}
            outcome = replace(outcome, quality={**outcome.quality, **failure})
    return replace(outcome, quality_seconds=watch.seconds)


def pxgen_outcome(explanation: Any, cost: dict[str, float], task: Task) -> Outcome:
    """Return PXGen's own outcome, measured as prototypes; ``cost`` is empty when unknown."""
    result, watch = Result.of(explanation), Stopwatch()
    coverage = {}
    inside = explanation.meta["params"].get("model", {}).get("latent_access", True)
    with watch.running():
        if task.quality and len(picks := representatives(result)):
            coverage = quality.coverage(task.features, picks, task.anchors.labels)
    return Outcome(
        "PXGen",
        "groups",
        "latent" if inside else "black box",
        explanation,
        seconds=cost.get("seconds"),
        quality_seconds=watch.seconds if task.quality else None,
        peak_mib=cost.get("peak_mib"),
        quality=coverage,
    )


def _method(entry: Any) -> Method:
    if isinstance(entry, Method):
        return entry
    if isinstance(entry, tuple) and len(entry) in (2, 3) and isinstance(entry[0], str):
        return Method(*entry)
    if isinstance(entry, str):
        return Method(entry, entry)
    if hasattr(entry, "explain"):
        return Method(type(entry).__name__, entry)
    if not callable(entry):
        allowed = "names, explainers, functions that make one, and (label, method) pairs"
        hint = "Pass LatentView(model), say, or ('view', LatentView(model))."
        raise ParameterError("methods", allowed, short_repr(entry), hint)
    return Method(str(getattr(entry, "__name__", type(entry).__name__)), entry)


def _make(maker: Any, task: Task, chosen: bool) -> Any:
    if not isinstance(maker, str):
        if isinstance(maker, type):
            hint = f"Pass {maker.__name__}(model)."
            raise ParameterError("method", "an explainer", f"the class {maker.__name__}", hint)
        explainer = maker if hasattr(maker, "explain") else maker()
        if hasattr(explainer, "evidence") and explainer.predictor is not task.model:
            hint = "Make the explainer with the model that is compared."
            allowed = "the model that is compared"
            with caller(type(explainer).__name__):
                raise ParameterError("predictor", allowed, "another one", hint)
        return explainer
    adapter = REGISTRY.get(maker)
    expect_what_it_needs(adapter, task)
    known = inspect.signature(adapter).parameters
    options = {"seed": task.seed, "checkpoints": task.checkpoints, **_target(adapter, task)}
    if _may_choose_space(adapter, task, chosen):
        options["space"] = task.space
    if taken := getattr(adapter, "explainer_argument", ""):
        options[taken] = task.explainer
    given = {key: value for key, value in options.items() if key in known and value is not None}
    return adapter(task.model, **given)


def _target(adapter: Any, task: Task) -> dict[str, Any]:
    """Return what is explained, under the name that the adapter has for it."""
    name = getattr(adapter, "target_argument", "target")
    if name == "target":
        return {name: task.target}
    # an assessor looks at instances, a target at a batch
    return {name: resolve(task.target, task.model)}


def _may_choose_space(adapter: Any, task: Task, chosen: bool) -> bool:
    """Return whether an adapter that looks at codes is to look at what stands for them."""
    taken = inspect.signature(adapter).parameters.get("space")
    codes = bool(capabilities(task.model) & {"encode", "embed"})
    return taken is not None and taken.default == "latent" and (chosen or not codes)


def _fit(explainer: Any, task: Task) -> str:
    """Fit an adapter that was made here; return what a reader must know of it."""
    learns_from = getattr(explainer, "learns_from", "data")
    if not learns_from:
        return ""
    expect_data(explainer, task)
    explainer.fit(task.anchors if task.training is None else task.training)
    if learns_from == "training" and "checkpoints" in explainer.meta["params"]:
        return _ONE_CHECKPOINT if task.checkpoints is None else ""
    return _ON_ANCHORS if task.training is None and _learns(explainer) else ""


def _explain(explainer: Any, X: Any, options: dict[str, Any], task: Task) -> tuple[Any, str]:
    """Explain; an explainer that asks to be fitted first is fitted on the training data.

    Without any, ours are fitted on the anchors, where these only stand for data of the model's
    kind. What another library's ``fit`` takes its data for is not known.
    """
    try:
        return explainer.explain(X, **options), ""
    except NotFittedError as error:
        expect_data(explainer, task)
        ours = hasattr(explainer, "evidence")
        if task.training is None and not ours:
            raise Obstacle(
                f"needs data to fit: pass training=, or a fitted one ({error})"
            ) from None
        explainer.fit(task.everything(explainer) if task.training is None else task.training)
        note = _ON_ANCHORS if task.training is None else ""
        return explainer.explain(X, **options), note


def _space_note(maker: Any, task: Task, chosen: bool) -> str:
    named = isinstance(maker, str)
    return task.space_note if named and _may_choose_space(REGISTRY.get(maker), task, chosen) else ""


def _learns(explainer: Any) -> bool:
    """Return whether an adapter kept something that it was fitted on."""
    return getattr(explainer, "background", None) is not None


def _error_text(error: Exception) -> str:
    return f"{type(error).__name__}: {without_addresses(redact(str(error)))}"
