"""Threshold rules: thresholds from the model's own samples, never from the anchors."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np

from pxgen_plugins.scoring import Scorer
from pxgen_plugins.thresholds.calibration import Calibration, Floats
from pxgen_plugins.utils import validation
from pxgen_plugins.utils.errors import (
    ModelError,
    ParameterError,
    caller,
    short_repr,
    warn,
)
from pxgen_plugins.utils.progress import bar
from pxgen_plugins.utils.registry import Registry
from pxgen_plugins.utils.seeds import derive

__all__ = ["REGISTRY", "Rule", "check_names", "make", "register"]

REGISTRY: Registry[type[Rule]] = Registry(
    "threshold", "pxgen_plugins.thresholds", "pxgen_plugins.thresholds", lowercase=False
)
register = REGISTRY.register

_MOST_SAMPLES = 10**8  # a repeat's table of values is then 0.8 GB for each criterion
_MOST_REPEATS = 10**6


class Rule(ABC):
    """How the values of the model's samples become a threshold.

    Each repeat draws ``n_samples`` with a seed of its own and gives one threshold per criterion;
    the reported one is their mean. Memory: 8 m bytes per sample of one repeat, whatever the number
    of repeats.

    Args:
        n_samples: Samples per repeat, from 1 to 10^8.
        n_repeats: Repeats, from 1 to 10^6; their spread tells how firmly the threshold stands.

    Attributes:
        samples: Whether the rule draws samples, from which the criteria get a scale.

    Raises:
        ParameterError: When an argument is not allowed.
    """

    samples: ClassVar[bool] = True

    def __init__(self, n_samples: int = 10_000, n_repeats: int = 10) -> None:
        with caller(type(self).__name__):
            most = _MOST_SAMPLES
            self.n_samples = validation.integer(n_samples, "n_samples", minimum=1, maximum=most)
            most = _MOST_REPEATS
            self.n_repeats = validation.integer(n_repeats, "n_repeats", minimum=1, maximum=most)

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

    def combine(self, repeats: Floats) -> Floats:
        """Return the reported thresholds (m,) from those of the repeats (r, m)."""
        mean: Floats = repeats.mean(axis=0)
        return mean

    def check(self, names: Sequence[str]) -> None:
        """Raise ParameterError when there are no criteria, or a parameter does not fit them."""
        if not names:
            hint = "Score with one criterion or several."
            raise ParameterError("criteria", "at least one", "none", hint)

    def enough(self, repeats: Floats, names: Sequence[str]) -> bool:
        """Return whether the repeats done so far (r, m) suffice."""
        return False

    @caller("calibration")
    def calibrate(self, scorer: Scorer, seed: int, verbose: bool = False) -> Calibration:
        """Draw samples from the scorer's model and return their thresholds.

        Args:
            scorer: Model and criteria.
            seed: Seed of the samples, independent of the scorer's noise.
            verbose: Show a progress bar.

        Raises:
            CapabilityError: When the model cannot sample.
            ModelError: When no sample of a repeat has finite values.
        """
        names = [criterion.name for criterion in scorer.criteria]
        self.check(names)
        repeats = np.empty((0, len(names)))
        reference: Floats | None = None
        invalid = 0
        with bar(self.n_samples * self.n_repeats, "calibrating", "sample", verbose) as progress:
            for repeat in range(self.n_repeats):
                values = scorer.score_samples(
                    self.n_samples, derive(seed, "calibration", repeat), progress.update
                )
                finite = values[np.isfinite(values).all(axis=1)]
                invalid += len(values) - len(finite)
                if not len(finite):
                    raise _all_invalid(values, names)
                if reference is None:
                    reference = finite
                repeats = np.concatenate([repeats, self.threshold(finite)[None]])
                if self.enough(repeats, names):
                    break
        if invalid:
            _warn_invalid(invalid, self.n_samples * len(repeats))
        return Calibration(
            method=type(self).__name__,
            params=self.params,
            names=names,
            thresholds=self.combine(repeats),
            repeats=repeats,
            reference=reference,
            n_samples=self.n_samples,
            n_invalid=invalid,
            seed=seed,
        )


def check_names(given: Mapping[str, float], names: Sequence[str], parameter: str) -> None:
    """Raise ParameterError when a mapping has a key that is no criterion's name."""
    for name in given:
        if name not in names:
            allowed = "keyed by criteria: " + ", ".join(names)
            hint = validation.nearest(name, names)
            raise ParameterError(parameter, allowed, short_repr(dict(given)), hint)


@caller("thresholds.make", fallback=True)
def make(spec: Any) -> Rule:
    """Return the rule that ``spec`` stands for: a rule, its name, or a mapping with its ``"name"``.

    Raises:
        ParameterError: When it is none of these.

    Example:
        >>> make({"name": "Quantile", "q": 0.95})
        Quantile(n_samples=10000, n_repeats=10, q=0.95)
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


def _warn_invalid(invalid: int, drawn: int) -> None:
    warn(
        f"calibration: {invalid} of {drawn} samples of the model had values that are not finite "
        "and were left out"
    )
