"""Threshold lines with their bands, and the sentence that says where they come from."""

from __future__ import annotations

import math

from matplotlib.axes import Axes

from pxgen_plugins.plots._scales import Scale
from pxgen_plugins.plots._text import clean
from pxgen_plugins.plots.style import INK, criterion_name
from pxgen_plugins.result import Result
from pxgen_plugins.utils.text import number

__all__ = ["draw_threshold", "threshold_notes"]


def draw_threshold(ax: Axes, result: Result, column: int, axis: str, scale: Scale) -> None:
    """Draw one threshold across the Axes; without a finite threshold nothing is drawn.

    Args:
        ax: Where to draw.
        result: The explanation.
        column: The criterion.
        axis: "x" for a vertical line, "y" for a horizontal one.
        scale: Scale of that axis; the band is cut where a logarithmic axis ends.
    """
    middle, half = float(result.thresholds[column]), float(result.threshold_std[column])
    if not math.isfinite(middle):
        return
    name = result.criteria[column]
    line = ax.axvline if axis == "x" else ax.axhline
    line(middle, color=INK, linewidth=0.9, zorder=5).set_gid(f"threshold:{name}")
    if math.isfinite(half) and half > 0:
        low = max(middle - half, scale.low) if scale.name == "log" else middle - half
        span = ax.axvspan if axis == "x" else ax.axhspan
        band = span(low, middle + half, color=INK, alpha=0.16, linewidth=0, zorder=4)
        band.set_gid(f"band:{name}")


def threshold_notes(result: Result, columns: list[int]) -> list[str]:
    """Return sentences with the thresholds, their deviations and where they come from."""
    known, unknown = [], []
    for column in columns:
        name = criterion_name(clean(result.criteria[column]))
        middle, half = result.thresholds[column], result.threshold_std[column]
        if not math.isfinite(middle):
            unknown.append(f"No finite threshold for {name}.")
            continue
        known.append(f"{name}\u00a0{number(middle, 3)}")
        if math.isfinite(half):
            known[-1] += f"\u00a0\u00b1\u00a0{number(half, 3)}"
    source = result.calibration
    origin = "" if source is None else clean(source.method)
    if source is not None and source.source == "reference":
        origin += f", {source.n_samples:,} instances of reference data"
    elif source is not None and source.n_samples:
        origin += f", {source.n_samples:,} samples\u00a0\u00d7\u00a0{max(source.n_repeats, 1):,}"
    text = "Thresholds: " + ", ".join(known) if known else ""
    if text and origin:
        text += f" ({origin})"
    return ([text + "."] if text else []) + unknown
