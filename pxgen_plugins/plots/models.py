"""One figure of several models under the same anchors and methods."""

from __future__ import annotations

import itertools
import re
from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import NDArray

from pxgen_plugins.plots import _layout as layout
from pxgen_plugins.plots._cells import (
    PITCH,
    attributions_of,
    draw_attribution,
    draw_head,
    draw_instance,
    page,
    write,
)
from pxgen_plugins.plots._layout import AnyFigure
from pxgen_plugins.plots._protocols import Comparison, ModelComparison
from pxgen_plugins.plots._text import clean
from pxgen_plugins.plots.migration import plot_migration
from pxgen_plugins.plots.scatter import plot_groups
from pxgen_plugins.plots.style import BASE, FAINT, INK, MUTED, SMALL, STYLES, TINY
from pxgen_plugins.plots.views import plot_views
from pxgen_plugins.result import Result
from pxgen_plugins.utils.errors import caller
from pxgen_plugins.utils.text import number, percent

__all__ = ["plot_models"]

_PANEL = 3.0  # inches of a view or a migration, both ways
_SIDE = 1.0  # inches for the names at the left of pictures
_SMALLEST, _LARGEST = 0.45, 0.6  # inches of a picture
_PICKS = 7  # pictures of a row of a model
_TITLE = 0.3  # inches of a section's title
_HEADS = 0.45  # inches of the heads of columns
_UNITS = 1.0  # inches of the panels of units
_CHANNELS = 16  # a layer of fewer channels has too few to tell groups apart
_FEWEST = 5  # anchors of a group whose shares are shown


class _Units(NamedTuple):
    """How often the channels of a layer fire, (groups, channels)."""

    layer: str
    groups: list[str]
    fires: NDArray[np.float64]


@caller("plot_models")
@layout.panels_only
def plot_models(
    comparison: ModelComparison, *, figure: AnyFigure | None = None
) -> NDArray[np.object_]:
    """Draw what several models make of the same anchors.

    On top a view of every model's codes (the first view among the methods, else the criteria), and
    between neighbours where the anchors of each group go. Then for each chosen anchor a row per
    model: its reconstruction, and every attribution (red raises the target, blue lowers it, each on
    its own scale; bars are latent dimensions). Then the models' samples, the representatives of
    each group and what prototype methods picked; and of one layer per model, that in which groups
    differ most, how often each channel fires for each group.

    Args:
        comparison: What :func:`pxgen_plugins.compare` returned for several models.
        figure: An empty figure or subfigure to draw in; a new figure by default.

    Returns:
        Axes of the views and migrations, from left to right; of the evidence; of the pictures,
        one per model; and of the units, where there are any.
    """
    names = list(comparison.comparisons)
    columns = _columns(comparison)
    picks = {name: _picks(comparison, name) for name in names}
    units = {name: _units(comparison.comparisons[name]) for name in names}
    width = _PANEL * (2 * len(names) - 1)
    n_rows = len(names) * max(len(comparison.comparisons[names[0]].anchors), 1)
    n_picks = max(len(rows) for rows in picks.values())
    large = _size(width - _SIDE, len(columns))
    small = _size(width / len(names) - _SIDE, _PICKS)
    heights = [_PANEL, n_rows * PITCH * large + _HEADS, n_picks * PITCH * small]
    heights += [_UNITS] if any(units.values()) else []
    heights = [height + _TITLE for height in heights]
    figure = layout.figure_or_new(figure, width, sum(heights) + 0.2)
    parts: Any = figure.subfigures(len(heights), 1, height_ratios=heights, squeeze=False)[:, 0]
    axes = _draw_maps(parts[0], comparison)
    axes.append(page(parts[1], parts[1].add_gridspec(1, 1)[0], len(columns), n_rows))
    _draw_evidence(axes[-1], comparison, columns, large * PITCH)
    places = parts[2].add_gridspec(1, len(names))
    for place, name in enumerate(names):
        axes.append(page(parts[2], places[place], _PICKS, n_picks))
        _draw_picks(axes[-1], name, picks[name])
    if any(units.values()):
        axes += _draw_units(parts[3], units)
    for part, title in zip(parts, _titles(comparison), strict=False):
        look: dict[str, Any] = {"fontsize": BASE, "weight": "bold", "color": INK}
        part.suptitle(title, x=0.01, ha="left", **look).set_gid("section")
    layout.footnote(parts[-1], _notes(comparison))
    return layout.array_of(*axes)


def _size(width: float, columns: int) -> float:
    """Return the inches of a picture, where so many stand in a row."""
    return float(np.clip(width / columns / PITCH, _SMALLEST, _LARGEST))


def _titles(comparison: ModelComparison) -> list[str]:
    (pair, migration), *more = comparison.migration.items()
    n = int(migration.matrix.sum())
    if more:
        first = f"The same {n:,} anchors under {len(comparison.comparisons)} models"
    else:
        both = clean(pair, 60).replace(" / ", " and ")
        first = f"{both} put {percent(migration.same)} of the same {n:,} anchors in the same group"
    return [
        first,
        "The same anchors: what each model rebuilds, and what moves its target",
        "What each model makes, and which anchors stand for its groups",
        "How often channels fire for each group, in the layer where groups differ most",
    ]


def _draw_maps(figure: AnyFigure, comparison: ModelComparison) -> list[Axes]:
    """Draw the models' views, and the migrations between neighbours."""
    names = list(comparison.comparisons)
    axes: list[Axes] = list(figure.subplots(1, 2 * len(names) - 1, squeeze=False)[0])
    for ax, name in zip(axes[::2], names, strict=True):
        one = comparison.comparisons[name]
        result = Result.of(one.groups)
        views = [o for o in one.outcomes if o.explanation is not None and o.evidence == "embedding"]
        if views and len(views[0].explanation.data["coordinates"]) == result.n:
            data = {**views[0].explanation.data, "group": result.group}
            plot_views(SimpleNamespace(data=data), ax=ax)
            title = f"{clean(name, 24)}: {clean(views[0].label, 24)}"
        else:
            plot_groups(one.groups, ax=ax)
            title = clean(name, 24)
        ax.set_title(title, fontsize=SMALL, color=INK, pad=16)
    for ax, pair in zip(axes[1::2], itertools.pairwise(names), strict=True):
        plot_migration(comparison.migration[" / ".join(pair)], ax=ax)
    return axes


def _columns(comparison: ModelComparison) -> list[str]:
    """Return the heads of the evidence: original, reconstruction, and methods that attribute."""
    labels = [
        outcome.label
        for one in comparison.comparisons.values()
        for outcome in one.outcomes
        if outcome.explanation is not None
        and attributions_of(outcome, len(one.anchors)) is not None
    ]
    return ["original", "rebuilt", *dict.fromkeys(labels)]


def _head(name: str, width: float) -> str:
    """Return the head of a column in lines of at most ``width`` inches, where its words allow."""
    words: list[str] = []
    for word in clean(name.replace("_", " "), 30).split():
        narrow = layout.text_width(word) <= width
        words += [word] if narrow else re.split(r"(?<=[a-z])(?=[A-Z])", word)  # as in GradientShap
    lines: list[str] = []
    for word in words:
        if lines and layout.text_width(f"{lines[-1]} {word}") <= width:
            lines[-1] += f" {word}"
        else:
            lines.append(word)
    return "\n".join(lines)


def _draw_evidence(ax: Axes, comparison: ModelComparison, columns: list[str], width: float) -> None:
    for place, name in enumerate(columns):
        lines = _head(name, 0.95 * width)
        look: dict[str, Any] = {"ha": "center", "va": "bottom", "color": MUTED}
        write(ax, lines, (place * PITCH + 0.5, 0.0), (0.0, 3.0), **look)
    models = list(comparison.comparisons)
    for at, name in enumerate(models):
        one = comparison.comparisons[name]
        result = Result.of(one.groups)
        known = {o.label: o for o in one.outcomes if o.explanation is not None}
        maps = {
            column: attributions_of(known[column], len(one.anchors))
            for column in columns
            if column in known
        }
        for place, index in enumerate(one.indices):
            row = place * len(models) + at
            group = str(result.group[index])
            colour = STYLES[group].dark if group in STYLES else MUTED
            second = _words(result, index) if at == 0 else ""
            draw_head(ax, row, f"{clean(name, 14)}: {group}", second, colour)
            if at == 0:
                draw_instance(ax, one.anchors[place], 0, row + (len(models) - 1) / 2)
            if one.reconstructions is not None:
                draw_instance(ax, one.reconstructions[place], 1, row)
            for column, values in maps.items():
                if values is not None:
                    draw_attribution(ax, values[place], columns.index(column), row)
    for row in range(len(models), len(models) * len(one.indices), len(models)):
        height = row * PITCH - (PITCH - 1.0) / 2.0
        ax.plot(ax.get_xlim(), [height, height], color=FAINT, linewidth=0.6, clip_on=False)


def _words(result: Result, index: int) -> str:
    """Return a label, or the position of an anchor without one; short ones say which."""
    text = clean(str(index if result.labels is None else result.labels[index]), 18)
    kind = "anchor" if result.labels is None else "label"
    return f"{kind} {text}" if len(text) < 8 else text


def _picks(
    comparison: ModelComparison, name: str
) -> list[tuple[str, str, str, NDArray[np.float32]]]:
    """Return rows of pictures: two lines at the left, a colour, and the pictures."""
    one = comparison.comparisons[name]
    rows = []
    if len(comparison.samples.get(name, ())):
        rows.append(("samples", "", INK, comparison.samples[name]))
    groups = Result.of(one.groups).groups
    for group, pictures in comparison.representatives.get(name, {}).items():
        share = percent(groups[group].fraction)
        rows.append((group, share, STYLES[group].dark, pictures))
    prototypes = [o.label for o in one.outcomes if o.evidence == "prototypes"]
    rows += [
        (clean(label, 16), "", INK, one.pictures[label])
        for label in prototypes
        if label in one.pictures
    ]
    return rows


def _draw_picks(ax: Axes, name: str, rows: list[tuple[str, str, str, NDArray[np.float32]]]) -> None:
    ax.set_title(clean(name, 24), fontsize=SMALL, color=INK, loc="left")
    for row, (first, second, colour, pictures) in enumerate(rows):
        draw_head(ax, row, first, second, colour)
        for column, picture in enumerate(pictures[:_PICKS]):
            draw_instance(ax, picture, column, row)


def _units(comparison: Comparison) -> _Units | None:
    """Return the layer of many channels in which the groups differ most; None without any."""
    best: tuple[float, _Units] | None = None
    for outcome in comparison.outcomes:
        data: Mapping[str, Any] = getattr(outcome.explanation, "data", {})
        if not isinstance(data.get("layers"), Mapping) or "counts" not in data:
            continue
        counts = np.asarray(data["counts"])
        some = np.flatnonzero(counts >= min(_FEWEST, counts.max()))
        groups = [str(data["group_names"][at]) for at in some]
        for layer, statistics in data["layers"].items():
            fires = np.asarray(statistics["fires"], dtype=np.float64)[some]
            if fires.ndim != 2 or fires.shape[1] < _CHANNELS or not len(fires):
                continue
            spread = float(np.mean(fires.max(axis=0) - fires.min(axis=0)))
            if best is None or spread > best[0]:
                order = np.argsort(fires[-1] - fires[0], kind="stable")
                best = spread, _Units(str(layer), groups, fires[:, order])
    return None if best is None else best[1]


def _draw_units(figure: AnyFigure, units: Mapping[str, _Units | None]) -> list[Axes]:
    axes: list[Axes] = list(figure.subplots(1, len(units), squeeze=False)[0])
    image = None
    for ax, (name, unit) in zip(axes, units.items(), strict=True):
        ax.set(xticks=[], yticks=[])
        ax.spines[:].set_visible(False)
        if unit is None:
            ax.text(0.5, 0.5, "not measured", ha="center", fontsize=TINY, color=MUTED)
            continue
        look: dict[str, Any] = {"cmap": "cividis", "vmin": 0.0, "vmax": 1.0, "aspect": "auto"}
        image = ax.imshow(unit.fires, interpolation="nearest", **look)
        ax.set_yticks(range(len(unit.groups)), unit.groups, fontsize=TINY)
        ax.tick_params(length=0)
        layer = f"{clean(name, 24)}: {clean(unit.layer, 30)}, {unit.fires.shape[1]} channels"
        ax.set_xlabel(layer, fontsize=TINY, color=MUTED)
    if image is not None:
        bar = figure.colorbar(image, ax=axes, pad=0.01, aspect=10)
        bar.ax.tick_params(labelsize=TINY, length=2)
        bar.outline.set_visible(False)
    return axes


def _notes(comparison: ModelComparison) -> list[str]:
    notes = ["Red raises the target, blue lowers it; every map has its own scale."]
    for pair, distance in comparison.distances.items():
        error = "" if np.isnan(distance.kernel_error) else f" ± {number(distance.kernel_error, 2)}"
        notes.append(
            f"{clean(pair, 50)}: Frechet distance {number(distance.frechet, 3)}, kernel distance "
            f"{number(distance.kernel, 2)}{error}."
        )
    failed = [
        f"{clean(name, 24)}: {clean(outcome.label, 24)}"
        for name, one in comparison.comparisons.items()
        for outcome in one.outcomes
        if outcome.error
    ]
    return [*notes, f"Without a result: {', '.join(failed)}."] if failed else notes
