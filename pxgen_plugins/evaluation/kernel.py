"""Kernel distance of two sets of images or features."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pxgen_plugins.evaluation.moments import as_rows
from pxgen_plugins.utils import validation
from pxgen_plugins.utils.errors import ParameterError, caller, warn
from pxgen_plugins.utils.seeds import derive

__all__ = ["KernelDistance", "kernel_distance"]

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class KernelDistance:
    """A kernel distance and how firmly it stands.

    Attributes:
        value: Mean of the unbiased estimate over disjoint subsets; may be slightly negative.
        standard_error: Standard deviation over the subsets divided by the root of their number; NaN
            for a single subset. Read ``value / standard_error`` as a test only with 20 subsets or
            more: between sets of one distribution the estimates are skewed to the right.
        n_subsets: Number of subsets.
        subset_size: Rows of each set in a subset.
    """

    value: float
    standard_error: float
    n_subsets: int
    subset_size: int


@caller("kernel_distance")
def kernel_distance(
    a: Any, b: Any, *, subset_size: int = 500, n_subsets: int | None = None, seed: int = 0
) -> KernelDistance:
    """Return the squared kernel distance of two sets (Binkowski et al. 2018, "KID").

    The unbiased estimate of the maximum mean discrepancy (Gretton et al. 2012) under the kernel
    (x y / d + 1)^3, as a mean over subsets. Unlike the Frechet distance it has no bias that depends
    on the number of rows, so neither the value's expectation nor its comparability depends on
    ``subset_size``. The subsets are disjoint and so independent (Zaremba, Gretton and Blaschko
    2013): their spread gives an honest standard error. Subsets drawn anew from all rows, as is
    common, overlap: divided by the root of their number, their spread understates the error, by a
    factor that grows with that number. Rows that fill no subset take no part.

    Args:
        a: Rows (n, d), or (n, ...) which is flattened; at least two.
        b: Likewise, of the same d; the number of rows may differ.
        subset_size: Rows of each set in a subset, >= 2; cut at the smaller set, with a warning.
            Larger subsets give a firmer value where the sets are close, more subsets a firmer
            standard error.
        n_subsets: How many; None takes as many as the smaller set has room for.
        seed: Seed of the assignment to subsets.

    Raises:
        ParameterError: When a set has fewer than two rows, is not finite, no array of real numbers,
            or has another number of columns; or there is no room for ``n_subsets``.

    Warns:
        PXGenWarning: When ``subset_size`` is cut.

    Cost: O(n_subsets subset_size^2 d); memory O(subset_size^2).

    Example:
        >>> rng = np.random.default_rng(0)
        >>> a, b = rng.normal(size=(2, 1_000, 3))
        >>> distance = kernel_distance(a, b + 1.0)
        >>> distance.value > 10 * distance.standard_error
        True
    """
    rows, others = as_rows(a, "a"), as_rows(b, "b")
    for name, some in (("a", rows), ("b", others)):
        if len(some) < 2:
            hint = "Give more instances."
            raise ParameterError(name, "of at least two rows", f"{len(some)}", hint)
    if rows.shape[1] != others.shape[1]:
        got = f"{rows.shape[1]} and {others.shape[1]} columns"
        hint = "Use the same features for both sets."
        raise ParameterError("b", "of as many columns as a", got, hint)
    seed = validation.integer(seed, "seed", minimum=0)
    size = validation.integer(subset_size, "subset_size", minimum=2)
    smaller = min(len(rows), len(others))
    if size > smaller:
        warn(f"kernel_distance: subset_size {size} is cut at the {smaller} rows of the smaller set")
        size = smaller
    room = smaller // size
    number = room
    if n_subsets is not None:
        number = validation.integer(n_subsets, "n_subsets", minimum=1)
    if number > room:
        hint = "Lower subset_size or n_subsets, or give more instances."
        allowed = f"at most {room}, for disjoint subsets of {size} out of {smaller} rows"
        raise ParameterError("n_subsets", allowed, str(n_subsets), hint)
    rng = np.random.default_rng(derive(seed, "subsets"))
    order, other_order = rng.permutation(len(rows)), rng.permutation(len(others))
    estimates = [
        _estimate(rows[order[part]], others[other_order[part]])
        for part in (slice(k * size, (k + 1) * size) for k in range(number))
    ]
    error = math.nan if number < 2 else float(np.std(estimates, ddof=1)) / math.sqrt(number)
    return KernelDistance(float(np.mean(estimates)), error, number, size)


def _estimate(x: Floats, y: Floats) -> float:
    """Return the unbiased estimate: pairs of a row with itself are left out of the means."""
    d, m = x.shape[1], len(x)
    within = 0.0
    for rows in (x, y):
        kernel = (rows @ rows.T / d + 1.0) ** 3
        within += float(kernel.sum() - np.trace(kernel)) / (m * (m - 1))
    between = ((x @ y.T / d + 1.0) ** 3).mean()
    return within - 2.0 * float(between)
