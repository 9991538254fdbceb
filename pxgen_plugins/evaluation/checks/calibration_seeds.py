"""Groups must not hang on which of the model's samples set the thresholds."""

from __future__ import annotations

import numpy as np

from pxgen_plugins import groups
from pxgen_plugins.evaluation.checks import register
from pxgen_plugins.evaluation.checks.context import Agreement, Context, Row
from pxgen_plugins.seeds import derive
from pxgen_plugins.thresholds import Fixed

NAME = "calibration_seeds"
_LOWEST = 0.8  # adjusted Rand index


@register(NAME)
def calibration_seeds(context: Context) -> list[Row]:
    """Calibrate with other seeds, by the same rule, and compare the groups.

    The adjusted Rand index with the explainer's own groups must be near 1. The share of anchors
    that keep their group is reported beside the mean ``group_stability``, which is the same share
    for single repeats of the explainer's own calibration.
    """
    if isinstance(context.explainer.threshold, Fixed):
        return [Row.skipped(NAME, "other seeds", "thresholds are fixed; nothing is sampled")]
    foretold = _stability(context)
    rows = []
    for k in range(context.n_seeds):
        case = f"seed {k + 1}"
        seed = derive(context.seed, NAME, k)
        calibration = context.calibrate(context.scorer, seed)
        agreement = Agreement.of(context.codes, context.group(context.anchors, None, calibration))
        note = f"mean group_stability {foretold:.3f}"
        measure = "anchors that keep their group"
        rows.append(Row(NAME, case, measure, agreement.kept, note=note))
        if np.isnan(agreement.rand):
            rows.append(Row.skipped(NAME, case, "both put all anchors in one group"))
        else:
            measure = "adjusted Rand index"
            rows.append(Row.judged(NAME, case, measure, agreement.rand, low=_LOWEST))
    return rows


def _stability(context: Context) -> float:
    values = context.scorer.score(context.anchors).values
    kinds = [str(criterion.kind) for criterion in context.scorer.criteria]
    calibration = context.calibration
    ruled = (kinds, context.explainer.rule, calibration.scale)
    found = groups.stability(values, calibration.thresholds, calibration.repeats, *ruled)
    return float(np.nanmean(found)) if np.isfinite(found).any() else 1.0
