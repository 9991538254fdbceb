"""The view of a latent space: anchors in the plane, coloured by group, label or criterion."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from numpy.typing import NDArray

from pxgen_plugins.groups import GROUPS
from pxgen_plugins.plots import _layout as layout
from pxgen_plugins.plots._text import clean
from pxgen_plugins.plots.style import (
    BASE,
    FAINT,
    MUTED,
    STYLES,
    TINY,
    criterion_text,
)
from pxgen_plugins.utils.errors import ParameterError, caller
from pxgen_plugins.utils.text import number, percent
from pxgen_plugins.utils.validation import choice

__all__ = ["plot_views"]

_WIDTH, _HEIGHT = 4.6, 4.4
_NEEDED = ("coordinates", "method", "trustworthiness")
_MARKERS = 2_000  # up to this, markers are large enough to tell their shapes apart
_NAMES = {"pca": "PC", "tsne": "t-SNE", "umap": "UMAP"}
# Okabe and Ito (2008) and two more, so that ten digits differ in colour; then other markers
_COLOURS = (
    "#0072B2",
    "#E69F00",
    "#009E73",
    "#CC79A7",
    "#56B4E9",
    "#D55E00",
    "#1A1A1A",
    "#B8A800",
    "#882255",
    "#8C6D46",
)
_SHAPES = ("o", "^")
_MOST = len(_COLOURS) * len(_SHAPES)

Look = tuple[str, str, str, NDArray[np.bool_]]


@caller("plot_views")
def plot_views(
    explanation: Any, colour_by: str = "group", *, ax: Axes | None = None
) -> NDArray[np.object_]:
    """Draw the anchors of a view in its first two components.

    The note below the axes says how far the picture can be believed: trustworthiness and the share
    of neighbours that the plane keeps. Axes of t-SNE and UMAP have no unit, so they have no ticks.

    Args:
        explanation: What ``LatentView.explain`` returned, or the same read from JSON.
        colour_by: ``"group"``, ``"label"`` (the 20 most frequent; the others are grey), or the name
            of a criterion that the view carries. Without groups, the default draws one colour.
        ax: Axes to draw in; a new figure by default.

    Returns:
        One Axes.

    Raises:
        ParameterError: The explanation is no view, or carries nothing of that name.

    Cost: O(n) time and memory.

    Example:
        >>> from types import SimpleNamespace
        >>> from pxgen_plugins.plots import plot_views
        >>> data = {"coordinates": [[0.0, 1.0], [1.0, 0.0]], "method": "pca",
        ...         "trustworthiness": None, "group": ["HIHE", "LILE"]}
        >>> (ax,) = plot_views(SimpleNamespace(data=data))
        >>> ax.get_xlabel()
        'PC 1'
    """
    data = getattr(explanation, "data", None)
    if not isinstance(data, Mapping) or any(key not in data for key in _NEEDED):
        hint = "Pass what LatentView.explain returned, or Explanation.from_json of its JSON."
        got = type(explanation).__name__
        raise ParameterError("explanation", "a view of LatentView", got, hint)
    points = np.asarray(data["coordinates"], dtype=np.float64)
    if len(points) == 0:  # JSON has lost the second axis
        points = np.empty((0, 2))
    criteria = [str(name) for name in data.get("criteria") or []]
    names = [*(["label"] if data.get("labels") is not None else []), *criteria]
    choice(colour_by, "colour_by", ["group", *names])
    visible = np.isfinite(points[:, :2]).all(axis=1)
    axes = layout.axes_or_new(ax, _WIDTH, _HEIGHT)
    width = layout.inches(axes)[0]
    notes = _trust(data)
    if colour_by in criteria and colour_by not in ("group", "label"):
        values = np.asarray(data["values"], dtype=np.float64).reshape(len(points), len(criteria))
        column = values[:, criteria.index(colour_by)]
        notes += _draw_values(axes, points, column, visible, _title(data, criteria, colour_by))
    else:
        looks, more = _looks(data, colour_by, len(points))
        _draw_names(axes, points, looks, visible)
        _legend(axes, [look for look in looks if (look[3] & visible).any()], width)
        notes += more
    _finish(axes, data)
    hidden = int(np.count_nonzero(~visible))
    if hidden:
        notes.append(f"{hidden:,} anchor{'' if hidden == 1 else 's'} invalid, not shown.")
    if not len(points):
        notes.append("No anchors.")
    layout.caption(axes, notes, width)
    return layout.array_of(axes)


def _trust(data: Mapping[str, Any]) -> list[str]:
    worth, kept = data.get("trustworthiness"), data.get("neighbour_preservation")
    if worth is None or kept is None:
        return []
    k, n = data.get("n_neighbors"), int(data.get("n_judged") or 0)
    return [
        f"Trustworthiness {number(float(worth), 3)}; {percent(float(kept))} of {k} nearest kept "
        f"({n:,} anchors judged)."
    ]


def _title(data: Mapping[str, Any], criteria: list[str], name: str) -> str:
    units = data.get("units") or [""] * len(criteria)
    return criterion_text(clean(name), clean(units[criteria.index(name)]))


def _looks(data: Mapping[str, Any], colour_by: str, n: int) -> tuple[list[Look], list[str]]:
    """Return name, colour, marker and members of what is told apart, and what to say of it."""
    if colour_by == "label":
        labels = np.asarray([str(label) for label in data["labels"]], dtype=np.str_)
        names, counts = np.unique(labels, return_counts=True)
        frequent = sorted(names[np.argsort(-counts, kind="stable")][:_MOST].tolist(), key=_natural)
        rare = ~np.isin(labels, frequent)
        looks = [("", FAINT, ".", rare)] if rare.any() else []
        for at, name in enumerate(frequent):
            marker = _SHAPES[at // len(_COLOURS)]
            looks.append((name, _COLOURS[at % len(_COLOURS)], marker, labels == name))
        left = len(names) - len(frequent)
        return looks, [f"Grey: {left:,} rarer labels."] if left else []
    if data.get("group") is None:
        return [("", MUTED, "o", np.ones(n, dtype=np.bool_))], []
    group = np.asarray([str(name) for name in data["group"]], dtype=np.str_)
    other = ~np.isin(group, GROUPS)
    looks = [("in no group", FAINT, ".", other)] if other.any() else []
    looks += [(name, STYLES[name].colour, STYLES[name].marker, group == name) for name in GROUPS]
    return looks, []


def _natural(name: str) -> tuple[bool, float, str]:
    try:
        return False, float(name), name
    except ValueError:
        return True, 0.0, name


def _size(n: int) -> tuple[float, float]:
    """Return area and opacity of one of n points, as in the scatter of criteria."""
    size = float(np.clip(30.0 * (max(n, 1) / 100.0) ** -0.42, 2.5, 34.0))
    return size, float(np.clip(1.15 - 0.17 * np.log10(max(n, 1)), 0.4, 0.9))


def _draw_names(
    ax: Axes, points: NDArray[np.float64], looks: list[Look], visible: NDArray[np.bool_]
) -> None:
    n = int(np.count_nonzero(visible))
    size, opacity = _size(n)
    for order, (name, colour, marker, member) in enumerate(looks):
        dots = ax.scatter(
            points[member & visible, 0],
            points[member & visible, 1],
            s=size,
            c=colour,
            marker=marker if n <= _MARKERS or name not in STYLES else "o",
            alpha=opacity,
            linewidths=0.0,
            rasterized=n > _MARKERS,
            zorder=2.0 + 0.01 * order,
        )
        dots.set_gid(f"anchors:{name}")


def _draw_values(
    ax: Axes,
    points: NDArray[np.float64],
    values: NDArray[np.float64],
    visible: NDArray[np.bool_],
    title: str,
) -> list[str]:
    some = visible & np.isfinite(values)
    size, opacity = _size(int(np.count_nonzero(some)))
    # one far value must not turn all others into one colour
    low, high = np.quantile(values[some], [0.01, 0.99]) if some.any() else (0.0, 1.0)
    if low == high:
        low, high = low - 0.5, high + 0.5
    order = np.flatnonzero(some)
    dots = ax.scatter(
        points[order, 0],
        points[order, 1],
        s=size,
        c=values[order],
        cmap="cividis",
        vmin=float(low),
        vmax=float(high),
        alpha=opacity,
        linewidths=0.0,
        rasterized=len(order) > _MARKERS,
        zorder=2.0,
    )
    dots.set_gid("anchors:values")
    figure: Any = ax.get_figure(root=True)
    bar = figure.colorbar(
        dots, cax=ax.inset_axes((0.0, 1.02, 1.0, 0.025)), orientation="horizontal", extend="both"
    )
    bar.solids.set_alpha(1.0)
    bar.outline.set_visible(False)
    bar.ax.xaxis.set_ticks_position("top")
    bar.ax.xaxis.set_label_position("top")
    bar.ax.tick_params(labelsize=TINY, length=2, color=FAINT, pad=1)
    bar.ax.set_xlabel(title, fontsize=BASE, labelpad=2)
    left = int(np.count_nonzero(visible & ~some))
    ends = "Colours end at the 1% and 99% quantiles." if some.any() else ""
    return [ends, f"{left:,} without a value not shown." if left else ""]


def _legend(ax: Axes, looks: list[Look], width: float) -> None:
    named = [look for look in looks if look[0]]
    if not named:
        return
    words = [clean(name, 16) or "(empty)" for name, *_ in named]
    widest = max(layout.text_width(word, TINY) for word in words) + 0.28
    legend = ax.legend(
        handles=[
            Line2D([], [], linestyle="", marker=marker, color=colour, markersize=4.5, label=word)
            for (_, colour, marker, _), word in zip(named, words, strict=True)
        ],
        loc="lower center",
        bbox_to_anchor=(0.5, 1.0),
        ncols=max(1, min(len(named), int(width / widest))),
        frameon=False,
        fontsize=TINY,
        handlelength=0.8,
        columnspacing=1.0,
        handletextpad=0.4,
        borderaxespad=0.7,
        borderpad=0.0,
    )
    legend.set_gid("legend")


def _finish(ax: Axes, data: Mapping[str, Any]) -> None:
    layout.tidy(ax)
    method = str(data["method"])
    name = _NAMES.get(method, clean(method))
    shares = data.get("explained_variance_ratio")
    ratio = np.asarray([] if shares is None else shares, dtype=np.float64)
    for at, axis in enumerate((ax.xaxis, ax.yaxis)):
        share = f" ({percent(float(ratio[at]))} of the variance)" if at < len(ratio) else ""
        axis.set_label_text(f"{name} {at + 1}{share}", fontsize=BASE)
    if method != "pca":
        ax.set_xticks([])
        ax.set_yticks([])
    ax.set_aspect("equal", adjustable="datalim")
