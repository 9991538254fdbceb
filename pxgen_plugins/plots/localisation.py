"""Which layers carry a concept: what changes with each place, beside a control, and pictures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import NDArray

from pxgen_plugins.plots import _layout as layout
from pxgen_plugins.plots._layout import AnyFigure
from pxgen_plugins.plots._strips import draw_strip
from pxgen_plugins.plots._text import clean
from pxgen_plugins.plots.style import BASE, FAINT, INK, MUTED, SMALL, TINY
from pxgen_plugins.utils.errors import ParameterError, caller
from pxgen_plugins.utils.text import number, percent

__all__ = ["plot_localisation"]

_OWN, _CONTROL = "#004F80", "#8A8A8A"
_PICTURE, _CHART, _ROW = 0.62, 3.4, 0.34  # inches
_STEP = 0.16  # between a value and its control, of a row
_HEADS = {
    "cross-attention": ("prompt", "window", "other"),
    "text": ("noise", "layer", "clean"),
    "unet": ("noise", "layer", "clean"),
}


@caller("plot_localisation")
@layout.panels_only
def plot_localisation(explanation: Any, *, figure: AnyFigure | None = None) -> NDArray[np.object_]:
    """Draw what each place changes, with its interval, beside the control; and pictures.

    Places are layers, or windows of them, in the order in which they run, from above. A share of 1
    is the change that all layers make together; without shares the change itself is drawn.

    Args:
        explanation: What ``explain`` of CrossAttentionLocalisation or CausalTrace returned, or the
            same from JSON.
        figure: An empty figure or subfigure to draw in; a new figure by default.

    Returns:
        Axes: the chart, then a strip for each picture.

    Raises:
        ParameterError: The explanation holds no localisation.
    """
    data = getattr(explanation, "data", None)
    if not isinstance(data, Mapping) or data.get("evidence") != "localisation":
        hint = "Pass what explain of CrossAttentionLocalisation or CausalTrace returned."
        raise ParameterError("explanation", "a localisation", type(explanation).__name__, hint)
    images = np.asarray([] if data["images"] is None else data["images"], dtype=np.float64)
    n = len(images)
    places = [_label(place) for place in data["places"]]
    strip = _PICTURE * (images.shape[1] if n else 0)
    height = max(_ROW * len(places) + 1.0, (_PICTURE + 0.05) * n + 0.9)
    name_width = max(layout.text_width(name) for name in places) + 0.3
    figure = layout.figure_or_new(figure, _CHART + name_width + strip + 0.5, height)
    widths = [_CHART + name_width, strip] if n else [1.0]
    grid = figure.add_gridspec(max(n, 1), len(widths), width_ratios=widths)
    chart = figure.add_subplot(grid[:, 0])
    shares = data["strongest"] is not None
    _draw_chart(chart, data, places, shares)
    strips = [figure.add_subplot(grid[row, 1]) for row in range(n)]
    heads: Sequence[str] = _HEADS[str(data["kind"])]
    if n and images.shape[1] < len(heads):
        heads = (heads[0], heads[-1])
    for row, ax in enumerate(strips):
        draw_strip(ax, images[row], heads if row == 0 else None)
    layout.footnote(figure, _notes(data, shares))
    return layout.array_of(chart, *strips)


def _label(place: Sequence[Any]) -> str:
    """Return the layers of a place in few letters.

    Example:
        >>> _label(["down.0.attn2", "down.1.attn2"]), _label(["mid.attn2"])
        ('down.0 to down.1', 'mid')
    """
    ends = [str(place[0]), str(place[-1])]
    short = [clean(name.removesuffix(".attn2").replace(".transformer_blocks.0", ""), 40)
             for name in ends]  # fmt: skip
    return short[0] if len(place) == 1 else " to ".join(short)


def _draw_chart(ax: Axes, data: Mapping[str, Any], places: list[str], shares: bool) -> None:
    layout.tidy(ax)
    key = "share" if shares else "effect"
    rows = np.arange(len(places), dtype=np.float64)
    value = np.asarray(data[key], dtype=np.float64)
    around = np.asarray(data[f"{key}_interval"], dtype=np.float64)
    control = np.asarray(data[f"control_{key}"], dtype=np.float64)
    ax.axvline(0.0, color=FAINT, linewidth=0.8, zorder=1)
    ax.axvline(1.0 if shares else float(data["whole"]), color=MUTED, linewidth=0.8, linestyle=":")
    ax.hlines(rows - _STEP, around[:, 0], around[:, 1], color=_OWN, linewidth=1.6)
    ax.plot(value, rows - _STEP, "o", color=_OWN, markersize=4.5, label="concept")
    if shares:
        band = np.asarray(data["control_share_interval"], dtype=np.float64)
        ax.hlines(rows + _STEP, band[:, 0], band[:, 1], color=_CONTROL, linewidth=1.2)
    ax.plot(control, rows + _STEP, "s", color=_CONTROL, markersize=3.5, label="control")
    ax.set_yticks(rows, places, fontsize=TINY, color=INK)
    ax.set_ylim(len(places) - 0.4, -0.6)
    scorer = clean(data["scorer"], 24)
    label = f"share of the whole change of {scorer}" if shares else f"change of {scorer}"
    ax.set_xlabel(label, fontsize=BASE)
    ax.legend(fontsize=SMALL, frameon=False, loc="best")


def _notes(data: Mapping[str, Any], shares: bool) -> list[str]:
    prompt = clean(data["prompts"][0], 60)
    others = [clean(other, 60) for other in (data["others"] or [])[:1]]
    first = f"“{prompt}”" + (f" read as “{others[0]}”" if others else "")
    more = len(data["prompts"]) - 1
    first += f" and {more} more" if more else ""
    whole = f"whole change {number(float(data['whole']), 2)}"
    low, high = np.asarray(data["whole_interval"], dtype=np.float64)
    notes = [
        f"{first}: {whole} ({number(low, 2)} to {number(high, 2)}). Lines: 95% over "
        f"{int(data['n_seeds'])} seeds, each of one place alone; dotted: the whole change.",
        f"Control: {clean(data['control'], 60)}.",
    ]
    if not shares:
        notes.append("The score does not tell the prompts apart: nothing is localised.")
    else:
        best = float(np.asarray(data["share"], dtype=np.float64)[int(data["strongest"])])
        notes.append(f"Strongest: {percent(best)}.")
    return notes
