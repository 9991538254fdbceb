"""What explanations say, in forms that can be compared, and how far two of them agree."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pxgen_plugins.comparison.outcome import Outcome
from pxgen_plugins.evaluation import quality
from pxgen_plugins.result import Result

__all__ = [
    "agreement",
    "agreements",
    "attributions_of",
    "evidence_of",
    "picked_anchors",
    "representatives",
]

_ATTRIBUTIONS = ("attribution", "latent_attribution")


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
    values = data.get("weights")
    values = data.get("attributions") if values is None else values
    return None if values is None else np.asarray(values, dtype=np.float64)


def representatives(result: Result) -> NDArray[np.int64]:
    """Return all representatives of PXGen's first selector, (k,)."""
    empty = np.empty(0, dtype=np.int64)
    groups = result.groups.values()
    return np.concatenate([next(iter(g.representatives.values()), empty) for g in groups])


def picked_anchors(explanation: Any) -> NDArray[np.int64] | None:
    """Return the prototypes of an explanation as indices of anchors; None where they are none."""
    data = getattr(explanation, "data", {})
    fitted = data.get("source") == "fit"  # then they are indices of what ``fit`` was given
    if evidence_of(explanation) != "prototypes" or fitted or data.get("indices") is None:
        return None
    return np.asarray(data["indices"], dtype=np.int64)


def agreement(one: Any, other: Any) -> tuple[float | None, str | None]:
    """Return how far two explanations agree, and their common kind; None where they have none.

    Attributions: mean Spearman correlation of absolute values per anchor, over the elements where
    one of the two is not 0 (both vanish by construction on a black background). Latent
    attributions: mean cosine of absolute values, because ranks of the many dimensions that do
    nothing would decide a rank correlation. Prototypes: Jaccard index of the anchors, PXGen's
    representatives included.
    """
    kinds = evidence_of(one), evidence_of(other)
    if kinds[0] == kinds[1] and kinds[0] in _ATTRIBUTIONS:
        a, b = attributions_of(one), attributions_of(other)
        if a is None or b is None or a.shape != b.shape:
            return None, None
        alike = quality.map_correlation if kinds[0] == "attribution" else quality.cosine
        value = alike(np.abs(a), np.abs(b))
        return (value, kinds[0]) if np.isfinite(value) else (None, None)
    picks = [_prototypes(explanation) for explanation in (one, other)]
    if picks[0] is not None and picks[1] is not None:
        return quality.jaccard(picks[0], picks[1]), "prototypes"
    return None, None


def agreements(outcomes: Sequence[Outcome]) -> dict[str, dict[str, float]]:
    """Return the :func:`agreement` of all pairs, by kind, then by pair of labels."""
    table: dict[str, dict[str, float]] = {}
    for one, other in itertools.combinations(outcomes, 2):
        value, kind = agreement(one.explanation, other.explanation)
        if value is not None and kind is not None:
            table.setdefault(kind, {})[f"{one.label} / {other.label}"] = value
    return table


def _prototypes(explanation: Any) -> Any | None:
    kind = evidence_of(explanation)
    if kind == "groups" and "groups" in explanation.data:
        return representatives(Result.of(explanation))
    return picked_anchors(explanation)
