"""A study: how far the seed of calibration moves the groups, setting by setting."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pxgen_plugins import groups, thresholds
from pxgen_plugins.evaluation.studies import score_anchors, study_settings
from pxgen_plugins.evaluation.study import Study
from pxgen_plugins.explainer import PXGen
from pxgen_plugins.groups import GROUPS
from pxgen_plugins.scoring import Scorer
from pxgen_plugins.thresholds.calibration import Calibration
from pxgen_plugins.utils import validation
from pxgen_plugins.utils.errors import ParameterError, caller, short_repr
from pxgen_plugins.utils.progress import bar
from pxgen_plugins.utils.seeds import derive

__all__ = ["SamplePool", "calibration_study", "draw_pool"]

Floats = NDArray[np.float64]

_SIZES = (100, 300, 1_000, 3_000, 10_000)


@dataclass(frozen=True)
class SamplePool:
    """Values of a model's own samples, drawn with several seeds.

    Attributes:
        values: Array (n_seeds, n, m); NaN where a sample could not be scored.
        seconds: Time to draw and score one sample; None when unknown.
    """

    values: Floats
    seconds: float | None = None


@caller("draw_pool")
def draw_pool(
    explainer: PXGen, n: int = 100_000, seeds: Sequence[int] = range(30), verbose: bool = False
) -> SamplePool:
    """Return the values of ``n`` samples of the explainer's model for each seed.

    Args:
        explainer: A fitted explainer; its criteria, and what they learned, score the samples.
        n: Samples per seed.
        seeds: Seeds; each gives samples of its own, independent of the explainer's calibration.
        verbose: Show a progress bar.

    Raises:
        CapabilityError: When the model cannot sample.

    Cost: n samples and model passes per seed; memory 8 n m bytes per seed.

    Example:
        >>> from pxgen_plugins.testing.examples import LinearModel
        >>> explainer = PXGen(LinearModel(), threshold=thresholds.Fixed(1.0)).fit()
        >>> draw_pool(explainer, 50, [0, 1, 2]).values.shape
        (3, 50, 2)
    """
    n = validation.integer(n, "n", minimum=1)
    scorer = explainer.scorer()
    tables = np.empty((len(seeds), n, len(scorer.criteria)))
    start = time.perf_counter()
    with bar(n * len(seeds), "pooling", "sample", verbose) as progress:
        for table, seed in zip(tables, seeds, strict=True):
            of_seed = derive(explainer.seed, "calibration_study", seed)
            table[:] = scorer.score_samples(n, of_seed, progress.update)
    spent = time.perf_counter() - start
    return SamplePool(tables, spent / (n * len(seeds)) if len(seeds) else None)


@caller("calibration_study")
def calibration_study(
    explainer: PXGen,
    X: Any,
    settings: Sequence[Any] | None = None,
    labels: Any = None,
    *,
    budget: int = 100_000,
    n_seeds: int = 30,
    pool: SamplePool | None = None,
    verbose: bool = False,
) -> Study:
    """Calibrate with many seeds and report how far the groups of the same anchors move.

    The anchors are scored once. So are the samples: ``budget`` of them for each seed, which every
    setting uses from the first on and cuts into its own repeats. Each setting then has independent
    calibrations, one per seed, at the cost of a single setting; what settings have in common are
    the samples, so that their difference is not one of luck. A setting that costs more than the
    budget takes the samples of several seeds, and has fewer calibrations.

    Args:
        explainer: A fitted explainer; its own thresholds have no part.
        X: The n anchors.
        settings: Rules of :mod:`pxgen_plugins.thresholds`, their names, or mappings with
            ``"name"``; None takes MeanMax of 100 to 10,000 samples, each with as many repeats as
            the budget pays for.
        labels: n labels, for the share of HIHE per label.
        budget: Samples per seed; more where the pool has more.
        n_seeds: Calibrations, >= 2.
        pool: What :func:`draw_pool` returned for this explainer, instead of ``budget`` and
            ``n_seeds``.
        verbose: Show progress bars.

    Returns:
        A study whose rows hold ``n_samples``, ``n_repeats``, ``cost`` (samples of one calibration),
        ``n_calibrations``, ``thresholds`` and ``threshold_std`` by criterion (mean and standard
        deviation over calibrations), ``fractions`` (mean shares), ``deviations`` of the groups'
        shares over calibrations and their ``intervals`` (lowest and highest share), ``labels``
        (share in HIHE, deviation and interval by label), ``noise`` (the largest of the groups'
        deviations), ``estimate`` (what one calibration says of this noise by its own repeats: the
        root mean square over calibrations; see
        :func:`~pxgen_plugins.groups.calibration_noise.calibration_noise`) and ``seconds`` of one
        calibration. Deviations are None for a single calibration.

    Raises:
        NotFittedError: Before ``fit``.
        ParameterError: When a rule is unknown, a setting costs more than all samples, the pool does
            not fit, or there are no anchors.
        CapabilityError: When the model cannot sample.

    Cost: n model passes, and ``budget`` x ``n_seeds`` samples.

    Example:
        >>> from pxgen_plugins.testing.examples import LinearModel
        >>> explainer = PXGen(LinearModel(), threshold=thresholds.Fixed(1.0)).fit()
        >>> X = LinearModel().sample(20, seed=1)
        >>> rules = [thresholds.MeanMax(20, 10), thresholds.MeanMax(200, 1)]
        >>> study = calibration_study(explainer, X, rules, budget=200, n_seeds=4)
        >>> [(row["case"], row["cost"], row["n_calibrations"]) for row in study.rows]
        [('MeanMax 20 x 10', 200, 4), ('MeanMax 200 x 1', 200, 4)]
    """
    scorer, _, values, labels = score_anchors(explainer, X, labels, verbose)
    if pool is None:
        budget = validation.integer(budget, "budget", minimum=1)
        seeds = range(validation.integer(n_seeds, "n_seeds", minimum=2))
        pool = draw_pool(explainer, budget, seeds, verbose)
    _check_pool(pool, len(scorer.criteria))
    n = pool.values.shape[1]
    if settings is None:
        sizes = [size for size in _SIZES if size <= n]
        rules: list[thresholds.Rule] = [thresholds.MeanMax(size, n // size) for size in sizes]
    else:
        rules = [thresholds.make(rule) for rule in settings]
    for rule in rules:
        if rule.params.get("source", "samples") != "samples":
            hint = "Reference data is not drawn: fit PXGen on several parts of it."
            raise ParameterError("settings", "rules on the model's samples", repr(rule), hint)
    rows = [_row(explainer, scorer, rule, pool, values, labels) for rule in rules]
    about = {"n_seeds": len(pool.values), "samples_per_seed": n}
    return Study("calibration", rows, study_settings(explainer, len(values)) | about)


class _Replay(Scorer):
    """A scorer whose samples were scored before: it gives them in their order, once."""

    def __init__(self, scorer: Scorer, values: Floats) -> None:
        vars(self).update(vars(scorer))
        self._values_left = values

    def score_samples(
        self,
        n: int,
        seed: int,
        update: Callable[[float], object] | None = None,
        rows: range | None = None,
    ) -> Floats:
        """Return the values of the next ``n`` samples, whatever the seed."""
        given, self._values_left = self._values_left[:n], self._values_left[n:]
        return given


def _row(
    explainer: PXGen,
    scorer: Scorer,
    rule: thresholds.Rule,
    pool: SamplePool,
    values: Floats,
    labels: NDArray[np.str_] | None,
) -> dict[str, Any]:
    kinds = [str(criterion.kind) for criterion in scorer.criteria]
    parts = _parts(rule, pool.values)
    names = [] if labels is None else sorted(set(labels.tolist()))
    members = [labels == name for name in names]
    cuts, shares, of_labels, estimates = [], [], [], []
    start = time.perf_counter()
    cost = 0
    for k, part in enumerate(parts):
        replay = _Replay(scorer, part)
        cut: Calibration = rule.calibrate(replay, explainer.seed)
        cost = len(part) - len(replay._values_left)  # fewer where a tolerance stops
        settings = (kinds, explainer.rule, cut.scale)
        group = groups.assign(values, cut.thresholds, *settings)
        inside = group == "HIHE"
        cuts.append(cut.thresholds)
        shares.append([float((group == name).mean()) for name in GROUPS])
        of_labels.append([float(inside[of].mean()) for of in members])
        noise = groups.calibration_noise(values, cut.repeats, rule.combine, *settings, seed=k)
        estimates.append([np.nan if noise[name] is None else noise[name] for name in GROUPS])
    spent = (time.perf_counter() - start) / len(parts)
    table, by_label = np.array(shares), np.array(of_labels).reshape(len(parts), len(names))
    deviations = _deviations(table)
    squares = np.square(np.array(estimates, dtype=float)).mean(axis=0)
    estimate = float(np.sqrt(squares.max())) if np.isfinite(squares).all() else None
    seconds = None if pool.seconds is None else round(pool.seconds * cost + spent, 3)
    criteria = [criterion.name for criterion in scorer.criteria]
    return {
        "case": _case(rule),
        "rule": type(rule).__name__,
        "params": rule.params,
        "n_samples": getattr(rule, "n_samples", 0),
        "n_repeats": getattr(rule, "n_repeats", 0),
        "cost": cost,
        "n_calibrations": len(parts),
        "thresholds": dict(zip(criteria, np.mean(cuts, axis=0).tolist(), strict=True)),
        "threshold_std": dict(zip(criteria, _deviations(np.array(cuts)), strict=True)),
        "fractions": dict(zip(GROUPS, table.mean(axis=0).tolist(), strict=True)),
        "deviations": dict(zip(GROUPS, deviations, strict=True)),
        "intervals": dict(zip(GROUPS, _ranges(table), strict=True)),
        "labels": {
            name: {"share": share, "deviation": deviation, "interval": interval}
            for name, share, deviation, interval in zip(
                names,
                by_label.mean(axis=0).tolist(),
                _deviations(by_label),
                _ranges(by_label),
                strict=True,
            )
        },
        "noise": None if len(parts) < 2 else max(float(d) for d in deviations if d is not None),
        "estimate": estimate,
        "seconds": seconds,
    }


def _parts(rule: thresholds.Rule, pool: Floats) -> list[Floats]:
    """Return the samples of each calibration: of one seed, or of several where one has too few."""
    n_seeds, n, m = pool.shape
    cost = getattr(rule, "n_samples", 0) * getattr(rule, "n_repeats", 0)
    if cost <= n:
        return [table[:cost] for table in pool]
    together = -(-cost // n)
    if together > n_seeds:
        allowed = f"at most {n_seeds * n:,} samples, all there are"
        got = f"{_case(rule)} = {cost:,}"
        raise ParameterError("settings", allowed, got, "Draw more samples, or more seeds.")
    count = n_seeds // together
    whole: Floats = pool[: count * together].reshape(count, together * n, m)
    return [table[:cost] for table in whole]


def _case(rule: thresholds.Rule) -> str:
    """Return the rule in a few words, as in ``Quantile q=0.99 10,000 x 10``."""
    params = dict(rule.params)
    sizes = [params.pop(name, None) for name in ("n_samples", "n_repeats")]
    usual = (None, False, "samples")
    own = [f"{name}={value}" for name, value in params.items() if value not in usual]
    size = [] if None in sizes else [f"{sizes[0]:,} x {sizes[1]:,}"]
    return " ".join([type(rule).__name__, *own, *size])


def _deviations(table: Floats) -> list[float | None]:
    if len(table) < 2:
        return [None] * table.shape[1]
    return [float(deviation) for deviation in table.std(axis=0, ddof=1)]


def _ranges(table: Floats) -> list[list[float] | None]:
    if len(table) < 2:
        return [None] * table.shape[1]
    return [[float(column.min()), float(column.max())] for column in table.T]


def _check_pool(pool: SamplePool, m: int) -> None:
    shape = np.shape(pool.values)
    if len(shape) != 3 or shape[2] != m or not shape[0] or not shape[1]:
        hint = "Draw it with draw_pool and the same explainer."
        allowed = f"of values of shape (n_seeds, n, {m})"
        raise ParameterError("pool", allowed, short_repr(shape), hint)
