"""How the expected maximum of the model's samples, and so a threshold, grows with their number."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import NDArray

from pxgen_plugins.plots import _layout as layout
from pxgen_plugins.plots._names import criterion_title
from pxgen_plugins.plots.style import BASE, INK, MUTED, SMALL
from pxgen_plugins.result import Result
from pxgen_plugins.thresholds.expected_maxima import expected_maxima

__all__ = ["draw_growth", "grows"]

_FEWEST = 20  # samples in the pool, below which there is no curve
_POINTS = 60

Floats = NDArray[np.float64]


def grows(result: Result) -> bool:
    """Return whether thresholds are maxima, and enough samples were kept to draw their growth."""
    source = result.calibration
    if source is None or source.reference is None or source.method != "MeanMax":
        return False
    drawn = source.params.get("source", "samples") == "samples" and source.n_samples > 0
    return drawn and len(source.reference) >= _FEWEST


def draw_growth(ax: Axes, result: Result, column: int) -> None:
    """Draw the expected maximum of k of the kept samples against k, and the repeats' maxima.

    Args:
        ax: Where to draw.
        result: An explanation for which :func:`grows` is true.
        column: The criterion.
    """
    source = result.calibration
    if source is None or source.reference is None:
        return
    pool = source.reference[:, column]
    pool = pool[np.isfinite(pool)]
    ax.set_xscale("log")
    if len(pool):
        sizes = np.unique(np.geomspace(1, len(pool), _POINTS).round().astype(np.int64))
        (curve,) = ax.plot(sizes, expected_maxima(pool, sizes), color=INK, linewidth=1.0)
        curve.set_gid("growth")
    maxima: Floats = source.repeats[:, column]
    maxima = maxima[np.isfinite(maxima)]
    points = ax.scatter(
        np.full(len(maxima), source.n_samples), maxima, s=14, color=MUTED, alpha=0.35, linewidth=0
    )
    points.set_gid("maxima")
    layout.tidy(ax)
    width = layout.inches(ax)[0]
    words = ("samples per repeat, k", "samples, k", "k")
    ax.set_xlabel(next((w for w in words if layout.text_width(w, BASE) <= width), "k"), fontsize=8)
    title = criterion_title(result, column)
    height = layout.inches(ax)[1]
    long = f"expected maximum, {title}"
    ax.set_ylabel(
        long if layout.text_width(long, SMALL) <= height else "maximum", fontsize=SMALL, color=MUTED
    )
