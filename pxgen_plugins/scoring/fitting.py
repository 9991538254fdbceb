"""Batches for the criteria that learn before they are used."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from pxgen_plugins.anchors import Anchors, open_for
from pxgen_plugins.criteria.base import Batch
from pxgen_plugins.criteria.fitted_criterion import FittedCriterion
from pxgen_plugins.criteria.passes import value_passes
from pxgen_plugins.models.base import passes, require
from pxgen_plugins.scoring.scorer import Scorer
from pxgen_plugins.utils.errors import (
    AnchorError,
    ModelError,
    ParameterError,
    PXGenError,
    caller,
    warn,
)
from pxgen_plugins.utils.progress import PassMeter, bar, on_passes
from pxgen_plugins.utils.seeds import derive

__all__ = ["fit_criteria"]


@caller("PXGen.fit")
def fit_criteria(scorer: Scorer, X: Any, seed: int, verbose: bool = False) -> None:
    """Let every :class:`~pxgen_plugins.criteria.FittedCriterion` criterion of ``scorer`` learn.

    Args:
        scorer: Model and criteria.
        X: Reference data, or None; rows that cannot be read or are not finite are left out, with a
            warning.
        seed: Seed of the samples that criteria learn from; thresholds come from others.
        verbose: Show a progress bar for each.

    Raises:
        ParameterError: When a criterion learns from data and ``X`` is None.
        AnchorError: When ``X`` holds no instance that is finite.
        CapabilityError: When one learns from samples and the model cannot sample.
        ModelError: When the model raises on what a criterion learns from.

    Cost: one pass over the data, or ``n_fit`` samples, for each such criterion.
    """
    for criterion in scorer.criteria:
        if not isinstance(criterion, FittedCriterion):
            continue
        name = f"criterion {criterion.name!r}"
        if X is None and criterion.learns_from == "data":
            hint = "Call fit(X) with data of the kind the model was trained on."
            allowed = f"given, as reference data for {name}"
            raise ParameterError("X", allowed, "None", hint)
        each = value_passes(scorer.model, [criterion])
        anchors: Anchors | None = None
        if X is None or not criterion.learns_from_data:
            with caller(name):
                require(scorer.model, ["sample"], "Use a criterion that needs no samples.")
            each += passes(scorer.model, "sample")
        else:
            anchors = open_for(scorer.model, X)
        n, unit = (criterion.n_fit, "sample") if anchors is None else (len(anchors), "instance")
        try:
            with bar(n, f"fitting {criterion.name}", unit, verbose) as progress:
                meter = PassMeter(progress.update, n, each)
                named = derive(seed, "criterion", criterion.name)
                batches = (
                    _samples(scorer, n, named, meter)
                    if anchors is None
                    else _data(scorer, anchors, seed, meter)
                )
                with on_passes(meter.count):
                    criterion.fit(batches)
        except PXGenError:
            raise
        except Exception as error:
            got = f"{type(error).__name__}: {str(error)[:300]}"
            hint = "Call the model by hand on this data to find the instance, and leave it out."
            allowed = "callable on the instances to learn from"
            raise ModelError("model", allowed, got, hint, where=name) from error


def _samples(scorer: Scorer, n: int, seed: int, meter: PassMeter) -> Iterator[Batch]:
    prompts = scorer.prompts_of_samples(n, seed)
    for first, x in scorer.samples(n, seed, learning=True):
        own = None if prompts is None else prompts[first : first + len(x)]
        yield Batch(scorer.under(own), x, first=first, seed=seed)
        meter.finish(len(x))


def _data(scorer: Scorer, anchors: Anchors, seed: int, meter: PassMeter) -> Iterator[Batch]:
    seen = 0
    reasons: dict[int, str] = {}
    prompts = scorer.prompts_of(anchors)
    for start, x in scorer.batches(anchors, None, reasons):
        kept = [row for row in range(len(x)) if start + row not in reasons]
        seen += len(kept)
        if kept:
            # a copy, because the buffer behind x is used again
            own = None if prompts is None else [prompts[start + row] for row in kept]
            yield Batch(scorer.under(own), x[kept], first=start, seed=seed)
        meter.finish(len(x))
    if reasons and seen:
        first = next(iter(reasons.items()))
        warn(
            f"PXGen.fit: {len(reasons)} of {len(anchors)} reference instances are left out, the "
            f"first at {first[0]}: {first[1]}"
        )
    if not seen:
        hint = "Give reference data of the kind the model was trained on."
        got = f"{len(anchors)} instances, {len(reasons)} of them unreadable or not finite"
        raise AnchorError("X", "at least one finite instance", got, hint)
