"""Batches for the criteria that learn before they are used."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
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

__all__ = ["Lesson", "fit_criteria"]


@dataclass
class Lesson:
    """The instances that a criterion learns from.

    Args:
        scorer: The model, and how batches are made.
        criterion: The criterion.
        anchors: Reference data; None for samples of the model.
        seed: Seed of the explainer.
        left_out: Instances that cannot be read or are not finite, why by position; filled by
            :meth:`batches`.

    Raises:
        ParameterError: When the criterion learns from data and there is none.
        CapabilityError: When it learns from samples and the model cannot sample.
    """

    scorer: Scorer
    criterion: FittedCriterion
    anchors: Anchors | None
    seed: int
    left_out: dict[int, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        criterion, name = self.criterion, f"criterion {self.criterion.name!r}"
        if self.anchors is None and criterion.learns_from == "data":
            hint = "Call fit(X) with data of the kind the model was trained on."
            allowed = f"given, as reference data for {name}"
            raise ParameterError("X", allowed, "None", hint)
        if not criterion.learns_from_data:
            self.anchors = None
        self.passes = value_passes(self.scorer.model, [criterion])
        self.batch_seed = self.seed
        if self.anchors is None:
            with caller(name):
                require(self.scorer.model, ["sample"], "Use a criterion that needs no samples.")
            self.passes += passes(self.scorer.model, "sample")
            self.batch_seed = derive(self.seed, "criterion", criterion.name)

    def __len__(self) -> int:
        return self.criterion.n_fit if self.anchors is None else len(self.anchors)

    def batches(self, rows: range | None = None) -> Iterator[Batch]:
        """Yield the instances, without those that are left out, in batches.

        Args:
            rows: Which ones, consecutive; None for all.
        """
        scorer, seed = self.scorer, self.batch_seed
        if self.anchors is None:
            prompts = scorer.prompts_of_samples(len(self), seed)
            for first, x in scorer.samples(len(self), seed, learning=True, rows=rows):
                own = None if prompts is None else prompts[first : first + len(x)]
                yield Batch(scorer.under(own), x, first=first, seed=seed)
            return
        rows, reasons = range(len(self)) if rows is None else rows, dict[int, str]()
        prompts = scorer.prompts_of(self.anchors)
        for start, x in scorer.batches(self.anchors, rows, reasons):
            kept = [row for row in range(len(x)) if start + row not in reasons]
            if kept:
                at = rows.start + start
                own = None if prompts is None else [prompts[at + row] for row in kept]
                # a copy, because the buffer behind x is used again
                yield Batch(scorer.under(own), x[kept], first=at, seed=seed)
        self.left_out |= {rows.start + position: why for position, why in reasons.items()}

    def end(self) -> None:
        """Warn of instances that were left out.

        Raises:
            AnchorError: When that is all of them.
        """
        n, n_out = len(self), len(self.left_out)
        if n_out == n and self.anchors is not None:
            hint = "Give reference data of the kind the model was trained on."
            got = f"{n} instances, {n_out} of them unreadable or not finite"
            raise AnchorError("X", "at least one finite instance", got, hint)
        if n_out:
            first = min(self.left_out.items())
            warn(
                f"PXGen.fit: {n_out} of {n} reference instances are left out, the first at "
                f"{first[0]}: {first[1]}"
            )

    @contextmanager
    def errors(self) -> Iterator[None]:
        """Say of whatever the model raises meanwhile which criterion was to learn."""
        try:
            yield
        except PXGenError:
            raise
        except Exception as error:
            got = f"{type(error).__name__}: {str(error)[:300]}"
            hint = "Call the model by hand on this data to find the instance, and leave it out."
            allowed = "callable on the instances to learn from"
            where = f"criterion {self.criterion.name!r}"
            raise ModelError("model", allowed, got, hint, where=where) from error


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
        anchors = None
        if X is not None and criterion.learns_from_data:
            anchors = open_for(scorer.model, X)
        lesson = Lesson(scorer, criterion, anchors, seed)
        unit = "sample" if lesson.anchors is None else "instance"
        with bar(len(lesson), f"fitting {criterion.name}", unit, verbose) as progress:
            meter = PassMeter(progress.update, len(lesson), lesson.passes)
            with lesson.errors(), on_passes(meter.count):
                criterion.fit(_counted(lesson, meter))


def _counted(lesson: Lesson, meter: PassMeter) -> Iterator[Batch]:
    for batch in lesson.batches():
        yield batch
        meter.finish(len(batch))
    meter.finish(len(lesson.left_out))
    lesson.end()
