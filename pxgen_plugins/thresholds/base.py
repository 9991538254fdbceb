"""Threshold rules: thresholds from the model's own samples or from reference data."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, ClassVar, cast

import numpy as np

from pxgen_plugins.anchors import Anchors
from pxgen_plugins.scoring import Reference, Scorer
from pxgen_plugins.thresholds.calibration import Calibration, Floats
from pxgen_plugins.thresholds.repetition import gives_samples_again
from pxgen_plugins.thresholds.ties import above_atoms
from pxgen_plugins.utils import validation
from pxgen_plugins.utils.errors import (
    AnchorError,
    ModelError,
    ParameterError,
    caller,
    short_repr,
    warn,
)
from pxgen_plugins.utils.progress import bar
from pxgen_plugins.utils.registry import Registry
from pxgen_plugins.utils.seeds import derive

__all__ = ["REGISTRY", "SOURCES", "Rule", "calibrate", "check_names", "make", "register"]

SOURCES = ("samples", "reference")

REGISTRY: Registry[type[Rule]] = Registry(
    "threshold", "pxgen_plugins.thresholds", "pxgen_plugins.thresholds", lowercase=False
)
register = REGISTRY.register

_MOST_SAMPLES = 10**8  # a repeat's table of values is then 0.8 GB for each criterion
_MOST_REPEATS = 10**6


_RESAMPLES = 100  # of reference data: they cost no pass of the model


class Rule(ABC):
    """How values of the model's samples, or of reference data, become a threshold.

    From samples, each repeat draws ``n_samples`` with a seed of its own and gives one threshold per
    criterion; the reported one is their mean. From reference data there is one calibration, on all
    instances: the first repeat, which is the reported one. The others, 100 at least, are its
    bootstrap resamples (Efron and Tibshirani 1993), instances drawn with replacement; the standard
    deviation of all repeats estimates that of the threshold over reference sets. It comes out too
    small where fewer than about ten instances lie beyond the threshold. Memory: 8 m bytes per
    sample of one repeat and of the reference, whatever the number of repeats.

    Args:
        n_samples: Samples per repeat, from 1 to 10^8; without effect on reference data, all of
            which is used.
        n_repeats: Repeats, from 1 to 10^6; their spread tells how firmly the threshold stands.
        source: ``"samples"``, the model's own (Huang, Weng and Yang 2025), or ``"reference"``,
            held-out instances of the training kind, which ``PXGen.fit(X)`` is given. None for a
            rule that has no such argument: samples.

    Attributes:
        samples: Whether the rule looks at such values, from which the criteria get a scale.
        n_reference: The first repeat's samples are kept as the reference, and those of further
            repeats until there are so many, if the model has others to give.
        resamples: Whether the repeats from reference data are resamples around the first.

    Raises:
        ParameterError: When an argument is not allowed.
    """

    samples: ClassVar[bool] = True
    n_reference: ClassVar[int] = 10_000
    resamples: ClassVar[bool] = True
    source: str = "samples"

    def __init__(
        self, n_samples: int = 10_000, n_repeats: int = 10, source: str | None = None
    ) -> None:
        with caller(type(self).__name__):
            most = _MOST_SAMPLES
            self.n_samples = validation.integer(n_samples, "n_samples", minimum=1, maximum=most)
            most = _MOST_REPEATS
            self.n_repeats = validation.integer(n_repeats, "n_repeats", minimum=1, maximum=most)
            if source is not None:
                self.source = validation.choice(source, "source", SOURCES)

    @property
    def params(self) -> dict[str, Any]:
        """The parameters, as JSON-able values."""
        return dict(vars(self))

    def __repr__(self) -> str:
        inside = ", ".join(f"{name}={value!r}" for name, value in self.params.items())
        return f"{type(self).__name__}({inside})"

    @abstractmethod
    def threshold(self, values: Floats) -> Floats:
        """Return the thresholds (m,) that the values (s, m) of one repeat give."""

    def threshold_by_name(self, values: Floats, names: Sequence[str]) -> Floats:
        """Return the same; a rule that looks at all criteria together may order them by name."""
        return self.threshold(values)

    def combine(self, repeats: Floats) -> Floats:
        """Return the reported thresholds (m,) from those of the repeats (r, m)."""
        if self.source == "reference":
            reported: Floats = repeats[0]
            return reported
        # between the lowest and the highest, which rounding of the mean of equal numbers may leave
        mean: Floats = repeats.mean(axis=0).clip(repeats.min(axis=0), repeats.max(axis=0))
        return mean

    def repeats_of(self, values: Floats, names: Sequence[str], rng: np.random.Generator) -> Floats:
        """Return the thresholds (r, m) of the repeats that reference values (n, m) give."""
        r, n = max(self.n_repeats, _RESAMPLES), len(values)
        own = self.threshold_by_name(values, names)
        drawn = [
            self.threshold_by_name(values[rng.integers(n, size=n)], names) for _ in range(r - 1)
        ]
        # one repeat lies in the middle of the others: this makes up for it in their variance
        return np.concatenate([own[None], own + (np.array(drawn) - own) * math.sqrt(r / (r - 1))])

    def check(self, names: Sequence[str]) -> None:
        """Raise ParameterError when there are no criteria, or a parameter does not fit them."""
        if not names:
            hint = "Score with one criterion or several."
            raise ParameterError("criteria", "at least one", "none", hint)

    def enough(self, repeats: Floats, names: Sequence[str]) -> bool:
        """Return whether the repeats done so far (r, m) suffice."""
        return False

    @property
    def may_stop(self) -> bool:
        """Whether :meth:`enough` may end the repeats before there are ``n_repeats``."""
        return type(self).enough is not Rule.enough

    @staticmethod
    def sample_seed(seed: int, repeat: int) -> int:
        """Return the seed of a repeat's samples, in a calibration with ``seed``."""
        return derive(seed, "calibration", repeat)

    @caller("calibration")
    def calibrate(
        self, scorer: Scorer, seed: int, verbose: bool = False, reference: Anchors | None = None
    ) -> Calibration:
        """Score samples of the scorer's model, or reference data, and return their thresholds.

        Args:
            scorer: Model and criteria.
            seed: Seed of the samples, or of the resamples; independent of the scorer's noise.
            verbose: Show a progress bar.
            reference: Reference data, for ``source="reference"`` only.

        Raises:
            ParameterError: When there is no reference data and the rule needs it.
            AnchorError: When too few instances of it have finite values.
            CapabilityError: When the model cannot sample.
            ModelError: When no sample of a repeat has finite values.
        """
        names = [criterion.name for criterion in scorer.criteria]
        self.check(names)
        if self.source == "reference":
            self.check_reference(reference)
            return self.calibrate_values(
                scorer.score(cast(Anchors, reference), verbose).values, names, seed
            )
        repeats = np.empty((0, len(names)))
        kept: Floats | None = None
        is_finite = bool(getattr(scorer.model, "finite", False))
        invalid = 0
        with bar(self.n_samples * self.n_repeats, "calibrating", "sample", verbose) as progress:
            for repeat in range(self.n_repeats):
                values = scorer.score_samples(
                    self.n_samples, self.sample_seed(seed, repeat), progress.update
                )
                finite = values[np.isfinite(values).all(axis=1)]
                invalid += len(values) - len(finite)
                if not len(finite):
                    raise _all_invalid(values, names)
                if kept is None:
                    kept = finite
                # a finite bank gives the same samples again: they would count twice, and tie
                elif not is_finite and repeat == 1 and gives_samples_again(kept, finite):
                    is_finite = True
                    _warn_finite(type(scorer.model).__name__)
                elif not is_finite and len(kept) < self.n_reference:
                    kept = np.concatenate([kept, finite])
                cut = above_atoms(self.threshold_by_name(finite, names), finite)
                repeats = np.concatenate([repeats, cut[None]])
                if self.enough(repeats, names):
                    break
        if invalid:
            _warn_invalid(invalid, self.n_samples * len(repeats))
        thresholds = self.combine(repeats)
        return Calibration(
            method=type(self).__name__,
            params=self.params,
            names=names,
            thresholds=thresholds if kept is None else above_atoms(thresholds, kept),
            repeats=repeats,
            reference=kept,
            n_samples=self.n_samples,
            n_invalid=invalid,
            seed=seed,
        )

    def check_reference(self, X: Any) -> None:
        """Raise ParameterError when the rule needs reference data and ``X`` is None."""
        if X is None and self.source == "reference":
            allowed = f"given, as reference data for {type(self).__name__}(source='reference')"
            hint = (
                "Call fit(X) with held-out instances of the kind the model was trained on, or use "
                "source='samples'."
            )
            raise ParameterError("X", allowed, "None", hint)

    @caller("calibration")
    def calibrate_values(self, values: Floats, names: Sequence[str], seed: int) -> Calibration:
        """Return the thresholds that the values (n, m) of reference data give.

        Args:
            values: Criterion values; rows that are not finite are left out, with a warning.
            names: The m criteria.
            seed: Seed of the resamples.

        Raises:
            AnchorError: When too few instances have finite values.

        Cost: one threshold of n values per repeat, and no pass of the model.
        """
        finite = values[np.isfinite(values).all(axis=1)]
        invalid = len(values) - len(finite)
        if not len(finite):
            hint = "Give held-out instances of the kind the model was trained on."
            got = f"{len(values)} instances, none of them with finite values"
            raise AnchorError("X", "at least one instance with finite values", got, hint)
        if invalid:
            warn(
                f"calibration: {invalid} of {len(values)} reference instances had values that are "
                "not finite and were left out"
            )
        rng = np.random.default_rng(derive(seed, "resamples"))
        repeats = self.repeats_of(finite, names, rng)
        repeats = np.array([above_atoms(repeat, finite) for repeat in repeats])
        return Calibration(
            method=type(self).__name__,
            params=self.params,
            names=list(names),
            thresholds=self.combine(repeats),
            repeats=repeats,
            reference=finite,
            n_samples=len(values),
            n_invalid=invalid,
            seed=seed,
            source="reference",
            resampled=self.resamples,
        )


def check_names(given: Mapping[str, float], names: Sequence[str], parameter: str) -> None:
    """Raise ParameterError when a mapping has a key that is no criterion's name."""
    for name in given:
        if name not in names:
            allowed = "keyed by criteria: " + ", ".join(names)
            hint = validation.nearest(name, names)
            raise ParameterError(parameter, allowed, short_repr(dict(given)), hint)


def calibrate(
    rule: Rule, scorer: Scorer, reference: Reference, seed: int, verbose: bool = False
) -> Calibration:
    """Return the thresholds that a rule finds, once criteria have learned.

    Args:
        rule: The rule.
        scorer: Model and criteria.
        reference: Reference data, divided.
        seed: Seed of the samples, or of the resamples.
        verbose: Show a progress bar.

    Raises:
        PXGenError: As :meth:`Rule.calibrate`.
    """
    data = reference.thresholds
    named = {} if data is None else {"reference": data}  # rules that take samples know no such one
    return replace(rule.calibrate(scorer, seed, verbose, **named), n_learning=reference.n_learning)


@caller("thresholds.make", fallback=True)
def make(spec: Any) -> Rule:
    """Return the rule that ``spec`` stands for: a rule, its name, or a mapping with its ``"name"``.

    Raises:
        ParameterError: When it is none of these.

    Example:
        >>> make({"name": "Quantile", "q": 0.95})
        Quantile(n_samples=10000, n_repeats=10, source='samples', q=0.95)
    """
    if isinstance(spec, (int, float)) and not isinstance(spec, bool):
        hint = "Use threshold=Fixed(...) to give numbers."
        raise ParameterError("threshold", "a rule, its name, or a mapping", short_repr(spec), hint)
    rule: Rule = REGISTRY.make(spec, Rule)
    return rule


def _all_invalid(values: Floats, names: Sequence[str]) -> ModelError:
    bad = [name for j, name in enumerate(names) if not np.isfinite(values[:, j]).any()]
    return ModelError(
        "the values of the model's own samples",
        "finite for at least one sample",
        "NaN or infinity for " + (", ".join(repr(name) for name in bad) or "every sample"),
        "Check the model's weights and its decode on draws from the prior.",
    )


def _warn_finite(name: str) -> None:
    warn(
        f"calibration: the {name} gave samples again under another seed, as a finite number of "
        "them does: they count once, and the spread of thresholds is too small. Pass the samples "
        "themselves, as SampleBank(samples), which keeps those apart that criteria learn from"
    )


def _warn_invalid(invalid: int, drawn: int) -> None:
    warn(
        f"calibration: {invalid} of {drawn} samples of the model had values that are not finite "
        "and were left out"
    )
