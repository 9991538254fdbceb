"""Check that groups depend on what the model learnt."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from pxgen_plugins.evaluation.checks.agreement import RAND, SAME_GROUP, TRIVIAL, Agreement
from pxgen_plugins.evaluation.checks.base import register
from pxgen_plugins.evaluation.checks.context import Context
from pxgen_plugins.evaluation.checks.row import Row
from pxgen_plugins.evaluation.permutation import permuted_weights, weights_by_layer
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
    tensors, which keeps their distribution, and put back afterwards; thresholds come from the
    permuted model's own samples (3 repeats at most), or from the reference data under it. With all
    layers permuted, the adjusted Rand index with the trained model's groups must be near 0: 0.2 at
    most, on average over seeds. The share of anchors that keep their group is reported beside the
    share that would by chance: where most anchors share a group under both models it is high and
    says little.
    """
    model = context.explainer.predictor
    if "layers" not in capabilities(model):
        return [Row.skip(NAME, _ALL, "the model shows no layers")]
    layers = list(weights_by_layer(model.layers))
    if not layers:
        return [Row.skip(NAME, _ALL, "the model's layers hold no weights")]
    try:
        complete = [_agreement(context, layers, seed) for seed in range(context.n_seeds)]
        depths = np.linspace(1, len(layers), min(_DEPTHS, len(layers))).round().astype(int)
        rows = []
        for start, ordered in (("last", layers[::-1]), ("first", layers)):
            for depth in np.unique(depths)[:-1]:
                case = f"{start} {depth} of {len(layers)} layers"
                rows += _rows(case, [_agreement(context, ordered[:depth], 0)])
    except (PXGenError, _NoEffect) as error:  # a permuted model may have no finite values, say
        return [Row.skip(NAME, _ALL, str(error))]
    return rows + _rows(_ALL, complete, high=_HIGHEST)


class _NoEffect(Exception):
    """The weights of the named layers are not those that the model computes with."""


def _agreement(context: Context, names: Sequence[str], seed: int) -> Agreement:
    """Compare with the groups under permuted weights of some layers."""
    layers = context.explainer.predictor.layers
    with permuted_weights(layers, context.seed + seed, only=names):
        scorer = context.refit()
        values = context.score(context.anchors, scorer)
        complete = set(names) == set(weights_by_layer(layers))
        if complete and np.array_equal(values, context.values):
            raise _NoEffect("permuted weights give the same values: the functions run other ones")
        calibration = context.calibrate(scorer, context.explainer.seed, _REPEATS)
    return Agreement.of(context.codes, context.codes_of(values, calibration))


def _rows(case: str, agreements: Sequence[Agreement], high: float | None = None) -> list[Row]:
    chance = float(np.mean([agreement.chance for agreement in agreements]))
    same = [agreement.same_share for agreement in agreements]
    rows = [Row.spread(NAME, case, SAME_GROUP, same, note=f"by chance {chance:.3f}")]
    finite = [agreement.rand for agreement in agreements if not np.isnan(agreement.rand)]
    if not finite:
        return [*rows, Row.skip(NAME, case, TRIVIAL)]
    return [*rows, Row.spread(NAME, case, RAND, finite, high=high)]
