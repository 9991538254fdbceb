"""What a check is given, and what it gives back."""

from __future__ import annotations

import copy
import math
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import adjusted_rand_score

from pxgen_plugins.anchors import Anchors, open_for
from pxgen_plugins.calibration import Calibration
from pxgen_plugins.errors import CapabilityError
from pxgen_plugins.explainer import PXGen
from pxgen_plugins.fitting import fit_criteria
from pxgen_plugins.groups import GROUPS, INVALID, codes
from pxgen_plugins.scoring import Scorer

__all__ = ["STATES", "Agreement", "Context", "Row"]

Codes = NDArray[np.int8]
STATES = ("passed", "failed", "reported", "skipped")
_ALL = (*GROUPS, INVALID)


@dataclass(frozen=True)
class Row:
    """One measured number of a check, and what it should be.

    Attributes:
        check: Name of the check.
        case: What was tried.
        measure: What was measured, in words.
        value: The number; None where there is none.
        low: Lowest value that passes; None when the number is only reported.
        high: Highest value that passes; likewise.
        state: ``"passed"``, ``"failed"``, ``"reported"`` (nothing is expected) or ``"skipped"``.
        note: What to know of it.
    """

    check: str
    case: str
    measure: str
    value: float | None
    low: float | None = None
    high: float | None = None
    state: str = "reported"
    note: str = ""

    @classmethod
    def judged(
        cls,
        check: str,
        case: str,
        measure: str,
        value: float,
        *,
        low: float = -math.inf,
        high: float = math.inf,
        note: str = "",
    ) -> Row:
        """Return a row that passed if ``low <= value <= high``, and failed otherwise; NaN fails."""
        good = low <= value <= high
        bounds = [bound if math.isfinite(bound) else None for bound in (low, high)]
        shown = value if math.isfinite(value) else None
        state = "passed" if good else "failed"
        return cls(check, case, measure, shown, bounds[0], bounds[1], state, note)

    @classmethod
    def skipped(cls, check: str, case: str, why: str) -> Row:
        """Return a row that says why nothing was measured."""
        return cls(check, case, "", None, state="skipped", note=why)

    def as_dict(self) -> dict[str, Any]:
        """Return the attributes by name."""
        return asdict(self)


@dataclass(frozen=True)
class Agreement:
    """How far two groupings of the same anchors agree.

    Attributes:
        kept: Share of the anchors that keep their group.
        rand: Adjusted Rand index (Hubert and Arabie 1985): 1 for the same partition, about 0 for
            unrelated ones; NaN when both put all anchors in one group, which says nothing.
    """

    kept: float
    rand: float

    @classmethod
    def of(cls, one: Codes, other: Codes) -> Agreement:
        """Compare two arrays of group codes, (n,)."""
        trivial = len(np.unique(one)) < 2 and len(np.unique(other)) < 2
        rand = math.nan if trivial else float(adjusted_rand_score(one, other))
        return cls(float((one == other).mean()), rand)


class Context:
    """A fitted explainer, its anchors, and what checks need again and again.

    Args:
        explainer: A fitted explainer.
        X: The n anchors.
        labels: Their labels, or None.
        training: Data that the model was trained on, or None.
        out_of_domain: Anchor sets that the model cannot know, by name.
        n_seeds: Repetitions of what is drawn.
        seed: Seed of everything drawn.
        verbose: Show progress bars.

    Attributes:
        anchors: The anchor set.
        codes: Group of each anchor as a position in (HIHE, HILE, LIHE, LILE, invalid), int8 (n,).
    """

    def __init__(
        self,
        explainer: PXGen,
        X: Any,
        labels: Any = None,
        *,
        training: Any = None,
        out_of_domain: dict[str, Any] | None = None,
        n_seeds: int = 3,
        seed: int = 0,
        verbose: bool = False,
    ) -> None:
        if explainer.calibration is None:
            from alibi.exceptions import NotFittedError

            raise NotFittedError(type(explainer).__name__)
        self.explainer, self.calibration = explainer, explainer.calibration
        self.scorer = explainer.scorer()
        self.model = self.scorer.model
        self.n_seeds, self.seed, self.verbose = n_seeds, seed, verbose
        self.training, self.out_of_domain = training, dict(out_of_domain or {})
        self.anchors = open_for(self.model, X, labels=labels, where="evaluate")
        self.codes = self.group(self.anchors)

    def group(
        self,
        anchors: Anchors | Any,
        scorer: Scorer | None = None,
        calibration: Calibration | None = None,
    ) -> Codes:
        """Return the groups of ``anchors``, under this or another model and calibration."""
        scorer = self.scorer if scorer is None else scorer
        calibration = self.calibration if calibration is None else calibration
        opened = open_for(scorer.model, anchors, where="evaluate")
        values = scorer.score(opened, self.verbose).values
        kinds = [str(criterion.kind) for criterion in scorer.criteria]
        scale = calibration.scale
        return codes(values, calibration.thresholds, kinds, self.explainer.rule, scale)

    def with_model(self, model: Any) -> Scorer:
        """Return a scorer for another model, whose criteria learn anew where they learn at all.

        Raises:
            CapabilityError: When a criterion learns from data and there is no ``training``.
        """
        scorer = copy.copy(self.scorer)
        scorer.model = model
        scorer.criteria = [copy.copy(criterion) for criterion in self.scorer.criteria]
        try:
            fit_criteria(scorer, self.training, self.seed)
        except ValueError as error:
            do = "Pass training=X to evaluate."
            allowed = "fitted on the other model too"
            raise CapabilityError("criteria", "evaluate", allowed, str(error), do) from error
        return scorer

    def calibrate(self, scorer: Scorer, seed: int, n_repeats: int | None = None) -> Calibration:
        """Return thresholds by the explainer's rule, perhaps with fewer repeats."""
        rule = copy.copy(self.explainer.threshold)
        if n_repeats is not None and hasattr(rule, "n_repeats"):
            rule.n_repeats = min(rule.n_repeats, n_repeats)
        return rule.calibrate(scorer, seed, self.verbose)

    def inputs(self) -> NDArray[np.float32]:
        """Return the anchors as the model takes them, (n, *sample_shape)."""
        return self.scorer.inputs(self.anchors, np.arange(len(self.anchors)))

    @property
    def bounds(self) -> tuple[float, float]:
        """Lowest and highest value of an instance; those of the anchors when it is unbounded."""
        if self.model.data_range is not None:
            low, high = self.model.data_range
            return float(low), float(high)
        x = self.inputs()
        return float(x.min()), float(x.max())

    def shares(self, found: Codes) -> dict[str, float]:
        """Return the share of each group."""
        return {name: float((found == k).mean()) for k, name in enumerate(_ALL)}
