"""Measures of quality, for each kind of evidence its own."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.spatial.distance import cdist
from scipy.stats import spearmanr
from torch import Tensor

from pxgen_plugins.utils.seeds import derive
from pxgen_plugins.utils.sequences import even_positions

__all__ = [
    "ablation_agreement",
    "additive_fidelity",
    "change",
    "copy_ranks",
    "cosine",
    "coverage",
    "deletion_insertion",
    "jaccard",
    "map_correlation",
    "max_sensitivity",
    "nearest_distance",
]

Floats = NDArray[np.floating[Any]]
Values = Callable[[Tensor], Tensor]
_RANDOM_ORDERS = 3


def deletion_insertion(
    values: Values,
    x: Tensor,
    attributions: Floats,
    baseline: float,
    *,
    steps: int = 16,
    seed: int = 0,
) -> dict[str, float]:
    """Return areas under the deletion and insertion curves, and those of random orders.

    Elements are replaced by the baseline (deletion) or put back into it (insertion), most important
    first, in ``steps`` equal parts; the curve is the share of the way from the start's target value
    to the end's, |f(x_k) - f(start)| / |f(end) - f(start)|, cut at 1 (after Petsiuk, Das and Saenko
    2018). High areas mean that the first elements carry the target. A random order tells what is
    high: compare with it, not between targets.

    Args:
        values: From anchors (b, *sample_shape) to target values (b,).
        x: Anchors, (n, *sample_shape).
        attributions: Array of the same shape; importance is its absolute value.
        baseline: Value that stands for "absent".
        steps: Points of a curve.
        seed: Seed of the three random orders, which are averaged.

    Returns:
        Means over anchors: ``deletion``, ``insertion``, ``random_deletion``, ``random_insertion``.

    Cost: 8 steps n target values.
    """
    importance = np.abs(np.asarray(attributions, dtype=np.float64)).reshape(len(x), -1)
    order = np.argsort(-importance, axis=1, kind="stable")
    empty = torch.full_like(x, baseline)
    rng = np.random.default_rng(derive(seed, "random order"))
    orders = [rng.permuted(order, axis=1) for _ in range(_RANDOM_ORDERS)]
    return {
        "deletion": _area(values, x, empty, order, steps),
        "insertion": _area(values, empty, x, order, steps),
        "random_deletion": float(np.mean([_area(values, x, empty, o, steps) for o in orders])),
        "random_insertion": float(np.mean([_area(values, empty, x, o, steps) for o in orders])),
    }


def _area(values: Values, start: Tensor, end: Tensor, order: NDArray[np.intp], steps: int) -> float:
    flat, goal = start.flatten(1).clone(), end.flatten(1)
    with torch.no_grad():
        first, last = values(start).double(), values(end).double()
    way = (last - first).abs().clamp(min=1e-12)
    cuts = np.linspace(0, order.shape[1], steps + 1).round().astype(int)
    curve = [torch.zeros(len(start), dtype=torch.float64, device=start.device)]
    places = torch.from_numpy(order).to(start.device)
    for low, high in itertools.pairwise(cuts):
        part = places[:, low:high]
        flat.scatter_(1, part, goal.gather(1, part))
        with torch.no_grad():
            now = values(flat.reshape(start.shape)).double()
        curve.append(((now - first).abs() / way).clamp(max=1.0))
    heights = torch.stack(curve)
    return float(((heights[1:] + heights[:-1]) / 2).mean())


def max_sensitivity(
    explain: Callable[[Floats], Floats],
    x: Floats,
    attributions: Floats,
    radius: float,
    *,
    n_draws: int = 3,
    seed: int = 0,
) -> float:
    """Return the largest relative change of attributions under small noise, averaged over anchors.

    max over draws of |a(x + e) - a(x)| / |a(x)|, e uniform in [-radius, radius] (Yeh et al. 2019).
    Lower is steadier.

    Args:
        explain: From anchors to attributions.
        x: Anchors, (n, *sample_shape).
        attributions: Those of ``x``.
        radius: Half width of the noise.
        n_draws: Draws.
        seed: Their seed.

    Cost: ``n_draws`` explanations.
    """
    rng = np.random.default_rng(derive(seed, "sensitivity"))
    base = np.asarray(attributions, dtype=np.float64).reshape(len(x), -1)
    size = np.linalg.norm(base, axis=1)
    worst = np.zeros(len(x))
    low, high = float(x.min()), float(x.max())
    for _ in range(n_draws):
        noise = rng.uniform(-radius, radius, x.shape)
        moved = np.clip(x + noise, low, high).astype(x.dtype)
        other = np.asarray(explain(moved), dtype=np.float64).reshape(len(x), -1)
        change = np.linalg.norm(other - base, axis=1) / np.where(size > 0, size, 1.0)
        worst = np.maximum(worst, change)
    return float(worst.mean())


def ablation_agreement(values_at: Values, codes: Tensor, weights: Floats) -> float:
    """Return how far weights point to the latent dimensions that matter when set to the prior mean.

    Mean over anchors of the cosine of |weight| and |f(z) - f(z with z_j = 0)|. Not a rank
    correlation: most dimensions of a large latent space do nothing, and their ranks are noise.

    Args:
        values_at: From codes (b, d) to target values (b,).
        codes: Posterior means, (n, d).
        weights: Array (n, d).

    Cost: n d target values.
    """
    n, d = codes.shape
    with torch.no_grad():
        start = values_at(codes)
        effects = np.empty((n, d))
        for j in range(d):
            moved = codes.clone()
            moved[:, j] = 0.0
            effects[:, j] = (values_at(moved) - start).abs().cpu().numpy()
    return cosine(np.abs(weights), effects)


def copy_ranks(influence: Floats, own: NDArray[np.int64]) -> dict[str, float]:
    """Return how far up a training sample stands among those that helped its own copy.

    An anchor that is a copy of a training sample should be helped most by that sample (the sanity
    check of Kong and Chaudhuri 2021). ``copy_first``: share of copies for which it is so.
    ``copy_rank``: mean share of the other training samples that helped less, ties counting half;
    0.5 is chance.

    Args:
        influence: Array (n, k): of n training samples on the k copies; NaN counts as no help.
        own: Which training sample each copy is of, (k,).

    Example:
        >>> copy_ranks(np.array([[3.0, 1.0], [2.0, 1.0], [1.0, 0.0]]), np.array([0, 1]))
        {'copy_first': 1.0, 'copy_rank': 0.875}
    """
    table = np.where(np.isnan(influence), -np.inf, np.asarray(influence, dtype=np.float64))
    mine = table[own, np.arange(len(own))]
    less, same = (table < mine).sum(axis=0), (table == mine).sum(axis=0) - 1
    ranks = (less + same / 2) / max(len(table) - 1, 1)
    return {
        "copy_first": float((mine >= table.max(axis=0)).mean()),
        "copy_rank": float(ranks.mean()),
    }


def change(start: Floats, end: Floats, found: NDArray[np.bool_]) -> dict[str, float | None]:
    """Return how often a counterfactual was found, and how large its changes are.

    ``validity``: share of the rows for which one was found. ``relative_size``: mean length of the
    change over the length of the start. ``changed_share``: mean share of the elements changed. The
    last two are over the rows that were found; None where there is none.

    Args:
        start: Array (n, ...).
        end: The same shape.
        found: bool (n,).

    Example:
        >>> start, end = np.array([[3.0, 4.0], [1.0, 0.0]]), np.array([[3.0, 3.0], [1.0, 0.0]])
        >>> change(start, end, np.array([True, False]))
        {'validity': 0.5, 'relative_size': 0.2, 'changed_share': 0.5}
    """
    before, after = (np.asarray(t, np.float64).reshape(len(t), -1)[found] for t in (start, end))
    sizes = np.linalg.norm(after - before, axis=1)
    lengths = np.linalg.norm(before, axis=1)
    some = bool(found.any())
    return {
        "validity": float(found.mean()) if len(found) else None,
        "relative_size": float((sizes / np.where(lengths > 0, lengths, 1.0)).mean())
        if some
        else None,
        "changed_share": float((after != before).mean()) if some else None,
    }


def additive_fidelity(
    codes: Floats, values: Floats, grids: Sequence[Floats], curves: Sequence[Floats]
) -> float:
    """Return the share of a target's variance over rows that its effect curves explain, R^2.

    Each row is predicted by the sum of its curves, read off at its coordinates, and a constant: 1
    for a target without interactions, below 0 for curves that say less than a constant does.

    Args:
        codes: Array (n, d).
        values: The target at the rows, (n,).
        grids: Of each of the d dimensions, rising, (g_j,).
        curves: The effect on each grid, (g_j,).

    Example:
        >>> codes = np.array([[0.0, 0.0], [1.0, 0.0], [0.0, 2.0]])
        >>> grids = [np.array([0.0, 1.0]), np.array([0.0, 2.0])]
        >>> additive_fidelity(codes, codes.sum(1), grids, [g - g.mean() for g in grids])
        1.0
    """
    columns = zip(codes.T, grids, curves, strict=True)
    predicted = np.sum([np.interp(z, grid, curve) for z, grid, curve in columns], axis=0)
    missed, spread = np.var(values - predicted), np.var(values)
    return float(np.round(1.0 - missed / spread, 12)) if spread > 0 else 1.0


def map_correlation(one: Floats, other: Floats) -> float:
    """Return the mean over rows of the Spearman correlation of two maps of importance.

    Elements at which both maps are 0 are left out: on a black background many methods give 0 by
    construction, and thousands of such ties make any two maps agree. A row counts as 0 where one
    map does not vary over what is left; one without two elements left, or with a value that is not
    finite, does not count. NaN without a row that counts.

    Args:
        one: Array (n, ...).
        other: The same shape.

    Example:
        >>> one = np.array([[0.0, 0.0, 0.0, 1.0, 2.0, 3.0]])
        >>> map_correlation(one, np.array([[0.0, 0.0, 0.0, 3.0, 2.0, 1.0]]))
        -1.0
    """
    correlations = []
    for a, b in zip(one.reshape(len(one), -1), other.reshape(len(other), -1), strict=True):
        some = (a != 0) | (b != 0)
        if some.sum() < 2 or not (np.isfinite(a).all() and np.isfinite(b).all()):
            continue
        flat = np.ptp(a[some]) == 0 or np.ptp(b[some]) == 0
        correlations.append(0.0 if flat else float(spearmanr(a[some], b[some]).statistic))
    return float(np.round(np.mean(correlations), 12)) if correlations else float("nan")


def cosine(one: Floats, other: Floats) -> float:
    """Return the mean over rows of the cosine of two tables; rows of zeros count as 0.

    Example:
        >>> cosine(np.array([[3.0, 4.0]]), np.array([[6.0, 8.0]]))
        1.0
    """
    a, b = (np.asarray(t, dtype=np.float64).reshape(len(t), -1) for t in (one, other))
    size = np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)
    cosines = np.where(size > 0, (a * b).sum(axis=1) / np.where(size > 0, size, 1.0), 0.0)
    return float(np.round(cosines.mean(), 12)) if len(cosines) else float("nan")


def jaccard(one: Any, other: Any) -> float:
    """Return the Jaccard index of two sets of indices; 1 for two empty ones.

    Example:
        >>> jaccard([1, 2, 3], [2, 3, 4])
        0.5
    """
    a, b = {int(i) for i in one}, {int(i) for i in other}
    return len(a & b) / len(a | b) if a | b else 1.0


def nearest_distance(points: NDArray[np.float64], rows: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the Euclidean distance of every point (n, d) to the nearest of ``rows`` (k, d), (n,).

    Cost: O(n k d) time, O(n d) memory.

    Example:
        >>> nearest_distance(np.array([[0.0], [4.0]]), np.array([[1.0], [9.0]])).tolist()
        [1.0, 3.0]
    """
    nearest = np.full(len(points), np.inf)
    for row in rows:
        nearest = np.minimum(nearest, np.square(points - row).sum(axis=1))
    root: NDArray[np.float64] = np.sqrt(nearest)
    return root


def coverage(
    features: Floats, picks: NDArray[np.int64], labels: NDArray[np.str_] | None = None
) -> dict[str, float | None]:
    """Return how well the picked rows stand for all rows.

    ``radius`` and ``mean_distance``: largest and mean distance of a row to the nearest picked one.
    ``mmd``: squared maximum mean discrepancy of the picked rows to all (Gretton et al. 2012, the
    biased estimate, Gaussian kernel with the median distance of the picked rows to all).
    ``spread``: least distance between two picked rows. ``purity``: share of rows whose nearest
    picked row has their label.

    Args:
        features: Array (n, d).
        picks: Indices of the k picked rows.
        labels: n labels. Rows that are not finite are left out.

    Cost: O(n k d), and O(s^2 d) for MMD on s <= 2,000 evenly spaced rows.
    """
    finite = np.isfinite(features).all(axis=1)
    place = np.cumsum(finite) - 1  # of a row among the finite ones
    picks = place[picks[finite[picks]]]
    features, labels = features[finite], None if labels is None else labels[finite]
    centres = features[picks].astype(np.float64)
    distance = cdist(features.astype(np.float64), centres)
    nearest = distance.argmin(axis=1)
    gaps = cdist(centres, centres)[np.triu_indices(len(picks), 1)]
    some = features[even_positions(len(features), 2000)]
    width = 2 * np.median(distance) ** 2 or 1.0
    inside = np.exp(-(cdist(centres, centres) ** 2) / width).mean()
    across = np.exp(-(cdist(some, centres) ** 2) / width).mean()
    whole = np.exp(-(cdist(some, some) ** 2) / width).mean()
    purity = None if labels is None else float((labels == labels[picks][nearest]).mean())
    return {
        "radius": float(distance.min(axis=1).max()),
        "mean_distance": float(distance.min(axis=1).mean()),
        "mmd": float(inside - 2 * across + whole),
        "spread": float(gaps.min()) if len(gaps) else None,
        "purity": purity,
    }
