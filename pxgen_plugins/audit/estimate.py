"""Estimate of the time that an audit takes, from a trial with a few anchors."""

from __future__ import annotations

import time

from pxgen_plugins.audit.engine import Plan
from pxgen_plugins.criteria import FittedCriterion
from pxgen_plugins.explainer import PXGen
from pxgen_plugins.utils.threads import one_thread

__all__ = ["duration_text", "seconds"]

_TRIAL = 256


def seconds(plan: Plan, explainer: PXGen, workers: int = 1) -> float | None:
    """Return about how long scoring would take here, in seconds.

    The first 256 anchors are scored twice and the second time counts, for what the first one loads;
    a sample of the model is taken to cost as much as an anchor. Picking representatives, adapters
    and writing come on top.

    Args:
        plan: What is to be done.
        explainer: From :func:`~pxgen_plugins.audit.engine.make_plan`, not fitted.
        workers: How many score at once.

    Returns:
        Seconds; None when a criterion learns from data or samples before it can score.

    Raises:
        ModelError: When the model raises for every anchor.
    """
    if any(isinstance(criterion, FittedCriterion) for criterion in explainer.criteria):
        return None
    rows = range(min(_TRIAL, plan.n_anchors))
    scorer = explainer.scorer()
    with one_thread():
        scorer.score(plan.anchors, rows=rows)
        start = time.perf_counter()
        scorer.score(plan.anchors, rows=rows)
        per_anchor = (time.perf_counter() - start) / len(rows)
    return per_anchor * (plan.n_samples + plan.n_anchors / workers)


def duration_text(duration: float) -> str:
    """Return a duration in words, no more exact than it is.

    Example:
        >>> [duration_text(t) for t in (0.2, 8.4, 75, 7300)]
        ['a second', '8 seconds', '1.2 minutes', '2 hours']
    """
    if duration < 1.5:
        return "a second"
    if duration < 60:
        return f"{duration:.0f} seconds"
    unit, name = (60, "minutes") if duration < 3600 else (3600, "hours")
    return f"{duration / unit:.2g} {name}"
