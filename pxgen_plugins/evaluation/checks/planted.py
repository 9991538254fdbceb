"""Anchors whose group is known beforehand."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from pxgen_plugins.evaluation.checks import register
from pxgen_plugins.evaluation.checks.context import Codes, Context, Row
from pxgen_plugins.models.base import capabilities
from pxgen_plugins.seeds import derive
from pxgen_plugins.thresholds import Conformal, MeanMax, Quantile

NAME = "planted"
_N = 500  # planted anchors of a kind
_TRAINED = 0.8  # of the training data in HIHE: the paper's own figure for its experiment
_FOREIGN = 0.1  # of what the model cannot know in HIHE, at most


@register(NAME)
def planted(context: Context) -> list[Row]:
    """Plant anchors of known kinds and see where they fall.

    The model's own fresh samples must be HIHE, but for the share that the threshold rule gives up;
    copies from the training data must be (80%, the paper's own figure); uniform noise, anchors
    with their elements permuted, and the given out-of-domain sets must not be (10% at most).
    Constant images are reported: a model may reproduce them well, and then they are no error.
    """
    shape = context.model.sample_shape
    low, high = context.bounds
    rng = np.random.default_rng(derive(context.seed, NAME))
    rows = [_own_samples(context)]
    if context.training is not None:
        found = context.group(context.training)
        rows.append(_hihe(context, "training data", found, low=_TRAINED))
    if shape is None:
        return [*rows, Row.skipped(NAME, "made-up anchors", "the model has no sample_shape")]
    foreign: dict[str, Any] = {
        "uniform noise": rng.uniform(low, high, (_N, *shape)).astype(np.float32)
    }
    x = context.inputs()[:_N]
    if len(x) and x[0].size > 1:
        mixed = rng.permuted(x.reshape(len(x), -1), axis=1).reshape(x.shape)
        foreign["anchors with permuted elements"] = mixed
    foreign |= {f"out of domain: {name}": X for name, X in context.out_of_domain.items()}
    for case, X in foreign.items():
        rows.append(_hihe(context, case, context.group(X), high=_FOREIGN))
    for name, level in (("lowest", low), ("middle", (low + high) / 2), ("highest", high)):
        found = context.group(np.full((1, *shape), level, dtype=np.float32))
        group = next(g for g, share in context.shares(found).items() if share == 1.0)
        rows.append(
            Row(NAME, f"constant, {name} value", "HIHE", float(group == "HIHE"), note=group)
        )
    return rows


def _own_samples(context: Context) -> Row:
    case = "the model's own samples"
    if "sample" not in capabilities(context.model):
        return Row.skipped(NAME, case, "the model cannot sample")
    with torch.no_grad():
        drawn = torch.as_tensor(context.model.sample(_N, derive(context.seed, NAME, "samples")))
    found = context.group(drawn.cpu().numpy())
    share = _expected(context)
    if share is None:
        measured = context.shares(found)["HIHE"]
        return Row(NAME, case, "share in HIHE", measured, note="the rule promises no share")
    slack = 3.0 * float(np.sqrt(max(share * (1 - share), 1 / _N) / _N))
    return _hihe(context, case, found, low=share - slack)


def _expected(context: Context) -> float | None:
    """Return the share of own samples in HIHE that the rule promises, at least (union bound)."""
    rule, m = context.explainer.threshold, len(context.scorer.criteria)
    if isinstance(rule, MeanMax):
        # a fresh sample exceeds the largest of n others with chance 1 / (n + 1); the mean of maxima
        # lies below the largest of all, and 5 / n is a generous bound
        return max(0.0, 1.0 - 5.0 * m / rule.n_samples)
    if isinstance(rule, Quantile):
        return max(0.0, 1.0 - m * (1.0 - rule.q))
    if isinstance(rule, Conformal):
        return max(0.0, 1.0 - m * rule.alpha)
    return None


def _hihe(context: Context, case: str, found: Codes, **bounds: float) -> Row:
    if not len(found):
        return Row.skipped(NAME, case, "there are none")
    shares = context.shares(found)
    note = ", ".join(f"{name} {share:.1%}" for name, share in shares.items() if share)
    return Row.judged(NAME, case, "share in HIHE", shares["HIHE"], note=note, **bounds)
