"""How good the explanation of one method is, measured as its kind of evidence allows."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from pxgen_plugins.adapters.targets import Target, resolve
from pxgen_plugins.comparison.agreement import (
    agreement,
    attributions_of,
    evidence_of,
    picked_anchors,
)
from pxgen_plugins.comparison.outcome import Outcome, Task
from pxgen_plugins.evaluation import quality
from pxgen_plugins.evaluation.permutation import permuted_weights, weights_by_layer
from pxgen_plugins.result.direction_table import direction_rows
from pxgen_plugins.scoring import Scorer
from pxgen_plugins.utils.seeds import derive
from pxgen_plugins.utils.sequences import even_positions

__all__ = ["helpful_samples", "quality_of", "with_repeats"]

_HELPFUL = 10  # training samples shown
_COPIES = 8  # training samples that are explained, to see whether each finds itself
_ROWS = 256  # anchors whose targets are predicted by effects
_LONGEST_REPEAT = 60.0  # seconds: a slower method is not run again, nor measured by more calls
_SEEDED = ("attribution", "latent_attribution", "prototypes")  # kinds that agree or do not
_CURVES = 128  # target values per anchor of deletion, insertion and their random orders


def with_repeats(outcome: Outcome, explainer: Any, X: Any, options: dict[str, Any]) -> Outcome:
    """Return an outcome that says whether a second run, and the next seed, give the same."""
    if outcome.seconds is None or outcome.seconds > _LONGEST_REPEAT:
        return outcome
    if outcome.evidence == "description":  # each run is paid for
        return outcome
    again = explainer.explain(X, **options)
    same = again.to_json() == outcome.explanation.to_json()
    other = _with_next_seed(explainer) if outcome.evidence in _SEEDED else None
    if other is None:
        return replace(outcome, repeatable=same)
    alike, _ = agreement(outcome.explanation, other.explain(X, **options))
    return replace(outcome, repeatable=same, seed_agreement=alike)


def quality_of(outcome: Outcome, explainer: Any, task: Task) -> dict[str, Any]:
    """Return the measures of an outcome's kind of evidence, by name; empty where none applies."""
    data = outcome.explanation.data
    values = attributions_of(outcome.explanation)
    if data.get("control_agreement") is not None:  # attribution to words
        names = ("agreement", "control_agreement")
        return {name: float(np.mean(np.asarray(data[name], dtype=np.float64))) for name in names}
    if outcome.evidence in ("attribution", "influence") and _is_slow(outcome, task):
        return {"not measured": "it would take more than a minute"}
    if outcome.evidence == "attribution" and values is not None:
        return _quality_of_attributions(values, explainer, task)
    if outcome.evidence == "latent_attribution" and values is not None:
        codes = torch.from_numpy(task.features[task.local]).to(task.model.device)
        weights = values.reshape(len(values), -1)  # those of latent maps have the map's shape
        if weights.shape != tuple(codes.shape):  # several dimensions may play as one
            return {}
        value_at = _value_at(explainer, task)
        return {"ablation_agreement": quality.ablation_agreement(value_at, codes, weights)}
    if (picks := picked_anchors(outcome.explanation)) is not None:
        return dict(quality.coverage(task.features, picks, task.anchors.labels))
    if outcome.evidence in _BY_KIND and hasattr(explainer, "evidence"):
        return _BY_KIND[outcome.evidence](data, explainer, task)
    names = ("trustworthiness", "neighbour_preservation")
    return {name: data[name] for name in names if isinstance(data.get(name), float)}


def _is_slow(outcome: Outcome, task: Task) -> bool:
    curves = 0.0
    if outcome.evidence == "attribution":
        curves = _CURVES * len(task.inputs) * task.pass_seconds.get("target", 0.0)
    return max(outcome.seconds or 0.0, curves) > _LONGEST_REPEAT


def helpful_samples(explanation: Any, explainer: Any) -> NDArray[Any] | None:
    """Return the training samples of greatest total influence, at most ten; None without any."""
    data, training = explanation.data, getattr(explainer, "training", None)
    if training is None or evidence_of(explanation) != "influence":
        return None
    table = _influence(data)
    total = np.where(np.isnan(table).all(axis=1), -np.inf, np.nansum(table, axis=1))
    best = np.argsort(-total, kind="stable")[:_HELPFUL]
    return np.asarray(training[best[np.isfinite(total[best])]], dtype=np.float32)


def _influence(data: Mapping[str, Any]) -> NDArray[np.float64]:
    """Return a row per training sample, a column per anchor; NaN where there is no influence."""
    table = data.get("influence")
    table = np.asarray(data["scores"]).T if table is None else np.asarray(table)
    return table.astype(np.float64)


def _quality_of_influence(data: Mapping[str, Any], explainer: Any, task: Task) -> dict[str, Any]:
    """Explain copies of training samples: each should be helped most by its own."""
    training = getattr(explainer, "training", None)
    if training is None or len(training) < 2:
        return {}
    rng = np.random.default_rng(derive(task.seed, "copies"))
    own = np.sort(rng.choice(len(training), min(_COPIES, len(training)), replace=False))
    copies = _influence(explainer.explain(training[own]).data)
    return dict(quality.copy_ranks(copies, own))


def _quality_of_contrast(data: Mapping[str, Any], explainer: Any, task: Task) -> dict[str, Any]:
    """Count what was looked for; where a change is said, the decision must be another one."""
    if not {"status", "start", "end", "pertinent"} <= set(data):
        return {}
    status = np.asarray(data["status"])
    searched = np.isin(status, ["found", "none"])
    across = np.asarray(data["start_decision"]) != np.asarray(data["end_decision"])
    found = (status == "found") & (across | (data["pertinent"] == "positive"))
    start, end = (np.asarray(data[key])[searched] for key in ("start", "end"))
    return dict(quality.change(start, end, found[searched])) if searched.any() else {}


def _quality_of_effect(data: Mapping[str, Any], explainer: Any, task: Task) -> dict[str, Any]:
    """Predict the targets at the anchors' own codes, where every dimension has a curve."""
    curves = data.get("ale_values") or [np.transpose(c) for c in data.get("pd_values") or []]
    grids = data.get("feature_values") or []
    valid = np.flatnonzero(np.isfinite(task.features).all(axis=1))
    rows = valid[even_positions(len(valid), _ROWS)]
    codes = task.features[rows].astype(np.float64)
    if len(curves) != codes.shape[1]:
        return {}
    x = Scorer(task.model, []).inputs(task.anchors, rows)
    batch = torch.from_numpy(x).to(task.model.device, task.model.dtype)
    given = explainer.target if isinstance(explainer.target, list | tuple) else [explainer.target]
    shares = []
    for t, target in enumerate(given):
        with torch.no_grad():
            parts = [
                resolve(target, task.model).value(task.model, some, seed=explainer.seed)
                for some in torch.split(batch, explainer.batch_size)
            ]
        values = torch.cat(parts).double().cpu().numpy()
        finite = np.isfinite(values)
        own = [np.asarray(curve)[:, t] for curve in curves]
        shares.append(quality.additive_fidelity(codes[finite], values[finite], grids, own))
    return {"additive_fidelity": float(np.mean(shares))}


def _quality_of_directions(data: Mapping[str, Any], explainer: Any, task: Task) -> dict[str, Any]:
    """Say how steadily assessors follow the axes, and how much changes, beside random ones."""
    found: dict[str, Any] = {}
    rows = direction_rows(data)
    for name in ("ends", "random_ends", "monotone", "random_monotone"):
        values = [row[name] for row in rows if row[name] is not None]
        found |= {name: float(np.mean(values))} if values else {}
    change, random = (np.asarray(data[key])[:, -1] for key in ("change", "control_change"))
    if (random > 0).all():
        found["change_over_random"] = float((change / random).mean())
    return found


def _quality_of_units(data: Mapping[str, Any], explainer: Any, task: Task) -> dict[str, Any]:
    """Say what goes without the set, beside random sets; or which units match and what they do."""
    if data.get("removal") is not None:
        ends = {"removal": data["removal"], "random_removal": data["random_removal"]}
        return {name: float(np.asarray(curve)[-1]) for name, curve in ends.items()}
    labels = data.get("label") or []
    found = {"named_units": float(np.mean([bool(label) for label in labels]))} if labels else {}
    effect = np.asarray(data.get("effect"), dtype=np.float64)
    if np.isfinite(effect).any():
        found["largest_effect"] = float(np.nanmax(effect))
    return found


def _quality_of_description(data: Mapping[str, Any], explainer: Any, task: Task) -> dict[str, Any]:
    """Say how often sentences find their film, how many are confirmed, and what was asked."""
    rate = np.asarray(data["hit_rate"], dtype=np.float64)
    cost = {"calls": int(data["n_calls"]), "images": int(data["n_images"])}
    if not np.isfinite(rate).any():
        return cost
    return {
        "match_rate": float(np.nanmean(rate)),
        "chance": float(data["chance"]),
        "confirmed": float(np.mean(data["confirmed"])),
        **cost,
    }


def _quality_of_localisation(data: Mapping[str, Any], explainer: Any, task: Task) -> dict[str, Any]:
    """Say what of the whole change the strongest place makes, beside the control."""
    if data.get("strongest") is None:
        return {}
    best = int(data["strongest"])
    names = ("share", "control_share")
    return {name: float(np.asarray(data[name], dtype=np.float64)[best]) for name in names}


_BY_KIND: dict[str | None, Callable[[Mapping[str, Any], Any, Task], dict[str, Any]]] = {
    "influence": _quality_of_influence,
    "counterfactual": _quality_of_contrast,
    "effect": _quality_of_effect,
    "directions": _quality_of_directions,
    "units": _quality_of_units,
    "description": _quality_of_description,
    "localisation": _quality_of_localisation,
}


def _with_next_seed(explainer: Any) -> Any | None:
    if not hasattr(explainer, "seed") or not hasattr(explainer, "evidence"):
        return None
    other = copy.copy(explainer)
    other.seed = explainer.seed + 1
    return other


def _target(explainer: Any, task: Task) -> Any:
    target = getattr(explainer, "target", task.target)
    return target if isinstance(target, Target) else resolve(target, task.model)


def _value_at(explainer: Any, task: Task) -> Callable[[Any], Any]:
    """Return the target as a function of codes."""
    target = _target(explainer, task)
    x = torch.from_numpy(task.inputs).to(task.model.device, task.model.dtype)
    shape = task.model.latent_shape
    seed = _seed(explainer, task)
    return lambda z: target.value_at(task.model, z.reshape(len(z), *shape), x, seed=seed)


def _seed(explainer: Any, task: Task) -> int:
    """Return the seed of the target's own noise: what is measured is what was explained."""
    return int(getattr(explainer, "seed", task.seed))


def _quality_of_attributions(
    values: NDArray[np.float64], explainer: Any, task: Task
) -> dict[str, Any]:
    if values.shape != task.inputs.shape:
        return {}
    target = _target(explainer, task)
    low, high = task.model.data_range or (0.0, 1.0)
    x = torch.from_numpy(task.inputs).to(task.model.device, task.model.dtype)
    measures: dict[str, Any] = quality.deletion_insertion(
        lambda batch: target.value(task.model, batch, seed=_seed(explainer, task)),
        x,
        values,
        low,
        seed=task.seed,
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
        same = quality.map_correlation(np.abs(values), np.abs(changed))
        measures["randomised_model"] = same if np.isfinite(same) else None
    return measures
