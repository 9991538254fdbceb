"""Check that groups depend little on which samples, or reference data, set the thresholds."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from pxgen_plugins.evaluation.checks.agreement import RAND, SAME_GROUP, TRIVIAL, Agreement, Codes
from pxgen_plugins.evaluation.checks.base import register
from pxgen_plugins.evaluation.checks.context import Context
from pxgen_plugins.evaluation.checks.row import Row
from pxgen_plugins.thresholds import Fixed
from pxgen_plugins.thresholds.calibration import Calibration
from pxgen_plugins.utils.seeds import derive

NAME = "calibration_seeds"
_LOWEST = 0.8  # "good" recovery of a partition (Steinley 2004)
_REPEATS = 3  # from as many on, a mean of repeats is firmer than a single one
SINGLE = "all anchors are in one group, so an index of partitions says nothing"
_LABELS = 10  # the most frequent ones


@register(NAME)
def calibration_seeds(context: Context) -> list[Row]:
    """Calibrate with other seeds, by the same rule, and compare the groups.

    The adjusted Rand index with the explainer's own groups must be 0.8 at least, which Steinley
    (2004) calls good. The mean share of anchors that keep their group must not be under what the
    explainer's worst single repeat gives, less one anchor: a threshold that is a mean over repeats
    moves less. Where criteria learn from samples, other seeds move what was learned too, and the
    share is only reported; where all anchors are in one group, the index is left out. Where
    thresholds come from reference data, another seed draws other instances of it with replacement.
    With labels, the share of each label in HIHE is reported: the numbers that people quote.
    """
    if isinstance(context.explainer.threshold, Fixed):
        return [Row.skip(NAME, "other seeds", "thresholds are fixed; nothing is sampled")]
    own = [
        Agreement.of(context.codes, context.codes_of(context.values, repeat))
        for repeat in _repeats(context.calibration)
    ]
    others = []
    for k in range(context.n_seeds):
        seed = derive(context.seed, NAME, k)
        values, scorer = context.values, context.scorer
        if context.learns_from_samples:
            scorer = context.with_seed(seed)
            values = context.score(context.anchors, scorer)
        calibration = context.calibrate(scorer, seed, resample=True)
        others.append(context.codes_of(values, calibration))
    return [
        *_own_repeats(own),
        *_other_seeds(
            [Agreement.of(context.codes, other) for other in others],
            own,
            learns=context.learns_from_samples,
            single=len(np.unique(context.codes)) < 2,
            step=1.0 / max(1, len(context.codes)),
        ),
        *_labels(context, others),
    ]


def _repeats(calibration: Calibration) -> list[Calibration]:
    """Return a calibration for each repeat, as if it were the only one."""
    return [replace(calibration, thresholds=repeat) for repeat in calibration.repeats]


def _own_repeats(own: list[Agreement]) -> list[Row]:
    case = "own repeats, one by one"
    if len(own) < 2:
        return [Row.skip(NAME, case, "there is one repeat only")]
    shares = [agreement.same_share for agreement in own]
    rows = [Row.spread(NAME, case, SAME_GROUP, shares, note="each repeat as the only one")]
    finite = [agreement.rand for agreement in own if not np.isnan(agreement.rand)]
    return [*rows, Row.spread(NAME, case, RAND, finite)] if finite else rows


def _other_seeds(
    others: list[Agreement], own: list[Agreement], learns: bool, single: bool, step: float
) -> list[Row]:
    case = "other seeds"
    low, note = None, "fewer than three own repeats predict nothing"
    if learns:
        note = "criteria learn from samples, which own repeats share and other seeds do not"
    elif len(own) >= _REPEATS:
        low, note = (
            min(agreement.same_share for agreement in own) - step,
            "at least the worst own repeat's, but for one anchor",
        )
    shares = [agreement.same_share for agreement in others]
    rows = [Row.spread(NAME, case, SAME_GROUP, shares, low=low, note=note)]
    finite = [agreement.rand for agreement in others if not np.isnan(agreement.rand)]
    if single or not finite:  # the index is 0 as soon as one anchor moves
        return [*rows, Row.skip(NAME, case, SINGLE if single else TRIVIAL)]
    return [*rows, Row.spread(NAME, case, RAND, finite, low=_LOWEST)]


def _labels(context: Context, others: list[Codes]) -> list[Row]:
    labels = context.anchors.labels
    if labels is None:
        return []
    names, counts = np.unique(labels, return_counts=True)
    frequent = names[np.argsort(-counts, kind="stable")[:_LABELS]]
    rows = []
    for name in sorted(frequent.tolist()):
        of = labels == name
        shares = [float((other[of] == 0).mean()) for other in others]
        own = float((context.codes[of] == 0).mean())
        note = f"the explainer says {own:.3f}"
        rows.append(Row.spread(NAME, f"label {name}", "share in HIHE", shares, note=note))
    return rows
