"""k-dispersion: representatives far from each other."""

from __future__ import annotations

from typing import Any

import numpy as np

from pxgen_plugins.selection._blocked_table import Points
from pxgen_plugins.selection._farthest_first import cover, farthest_first
from pxgen_plugins.selection._local_search import gaps, swap_spread
from pxgen_plugins.selection._max_sum import largest_sum
from pxgen_plugins.selection.base import Selection, count, register, row
from pxgen_plugins.selection.center import outlier_count, robust_start
from pxgen_plugins.utils.validation import boolean, choice, integer

__all__ = ["k_dispersion"]

_MANY_STARTS = 2048
_STARTS = 8


@register("k_dispersion", starts_lowest=True, uses_seed=False)
def k_dispersion(
    X: Any,
    k: int,
    objective: str = "max_min",
    start: int | None = None,
    *,
    refine: bool = False,
    outliers: int = 0,
    seed: int = 0,
) -> Selection:
    """Pick k rows that are far from each other.

    ``"max_min"`` makes the least distance of two picks large by farthest-first traversal: at least
    half of the best possible, which is the best factor unless P = NP (Ravi, Rosenkrantz & Tayi
    1994). The PXGen authors' k-dispersion is this with ``start`` at the lowest anchor value.

    ``"max_sum"`` makes the sum of the distances of all pairs large: greedy by running sums, then
    exchanges of one pick until none gains (greedy alone is within a factor 2: Birnbaum & Goldman
    2009; exchanges: Cevallos, Eisenbrand & Zenklusen 2019). Beware that the sum likes extremes
    that nearly repeat each other: picks crowd at the outer ends of the data and leave the middle
    empty. Use it when extremes are what is asked for, and ``"max_min"`` for variety. Of repeated
    rows ``"max_min"`` picks one, as long as other rows are left; ``"max_sum"`` too, unless repeats
    make the sum larger by more than 15%.

    Both prefer junk, which lies far out: see ``outliers``.

    Args:
        X: Table of shape (n, d), array or tensor.
        k: Number of rows to pick; more than n picks all and warns.
        objective: ``"max_min"`` or ``"max_sum"``.
        start: The first pick; by default one end of an approximate diameter: the row farthest from
            the row that is farthest from the one nearest the mean. Up to 2,048 rows, ``"max_sum"``
            then tries the first eight rows of a farthest-first traversal too and keeps the best.
        refine: For ``"max_min"``, then replace an end of the closest pair as long as the least
            distance grows, at most k times. ``"max_sum"`` always exchanges, the start too.
        outliers: Number z of rows to pass over as junk: ``"max_min"`` takes the (z + 1)-th
            farthest row at each step; ``"max_sum"`` leaves out the z rows that a
            :func:`~pxgen_plugins.selection.k_center` with these outliers does not cover.
        seed: Has no effect; all selectors take it.

    Returns:
        ``objective`` is the least distance of two picks (infinite for k = 1), or the sum of the
        distances of all pairs, Euclidean, in the units of ``X``. ``radii`` holds the least
        distance of every prefix for ``"max_min"``, else None. ``outliers``: the rows passed over
        at last. Rows are not assigned.

    Raises:
        ParameterError: On NaN or infinity in ``X``, k < 1, a start or z outside [0, n), or an
            objective that does not exist.

    Cost: ``"max_min"``: O(n k d), in a few passes; with ``refine`` as much again for each exchange.
    ``"max_sum"``: O(n k d) in k passes, and one pass more for each exchange.

    Example:
        >>> k_dispersion([0.0, 1.0, 5.0, 9.0, 10.0], 3).indices
        array([4, 0, 2])
        >>> k_dispersion([0.0, 1.0, 5.0, 9.0, 10.0], 4, "max_sum").indices
        array([4, 0, 1, 3])
    """
    points = Points(X)
    k = count(k, points.n)
    objective = choice(objective, "objective", ("max_min", "max_sum"))
    boolean(refine, "refine")
    skip = outlier_count(outliers, points.n)
    integer(seed, "seed", minimum=0)
    first = row(start, points.n)
    if first is None:
        first = points.nearest_to(points.mean) if skip == 0 else robust_start(points)
        for _ in range(2):
            first = cover(points, np.asarray([first]), skip=skip).row
    if objective == "max_min":
        return _max_min(points, k, first, skip, refine)
    beyond = np.empty(0, dtype=np.int64)
    if skip:
        middle = robust_start(points)
        beyond = np.sort(farthest_first(points, k, middle, skip=skip).beyond)
    starts = [first]
    if start is None and points.n <= _MANY_STARTS:
        starts += farthest_first(points, min(_STARTS, points.n), first).indices.tolist()
    indices, total = largest_sum(points, k, starts, beyond)
    return Selection(indices, total, outliers=beyond if skip else None)


def _max_min(points: Points, k: int, start: int, skip: int, refine: bool) -> Selection:
    traversal = farthest_first(points, k, start, skip=skip)
    indices, beyond = traversal.indices, traversal.beyond
    if refine:
        indices = swap_spread(points, indices, skip)
        beyond = cover(points, indices, skip=skip).beyond if skip else beyond
    least = gaps(points.rows(indices)) * points.scale
    return Selection(
        indices=indices,
        objective=float(least[-1]),
        radii=least,
        outliers=np.sort(beyond) if skip else None,
    )
