"""The scatter of anchors: extrinsic against intrinsic values, thresholds, the four groups."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import NDArray

from pxgen_plugins.groups import INVALID
from pxgen_plugins.plots import _layout as layout
from pxgen_plugins.plots._group_names import Room, corners, draw_regions, region_room
from pxgen_plugins.plots._layout import AnyFigure
from pxgen_plugins.plots._marginals import draw_marginals
from pxgen_plugins.plots._names import criterion_title, invalid_note
from pxgen_plugins.plots._points import FEW_SAMPLES, draw_points, draw_samples
from pxgen_plugins.plots._scales import SCALES, Scale, choose
from pxgen_plugins.plots._text import clean
from pxgen_plugins.plots._threshold_lines import draw_threshold, threshold_notes
from pxgen_plugins.plots._ticks import set_ticks
from pxgen_plugins.plots.style import BASE, share_text
from pxgen_plugins.result import Result
from pxgen_plugins.utils.errors import ParameterError, caller, short_repr
from pxgen_plugins.utils.validation import boolean, choice, nearest

__all__ = ["plot_groups"]

_WIDTH, _HEIGHT = 5.2, 4.7
_MARGINAL = 0.2  # size of a marginal histogram, of the scatter


@caller("plot_groups")
def plot_groups(
    explanation: Any,
    x: str | None = None,
    y: str | None = None,
    *,
    thresholds: bool = True,
    marginals: bool | None = None,
    samples: bool = True,
    scale: str = "auto",
    label: str | None = None,
    ax: Axes | None = None,
    figure: AnyFigure | None = None,
) -> NDArray[np.object_]:
    """Draw every anchor by two criteria, with the thresholds and the four groups.

    Up to 20,000 anchors are drawn one by one; of more, the density on a fine grid is drawn, and
    every anchor in a sparse cell as a point, so outliers stay visible. Nothing is sampled, so the
    same explanation gives the same figure.

    With one intrinsic and one extrinsic criterion the quadrants are the groups, and each is named
    with count, share and 95% interval, for other anchors and another calibration. With more
    criteria, the group (the colour) is decided by all of them, and the lines shown are those of the
    two on the axes.

    Args:
        explanation: What ``PXGen.explain`` returned, or the same read from JSON.
        x: Criterion along the x axis; the first intrinsic one by default.
        y: Criterion along the y axis; the first extrinsic one by default.
        thresholds: Draw threshold lines, each with a band: the 95% interval of the expected
            threshold, by the calibration repeats.
        marginals: Draw the histograms of both criteria, stacked by group; by default unless ``ax``
            is given.
        samples: Draw where the model's own samples lie (those of the first calibration repeat), or
            the reference data where thresholds come from it:
            the regions that hold 50% and 95% of them, or single crosses when they are few.
        scale: ``"linear"``, ``"log"`` or ``"auto"``: logarithmic when at least 99% of the values
            and the threshold are above 0 and the 99th percentile is 10 times the 1st or the
            largest value 10 times the 99th percentile. Applies to each axis by itself.
        label: Highlight the anchors of this label; the others fade.
        ax: Axes to draw the scatter in, without marginals.
        figure: An empty figure or subfigure to draw in; a new figure by default.

    Returns:
        Axes of the scatter, then of the upper and the right histogram when ``marginals`` is true.

    Raises:
        ParameterError: Unknown criterion, label or scale; ``label`` without labels; ``ax`` together
            with ``figure`` or marginals; something that is no explanation of PXGen.

    Cost: O(n) time and memory.

    Example:
        >>> from types import SimpleNamespace
        >>> from pxgen_plugins.plots import plot_groups
        >>> data = {
        ...     "criteria": ["kld", "mse"],
        ...     "kinds": ["intrinsic", "extrinsic"],
        ...     "values": [[1.0, 0.1], [2.0, 0.3]],
        ...     "thresholds": {"kld": 3.0, "mse": 0.2},
        ...     "group": ["HIHE", "HILE"],
        ...     "groups": {"HIHE": {"count": 1, "fraction": 0.5}},
        ... }  # the least that an explanation of PXGen holds
        >>> explanation = SimpleNamespace(data=data)
        >>> main, top, right = plot_groups(explanation)
        >>> main.get_xlabel(), main.get_xscale()
        ('intrinsic: KLD', 'linear')
    """
    marginals = ax is None if marginals is None else marginals
    for value, name in ((thresholds, "thresholds"), (marginals, "marginals"), (samples, "samples")):
        boolean(value, name)
    choice(scale, "scale", SCALES)
    result = Result.of(explanation)
    columns = _columns(result, x, y)
    highlight = _members(result, label)
    reference = _reference(result, columns) if samples else None

    visible = ~result.is_invalid & np.isfinite(result.values[:, columns]).all(axis=1)
    points, group = result.values[visible][:, columns], result.group[visible]
    scales = _scales(result, columns, points, reference, scale, thresholds)

    main, top, right = _panels(ax, figure, marginals)
    width, height = layout.inches(main)
    places, extra = corners(result, columns), _label_lines(result, highlight, label)
    room = region_room(result, places, extra, width, height)
    scales = _with_room(result, columns, scales, room)

    main.set(xscale=scales[0].name, yscale=scales[1].name)
    main.set(xlim=(scales[0].low, scales[0].high), ylim=(scales[1].low, scales[1].high))
    layout.tidy(main)
    for axis, axis_of in enumerate((main.xaxis, main.yaxis)):
        set_ticks(axis_of, scales[axis], points[:, axis])
    draw_points(main, points, group, scales, None if highlight is None else highlight[visible])
    if reference is not None:
        draw_samples(main, reference, scales)
    axes = [main] if top is None or right is None else [main, top, right]
    if thresholds:
        for panel, axis in ((main, 0), (main, 1), (top, 0), (right, 1)):
            if panel is not None:
                draw_threshold(panel, result, columns[axis], "xy"[axis], scales[axis])
    draw_regions(main, places, room)
    if top is not None and right is not None:
        marks = result.thresholds[columns] if thresholds else np.full(2, np.nan)
        many = reference is not None and len(reference) >= FEW_SAMPLES
        draw_marginals((top, right), points, group, scales, marks, reference if many else None)
    for side, column, length in zip("xy", columns, (width, height), strict=True):
        text = layout.axis_text(result.kinds[column], criterion_title(result, column), length)
        main.set(**{f"{side}label": text})
        (main.xaxis if side == "x" else main.yaxis).label.set_fontsize(BASE)
    notes = _notes(result, columns, points, scales, reference, thresholds, marginals, label)
    if room.intervals:
        notes.insert(0, f"Shares: 95\u00a0% intervals for {result.interval_source}.")
    layout.caption(main, notes, width)
    return layout.array_of(*axes)


def _columns(result: Result, x: str | None, y: str | None) -> list[int]:
    """Return the columns on the two axes; a free axis takes the first criterion that is left."""
    picked = [
        None if name is None else result.column(name, parameter)
        for name, parameter in ((x, "x"), (y, "y"))
    ]
    if len(result.criteria) < 2:
        hint = "Use plot_calibration, which draws one criterion at a time."
        raise ParameterError("explanation", "one of two criteria or more", "one", hint)
    for axis, kind in ((0, "intrinsic"), (1, "extrinsic")):
        if picked[axis] is None:
            taken = picked[1 - axis]
            free = [c for c in range(len(result.criteria)) if c != taken]
            best = [c for c in free if result.kinds[c] == kind]
            picked[axis] = (best or free)[0]
    return [int(column) for column in picked if column is not None]


def _members(result: Result, label: str | None) -> NDArray[np.bool_] | None:
    if label is None:
        return None
    if result.labels is None:
        hint = "Pass labels to explain, or leave label out."
        raise ParameterError("label", "None for anchors without labels", repr(label), hint)
    known = np.unique(result.labels).tolist()
    if str(label) not in known:
        raise ParameterError(
            "label", "a label of an anchor", repr(label), nearest(str(label), known)
        )
    members: NDArray[np.bool_] = result.labels == str(label)
    return members


def _reference(result: Result, columns: list[int]) -> NDArray[np.float64] | None:
    if result.calibration is None or result.calibration.reference is None:
        return None
    table = result.calibration.reference[:, columns]
    table = table[np.isfinite(table).all(axis=1)]
    return table if len(table) else None


def _scales(
    result: Result,
    columns: list[int],
    points: NDArray[np.float64],
    reference: NDArray[np.float64] | None,
    scale: str,
    thresholds: bool,
) -> tuple[Scale, Scale]:
    scales = []
    for axis, column in enumerate(columns):
        # not the band: one as wide as the axis would squeeze everything else
        marks = result.thresholds[[column]] if thresholds else np.empty(0)
        values = points[:, axis]
        if reference is not None:
            # a far sample of many must not squeeze the anchors: the contours end at 95% anyway
            ends = [0.0, 1.0] if len(reference) < FEW_SAMPLES else [0.005, 0.995]
            values = np.append(values, np.quantile(reference[:, axis], ends))
        scales.append(choose(values, marks, scale))
    return scales[0], scales[1]


def _with_room(
    result: Result, columns: list[int], scales: tuple[Scale, Scale], room: Room
) -> tuple[Scale, Scale]:
    """Stretch the limits so that the names of the regions stand beside the points, not on them."""
    across, upward = (result.thresholds[column] for column in columns)
    band, clear = room.band, room.band + 0.02
    return (
        scales[0].pad(0.03, 0.03).with_room(across, *room.sides),
        scales[1].pad(band, band).with_room(upward, clear, clear),
    )


def _panels(
    ax: Axes | None, figure: AnyFigure | None, marginals: bool
) -> tuple[Axes, Axes | None, Axes | None]:
    if ax is not None and (figure is not None or marginals):
        hint = "Pass figure= for the scatter with its marginals, ax= for the scatter alone."
        allowed = "left out where figure= or marginals=True is given"
        raise ParameterError("ax", allowed, short_repr(ax), hint)
    if ax is not None:
        return layout.axes_or_new(ax, _WIDTH, _HEIGHT), None, None
    figure = layout.figure_or_new(figure, _WIDTH, _HEIGHT)
    if not marginals:
        return figure.add_subplot(), None, None
    ratios = {"width_ratios": (1.0, _MARGINAL), "height_ratios": (_MARGINAL, 1.0)}
    grid = figure.add_gridspec(2, 2, wspace=0.0, hspace=0.0, **ratios)
    main = figure.add_subplot(grid[1, 0])
    top = figure.add_subplot(grid[0, 0], sharex=main)
    return main, top, figure.add_subplot(grid[1, 1], sharey=main)


def _label_lines(
    result: Result, highlight: NDArray[np.bool_] | None, label: str | None
) -> dict[str, str]:
    """Return count and share of the highlighted label in each group, in words."""
    if highlight is None:
        return {}
    inside = result.group[highlight]
    total = int(np.count_nonzero(inside != INVALID))
    counts = {name: int(np.count_nonzero(inside == name)) for name in result.groups}
    return {
        name: f"label {clean(label, 10)}: {share_text(count, count / total if total else None)}"
        for name, count in counts.items()
    }


def _notes(
    result: Result,
    columns: list[int],
    points: NDArray[np.float64],
    scales: tuple[Scale, Scale],
    reference: NDArray[np.float64] | None,
    thresholds: bool,
    marginals: bool,
    label: str | None,
) -> list[str]:
    notes = threshold_notes(result, columns) if thresholds else []
    if reference is not None:
        few = len(reference) < FEW_SAMPLES
        shape = "; histograms: shape only" if marginals else ""
        how = "" if few else f" (contours: 50\u00a0% and 95\u00a0%{shape})"
        mark = "Crosses" if few else "Dashed"
        of = "" if result.calibration is None else result.calibration.values_of
        what = f"{len(reference):,} samples of the model"
        if of == "reference data":
            what = f"{len(reference):,} instances of reference data"
        notes.append(f"{mark}: {what}{how}.")
    if len(result.criteria) > 2:
        notes.append(f"Groups by {len(result.criteria)} criteria (rule: {clean(result.rule)}).")
    if label is not None:
        notes.append(f"Highlighted: label {clean(label)}.")
    for axis, column in enumerate(columns):
        low = int(np.count_nonzero(points[:, axis] <= 0)) if scales[axis].name == "log" else 0
        if low:
            notes.append(
                f"{low:,} at {criterion_title(result, column)} \u2264 0 drawn at the edge."
            )
    if not len(result.group):
        notes.append("No anchors.")
    notes.append(invalid_note(result))
    return notes
