"""Precision, recall, density and coverage of a model's samples."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.spatial.distance import cdist

from pxgen_plugins.evaluation.moments import as_rows
from pxgen_plugins.utils import validation
from pxgen_plugins.utils.errors import ParameterError, caller
from pxgen_plugins.utils.neighbours import blocks, nearest_others

__all__ = ["SampleQuality", "sample_quality"]


@dataclass(frozen=True)
class SampleQuality:
    """How samples cover reference data, and how much of them lies inside it.

    Attributes:
        precision: Share of samples inside the ball of some reference row, in [0, 1].
        recall: Share of reference rows inside the ball of some sample, in [0, 1].
        density: Mean number of reference balls that a sample lies in, divided by k; about 1 for two
            sets of one distribution, and not bounded by it.
        coverage: Share of reference rows whose ball holds a sample, in [0, 1].
        k: The balls reach to the k-th nearest neighbour in the same set.
    """

    precision: float
    recall: float
    density: float
    coverage: float
    k: int


@caller("sample_quality")
def sample_quality(reference: Any, samples: Any, *, k: int = 5) -> SampleQuality:
    """Return precision and recall (Kynkaanniemi et al. 2019), density and coverage (Naeem 2020).

    Around every row is a closed ball that reaches to its k-th nearest neighbour in its own set, in
    Euclidean distance. Copies of a row are neighbours at distance zero. Distances are computed
    exactly as written, from differences in float64, so that ties count as ties.

    Args:
        reference: Real data, (n, d) or (n, ...) which is flattened; more than k rows.
        samples: The model's, (m, d); more than k rows, and m may differ from n.
        k: Which neighbour, >= 1.

    Raises:
        ParameterError: When a set has no more than k rows, is not finite, no array of real
            numbers, or has another number of columns.

    Cost: O((n^2 + m^2 + n m) d) time; memory O((n + m) d) and a block of distances.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> quality = sample_quality(rng.normal(size=(200, 2)), rng.normal(size=(200, 2)) + 10.0)
        >>> quality.precision, quality.coverage
        (0.0, 0.0)
    """
    real, fake = as_rows(reference, "reference"), as_rows(samples, "samples")
    k = validation.integer(k, "k", minimum=1)
    for name, rows in (("reference", real), ("samples", fake)):
        if len(rows) <= k:
            hint = "Give more instances, or lower k."
            raise ParameterError(name, f"of more than k = {k} rows", f"{len(rows)}", hint)
    if real.shape[1] != fake.shape[1]:
        got = f"{real.shape[1]} and {fake.shape[1]} columns"
        hint = "Use the same features for both sets."
        raise ParameterError("samples", "of as many columns as reference", got, hint)
    real_radius, fake_radius = nearest_others(real, k)[:, -1], nearest_others(fake, k)[:, -1]
    n_balls = np.zeros(len(fake), dtype=np.int64)  # reference balls around each sample
    is_covered = np.zeros(len(real), dtype=bool)
    is_recalled = np.zeros(len(real), dtype=bool)
    for part in blocks(len(real), len(fake)):
        distance = cdist(real[part], fake)
        inside = distance <= real_radius[part, None]
        n_balls += inside.sum(axis=0)
        is_covered[part] = inside.any(axis=1)
        is_recalled[part] = (distance <= fake_radius).any(axis=1)
    return SampleQuality(
        precision=float((n_balls > 0).mean()),
        recall=float(is_recalled.mean()),
        density=float(n_balls.mean()) / k,
        coverage=float(is_covered.mean()),
        k=k,
    )
