"""Anchors and the model's own samples in the plane of two criteria."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import NDArray

from pxgen_plugins.groups import GROUPS
from pxgen_plugins.plots._density import blur, cell_counts, mass_levels, shade, sparse
from pxgen_plugins.plots._scales import Scale
from pxgen_plugins.plots.style import INK, MUTED, STYLES

__all__ = ["FEW_SAMPLES", "MANY", "draw_points", "draw_samples"]

MANY = 20_000  # above this, single points only hide each other
_MARKERS = 2_000  # up to this, markers are large enough to tell their shapes apart
_FADED = 0.22
_CELLS = 180
FEW_SAMPLES = 200

Floats = NDArray[np.float64]


def draw_points(
    ax: Axes,
    points: Floats,
    group: NDArray[np.str_],
    scales: tuple[Scale, Scale],
    highlight: NDArray[np.bool_] | None,
) -> None:
    """Draw the anchors in the colours of their groups.

    Args:
        ax: Axes whose scales and limits are set.
        points: Values, shape (n, 2).
        group: Group of each, shape (n,).
        scales: Scales of the two axes.
        highlight: Which to highlight, shape (n,), or None; the others fade.
    """
    parts = [(np.ones(len(group), dtype=bool), 1.0, "")]
    if highlight is not None:
        parts = [(~highlight, _FADED, ""), (highlight, 1.0, "highlight:")]
    for layer, (part, strength, prefix) in enumerate(parts):
        draw = _draw_density if np.count_nonzero(part) > MANY else _draw_single
        draw(ax, points[part], group[part], scales, strength, prefix, 2.0 + 0.4 * layer)


def draw_samples(ax: Axes, reference: Floats, scales: tuple[Scale, Scale]) -> None:
    """Draw where the model's own samples lie: two contours, or crosses when they are few."""
    if len(reference) < FEW_SAMPLES:
        crosses = ax.scatter(
            *_clip(reference, scales), s=16, marker="+", color=MUTED, linewidths=0.7, zorder=1.5
        )
        crosses.set_gid("samples")
        return
    bins, margin = 80, 0.12
    places, middles, widths = [], [], []
    for axis, scale in enumerate(scales):
        # a grid over the samples alone: their region may be a small part of the panel, and beyond
        # the outermost sample there may be a hard bound (a rank is never above 1)
        place = scale.position(reference[:, axis])
        low, high = np.quantile(place, [0.002, 0.998])
        spread = max(float(high - low), 1e-3)
        start = max(float(low) - margin * spread, float(place.min()))
        end = min(float(high) + margin * spread, float(place.max()))
        if end - start < 1e-3:  # all at one value
            start, end = start - 5e-4, start + 5e-4
        length = end - start
        places.append((place - start) / length)
        # nothing lies beyond the ends, so a contour that reaches one runs along it
        marks = np.concatenate([[0.0, 0.05], np.arange(bins) + 0.5, [bins - 0.05, bins]]) / bins
        middles.append(scale.value(start + length * marks))
        # Scott (1992): n^(-1/6) deviations, of which the middle 99.6% span 5.8
        widths.append(bins * spread / length / 5.8 * len(place) ** (-1.0 / 6.0))
    inside = np.all([(place >= 0.0) & (place <= 1.0) for place in places], axis=0)
    x, y = (place[inside] for place in places)
    smooth = blur(cell_counts(x, y, bins)[0], (widths[0], widths[1]))
    density = np.pad(np.pad(smooth, 1, mode="edge"), 1)
    across, upward = middles
    levels = mass_levels(smooth, (0.95, 0.5))
    for width, colour, order in ((2.0, "#FFFFFF", 3.4), (0.9, INK, 3.5)):
        lines = ax.contour(
            across, upward, density, levels=levels, colors=colour, linewidths=width, zorder=order
        )
        if order == 3.5:
            lines.set(linestyles="--", gid="samples")


def _draw_single(
    ax: Axes,
    points: Floats,
    group: NDArray[np.str_],
    scales: tuple[Scale, Scale],
    strength: float,
    prefix: str,
    order: float,
) -> None:
    n = len(points)
    size = float(np.clip(30.0 * (max(n, 1) / 100.0) ** -0.42, 2.5, 34.0))
    opacity = float(np.clip(1.15 - 0.17 * np.log10(max(n, 1)), 0.4, 0.9)) * strength
    for name in GROUPS:
        style = STYLES[name]
        member = group == name
        dots = ax.scatter(
            *_clip(points[member], scales),
            s=size * (1.5 if prefix else 1.0),
            c=style.colour,
            marker=style.marker if n <= _MARKERS else "o",
            alpha=opacity,
            linewidths=0.5 if n <= _MARKERS or prefix else 0.0,
            edgecolors=INK if prefix else style.dark,
            rasterized=n > _MARKERS,
            zorder=order,
        )
        dots.set_gid(f"{prefix}anchors:{name}")


def _draw_density(
    ax: Axes,
    points: Floats,
    group: NDArray[np.str_],
    scales: tuple[Scale, Scale],
    strength: float,
    prefix: str,
    order: float,
) -> None:
    x, y = (scale.position(points[:, axis]) for axis, scale in enumerate(scales))
    counts, cell = cell_counts(x, y, _CELLS)
    top = int(np.quantile(counts[counts > 0], 0.98))
    edges = [scale.edges(_CELLS) for scale in scales]
    alone = sparse(counts, cell, 2)
    for name in GROUPS:
        member = group == name
        dense = cell[member & ~alone]
        own = np.bincount(dense, minlength=_CELLS * _CELLS).reshape(_CELLS, _CELLS)
        picture = shade(own, STYLES[name].colour, 0.4, top)
        picture[..., 3] *= strength
        mesh = ax.pcolormesh(*edges, picture, rasterized=True, linewidth=0, zorder=order)
        mesh.set_gid(f"{prefix}density:{name}")
        dots = ax.scatter(
            *_clip(points[member & alone], scales),
            s=3.0,
            c=STYLES[name].dark if prefix else STYLES[name].colour,
            alpha=0.6 * strength,
            linewidths=0,
            rasterized=True,
            zorder=order + 0.1,
        )
        dots.set_gid(f"{prefix}anchors:{name}")


def _clip(points: Floats, scales: tuple[Scale, Scale]) -> tuple[Floats, Floats]:
    return scales[0].clip(points[:, 0]), scales[1].clip(points[:, 1])
