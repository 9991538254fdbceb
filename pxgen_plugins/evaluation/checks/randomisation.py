"""Groups must depend on what the model learnt."""

from __future__ import annotations

from typing import Any

import numpy as np

from pxgen_plugins.errors import PXGenError
from pxgen_plugins.evaluation.checks import register
from pxgen_plugins.evaluation.checks.context import Agreement, Context, Row
from pxgen_plugins.evaluation.quality import randomised
from pxgen_plugins.models.base import capabilities

NAME = "randomisation"
_DEPTHS = 5  # stages of a cascade, at most
_HIGHEST = 0.2  # adjusted Rand index of unrelated groupings, with room for chance


@register(NAME)
def randomisation(context: Context) -> list[Row]:
    """Permute the weights layer by layer, calibrate anew, and compare the groups.

    The cascade of Adebayo et al. (2018), from the last layer to the first and from the first to the
    last. Weights are permuted within their tensors, which keeps their distribution; thresholds are
    taken from the permuted model's own samples (3 repeats at most). With all layers permuted the
    adjusted Rand index with the trained model's groups must be near 0.
    """
    if "layers" not in capabilities(context.model):
        return [Row.skipped(NAME, "all layers", "the model shows no layers")]
    names = _own_weights(context.model)
    if not names or randomised(context.model, context.seed, names) is None:
        return [Row.skipped(NAME, "all layers", "the model's modules cannot be copied with it")]
    stages = np.unique(np.linspace(1, len(names), min(_DEPTHS, len(names))).round().astype(int))
    rows = []
    for start, ordered in (("last", names[::-1]), ("first", names)):
        for depth in stages[:-1]:
            rows += _stage(context, f"{start} {depth} of {len(names)} layers", ordered[:depth])
    for seed in range(context.n_seeds):
        rows += _stage(context, f"all layers, seed {seed}", names, seed, judged=True)
    return rows


def _own_weights(model: Any) -> list[str]:
    """Return the names of the layers that hold weights themselves, first to last."""
    layers = model.layers.items()
    return [name for name, module in layers if list(module.parameters(recurse=False))]


def _stage(
    context: Context, case: str, layers: list[str], seed: int = 0, judged: bool = False
) -> list[Row]:
    other = randomised(context.model, context.seed + seed, layers)
    try:
        scorer = context.with_model(other)
        calibration = context.calibrate(scorer, context.explainer.seed, n_repeats=3)
        found = context.group(context.anchors, scorer, calibration)
    except PXGenError as error:
        return [Row.skipped(NAME, case, str(error))]
    agreement = Agreement.of(context.codes, found)
    kept = Row(NAME, case, "anchors that keep their group", agreement.kept)
    if np.isnan(agreement.rand):
        return [kept, Row.skipped(NAME, case, "both models put all anchors in one group")]
    measure = "adjusted Rand index"
    if not judged:
        return [kept, Row(NAME, case, measure, agreement.rand)]
    return [kept, Row.judged(NAME, case, measure, agreement.rand, high=_HIGHEST)]
