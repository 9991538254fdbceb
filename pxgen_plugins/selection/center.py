"""k-center: every row close to a representative."""

from __future__ import annotations

from typing import Any

import numpy as np

from pxgen_plugins.selection._assignment import nearest
from pxgen_plugins.selection._blocked_table import Points
from pxgen_plugins.selection._farthest_first import farthest_first
from pxgen_plugins.selection._local_search import swap_centres
from pxgen_plugins.selection.base import Floats, Selection, count, register, row
from pxgen_plugins.utils.errors import ParameterError
from pxgen_plugins.utils.validation import boolean, integer

__all__ = ["k_center", "outlier_count", "robust_start"]

_MEDIAN_ROWS = 1 << 16
_CERTIFICATE_ROWS = 1 << 14
_CERTIFICATE_PICKS = 1 << 12


@register("k_center")
def k_center(
    X: Any,
    k: int,
    start: int | None = None,
    *,
    refine: bool = False,
    outliers: int = 0,
    seed: int = 0,
) -> Selection:
    """Pick k rows so that the largest distance of any row to its nearest pick is small.

    Farthest-first traversal (Gonzalez 1985): from the start, take the row farthest from all picks,
    until there are k. The radius is at most twice that of the best k rows, and no polynomial
    algorithm promises less (Hsu & Nemhauser 1979). The picks are exactly those of the plain loop in
    float64, ties going to the lowest index, but are found in a few passes over the data instead of
    k. Repeated rows are picked once, as long as other rows are left.

    Args:
        X: Table of shape (n, d), array or tensor; a memory-mapped one stays on disk.
        k: Number of rows to pick; more than n picks all and warns.
        start: The first pick; by default the row nearest the mean, or, with outliers, nearest the
            median of each column over at most 65,536 evenly spaced rows.
        refine: Then exchange picks as long as the radius falls, at most 4 k times per round of at
            most four, each judged on at most 8,192 rows and then on all; the radius never grows.
        outliers: Number z of rows that need not be covered. Each step then takes the (z + 1)-th
            farthest row instead of the farthest, so that picks are not spent on junk. It works
            well when z is at least the number of junk rows; there is no bound on its radius.
        seed: Seed of the rows that ``refine`` judges by.

    Returns:
        ``objective`` is the radius, the Euclidean distance of the farthest row (without the
        outliers) to its nearest pick, in the units of ``X``. ``lower_bound``: the picks and the
        row farthest from them are k + 1 rows at least the greedy radius apart, two of which share
        a centre in any solution, so no k rows have a radius below half of it. With outliers the
        same is said of k + z + 1 rows out of at most 16,384, None for k + z over 4,096.
        ``radii`` are the radii of all prefixes of the greedy picks (None after ``refine``), and
        ``assignment`` gives every row, outliers too, its nearest pick. ``outliers``: the z rows
        farthest from the picks.

    Raises:
        ParameterError: On NaN or infinity in ``X``, k < 1, a start outside [0, n) or z outside
            [0, n).

    Cost: O(n k d) operations in about k/10 passes over the data; about 16 bytes a row, in
    temporary files where that is much.

    Example:
        >>> k_center([[0.0], [1.0], [10.0], [11.0]], 2, start=0)
        Selection(k=2, objective=1, indices=[0, 3])
        >>> k_center([[0.0], [1.0], [10.0], [99.0]], 2, start=0, outliers=1).outliers
        array([3])
    """
    points = Points(X)
    k = count(k, points.n)
    boolean(refine, "refine")
    skip = outlier_count(outliers, points.n)
    seed = integer(seed, "seed", minimum=0)
    first = row(start, points.n)
    if first is None:
        first = points.nearest_to(points.mean) if skip == 0 else robust_start(points)
    indices, radii, beyond = farthest_first(points, k, first, skip=skip)
    radius = float(radii[-1])
    prefix_radii: Floats | None = radii
    lower = radius / 2 if skip == 0 else _bound_with_outliers(points, k, skip, first)
    if refine:
        better, radius, beyond = swap_centres(points, indices, radius, beyond, seed)
        prefix_radii = radii if better is indices else None
        indices = better
    return Selection(
        indices=indices,
        objective=radius,
        assignment=nearest(points, indices),
        lower_bound=lower,
        radii=prefix_radii,
        outliers=np.sort(beyond) if skip else None,
    )


def outlier_count(outliers: Any, n: int) -> int:
    """Return the number of outliers, an integer in [0, n)."""
    number = integer(outliers, "outliers", minimum=0)
    if number >= n:
        hint = f"Leave at least one of the {n} rows."
        raise ParameterError("outliers", f"an integer < {n}", str(number), hint)
    return number


def robust_start(points: Points) -> int:
    """Return the row nearest the median of each column, which junk moves less than the mean."""
    step = -(-points.n // _MEDIAN_ROWS)
    target: Floats = np.median(points.raw[::step].astype(np.float64), axis=0)
    return points.nearest_to(target)


def _bound_with_outliers(points: Points, k: int, skip: int, start: int) -> float | None:
    """Return half the least distance of k + skip + 1 rows: k + 1 of them are no outliers."""
    if k + skip > _CERTIFICATE_PICKS:
        return None
    if k + skip >= points.n:
        return 0.0
    if points.n > _CERTIFICATE_ROWS:
        rows = np.linspace(0, points.n - 1, _CERTIFICATE_ROWS).astype(np.int64)
        points, start = Points(points.raw[rows]), 0
    return float(farthest_first(points, k + skip, start).radii[-1]) / 2
