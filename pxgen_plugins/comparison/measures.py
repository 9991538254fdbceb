"""How good the explanation of one method is, measured as its kind of evidence allows."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from pxgen_plugins.comparison.agreement import agreement, attributions_of, evidence_of
from pxgen_plugins.comparison.outcome import Outcome, Task
from pxgen_plugins.evaluation import quality
from pxgen_plugins.evaluation.permutation import permuted_weights, weights_by_layer

__all__ = ["helpful_samples", "quality_of", "with_repeats"]

_HELPFUL = 10  # training samples shown
_LONGEST_REPEAT = 60.0  # seconds: a slower method is not run again to see whether it repeats


def with_repeats(outcome: Outcome, explainer: Any, X: Any, options: dict[str, Any]) -> Outcome:
    """Return an outcome that says whether a second run, and the next seed, give the same."""
    if outcome.seconds is None or outcome.seconds > _LONGEST_REPEAT:
        return outcome
    again = explainer.explain(X, **options)
    same = again.to_json() == outcome.explanation.to_json()
    other = _with_next_seed(explainer)
    if other is None:
        return replace(outcome, repeatable=same)
    alike, _ = agreement(outcome.explanation, other.explain(X, **options))
    return replace(outcome, repeatable=same, seed_agreement=alike)


def quality_of(outcome: Outcome, explainer: Any, task: Task) -> dict[str, Any]:
    """Return the measures of an outcome's kind of evidence, by name; empty where none applies."""
    data = outcome.explanation.data
    values = attributions_of(outcome.explanation)
    if outcome.evidence == "attribution" and values is not None:
        return _quality_of_attributions(values, explainer, task)
    if outcome.evidence == "latent_attribution" and values is not None:
        codes = torch.from_numpy(task.features[task.local]).to(task.model.device)
        if values.shape != tuple(codes.shape):  # several dimensions may play as one
            return {}
        value_at = _value_at(explainer, task)
        return {"ablation_agreement": quality.ablation_agreement(value_at, codes, values)}
    if outcome.evidence == "prototypes" and data.get("indices") is not None:
        picks = np.asarray(data["indices"], dtype=np.int64)
        return dict(quality.coverage(task.features, picks, task.anchors.labels))
    names = ("trustworthiness", "neighbour_preservation")
    return {name: data[name] for name in names if isinstance(data.get(name), float)}


def helpful_samples(explanation: Any, explainer: Any) -> NDArray[Any] | None:
    """Return the training samples of greatest total influence, at most ten; None without any."""
    data, training = explanation.data, getattr(explainer, "training", None)
    if training is None or evidence_of(explanation) != "influence":
        return None
    influence = data.get("influence")
    # one row per training sample; NaN where a gradient was not finite
    table = (
        np.asarray(data["scores"], float).T if influence is None else np.asarray(influence, float)
    )
    total = np.where(np.isnan(table).all(axis=1), -np.inf, np.nansum(table, axis=1))
    best = np.argsort(-total, kind="stable")[:_HELPFUL]
    return np.asarray(training[best[np.isfinite(total[best])]], dtype=np.float32)


def _with_next_seed(explainer: Any) -> Any | None:
    if not hasattr(explainer, "seed") or not hasattr(explainer, "evidence"):
        return None
    other = copy.copy(explainer)
    other.seed = explainer.seed + 1
    return other


def _target(explainer: Any, task: Task) -> Any:
    from pxgen_plugins.adapters.targets import Target, resolve

    target = getattr(explainer, "target", task.target)
    return target if isinstance(target, Target) else resolve(target, task.model)


def _value_at(explainer: Any, task: Task) -> Callable[[Any], Any]:
    """Return the target as a function of codes."""
    target = _target(explainer, task)
    x = torch.from_numpy(task.inputs).to(task.model.device, task.model.dtype)
    shape = task.model.latent_shape
    return lambda z: target.value_at(task.model, z.reshape(len(z), *shape), x)


def _quality_of_attributions(
    values: NDArray[np.float64], explainer: Any, task: Task
) -> dict[str, Any]:
    if values.shape != task.inputs.shape:
        return {}
    target = _target(explainer, task)
    low, high = task.model.data_range or (0.0, 1.0)
    x = torch.from_numpy(task.inputs).to(task.model.device, task.model.dtype)
    measures: dict[str, Any] = quality.deletion_insertion(
        lambda batch: target.value(task.model, batch), x, values, low, seed=task.seed
    )

    def explain(inputs: Any) -> Any:
        return np.asarray(explainer.explain(inputs).data["attributions"])

    radius = 0.02 * (high - low)
    measures["max_sensitivity"] = quality.max_sensitivity(
        explain, task.inputs, values, radius, n_draws=1, seed=task.seed
    )
    layers = getattr(getattr(explainer, "predictor", None), "layers", {})
    if hasattr(explainer, "evidence") and weights_by_layer(layers):
        with permuted_weights(layers, task.seed):
            changed = np.asarray(explainer.explain(task.inputs).data["attributions"])
        measures["randomised_model"] = quality.rank_correlation(np.abs(values), np.abs(changed))
    return measures
