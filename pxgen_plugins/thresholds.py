"""Threshold rules: thresholds from the model's own samples, never from the anchors."""

from __future__ import annotations

import math
import warnings
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from pxgen_plugins import validation
from pxgen_plugins.calibration import Calibration, Floats
from pxgen_plugins.errors import ModelError, ParameterError, PXGenWarning, describe
from pxgen_plugins.progress import bar
from pxgen_plugins.scoring import Scorer
from pxgen_plugins.seeds import derive

__all__ = ["Conformal", "Fixed", "MeanMax", "Median", "Quantile", "Rule", "make"]

_FEWEST_REPEATS = 5  # before a tolerance may stop: fewer give no usable standard error


class Rule(ABC):
    """How the values of the model's samples become a threshold.

    Each repeat draws ``n_samples`` with a seed of its own and gives one threshold per criterion;
    the reported one is their mean. Memory: 8 m bytes per sample of one repeat, whatever the number
    of repeats.

    Args:
        n_samples: Samples per repeat, >= 1.
        n_repeats: Repeats, >= 1; their spread tells how firmly the threshold stands.

    Raises:
        ParameterError: When an argument is not allowed.
    """

    def __init__(self, n_samples: int = 10_000, n_repeats: int = 10) -> None:
        where = type(self).__name__
        self.n_samples = validation.integer(n_samples, "n_samples", where, minimum=1)
        self.n_repeats = validation.integer(n_repeats, "n_repeats", where, minimum=1)

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
            do = "Score with one criterion or several."
            raise ParameterError("criteria", type(self).__name__, "at least one", "none", do)

    def enough(self, repeats: Floats, names: Sequence[str]) -> bool:
        """Return whether the repeats done so far (r, m) suffice."""
        return False

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


class MeanMax(Rule):
    """The mean over repeats of the samples' largest value (Huang, Weng and Yang 2025).

    The authors use 60,000 samples and 100 repeats. A maximum grows with ``n_samples``: compare
    thresholds only at the same number.

    Args:
        n_samples: Samples per repeat.
        n_repeats: Repeats; with a tolerance, at most so many.
        tolerance: Stop once the standard error of the mean of maxima is below it for every
            criterion (after 5 repeats at least): a number in the criteria's units, or a mapping
            from criterion to number, where one left out does not hold up the stop.

    Example:
        >>> MeanMax(n_samples=3).threshold(np.array([[1.0], [3.0], [2.0]]))
        array([3.])
    """

    def __init__(
        self,
        n_samples: int = 10_000,
        n_repeats: int = 10,
        tolerance: float | Mapping[str, float] | None = None,
    ) -> None:
        super().__init__(n_samples, n_repeats)
        self.tolerance: float | dict[str, float] | None
        if isinstance(tolerance, Mapping):
            self.tolerance = {
                name: validation.real(value, f"tolerance[{name!r}]", "MeanMax", above=0.0)
                for name, value in tolerance.items()
            }
        else:
            self.tolerance = tolerance
            if tolerance is not None:
                self.tolerance = validation.real(tolerance, "tolerance", "MeanMax", above=0.0)

    def check(self, names: Sequence[str]) -> None:
        """Raise ParameterError when a tolerance names no criterion."""
        super().check(names)
        if isinstance(self.tolerance, dict):
            _check_names(self.tolerance, names, "tolerance", "MeanMax")

    def threshold(self, values: Floats) -> Floats:
        """Return the largest values, (m,)."""
        largest: Floats = values.max(axis=0)
        return largest

    def enough(self, repeats: Floats, names: Sequence[str]) -> bool:
        """Return whether the tolerance is reached."""
        if self.tolerance is None or len(repeats) < _FEWEST_REPEATS:
            return False
        error = repeats.std(axis=0, ddof=1) / math.sqrt(len(repeats))
        if isinstance(self.tolerance, dict):
            limits = [self.tolerance.get(name, math.inf) for name in names]
            return bool((error < np.array(limits)).all())
        return bool((error < self.tolerance).all())


class Quantile(Rule):
    """A quantile of the samples' values, averaged over repeats; linear interpolation.

    Args:
        q: The quantile, in (0, 1].
        n_samples: Samples per repeat.
        n_repeats: Repeats.

    Example:
        >>> Quantile(0.5).threshold(np.array([[1.0], [3.0], [2.0]]))
        array([2.])
    """

    def __init__(self, q: float = 0.99, n_samples: int = 10_000, n_repeats: int = 10) -> None:
        super().__init__(n_samples, n_repeats)
        self.q = validation.real(q, "q", "Quantile", above=0.0, maximum=1.0)

    def threshold(self, values: Floats) -> Floats:
        """Return the quantiles, (m,)."""
        quantile: Floats = np.quantile(values, self.q, axis=0)
        return quantile


class Median(Rule):
    """Median plus ``k`` times the median absolute deviation, averaged over repeats.

    The deviation is not scaled to a normal's standard deviation (that would be a factor of 1.4826).

    Args:
        k: How many deviations above the median, > 0.
        n_samples: Samples per repeat.
        n_repeats: Repeats.

    Example:
        >>> Median(k=2).threshold(np.array([[1.0], [2.0], [4.0]]))
        array([4.])
    """

    def __init__(self, k: float = 3.0, n_samples: int = 10_000, n_repeats: int = 10) -> None:
        super().__init__(n_samples, n_repeats)
        self.k = validation.real(k, "k", "Median", above=0.0)

    def threshold(self, values: Floats) -> Floats:
        """Return median plus k deviations, (m,)."""
        middle = np.median(values, axis=0)
        deviation = np.median(np.abs(values - middle), axis=0)
        result: Floats = middle + self.k * deviation
        return result


class Conformal(Rule):
    """The split-conformal threshold at level ``alpha`` (Vovk, Gammerman and Shafer 2005).

    An anchor is below it exactly when its p-value against the first repeat's samples exceeds
    ``alpha``, so each criterion calls at most a share ``alpha`` of the model's own output low in
    affinity, in expectation and for any sample size. The reported threshold is the first repeat's:
    averaging would lose the guarantee. The other repeats only show how far it moves.

    Args:
        alpha: The level, in (0, 1).
        n_samples: Samples per repeat, >= 1 / alpha - 1.
        n_repeats: Repeats.

    Example:
        >>> rule = Conformal(alpha=0.25, n_samples=3)
        >>> float(rule.threshold(np.array([[1.0], [3.0], [2.0]]))[0]) > 3.0
        True
    """

    def __init__(self, alpha: float = 0.01, n_samples: int = 10_000, n_repeats: int = 10) -> None:
        super().__init__(n_samples, n_repeats)
        self.alpha = validation.real(alpha, "alpha", "Conformal", above=0.0, below=1.0)
        if self._rank(self.n_samples) < 1:
            least = math.ceil(1 / self.alpha) - 1
            allowed = f"at least 1 / alpha - 1 = {least}, else no p-value reaches alpha"
            do = f"Use n_samples={least} or more, or a larger alpha."
            raise ParameterError("n_samples", "Conformal", allowed, str(self.n_samples), do)

    def _rank(self, s: int) -> int:
        return math.floor(self.alpha * (s + 1) * (1 + 1e-12))  # 0.1 * 10 must not fall below 1

    def threshold(self, values: Floats) -> Floats:
        """Return a value just above the rank-th largest sample, (m,)."""
        rank = self._rank(len(values))
        if rank < 1:
            raise ModelError(
                "the model's samples",
                "Conformal",
                f"finite for at least {math.ceil(1 / self.alpha) - 1} of {self.n_samples}",
                f"{len(values)} with finite values",
                "Use more samples, or find out why the model's samples have no finite values.",
            )
        kth_largest = np.sort(values, axis=0)[-rank]
        # p <= alpha exactly when the value exceeds this sample's; affinity is strict below
        above: Floats = np.nextafter(kth_largest, np.inf)
        return above

    def combine(self, repeats: Floats) -> Floats:
        """Return the thresholds of the first repeat, (m,)."""
        first: Floats = repeats[0]
        return first


class Fixed(Rule):
    """Thresholds given by the user; nothing is sampled.

    Args:
        values: One number for every criterion, or a mapping from criterion to number.

    Raises:
        ParameterError: When a number is not finite; at calibration, when names do not match.

    Example:
        >>> Fixed({"kld": 30.0, "mse": 0.04}).params
        {'values': {'kld': 30.0, 'mse': 0.04}}
    """

    def __init__(self, values: float | Mapping[str, float]) -> None:
        self.values: float | dict[str, float]
        if isinstance(values, Mapping):
            self.values = {
                name: validation.real(value, f"values[{name!r}]", "Fixed")
                for name, value in values.items()
            }
        else:
            self.values = validation.real(values, "values", "Fixed")

    def threshold(self, values: Floats) -> Floats:
        """Raise: there is nothing to find."""
        raise NotImplementedError("Fixed has its thresholds already")

    def calibrate(self, scorer: Scorer, seed: int, verbose: bool = False) -> Calibration:
        """Return the given thresholds, as one repeat; no sample is drawn."""
        names = [criterion.name for criterion in scorer.criteria]
        if isinstance(self.values, dict):
            _check_names(self.values, names, "values", "Fixed")
            missing = [name for name in names if name not in self.values]
            if missing:
                allowed = "a mapping with a number for every criterion: " + ", ".join(names)
                do = f"Add a threshold for {missing[0]!r}."
                raise ParameterError("values", "Fixed", allowed, describe(self.values), do)
            chosen = np.array([self.values[name] for name in names])
        else:
            chosen = np.full(len(names), self.values)
        return Calibration(
            method="Fixed",
            params=self.params,
            names=names,
            thresholds=chosen,
            repeats=chosen[None],
            reference=None,
            n_samples=0,
            n_invalid=0,
            seed=seed,
        )


_RULES: dict[str, type[Rule]] = {
    rule.__name__: rule for rule in (MeanMax, Quantile, Median, Conformal, Fixed)
}


def make(spec: Any, where: str = "PXGen") -> Rule:
    """Return the rule that ``spec`` stands for: a rule, its name, or a mapping with its ``"name"``.

    Raises:
        ParameterError: When it is none of these.

    Example:
        >>> make({"name": "Quantile", "q": 0.95})
        Quantile(n_samples=10000, n_repeats=10, q=0.95)
    """
    if isinstance(spec, Rule):
        return spec
    given = {"name": spec} if isinstance(spec, str) else spec
    if not isinstance(given, Mapping) or "name" not in given:
        allowed = "a rule such as MeanMax(), its name, or a mapping with 'name'"
        do = "Use threshold=Fixed({'kld': 30.0, ...}) to give numbers."
        raise ParameterError("threshold", where, allowed, describe(spec), do)
    name = validation.choice(given["name"], "threshold", where, sorted(_RULES))
    params: dict[str, Any] = {key: value for key, value in given.items() if key != "name"}
    try:
        return _RULES[name](**params)
    except TypeError as error:
        allowed = f"a mapping that {name} accepts"
        do = f"Look up the parameters of {name}: {error}."
        raise ParameterError("threshold", where, allowed, describe(dict(given)), do) from error


def _check_names(
    given: Mapping[str, float], names: Sequence[str], parameter: str, where: str
) -> None:
    for name in given:
        if name not in names:
            allowed = "keyed by criteria: " + ", ".join(names)
            do = validation.nearest(name, names)
            raise ParameterError(parameter, where, allowed, describe(dict(given)), do)


def _all_invalid(values: Floats, names: Sequence[str]) -> ModelError:
    bad = [name for j, name in enumerate(names) if not np.isfinite(values[:, j]).any()]
    return ModelError(
        "the values of the model's own samples",
        "calibration",
        "finite for at least one sample",
        "NaN or infinity for " + (", ".join(repr(name) for name in bad) or "every sample"),
        "Check the model's weights and its decode on draws from the prior.",
    )


def _warn_invalid(invalid: int, drawn: int) -> None:
    warnings.warn(
        f"calibration: {invalid} of {drawn} samples of the model had values that are not finite "
        "and were left out",
        PXGenWarning,
        stacklevel=4,
    )
