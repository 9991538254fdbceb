"""The methods of a comparison: named, made and run; a failure is a result too."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

from pxgen_plugins.comparison import measures
from pxgen_plugins.comparison.agreement import evidence_of, representatives
from pxgen_plugins.comparison.cost import measure_cost
from pxgen_plugins.comparison.outcome import Outcome, Task
from pxgen_plugins.evaluation import quality
from pxgen_plugins.host import NotFittedError
from pxgen_plugins.result import Result
from pxgen_plugins.utils.errors import ParameterError, caller, short_repr

__all__ = ["Method", "methods_of", "pxgen_outcome", "run"]


class Method(NamedTuple):
    """One method of a comparison.

    Attributes:
        label: Its name in the comparison.
        maker: Name of an adapter (which is made, and fitted on the anchors), an explainer, or a
            function without arguments that makes one.
        X: What the explainer explains; None gives a local one the chosen anchors and a global one
            all, as ndarrays to explainers of other libraries.
    """

    label: str
    maker: Any
    X: Any = None


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
        allowed = "a sequence of names, explainers and pairs, or a mapping"
        raise ParameterError("methods", allowed, short_repr(methods), hint)
    labels = [method.label for method in parsed]
    for label in labels:
        if labels.count(label) > 1 or label == "PXGen":
            hint = "Pass (label, explainer) pairs."
            raise ParameterError("methods", "of different labels", repr(label), hint)
    return parsed


def run(method: Method, task: Task) -> Outcome:
    """Return what becomes of a method; an exception is an outcome, never raised."""
    label, maker, X = method
    try:
        explainer = _make(maker, task)
        local = "local" in explainer.meta.get("explanations", ["local"])
        if X is None:
            X = task.inputs if local else task.everything(explainer)
        options: dict[str, Any] = {}
        if "groups" in inspect.signature(explainer.explain).parameters:
            options["groups"] = task.group[task.local] if local else task.group
        with measure_cost() as cost:
            if isinstance(maker, str):
                explainer.fit(task.anchors)
            explanation = _explain(explainer, X, options, task)
        outcome = Outcome(
            label,
            evidence=evidence_of(explanation),
            access=getattr(explainer, "access", None),
            explanation=explanation,
            seconds=cost["seconds"],
            peak_mib=cost["peak_mib"],
            helpful=measures.helpful_samples(explanation, explainer),
        )
    except Exception as error:  # one method's failure must not end the others' run
        return Outcome(label, error=_error_text(error))
    if not task.quality:
        return outcome
    try:
        outcome = measures.with_repeats(outcome, explainer, X, options)
        return replace(outcome, quality=measures.quality_of(outcome, explainer, task))
    except Exception as error:  # nor may a measure take the explanation away
        return replace(outcome, quality={**outcome.quality, "not measured": _error_text(error)})


def pxgen_outcome(explanation: Any, cost: dict[str, float], task: Task) -> Outcome:
    """Return PXGen's own outcome, measured as prototypes; ``cost`` is empty when unknown."""
    result = Result.of(explanation)
    coverage = {}
    inside = explanation.meta["params"].get("model", {}).get("latent_access", True)
    if task.quality and len(picks := representatives(result)):
        coverage = quality.coverage(task.features, picks, task.anchors.labels)
    return Outcome(
        "PXGen",
        "groups",
        "latent" if inside else "black box",
        explanation,
        seconds=cost.get("seconds"),
        peak_mib=cost.get("peak_mib"),
        quality=coverage,
    )


def _method(entry: Any) -> Method:
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


def _make(maker: Any, task: Task) -> Any:
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
    from pxgen_plugins import adapters

    adapter = adapters.get(maker)
    known = inspect.signature(adapter).parameters
    options = {"target": task.target, "seed": task.seed}
    return adapter(task.model, **{key: value for key, value in options.items() if key in known})


def _explain(explainer: Any, X: Any, options: dict[str, Any], task: Task) -> Any:
    """Explain; an explainer that asks to be fitted first is fitted on the anchors."""
    try:
        return explainer.explain(X, **options)
    except NotFittedError:
        explainer.fit(task.everything(explainer))
        return explainer.explain(X, **options)


def _error_text(error: Exception) -> str:
    return f"{type(error).__name__}: {str(error)[:300]}"
