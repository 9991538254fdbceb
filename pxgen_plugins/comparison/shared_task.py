"""The same anchors and methods under several models."""

from __future__ import annotations

import inspect
import itertools
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pxgen_plugins.anchors import Anchors, open_for
from pxgen_plugins.comparison.agreement import agreement
from pxgen_plugins.comparison.cost import measure_cost
from pxgen_plugins.comparison.methods import ALL, Method, methods_of
from pxgen_plugins.comparison.migration import Migration
from pxgen_plugins.comparison.models import ModelComparison
from pxgen_plugins.comparison.sample_distances import ANCHORS, SampleSets
from pxgen_plugins.explainer import PXGen
from pxgen_plugins.groups import GROUPS
from pxgen_plugins.models import Model
from pxgen_plugins.result import Result
from pxgen_plugins.scoring import Scorer
from pxgen_plugins.thresholds import Conformal
from pxgen_plugins.utils import validation
from pxgen_plugins.utils.errors import ParameterError, PXGenError, caller, short_repr

__all__ = ["METHODS", "compare_models"]

METHODS = ("saliency", "protodash", "latent_view", "activation_statistics")
"""Methods of a comparison of models that names none."""

# of 2,000 samples: a share under it has a standard deviation of half a point over seeds
_RULE = Conformal(0.05, n_samples=2_000, joint=True)
_PICTURES = 10  # samples of a model that are kept to be shown
_COMMON = frozenset({"model", "X", "labels", "columns", "anchors_range", "n_anchors", "indices"})
_COMMON |= {"groups", "options", "network", "seed", "verbose"}
_OF_PXGEN = frozenset(inspect.signature(PXGen).parameters) - {"predictor", "seed", "verbose"}

Compare = Callable[..., Any]


@dataclass(frozen=True)
class _Choice:
    """What is special to one model: its groups, arguments of PXGen, and of the comparison."""

    groups: Any
    pxgen: dict[str, Any]
    compare: dict[str, Any]


def compare_models(
    compare: Compare,
    models: Mapping[str, Any],
    X: Any,
    *,
    methods: Any = None,
    groups: Any = None,
    options: Any = None,
    network: Any = None,
    **shared: Any,
) -> ModelComparison:
    """Return what several models make of the same anchors.

    Args:
        compare: The comparison of a single model, :func:`pxgen_plugins.compare`.
        models: At least two models, by name.
        X: The anchors.
        methods: As for ``compare``, functions taking the model; None takes :data:`METHODS`,
            ``"all"`` whatever each model can serve.
        groups: PXGen explainers or explanations, by the models' names; None makes them.
        options: What differs by model: arguments of PXGen or of ``compare``, by model's name.
        network: What distances between samples are measured in.
        shared: The other arguments of ``compare``.

    Raises:
        ParameterError: When ``models``, ``methods``, ``groups`` or ``options`` are not of this
            form, or the models make instances of different shapes.
        AnchorError: When the anchors do not fit a model.
    """
    _check(models)
    given = METHODS if methods is None else methods
    choices = _choices(models, options, groups, inspect.signature(compare).parameters)
    bound = {
        name: _bound(choices[name].compare.get("methods", given), model)
        for name, model in models.items()
    }
    n_anchors = validation.integer(shared.pop("n_anchors", 4), "n_anchors", minimum=1)
    chosen, seed = shared.pop("indices", None), shared.get("seed", 0)
    opening = {key: shared.pop(key, None) for key in ("labels", "columns", "anchors_range")}
    anchors = {name: open_for(model, X, **opening) for name, model in models.items()}
    if chosen is not None:
        chosen = validation.positions(chosen, "indices", len(next(iter(anchors.values()))))
    _check_scale(models, next(iter(anchors.values())), opening["anchors_range"])
    explained = {
        name: _explain(name, model, anchors[name], choices[name], seed)
        for name, model in models.items()
    }
    results = {name: Result.of(explanation) for name, (explanation, _) in explained.items()}
    if chosen is None:
        chosen = _local_anchors(list(results.values()), n_anchors)
    comparisons = {}
    for name, model in models.items():
        explanation, cost = explained[name]
        own = {**shared, **choices[name].compare}
        own |= {"methods": bound[name], "indices": chosen}
        with caller(f"compare, model {name!r}"):
            comparison = compare(model, anchors[name], groups=explanation, **own)
        first = replace(comparison.outcomes[0], **cost)
        comparisons[name] = replace(comparison, outcomes=[first, *comparison.outcomes[1:]])
    usable = ~np.any([result.is_invalid for result in results.values()], axis=0)
    sets = _sample_sets(models, next(iter(anchors.values())), np.flatnonzero(usable), network, seed)
    try:
        distances = sets.distances()
    except PXGenError as error:  # features of other people's networks, say
        distances = {}
        sets.notes.append(f"No distances: {error}")
    pairs = list(itertools.combinations(models, 2))
    return ModelComparison(
        comparisons=comparisons,
        migration={
            f"{a} / {b}": Migration.of((a, b), results[a].group, results[b].group) for a, b in pairs
        },
        distances=distances,
        agreement={
            f"{a} / {b}": _agreement(comparisons[a].outcomes, comparisons[b].outcomes)
            for a, b in pairs
        },
        samples={name: drawn[:_PICTURES] for name, drawn in sets.samples.items()},
        representatives={
            name: _representatives(model, anchors[name], results[name])
            for name, model in models.items()
        },
        notes=sets.notes,
    )


def _check(models: Mapping[str, Any]) -> None:
    hint = "Give each model a name, as in compare({'VAE': vae, 'DCGAN': gan}, X)."
    allowed = "a mapping from names to at least two models of pxgen_plugins.models"
    for name, model in models.items():
        if not isinstance(name, str) or not name.strip() or name == ANCHORS:
            raise ParameterError("model", allowed, f"the name {short_repr(name)}", hint)
        if not isinstance(model, Model):
            raise ParameterError("model", allowed, f"{type(model).__name__} as {name!r}", hint)
    if len(models) < 2:
        raise ParameterError("model", allowed, f"{len(models)} of them", hint)
    shapes = {name: model.sample_shape for name, model in models.items()}
    if len(set(shapes.values())) > 1:
        got = ", ".join(f"{name}: {shape}" for name, shape in shapes.items())
        hint = "Wrap the networks so that all of them take instances of one shape."
        raise ParameterError("model", "models of instances of one shape", got, hint)


def _choices(
    models: Mapping[str, Any], options: Any, groups: Any, arguments: Iterable[str]
) -> dict[str, _Choice]:
    """Return what differs by model; the rule is one for all, or shares would not compare."""
    by_model = _by_name(options, "options", models, "{'DCGAN': {'target': 'discriminator'}}")
    made = _by_name(groups, "groups", models, "{'VAE': explainer, 'DCGAN': other}")
    own = set(arguments) - _COMMON
    choices = {}
    for name in models:
        parameter = f"options[{name!r}]"
        special = _by_name(by_model.get(name), parameter, None, "{'VAE': {'target': 'mse'}}")
        for key in special:
            validation.choice(key, parameter, sorted(own | _OF_PXGEN))
        pxgen: dict[str, Any] = {"threshold": _RULE}
        pxgen |= {key: value for key, value in special.items() if key in _OF_PXGEN}
        differing = {key: value for key, value in special.items() if key in own}
        choices[name] = _Choice(made.get(name), pxgen, differing)
    return choices


def _by_name(value: Any, parameter: str, models: Any, example: str) -> dict[str, Any]:
    if value is None:
        return {}
    hint = f"Pass {parameter.partition('[')[0]}={example}, say."
    if not isinstance(value, Mapping):
        allowed = "a mapping from models' names" if models else "a mapping of arguments"
        raise ParameterError(parameter, allowed, short_repr(value), hint)
    for name in value:
        if models is not None and name not in models:
            allowed = "by models' names: " + ", ".join(map(repr, models))
            raise ParameterError(parameter, allowed, short_repr(name), hint)
    return dict(value)


def _parse(methods: Any) -> list[Method]:
    """Return the methods, to be bound to each model."""
    if isinstance(methods, Sequence) and not isinstance(methods, str):
        methods = [
            (entry.__name__, entry) if isinstance(entry, type) else entry for entry in methods
        ]
    return methods_of(methods)


def _bound(methods: Any, model: Any) -> list[Method] | str:
    """Return the methods for one model: classes and functions are called with it.

    Raises:
        ParameterError: When one is an explainer of another model.
    """
    if isinstance(methods, str) and methods == ALL:
        return ALL
    bound = []
    for method in _parse(methods):
        maker = method.maker
        if not isinstance(maker, (str, type)) and hasattr(maker, "explain"):
            if getattr(maker, "predictor", model) is not model:
                hint = (
                    "Give its name, its class, or a function of the model; or options={'VAE': "
                    "{'methods': [explainer]}}."
                )
                allowed = "names, classes or functions of the model, which every model can have"
                got = f"an explainer of one model ({type(maker).__name__})"
                raise ParameterError("methods", allowed, got, hint)
        elif callable(maker):
            maker = partial(maker, model)
        bound.append(method._replace(maker=maker))
    return bound


def _check_scale(models: Mapping[str, Any], anchors: Anchors, anchors_range: Any) -> None:
    """Refuse floats of unknown range where the models' ranges differ: one scale would be wrong."""
    ranges = {name: model.data_range for name, model in models.items()}
    if len(set(ranges.values())) < 2 or anchors_range is not None or not len(anchors):
        return
    if anchors.read(slice(0, 1))[0].dtype != np.uint8:
        allowed = "given where models differ in data_range and the anchors are no bytes"
        got = ", ".join(f"{name}: {limits}" for name, limits in ranges.items())
        hint = "Pass anchors_range=(0.0, 1.0), say: the lowest and highest value that X may hold."
        raise ParameterError("anchors_range", allowed, got, hint)


def _explain(
    name: str, model: Any, anchors: Anchors, choice: _Choice, seed: int
) -> tuple[Any, dict[str, float]]:
    """Return PXGen's explanation of the anchors under one model, and what it cost."""
    groups = choice.groups
    if groups is not None and not isinstance(groups, PXGen):
        return groups, {}
    with caller(f"compare, model {name!r}"), measure_cost() as cost:
        explainer = PXGen(model, seed=seed, **choice.pxgen) if groups is None else groups
        if explainer.predictor is not model:
            hint = "Make it with the model of this name."
            raise ParameterError("groups", "a PXGen of the same model", "another's", hint)
        if explainer.calibration is None:
            explainer.fit()
        explanation = explainer.explain(anchors)
    return explanation, dict(cost)


def _local_anchors(results: list[Result], n: int) -> NDArray[np.int64]:
    """Take anchors in turn from each combination of groups, the most frequent combination first.

    Within one they come by the mean over models of their rank in anchor value, so that the first is
    typical under all models.
    """
    valid = np.flatnonzero(~np.any([result.is_invalid for result in results], axis=0))
    ranks = [np.argsort(np.argsort(r.anchor_value[valid], kind="stable")) for r in results]
    order = valid[np.argsort(np.mean(ranks, axis=0), kind="stable")] if len(valid) else valid
    queues: dict[tuple[int, ...], list[int]] = {}
    for row in order:
        state = tuple(GROUPS.index(str(result.group[row])) for result in results)
        queues.setdefault(state, []).append(int(row))
    rows: list[int] = []
    turns = sorted(queues, key=lambda state: (-len(queues[state]), state))
    while len(rows) < min(n, len(valid)):
        for state in turns:
            if queues[state] and len(rows) < n:
                rows.append(queues[state].pop(0))
    return np.array(rows, dtype=np.int64)


def _sample_sets(
    models: Mapping[str, Any], anchors: Anchors, rows: NDArray[np.int64], network: Any, seed: int
) -> SampleSets:
    first = next(iter(models.values()))
    sets = SampleSets(Scorer(first, []).inputs(anchors, rows), first.data_range, network, seed)
    for name, model in models.items():
        sets.draw(name, model)
    return sets


def _representatives(
    model: Any, anchors: Anchors, result: Result
) -> dict[str, NDArray[np.float32]]:
    """Return the picks of the first selector in every group that has any."""
    scorer = Scorer(model, [])
    picks = {
        name: next(iter(group.representatives.values()), np.empty(0, dtype=np.int64))
        for name, group in result.groups.items()
    }
    return {name: scorer.inputs(anchors, rows) for name, rows in picks.items() if len(rows)}


def _agreement(one: list[Any], other: list[Any]) -> dict[str, float]:
    """Return how far two models' explanations by the same method agree, by method."""
    others = {outcome.label: outcome.explanation for outcome in other}
    found = {}
    for outcome in one:
        explanation = others.get(outcome.label)
        if outcome.explanation is not None and explanation is not None:
            value, kind = agreement(outcome.explanation, explanation)
            if value is not None and kind is not None:
                found[outcome.label] = value
    return found
