"""Threshold lines with their bands, and the sentence that says where they come from."""

from __future__ import annotations

import math

from matplotlib.axes import Axes

from pxgen_plugins.groups import percentiles
from pxgen_plugins.plots._scales import Scale
from pxgen_plugins.plots._text import clean
from pxgen_plugins.plots.style import INK, criterion_name
from pxgen_plugins.result import Result
from pxgen_plugins.utils.text import number

__all__ = ["draw_threshold", "threshold_interval", "threshold_notes"]


def draw_threshold(ax: Axes, result: Result, column: int, axis: str, scale: Scale) -> None:
    """Draw one threshold across the Axes; without a finite threshold nothing is drawn.

    Args:
        ax: Where to draw.
        result: The explanation.
        column: The criterion.
        axis: "x" for a vertical line, "y" for a horizontal one.
        scale: Scale of that axis; the band is cut where a logarithmic axis ends.
    """
    middle = float(result.thresholds[column])
    if not math.isfinite(middle):
        return
    low, high = threshold_interval(result, column)
    name = result.criteria[column]
    line = ax.axvline if axis == "x" else ax.axhline
    line(middle, color=INK, linewidth=0.9, zorder=5).set_gid(f"threshold:{name}")
    if math.isfinite(low) and low < high:
        low = max(low, scale.low) if scale.name == "log" else low
        high = high if math.isfinite(high) else max(middle, scale.high)
        span = ax.axvspan if axis == "x" else ax.axhspan
        band = span(low, high, color=INK, alpha=0.16, linewidth=0, zorder=4)
        band.set_gid(f"band:{name}")


def threshold_interval(result: Result, column: int) -> tuple[float, float]:
    """Return the 95% interval of a criterion's expected threshold; NaN where it is not known."""
    draws = result.shares.thresholds[:, column]
    if len(draws) < 2:
        return math.nan, math.nan
    low, high = percentiles(draws[:, None])[0]
    return float(low), float(high)


def threshold_notes(result: Result, columns: list[int]) -> list[str]:
    """Return sentences: thresholds and their 95% intervals, their origin, how far shares move."""
    known, unknown = [], []
    for column in columns:
        name = criterion_name(clean(result.criteria[column]))
        middle = result.thresholds[column]
        low, high = threshold_interval(result, column)
        if not math.isfinite(middle):
            unknown.append(f"No finite threshold for {name}.")
            continue
        known.append(f"{name}\u00a0{number(middle, 3)}")
        if math.isfinite(low):
            known[-1] += f" ({number(low, 3)} to {number(high, 3)})"
    source = result.calibration
    origin = "" if source is None else clean(source.method)
    if source is not None and source.source == "reference":
        origin += f", {source.n_samples:,} instances of reference data"
    elif source is not None and source.n_samples:
        origin += f", {source.n_samples:,} samples\u00a0\u00d7\u00a0{max(source.n_repeats, 1):,}"
    named = (
        "Thresholds (95\u00a0% intervals)" if any(" to " in one for one in known) else "Thresholds"
    )
    text = f"{named}: " + ", ".join(known) if known else ""
    if text and origin:
        text += f" ({origin})"
    noise = "" if source is None else source.noise
    return [sentence + "." for sentence in (text, noise) if sentence] + unknown
