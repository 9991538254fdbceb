"""Studies: how the groups depend on the threshold rule, and on the anchor set."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import adjusted_rand_score

from pxgen_plugins import groups, thresholds
from pxgen_plugins.anchors import open_for
from pxgen_plugins.evaluation.quality import nearest_distance
from pxgen_plugins.evaluation.study import Study
from pxgen_plugins.explainer import PXGen
from pxgen_plugins.groups import GROUPS
from pxgen_plugins.host import NotFittedError
from pxgen_plugins.scoring import Scorer
from pxgen_plugins.selection import k_center
from pxgen_plugins.thresholds.calibration import Calibration
from pxgen_plugins.utils import validation
from pxgen_plugins.utils.errors import ParameterError, caller, short_repr
from pxgen_plugins.utils.seeds import derive

__all__ = ["anchor_study", "score_anchors", "study_settings", "threshold_study"]

Floats = NDArray[np.float64]
Index = NDArray[np.int64]


@caller("threshold_study")
def threshold_study(
    explainer: PXGen,
    X: Any,
    rules: Sequence[Any] | None = None,
    labels: Any = None,
    *,
    verbose: bool = False,
) -> Study:
    """Group the same anchors under several threshold rules; they are scored once.

    Args:
        explainer: A fitted explainer; its own thresholds are the first row, and what the others
            are compared with.
        X: The n anchors.
        rules: Rules of :mod:`pxgen_plugins.thresholds`, their names, or mappings with ``"name"``;
            None takes MeanMax at 1,000 and 10,000 samples, two quantiles, a conformal and a median
            rule, each at the cost of 100,000 samples. Rules with ``source="reference"`` take the
            data that the explainer's own rule was given.
        labels: n labels, for the share of HIHE per label.
        verbose: Show progress bars.

    Returns:
        A study whose rows hold ``thresholds`` and ``threshold_std`` by criterion, ``fractions`` and
        ``intervals`` of the groups, ``labels`` (HIHE share and interval by label), all for other
        anchors and another calibration,
        ``moved`` (share of anchors in another group than under the explainer's own thresholds),
        ``rand_index`` (adjusted, Hubert and Arabie 1985; None when both are one group),
        ``stability`` (mean ``group_stability``) and ``seconds`` of calibration.

    Raises:
        NotFittedError: Before ``fit``.
        ParameterError: When a rule is unknown, or there are no anchors.

    Cost: n model passes, and each rule's samples.

    Example:
        >>> from pxgen_plugins.testing.examples import LinearModel
        >>> explainer = PXGen(LinearModel(), threshold=thresholds.Fixed(1.0)).fit()
        >>> X = LinearModel().sample(20, seed=1)
        >>> study = threshold_study(explainer, X, [thresholds.Quantile(0.9, 50, 2)])
        >>> [row["case"].partition("(")[0] for row in study.rows]
        ['Fixed', 'Quantile']
    """
    scorer, own, values, labels = score_anchors(explainer, X, labels, verbose)
    if rules is None:
        others: list[thresholds.Rule] = [
            thresholds.MeanMax(n, 100_000 // n) for n in (1_000, 10_000)
        ]
        others += [thresholds.Quantile(0.99), thresholds.Quantile(0.999)]
        others += [thresholds.Conformal(0.01), thresholds.Median(3.0)]
    else:
        others = [thresholds.make(rule) for rule in rules]
    rows = []
    base = None
    kept = explainer.reference

    def data_of(rule: thresholds.Rule) -> dict[str, Any]:
        if rule.source != "reference":
            return {}
        return {"reference": None if kept is None else kept.thresholds}

    for rule in [explainer.threshold, *others]:
        start = time.perf_counter()
        mine = rule is explainer.threshold
        cut = own if mine else rule.calibrate(scorer, explainer.seed, verbose, **data_of(rule))
        seconds = time.perf_counter() - start
        row, group = _row(explainer, scorer, rule, cut, values, labels)
        base = group if base is None else base
        row |= {
            "moved": float((group != base).mean()),
            "rand_index": _rand(base, group),
            "seconds": None if mine else round(seconds, 2),
        }
        rows.append(row)
    return Study("thresholds", rows, study_settings(explainer, len(values)))


@caller("anchor_study")
def anchor_study(
    explainer: PXGen,
    X: Any,
    labels: Any = None,
    *,
    sizes: Sequence[int] = (100, 300, 1_000, 3_000),
    compositions: Mapping[str, Any] | None = None,
    n_draws: int = 20,
    seed: int = 0,
    verbose: bool = False,
) -> Study:
    """Group smaller and otherwise composed anchor sets, under the same thresholds.

    Anchors have no part in the thresholds, so an anchor keeps its group whatever the set; what
    moves are the shares, and how well representatives stand for the group. Sets of each size are
    drawn without replacement; their shares scatter as the hypergeometric distribution says.

    Args:
        explainer: A fitted explainer.
        X: The n anchors.
        labels: n labels; each label that can be left out makes a composition.
        sizes: Sizes of the drawn sets; those above n are left out.
        compositions: Indices or masks of other anchor sets, by name.
        n_draws: Sets drawn of each size, >= 2.
        seed: Seed of the draws.
        verbose: Show a progress bar.

    Returns:
        A study whose rows hold ``n_anchors``, ``fractions`` (the mean over draws) and ``intervals``
        (95% of the draws; for compositions the Wilson interval), ``deviation`` (of HIHE over the
        draws) and ``expected_deviation`` (hypergeometric), and ``radius``: the largest distance
        from a HIHE anchor of the whole set to the nearest of the explainer's number of k-center
        representatives of the drawn set, in criterion space scaled to unit variance, as a mean over
        the draws; None where the set has no HIHE anchor.

    Raises:
        NotFittedError: Before ``fit``.
        ParameterError: When a size or a composition is not allowed, or there are no anchors.

    Cost: n model passes, and O(n k) per draw.

    Example:
        >>> from pxgen_plugins.testing.examples import LinearModel
        >>> explainer = PXGen(LinearModel(), threshold=thresholds.Quantile(0.9, 100, 2)).fit()
        >>> X = LinearModel().sample(60, seed=1)
        >>> [row["n_anchors"] for row in anchor_study(explainer, X, sizes=[30]).rows]
        [60, 30]
    """
    draws = validation.integer(n_draws, "n_draws", minimum=2)
    _, cut, values, labels = score_anchors(explainer, X, labels, verbose)
    kinds = [str(criterion.kind) for criterion in explainer.criteria]
    group = groups.assign(values, cut.thresholds, kinds, explainer.rule, cut.scale)
    n = len(group)
    parts = _Representatives(values, group, explainer.n_representatives)
    rows = [_composition("all anchors", np.arange(n), group, parts)]
    rng = np.random.default_rng(derive(seed, "anchor_study"))
    for size in sizes:
        size = validation.integer(size, "sizes", minimum=1)
        if size < n:
            subsets = [rng.choice(n, size, replace=False) for _ in range(draws)]
            rows.append(_subsets(size, subsets, group, parts))
    for name, index in _compositions(compositions, labels, n).items():
        rows.append(_composition(name, index, group, parts))
    return Study(
        "anchors", rows, study_settings(explainer, n) | {"n_draws": draws, "draw_seed": seed}
    )


class _Representatives:
    """How well k-center representatives of a part stand for the HIHE anchors of the whole."""

    def __init__(self, values: Floats, group: NDArray[np.str_], k: int) -> None:
        self.inside = group == "HIHE"
        spread = values[self.inside].std(axis=0) if self.inside.any() else np.ones(values.shape[1])
        self.scaled = values / np.where(spread > 0, spread, 1.0)
        self.k = k

    def radius(self, index: Index) -> float | None:
        """Return the largest distance of a HIHE anchor to a representative of the part."""
        members = index[self.inside[index]]
        if not len(members):
            return None
        picks = members[k_center(self.scaled[members], min(self.k, len(members))).indices]
        return float(nearest_distance(self.scaled[self.inside], self.scaled[picks]).max())


def score_anchors(
    explainer: PXGen, X: Any, labels: Any, verbose: bool
) -> tuple[Scorer, Calibration, Floats, NDArray[np.str_] | None]:
    """Return the explainer's scorer and calibration, and the anchors' values and labels.

    Raises:
        NotFittedError: Before ``fit``.
        ParameterError: When there are no anchors.
    """
    if explainer.calibration is None:
        raise NotFittedError(type(explainer).__name__)
    scorer = explainer.scorer()
    anchors = open_for(scorer.model, X, labels=labels)
    if not len(anchors):
        raise ParameterError("X", "at least one anchor", "none", "Give some anchors.")
    values = scorer.score(anchors, verbose).values
    return scorer, explainer.calibration, values, anchors.labels


def _row(
    explainer: PXGen,
    scorer: Scorer,
    rule: thresholds.Rule,
    cut: Calibration,
    values: Floats,
    labels: NDArray[np.str_] | None,
) -> tuple[dict[str, Any], NDArray[np.str_]]:
    kinds = [str(criterion.kind) for criterion in scorer.criteria]
    settings = (kinds, explainer.rule, cut.scale)
    group = groups.assign(values, cut.thresholds, *settings)
    floor = None if cut.reference is None else np.median(cut.reference, axis=0)
    ends = groups.GroupShares(
        values, cut.thresholds, cut.repeats, *settings, floor=floor, resampled=cut.resampled
    )
    stable = ends.stability()
    inside = group == "HIHE"
    shares = {}
    for label in [] if labels is None else sorted(set(labels.tolist())):
        of = labels == label
        count, total = int(inside[of].sum()), int(of.sum())
        shares[label] = {
            "share": count / total,
            "interval": ends.intervals(of)[0].tolist(),
        }
    row = {
        "case": repr(rule),
        "thresholds": dict(zip(cut.names, cut.thresholds.tolist(), strict=True)),
        "threshold_std": dict(zip(cut.names, cut.std.tolist(), strict=True)),
        "fractions": {name: float((group == name).mean()) for name in GROUPS},
        "intervals": dict(zip(GROUPS, ends.intervals().tolist(), strict=False)),
        "labels": shares,
        "stability": float(np.nanmean(stable)) if np.isfinite(stable).any() else None,
    }
    return row, group


def _rand(one: NDArray[np.str_], other: NDArray[np.str_]) -> float | None:
    if len(np.unique(one)) < 2 and len(np.unique(other)) < 2:
        return None
    return float(adjusted_rand_score(one, other))


def _composition(
    name: str, index: Index, group: NDArray[np.str_], parts: _Representatives
) -> dict[str, Any]:
    part = group[index]
    counts = {g: int((part == g).sum()) for g in GROUPS}
    return {
        "case": name,
        "n_anchors": len(index),
        "fractions": {g: count / len(index) for g, count in counts.items()},
        "intervals": {g: groups.wilson_interval(c, len(index)) for g, c in counts.items()},
        "deviation": None,
        "expected_deviation": None,
        "radius": parts.radius(index),
    }


def _subsets(
    size: int, subsets: Sequence[Index], group: NDArray[np.str_], parts: _Representatives
) -> dict[str, Any]:
    n = len(group)
    shares = np.array([[(group[index] == g).mean() for g in GROUPS] for index in subsets])
    low, high = np.quantile(shares, [0.025, 0.975], axis=0)
    p = float((group == "HIHE").mean())
    radii = [radius for radius in map(parts.radius, subsets) if radius is not None]
    return {
        "case": f"{size:,} drawn, {len(subsets)} times",
        "n_anchors": size,
        "fractions": dict(zip(GROUPS, shares.mean(axis=0).tolist(), strict=True)),
        "intervals": {g: [float(low[k]), float(high[k])] for k, g in enumerate(GROUPS)},
        "deviation": float(shares[:, 0].std(ddof=1)),
        "expected_deviation": float(np.sqrt(p * (1 - p) / size * (n - size) / (n - 1))),
        "radius": float(np.mean(radii)) if radii else None,
    }


def _compositions(
    compositions: Mapping[str, Any] | None, labels: NDArray[np.str_] | None, n: int
) -> dict[str, Index]:
    indices: dict[str, Index] = {}
    distinct = [] if labels is None else sorted(set(labels.tolist()))
    if len(distinct) > 1:
        indices |= {f"without label {label}": np.flatnonzero(labels != label) for label in distinct}
    for name, some in (compositions or {}).items():
        index = np.asarray(some)
        if index.dtype == bool and index.shape == (n,):
            index = np.flatnonzero(index)
        good = index.ndim == 1 and index.dtype.kind in "iu" and len(index)
        if not good or index.min() < 0 or index.max() >= n:
            hint = "Give indices or a mask, as in {'bright': X.mean(1) > 0.5}."
            allowed = f"indices in [0, {n}) or a mask of {n}, not empty"
            raise ParameterError(f"compositions[{name!r}]", allowed, short_repr(some), hint)
        indices[str(name)] = index.astype(np.int64)
    return indices


def study_settings(explainer: PXGen, n: int) -> dict[str, Any]:
    """Return what a study's ``about`` says of the explainer and its n anchors."""
    return {"explainer": explainer.meta["params"], "n_anchors": n}
