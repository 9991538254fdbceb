"""The training samples that methods call most representative, and how varied they are."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.distance import pdist

from pxgen_plugins.errors import ParameterError, describe
from pxgen_plugins.evaluation.moments import as_rows
from pxgen_plugins.evaluation.quality import coverage
from pxgen_plugins.evaluation.study import plain

__all__ = ["TrainingSamples", "compare_training_samples"]


@dataclass(frozen=True)
class TrainingSamples:
    """Picks of several methods out of one training set.

    Attributes:
        picks: Indices by method, most representative first.
        images: The picked training samples by method, as they were given.
        rows: One per method and feature space: see :func:`compare_training_samples`.
    """

    picks: dict[str, NDArray[np.int64]]
    images: dict[str, NDArray[Any]]
    rows: list[dict[str, Any]]

    def table(self) -> list[dict[str, Any]]:
        """Return the rows."""
        return self.rows

    def to_json(self) -> str:
        """Return picks and rows, without images, as strict JSON."""
        picks = {name: index.tolist() for name, index in self.picks.items()}
        return json.dumps(plain({"picks": picks, "rows": self.rows}), allow_nan=False, indent=1)

    def to_markdown(self) -> str:
        """Return the rows as a Markdown table."""
        head = list(self.rows[0]) if self.rows else []
        names = [name.replace("_", " ") for name in head]
        lines = ["| " + " | ".join(names) + " |", "|---|---" + "|--:" * (len(head) - 2) + "|"]
        for row in self.rows:
            shown = [f"{v:.3g}" if isinstance(v, float) else str(v) for v in row.values()]
            cells = [cell.replace("|", "\\|").replace("\n", " ") for cell in shown]
            lines.append("| " + " | ".join(cells) + " |")
        return "\n".join(lines) + "\n"

    def plot(self, **options: Any) -> NDArray[Any]:
        """Draw the picks (see :func:`pxgen_plugins.plots.plot_training_samples`)."""
        from pxgen_plugins.plots import plot_training_samples

        return plot_training_samples(self, **options)


def compare_training_samples(
    X: Any, picks: Mapping[str, Any], features: Mapping[str, Any] | None = None
) -> TrainingSamples:
    """Measure how varied the picks of several methods are, and how well they stand for all.

    Args:
        X: The training set, an array (n, ...).
        picks: Indices into it by method, most representative first: PXGen's representatives or
            HIHE by rising anchor value, VAE-TracIn's most helpful, and so on.
        features: Arrays (n, d) by name, in which distances are measured; None takes the elements.

    Returns:
        Picks, their images, and for each method and feature space: ``k`` picks, ``copies`` among
        them (rows equal to an earlier pick), ``mean_pairwise_distance``, ``least_distance``,
        ``radius`` and ``mean_distance`` (largest and mean distance of a training sample to the
        nearest pick) and ``covered`` (share of the training set as near to a pick as the picks
        of a random draw of k, in the median over 20 draws, are to half of it).

    Raises:
        ParameterError: When picks are no indices into ``X``, or features have other rows.

    Cost: O(n k d) per method and feature space, 20 times for the random draws.

    Example:
        >>> X = np.arange(6.0).reshape(6, 1)
        >>> found = compare_training_samples(X, {"ends": [0, 5], "neighbours": [2, 3]})
        >>> [row["mean_pairwise_distance"] for row in found.table()]
        [5.0, 1.0]
    """
    where = "compare_training_samples"
    images = np.asarray(X)
    n = len(images)
    chosen = {str(name): _indices(name, some, n, where) for name, some in picks.items()}
    spaces = {"elements": images} if features is None else dict(features)
    rows = []
    for space, given in spaces.items():
        points = as_rows(given, f"features[{space!r}]", where)
        if len(points) != n:
            do = "Give one row of features per training sample."
            came = f"{len(points)} rows"
            raise ParameterError(f"features[{space!r}]", where, f"of {n} rows", came, do)
        for name, index in chosen.items():
            rows.append({"method": name, "features": space, **_measured(points, index)})
    return TrainingSamples(chosen, {name: images[index] for name, index in chosen.items()}, rows)


def _measured(points: NDArray[np.float64], index: NDArray[np.int64]) -> dict[str, Any]:
    k = len(index)
    gaps = pdist(points[index])
    found = coverage(points, index)
    rng = np.random.default_rng(0)  # the yardstick is the same for all methods of the same k
    halves = [
        float(np.median(_nearest(points, rng.choice(len(points), k, replace=False))))
        for _ in range(20)
    ]
    near = _nearest(points, index) <= np.median(halves)
    return {
        "k": k,
        "copies": k - len(np.unique(points[index], axis=0)),
        "mean_pairwise_distance": float(gaps.mean()) if len(gaps) else None,
        "least_distance": float(gaps.min()) if len(gaps) else None,
        "radius": found["radius"],
        "mean_distance": found["mean_distance"],
        "covered": float(near.mean()),
    }


def _nearest(points: NDArray[np.float64], index: NDArray[np.int64]) -> NDArray[np.float64]:
    nearest = np.full(len(points), np.inf)
    for row in points[index]:
        nearest = np.minimum(nearest, np.square(points - row).sum(axis=1))
    root: NDArray[np.float64] = np.sqrt(nearest)
    return root


def _indices(name: str, some: Any, n: int, where: str) -> NDArray[np.int64]:
    index = np.asarray(some)
    good = index.ndim == 1 and len(index) and index.dtype.kind in "iu"
    if not good or index.min() < 0 or index.max() >= n:
        do = "Give positions in the training set, most representative first."
        allowed = f"indices in [0, {n}), at least one"
        raise ParameterError(f"picks[{name!r}]", where, allowed, describe(some), do)
    return index.astype(np.int64)
