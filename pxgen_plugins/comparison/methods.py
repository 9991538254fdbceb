"""One method of a comparison: made, timed, run, measured; its failure is a result too."""

from __future__ import annotations

import copy
import inspect
import itertools
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from alibi.exceptions import NotFittedError
from numpy.typing import NDArray

from pxgen_plugins.anchors import Anchors
from pxgen_plugins.evaluation import quality as measures
from pxgen_plugins.scoring import Scorer
from pxgen_plugins.utils.errors import ParameterError

__all__ = ["Context", "Outcome", "agreements", "attributions_of", "evidence_of", "run", "watched"]

_ATTRIBUTIONS = ("attribution", "latent_attribution")
_STRIP = 10  # training samples shown
_LONGEST_REPEAT = 60.0  # seconds: a slower method is not run again to see whether it repeats


@dataclass(frozen=True)
class Context:
    """What all methods of a comparison share.

    Attributes:
        model: The model.
        anchors: The anchor set.
        chosen: Indices of the anchors that local methods explain, (a,).
        inputs: Those anchors as the model takes them, (a, *sample_shape).
        features: Posterior means of all anchors (or their pixels), (n, d).
        group: Group of every anchor, (n,), for methods whose ``explain`` takes ``groups``.
        target: What named adapters explain.
        quality: Whether to measure quality.
        seed: Seed of adapters made here.
    """

    model: Any
    anchors: Anchors
    chosen: NDArray[np.int64]
    inputs: NDArray[np.float32]
    features: NDArray[np.float32]
    group: NDArray[np.str_]
    target: Any
    quality: bool
    seed: int

    def everything(self, explainer: Any) -> Any:
        """Return all anchors: as they are for ours, as one ndarray for other libraries'."""
        if hasattr(explainer, "evidence") or hasattr(explainer, "calibration"):
            return self.anchors
        index = np.arange(len(self.anchors), dtype=np.int64)
        return Scorer(self.model, []).inputs(self.anchors, index)


@dataclass(frozen=True)
class Outcome:
    """What became of one method.

    Attributes:
        label: Its name in the comparison.
        evidence: Kind of evidence; None when the method failed or does not say.
        access: What it needs of the model.
        explanation: Its explanation, or None.
        seconds: Wall time of fit and explain together.
        peak_mib: Growth of the resident memory meanwhile, MiB.
        repeatable: Whether the same call gives the same result again; None when not tried.
        seed_agreement: Agreement with the result of the next seed, 1 = the same; None without seed.
        quality: Measures of its kind.
        helpful: Training samples that helped the chosen anchors most, most helpful first; for
            influence methods that keep their training data.
        error: Type and text of the exception, or None.
    """

    label: str
    evidence: str | None = None
    access: str | None = None
    explanation: Any = None
    seconds: float | None = None
    peak_mib: float | None = None
    repeatable: bool | None = None
    seed_agreement: float | None = None
    quality: dict[str, Any] = field(default_factory=dict)
    helpful: NDArray[Any] | None = None
    error: str | None = None

    @classmethod
    def of_groups(cls, explanation: Any, cost: dict[str, float], context: Context) -> Outcome:
        """Return PXGen's own outcome, measured as prototypes; ``cost`` is empty when unknown."""
        found = {}
        first = next(iter(explanation.groups["HIHE"]["representatives"]), None)
        if first is not None and context.quality:
            picked = representatives(explanation)
            if len(picked):
                found = measures.coverage(context.features, picked, context.anchors.labels)
        return cls(
            "PXGen",
            "groups",
            "latent",
            explanation,
            seconds=cost.get("seconds"),
            peak_mib=cost.get("peak_mib"),
            quality=found,
        )

    def row(self) -> dict[str, Any]:
        """Return the outcome as a row of the table."""
        return {
            "method": self.label,
            "evidence": self.evidence,
            "access": self.access,
            "seconds": self.seconds,
            "peak_mib": self.peak_mib,
            "repeatable": self.repeatable,
            "seed_agreement": self.seed_agreement,
            "quality": self.quality,
            "error": self.error,
        }


def run(label: str, method: Any, context: Context, X: Any = None) -> Outcome:
    """Return what becomes of ``method``; an exception is an outcome, never raised.

    Args:
        label: Name in the comparison.
        method: Name of an adapter (which is made, and fitted on the anchors), an explainer, or a
            function without arguments that makes one.
        context: What all methods share.
        X: What the explainer explains; None gives a local one the chosen anchors and a global one
            all, as ndarrays to explainers of other libraries.
    """
    try:
        explainer = _make(method, context)
        local = "local" in explainer.meta.get("explanations", ["local"])
        if X is None:
            X = context.inputs if local else context.everything(explainer)
        options: dict[str, Any] = {}
        if "groups" in inspect.signature(explainer.explain).parameters:
            options["groups"] = context.group[context.chosen] if local else context.group
        with watched() as cost:
            if isinstance(method, str):
                explainer.fit(context.anchors)
            explanation = _explained(explainer, X, options, context)
        outcome = Outcome(
            label,
            evidence=evidence_of(explanation),
            access=getattr(explainer, "access", None),
            explanation=explanation,
            seconds=cost["seconds"],
            peak_mib=cost["peak_mib"],
            helpful=_helpful(explanation, explainer),
        )
    except Exception as error:  # one method's failure must not end the others' run
        return Outcome(label, error=_told(error))
    if not context.quality:
        return outcome
    try:
        outcome = _repeated(outcome, explainer, X, options)
        return replace(outcome, quality=_quality(outcome, explainer, context))
    except Exception as error:  # nor may a measure take the explanation away
        return replace(outcome, quality={**outcome.quality, "not measured": _told(error)})


def _told(error: Exception) -> str:
    return f"{type(error).__name__}: {str(error)[:300]}"


def evidence_of(explanation: Any) -> str | None:
    """Return the kind of evidence of an explanation: as it says, or as PXGen's keys tell."""
    data = getattr(explanation, "data", {})
    if "evidence" in data:
        return str(data["evidence"])
    if {"group", "thresholds"} <= set(data):
        return "groups"
    return "effect" if "ale_values" in data or "pd_values" in data else None


def attributions_of(explanation: Any) -> NDArray[np.float64] | None:
    """Return what an explanation attributes, a row per anchor; None when it attributes nothing."""
    if evidence_of(explanation) not in _ATTRIBUTIONS:
        return None
    data = explanation.data
    found = data.get("weights")
    found = data.get("attributions") if found is None else found
    return None if found is None else np.asarray(found, dtype=np.float64)


def representatives(explanation: Any) -> NDArray[np.int64]:
    """Return all representatives of PXGen's first selector, (k,)."""
    picked = [
        np.asarray(next(iter(group["representatives"].values()), []), dtype=np.int64)
        for group in explanation.groups.values()
    ]
    return np.concatenate(picked)


def agreements(outcomes: list[Outcome]) -> dict[str, dict[str, float]]:
    """Return how far methods of one kind agree, by kind, then by pair of labels.

    Attributions: mean Spearman correlation of absolute values per anchor. Latent attributions: mean
    cosine of absolute values, because ranks of the many dimensions that do nothing would decide a
    rank correlation. Prototypes: Jaccard index
    of the picked anchors, PXGen's representatives included.
    """
    found: dict[str, dict[str, float]] = {}
    for one, other in itertools.combinations(outcomes, 2):
        value, kind = _agreement(one.explanation, other.explanation)
        if value is not None and kind is not None:
            found.setdefault(kind, {})[f"{one.label} / {other.label}"] = value
    return found


def _make(method: Any, context: Context) -> Any:
    if not isinstance(method, str):
        explainer = method if hasattr(method, "explain") else method()
        if hasattr(explainer, "evidence") and explainer.predictor is not context.model:
            hint = "Make the explainer with the model that is compared."
            allowed = "the model that is compared"
            name = type(explainer).__name__
            raise ParameterError("predictor", name, allowed, "another one", hint)
        return explainer
    from pxgen_plugins import adapters

    cls = adapters.get(method)
    known = inspect.signature(cls).parameters
    wanted = {"target": context.target, "seed": context.seed}
    return cls(context.model, **{key: value for key, value in wanted.items() if key in known})


def _explained(explainer: Any, X: Any, options: dict[str, Any], context: Context) -> Any:
    """Explain; an explainer that asks to be fitted first is fitted on the anchors."""
    try:
        return explainer.explain(X, **options)
    except NotFittedError:
        explainer.fit(context.everything(explainer))
        return explainer.explain(X, **options)


@contextmanager
def watched() -> Iterator[dict[str, float]]:
    """Measure wall time, and how far the resident memory grows above its start."""
    cost = {"seconds": 0.0, "peak_mib": 0.0}
    before, done = _resident(), threading.Event()

    def watch() -> None:
        while not done.wait(0.02):
            cost["peak_mib"] = max(cost["peak_mib"], (_resident() - before) / 2**20)

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    start = time.perf_counter()
    try:
        yield cost
    finally:
        cost["seconds"] = time.perf_counter() - start
        cost["peak_mib"] = max(cost["peak_mib"], (_resident() - before) / 2**20)
        done.set()
        watcher.join()


def _resident() -> int:
    try:
        with open("/proc/self/statm", encoding="ascii") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:  # no /proc: the column stays at 0
        return 0


def _repeated(outcome: Outcome, explainer: Any, X: Any, options: dict[str, Any]) -> Outcome:
    if outcome.seconds is None or outcome.seconds > _LONGEST_REPEAT:
        return outcome
    again = explainer.explain(X, **options)
    same = again.to_json() == outcome.explanation.to_json()
    other = _with_next_seed(explainer)
    if other is None:
        return replace(outcome, repeatable=same)
    agreement, _ = _agreement(outcome.explanation, other.explain(X, **options))
    return replace(outcome, repeatable=same, seed_agreement=agreement)


def _with_next_seed(explainer: Any) -> Any | None:
    if not hasattr(explainer, "seed") or not hasattr(explainer, "evidence"):
        return None
    other = copy.copy(explainer)
    other.seed = explainer.seed + 1
    return other


def _agreement(one: Any, other: Any) -> tuple[float | None, str | None]:
    kinds = evidence_of(one), evidence_of(other)
    if kinds[0] == kinds[1] and kinds[0] in _ATTRIBUTIONS:
        a, b = attributions_of(one), attributions_of(other)
        if a is None or b is None or a.shape != b.shape:
            return None, None
        alike = measures.rank_correlation if kinds[0] == "attribution" else measures.cosine
        return alike(np.abs(a), np.abs(b)), kinds[0]
    picks = [_picked(explanation) for explanation in (one, other)]
    if picks[0] is not None and picks[1] is not None:
        return measures.jaccard(picks[0], picks[1]), "prototypes"
    return None, None


def _picked(explanation: Any) -> Any | None:
    kind = evidence_of(explanation)
    if kind == "groups" and "groups" in explanation.data:
        return representatives(explanation)
    return explanation.data.get("indices") if kind == "prototypes" else None


def _helpful(explanation: Any, explainer: Any) -> NDArray[Any] | None:
    data, training = explanation.data, getattr(explainer, "training", None)
    if training is None or evidence_of(explanation) != "influence":
        return None
    if data.get("influence") is not None:
        total = np.nansum(np.asarray(data["influence"], dtype=np.float64), axis=1)
    else:
        total = np.nansum(np.asarray(data["scores"], dtype=np.float64), axis=0)
    return np.asarray(training[np.argsort(-total, kind="stable")[:_STRIP]], dtype=np.float32)


def _quality(outcome: Outcome, explainer: Any, context: Context) -> dict[str, Any]:
    data = outcome.explanation.data
    found = attributions_of(outcome.explanation)
    if outcome.evidence == "attribution" and found is not None:
        return _of_attributions(found, explainer, context)
    if outcome.evidence == "latent_attribution" and found is not None:
        codes = torch.from_numpy(context.features[context.chosen]).to(context.model.device)
        if found.shape != tuple(codes.shape):  # several dimensions may play as one
            return {}
        values_at = _values_at(explainer, context)
        return {"ablation_agreement": measures.ablation_agreement(values_at, codes, found)}
    if outcome.evidence == "prototypes" and data.get("indices") is not None:
        picked = np.asarray(data["indices"], dtype=np.int64)
        return dict(measures.coverage(context.features, picked, context.anchors.labels))
    wanted = ("trustworthiness", "neighbour_preservation")
    return {key: data[key] for key in wanted if isinstance(data.get(key), float)}


def _target(explainer: Any, context: Context) -> Any:
    from pxgen_plugins.adapters.targets import Target, resolve

    found = getattr(explainer, "target", context.target)
    return found if isinstance(found, Target) else resolve(found, context.model)


def _values_at(explainer: Any, context: Context) -> Callable[[Any], Any]:
    target = _target(explainer, context)
    x = torch.from_numpy(context.inputs).to(context.model.device, context.model.dtype)
    shape = context.model.latent_shape
    return lambda z: target.value_at(context.model, z.reshape(len(z), *shape), x)


def _of_attributions(found: Any, explainer: Any, context: Context) -> dict[str, Any]:
    if found.shape != context.inputs.shape:
        return {}
    target = _target(explainer, context)
    low, high = context.model.data_range or (0.0, 1.0)
    x = torch.from_numpy(context.inputs).to(context.model.device, context.model.dtype)
    quality: dict[str, Any] = measures.deletion_insertion(
        lambda batch: target.value(context.model, batch), x, found, low, seed=context.seed
    )

    def explain(moved: Any) -> Any:
        return np.asarray(explainer.explain(moved).data["attributions"])

    radius = 0.02 * (high - low)
    quality["max_sensitivity"] = measures.max_sensitivity(
        explain, context.inputs, found, radius, n_draws=1, seed=context.seed
    )
    other = measures.randomised(context.model, context.seed)
    if other is not None and hasattr(explainer, "evidence"):
        blind = copy.copy(explainer)
        blind._predictor = other
        moved = np.asarray(blind.explain(context.inputs).data["attributions"])
        quality["randomised_model"] = measures.rank_correlation(np.abs(found), np.abs(moved))
    return quality
