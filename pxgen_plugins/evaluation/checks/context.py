"""What a check works on: the explainer, its valid anchors, and what several checks need."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pxgen_plugins import groups
from pxgen_plugins.anchors import Anchors, Subset, open_for
from pxgen_plugins.criteria import FittedCriterion
from pxgen_plugins.evaluation.checks.agreement import Codes
from pxgen_plugins.evaluation.checks.transformed_anchors import (
    Transformation,
    TransformedAnchors,
)
from pxgen_plugins.explainer import PXGen
from pxgen_plugins.host import NotFittedError
from pxgen_plugins.scoring import Scorer
from pxgen_plugins.scoring.fitting import fit_criteria
from pxgen_plugins.thresholds import Rule
from pxgen_plugins.thresholds.calibration import Calibration
from pxgen_plugins.utils.errors import AnchorError, ParameterError, warn
from pxgen_plugins.utils.properties import lazy_property
from pxgen_plugins.utils.seeds import derive

__all__ = ["Context"]

Floats = NDArray[np.float64]
_ALL = (*groups.GROUPS, groups.INVALID)


class Context:
    """A fitted explainer and its anchors.

    Anchors whose values are not finite are in no group, so no check can say anything of them: they
    are left out, with a warning.

    Args:
        explainer: A fitted explainer.
        X: The anchors.
        labels: Their labels, or None.
        training: Data that the model was trained on, or None.
        held_out: Data of the same source that it was not trained on, or None.
        out_of_domain: Anchor sets that the model cannot know, by name.
        n_seeds: Repetitions of what is drawn.
        seed: Seed of everything drawn.

    Attributes:
        model: The model as it is scored.
        anchors: The n valid anchors, with their labels.
        n_invalid: How many others there were.
        values: Criterion values, float64 (n, m).
        codes: Group of each anchor as a position in (HIHE, HILE, LIHE, LILE), int8 (n,).

    Raises:
        NotFittedError: When the explainer is not fitted.
        AnchorError: When the anchors do not fit the model, or none has finite values.
    """

    def __init__(
        self,
        explainer: PXGen,
        X: Any,
        labels: Any = None,
        *,
        training: Any = None,
        held_out: Any = None,
        out_of_domain: Mapping[str, Any] | None = None,
        n_seeds: int = 3,
        seed: int = 0,
    ) -> None:
        if explainer.calibration is None:
            raise NotFittedError(type(explainer).__name__)
        self.explainer, self.calibration = explainer, explainer.calibration
        self.scorer = explainer.scorer()
        self.model = self.scorer.model
        self.n_seeds, self.seed = n_seeds, seed
        self.training, self.held_out = training, held_out
        self.out_of_domain = dict(out_of_domain or {})
        everything = open_for(self.model, X, labels=labels)
        values = self.scorer.score(everything).values
        valid = np.flatnonzero(np.isfinite(values).all(axis=1)).astype(np.int64)
        self.n_invalid = len(everything) - len(valid)
        if not len(valid):
            hint = "Give some anchors; explain(X).reasons says why these have no values."
            got = f"{len(everything)} anchors"
            raise AnchorError("X", "at least one anchor with finite values", got, hint)
        if self.n_invalid:
            text = f"evaluate: {self.n_invalid} of {len(everything)} anchors are in no group"
            warn(f"{text} and were left out")
        self.anchors = Subset(everything, valid)
        self.values: Floats = values[valid]
        self.codes = self.codes_of(self.values)

    def codes_of(self, values: Floats, calibration: Calibration | None = None) -> Codes:
        """Return the groups of criterion values (n, m), under this or another calibration."""
        calibration = self.calibration if calibration is None else calibration
        settings = (self.kinds, self.explainer.rule, calibration.scale)
        codes: Codes = groups.codes(values, calibration.thresholds, *settings)
        return codes

    def score(self, X: Any, scorer: Scorer | None = None) -> Floats:
        """Return the criterion values of any anchors, under this or another model."""
        scorer = self.scorer if scorer is None else scorer
        return scorer.score(open_for(scorer.model, X)).values

    def group(self, X: Any) -> Codes:
        """Return the groups of any anchors."""
        return self.codes_of(self.score(X))

    def refit(self) -> Scorer:
        """Return a scorer whose criteria learnt anew, from the model with its present weights.

        They learn from the reference data of the explainer's ``fit``, or from ``training``.

        Raises:
            ParameterError: When a criterion learns from data and there is none.
        """
        scorer = self._twin()
        parts = self.explainer.reference
        data = self.training if parts is None or parts.learning is None else parts.learning
        if data is None:
            for criterion in scorer.criteria:
                if isinstance(criterion, FittedCriterion) and criterion.learns_from == "data":
                    hint = "Pass the data that the explainer was fitted on."
                    allowed = f"given, so that criterion {criterion.name!r} can learn anew"
                    raise ParameterError("training", allowed, "None", hint)
        fit_criteria(scorer, data, self.explainer.seed)
        return scorer

    def with_seed(self, seed: int) -> Scorer:
        """Return a scorer whose criteria learnt from other samples, where they learn from them."""
        scorer = self._twin()
        learning = copy.copy(scorer)
        learning.criteria = [c for c in scorer.criteria if _samples(c)]
        fit_criteria(learning, None, seed)
        return scorer

    def calibrate(
        self,
        scorer: Scorer,
        seed: int,
        n_repeats: int | None = None,
        *,
        resample: bool = False,
    ) -> Calibration:
        """Return thresholds by the explainer's rule, from its samples or its reference data.

        Args:
            scorer: The model, perhaps with other weights or criteria.
            seed: Seed of the samples.
            n_repeats: Repeats at most; None for the rule's.
            resample: Draw reference data with replacement, in the place of other reference data.

        Raises:
            ParameterError: When reference data has to be scored again and the explainer was loaded.
        """
        rule: Rule = copy.copy(self.explainer.threshold)
        if n_repeats is not None and hasattr(rule, "n_repeats"):
            rule.n_repeats = min(rule.n_repeats, n_repeats)
        if rule.source != "reference":
            return rule.calibrate(scorer, seed)
        values = self.calibration.reference
        if scorer is not self.scorer or values is None:
            parts = self.explainer.reference
            if parts is None or parts.thresholds is None:
                hint = "Call fit(X) again: what is saved holds no data."
                allowed = "given to fit since the explainer was made or loaded"
                raise ParameterError("reference data", allowed, "none", hint)
            values = scorer.score(parts.thresholds).values
        if resample:
            rng = np.random.default_rng(derive(seed, "resample"))
            values = values[rng.integers(len(values), size=len(values))]
        return rule.calibrate_values(values, self.calibration.names, seed)

    @property
    def kinds(self) -> list[str]:
        """Kind of each criterion."""
        return [str(criterion.kind) for criterion in self.scorer.criteria]

    @property
    def learns_from_samples(self) -> bool:
        """Whether a criterion learns from the model's own samples."""
        return any(_samples(criterion) for criterion in self.scorer.criteria)

    @lazy_property
    def bounds(self) -> tuple[float, float]:
        """Lowest and highest value of an instance; those of the anchors when it is unbounded."""
        if self.model.data_range is not None:
            low, high = self.model.data_range
            return float(low), float(high)
        ends = [
            (float(x.min()), float(x.max())) for _, x in self.scorer.batches(self.anchors, None, {})
        ]
        return min(low for low, _ in ends), max(high for _, high in ends)

    def transform(self, transform: Transformation) -> Anchors:
        """Return the anchors, each row transformed (see :class:`.TransformedAnchors`)."""
        return TransformedAnchors(self.anchors, self.model, transform)

    @staticmethod
    def shares(codes: Codes) -> dict[str, float]:
        """Return the share of each group that occurs."""
        counts = np.bincount(codes, minlength=len(_ALL))
        return {
            name: float(count / len(codes))
            for name, count in zip(_ALL, counts, strict=True)
            if count
        }

    def _twin(self) -> Scorer:
        """Return a scorer with criteria of its own."""
        twin = copy.copy(self.explainer)
        twin.criteria = [copy.copy(criterion) for criterion in self.explainer.criteria]
        return twin.scorer()


def _samples(criterion: Any) -> bool:
    return isinstance(criterion, FittedCriterion) and criterion.learns_from == "samples"
