"""PXGen's groups of a comparison: made here, or given as an explainer or an explanation."""

from __future__ import annotations

from typing import Any

from pxgen_plugins.anchors import Anchors
from pxgen_plugins.comparison.agreement import evidence_of
from pxgen_plugins.comparison.cost import Stopwatch, measure_cost
from pxgen_plugins.explainer import PXGen
from pxgen_plugins.models import Model
from pxgen_plugins.scoring import Scorer
from pxgen_plugins.utils.errors import ParameterError

__all__ = ["explain_groups", "fitted_explainer", "scorer_of"]


def explain_groups(
    model: Model, anchors: Anchors, groups: Any, seed: int
) -> tuple[Any, PXGen | None, dict[str, float]]:
    """Return PXGen's explanation, and by whom and at what cost where it is made here."""
    if groups is not None and not isinstance(groups, PXGen):
        if evidence_of(groups) != "groups" or len(groups.group) != len(anchors):
            hint = "Pass what PXGen.explain returned for these anchors."
            allowed = f"a PXGen, or its explanation of the {len(anchors)} anchors"
            raise ParameterError("groups", allowed, type(groups).__name__, hint)
        return groups, None, {}
    explainer = groups if groups is not None else PXGen(model, seed=seed)
    if explainer.predictor is not model:
        hint = "Make it with the model that is compared."
        raise ParameterError("groups", "a PXGen of the same model", "another's", hint)
    watch = Stopwatch()
    with measure_cost() as cost:
        if explainer.calibration is None:
            explainer.fit()
        with watch.running():
            explanation = explainer.explain(anchors)
    return explanation, explainer, {**cost, "score": watch.seconds / max(1, len(anchors))}


def fitted_explainer(explainer: Any, own: PXGen | None, model: Model) -> PXGen | None:
    """Return the fitted PXGen whose thresholds methods may take, or None.

    Raises:
        ParameterError: When the one given is no fitted PXGen of this model.
    """
    if explainer is None:
        return own
    good = isinstance(explainer, PXGen) and explainer.calibration is not None
    if not good or explainer.predictor is not model:
        hint = "Pass PXGen(model).fit()."
        allowed = "a fitted PXGen of the same model"
        raise ParameterError("explainer", allowed, type(explainer).__name__, hint)
    fitted: PXGen = explainer
    return fitted


def scorer_of(model: Model, explanation: Any, seed: int) -> Scorer:
    """Return a scorer with the explanation's settings: shown is the reconstruction it scored."""
    params = explanation.meta.get("params", {})
    names = ("seed", "reconstruction", "precision")
    known = {name: params[name] for name in names if params.get(name) is not None}
    return Scorer(model, [], **{"seed": seed, **known})
