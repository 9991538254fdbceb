"""What an audit costs, from a few timed instances."""

from __future__ import annotations

from dataclasses import replace

from pxgen_plugins.audit.engine import Plan
from pxgen_plugins.criteria import FittedCriterion
from pxgen_plugins.estimate import Estimate
from pxgen_plugins.explainer import PXGen
from pxgen_plugins.utils.threads import one_thread

__all__ = ["cost"]


def cost(plan: Plan, explainer: PXGen, workers: int = 1) -> Estimate:
    """Return about what calibration and scoring take here, with one thread a worker.

    Picking representatives, adapters and writing come on top.

    Args:
        plan: What is to be done.
        explainer: From :func:`~pxgen_plugins.audit.engine.make_plan`, not fitted.
        workers: How many score at once.

    Raises:
        ModelError: When the model does not give what it should.
    """
    learns = any(isinstance(c, FittedCriterion) and c.learns_from_data for c in explainer.criteria)
    of_reference = explainer.threshold.source == "reference"
    n_reference = plan.n_samples * (2 if learns else 1) if of_reference else 0
    with one_thread():
        found = explainer.estimate(plan.anchors, n_reference=n_reference)
    return replace(found, explain_seconds=found.explain_seconds / workers)
