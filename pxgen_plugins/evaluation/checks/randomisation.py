"""Groups must depend on what the model learnt."""

from __future__ import annotations

import numpy as np

from pxgen_plugins.evaluation.checks import register
from pxgen_plugins.evaluation.checks.agreement import KEPT, RAND, TRIVIAL, Agreement
from pxgen_plugins.evaluation.checks.context import Context
from pxgen_plugins.evaluation.checks.row import Row
from pxgen_plugins.evaluation.quality import randomised, weights_by_layer
from pxgen_plugins.models.base import capabilities
from pxgen_plugins.utils.errors import PXGenError

NAME = "randomisation"
_DEPTHS = 5  # stages of a cascade, at most
_REPEATS = 3  # of the calibration of a permuted model, at most
_HIGHEST = 0.2  # adjusted Rand index: a fifth of the way from chance to agreement
_ALL = "all layers"


@register(NAME)
def randomisation(context: Context) -> list[Row]:
    """Permute the weights layer by layer, calibrate anew, and compare the groups.

    The cascade of Adebayo et al. (2018), from the last layer to the first and from the first to the
    last, in the order in which the modules name their layers. Weights are permuted within their
    tensors, which keeps their distribution, in a copy of the model; thresholds come from the
    permuted model's own samples (3 repeats at most). With all layers permuted, the adjusted Rand
    index with the trained model's groups must be near 0: 0.2 at most, on average over seeds. The
    share of anchors that keep their group is reported beside the share that would by chance: where
    most anchors share a group under both models it is high and says little.
    """
    model = context.explainer.predictor
    if "layers" not in capabilities(model):
        return [Row.skipped(NAME, _ALL, "the model shows no layers")]
    names = list(weights_by_layer(model))
    try:
        found = [_agreement(context, names, seed) for seed in range(context.n_seeds)]
        stages = np.linspace(1, len(names), min(_DEPTHS, len(names))).round().astype(int)
        rows = []
        for start, ordered in (("last", names[::-1]), ("first", names)):
            for depth in np.unique(stages)[:-1]:
                case = f"{start} {depth} of {len(names)} layers"
                rows += _rows(case, [_agreement(context, ordered[:depth], 0)])
    except (PXGenError, _NotReached) as error:  # a permuted model may have no finite values, say
        return [Row.skipped(NAME, _ALL, str(error))]
    return rows + _rows(_ALL, found, high=_HIGHEST)


class _NotReached(Exception):
    """The weights cannot be permuted; the text is the reason."""


def _agreement(context: Context, layers: list[str], seed: int) -> Agreement:
    """Compare with the groups of a copy whose ``layers`` are permuted."""
    other = randomised(context.explainer.predictor, context.seed + seed, layers)
    if other is None:
        raise _NotReached("the model cannot be copied, or its layers hold no weights")
    scorer = context.with_model(other)
    values = context.score(context.anchors, scorer)
    whole = set(layers) == set(weights_by_layer(other))
    if whole and np.array_equal(values, context.values):
        raise _NotReached("the copy gives the same values: its functions run other networks")
    calibration = context.calibrate(scorer, context.explainer.seed, _REPEATS)
    return Agreement.of(context.codes, context.codes_of(values, calibration))


def _rows(case: str, found: list[Agreement], high: float | None = None) -> list[Row]:
    chance = float(np.mean([agreement.chance for agreement in found]))
    kept = [agreement.kept for agreement in found]
    rows = [Row.spread(NAME, case, KEPT, kept, note=f"by chance {chance:.3f}")]
    known = [agreement.rand for agreement in found if not np.isnan(agreement.rand)]
    if not known:
        return [*rows, Row.skipped(NAME, case, TRIVIAL)]
    return [*rows, Row.spread(NAME, case, RAND, known, high=high)]
