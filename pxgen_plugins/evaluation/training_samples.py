"""Comparison of the training samples that several methods call most representative."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.distance import pdist

from pxgen_plugins.evaluation.moments import as_rows
from pxgen_plugins.evaluation.quality import nearest_distance
from pxgen_plugins.utils.errors import ParameterError, caller, short_repr
from pxgen_plugins.utils.files import plain
from pxgen_plugins.utils.text import MarkdownText, markdown_table, number

__all__ = ["TrainingSamples", "compare_training_samples"]

Floats = NDArray[np.float64]


@dataclass(frozen=True, repr=False)
class TrainingSamples(MarkdownText):
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
        cells = [
            [v if isinstance(v, str) else number(v, 3) for v in row.values()] for row in self.rows
        ]
        return "\n".join(markdown_table(names, cells, n_left=2)) + "\n"

    def plot(self, **options: Any) -> NDArray[Any]:
        """Draw the picks (see :func:`pxgen_plugins.plots.plot_training_samples`)."""
        from pxgen_plugins.plots import plot_training_samples

        return plot_training_samples(self, **options)


@caller("compare_training_samples")
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
        >>> comparison = compare_training_samples(X, {"ends": [0, 5], "neighbours": [2, 3]})
        >>> [row["mean_pairwise_distance"] for row in comparison.table()]
        [5.0, 1.0]
    """
    images = np.asarray(X)
    n = len(images)
    indices = {str(name): _indices(name, some, n) for name, some in picks.items()}
    spaces = {"elements": images} if features is None else dict(features)
    rows = []
    for space, values in spaces.items():
        points = as_rows(values, f"features[{space!r}]")
        if len(points) != n:
            hint = "Give one row of features per training sample."
            got = f"{len(points)} rows"
            raise ParameterError(f"features[{space!r}]", f"of {n} rows", got, hint)
        near = {k: _yardstick(points, k) for k in {len(index) for index in indices.values()}}
        for name, index in indices.items():
            measures = _measures(points, index, near[len(index)])
            rows.append({"method": name, "features": space, **measures})
    return TrainingSamples(indices, {name: images[index] for name, index in indices.items()}, rows)


def _measures(points: Floats, index: NDArray[np.int64], near: float) -> dict[str, Any]:
    gaps = pdist(points[index])
    distance = nearest_distance(points, points[index])
    return {
        "k": len(index),
        "copies": len(index) - len(np.unique(points[index], axis=0)),
        "mean_pairwise_distance": float(gaps.mean()) if len(gaps) else None,
        "least_distance": float(gaps.min()) if len(gaps) else None,
        "radius": float(distance.max()),
        "mean_distance": float(distance.mean()),
        "covered": float((distance <= near).mean()),
    }


def _yardstick(points: Floats, k: int) -> float:
    """Return the median over 20 random draws of k of the median distance to the draw."""
    rng = np.random.default_rng(0)  # the yardstick is the same for all methods of the same k
    draws = [rng.choice(len(points), k, replace=False) for _ in range(20)]
    return float(np.median([np.median(nearest_distance(points, points[d])) for d in draws]))


def _indices(name: str, some: Any, n: int) -> NDArray[np.int64]:
    index = np.asarray(some)
    good = index.ndim == 1 and len(index) and index.dtype.kind in "iu"
    if not good or index.min() < 0 or index.max() >= n:
        hint = "Give positions in the training set, most representative first."
        allowed = f"indices in [0, {n}), at least one"
        raise ParameterError(f"picks[{name!r}]", allowed, short_repr(some), hint)
    return index.astype(np.int64)
