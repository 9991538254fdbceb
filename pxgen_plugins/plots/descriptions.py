"""Descriptions: frames along each axis beside its sentence, and how far it is to be believed."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import NDArray

from pxgen_plugins.plots import _layout as layout
from pxgen_plugins.plots._layout import AnyFigure
from pxgen_plugins.plots._strips import choose_rows, draw_strip, label_strip
from pxgen_plugins.plots._text import clean
from pxgen_plugins.plots.style import FAINT, INK, MUTED, SMALL, TINY
from pxgen_plugins.utils.errors import ParameterError, caller

__all__ = ["plot_descriptions"]

_MOST = 12  # axes drawn by default
_FRAME, _TEXT, _BARS, _ROW = 0.62, 2.7, 1.9, 0.86  # inches
_WIDTH, _LINES = 38, 3  # characters and lines of a sentence
_OWN, _RANDOM = "#004F80", "#BDBDBD"


@caller("plot_descriptions")
@layout.panels_only
def plot_descriptions(
    explanation: Any,
    which: Sequence[int] | int | None = None,
    *,
    figure: AnyFigure | None = None,
) -> NDArray[np.object_]:
    """Draw each axis as a strip of frames with its sentence and two measures of it.

    Upper bar: the certainty, with a mark at what a clear description needs: more than films in
    which nothing can be found, and ``least``. Lower line: how often the sentence found its film,
    with the exact 95% interval and a mark at chance, or at how often that film is chosen for other
    sentences where this is more. Dark where the description is clear, and confirmed; grey where it
    is not. For groups of anchors the strip shows members of the second group, then of the first.

    Args:
        explanation: What ``explain`` of a LatentDescription or GroupDescription returned, or the
            same from JSON.
        which: Axes, by position; None takes the first twelve.
        figure: An empty figure or subfigure to draw in; a new figure by default.

    Returns:
        Axes: strip, sentence and measures of each axis in turn.

    Raises:
        ParameterError: The explanation holds no descriptions, or no axis at that position.

    Example:
        >>> from pxgen_plugins.adapters import LatentDescription
        >>> from pxgen_plugins.describers import Scripted
        >>> from pxgen_plugins.testing.examples import LinearModel
        >>> describe = Scripted({"describe": {"changes": False}})
        >>> len(plot_descriptions(LatentDescription(LinearModel(), describe).explain(None)))
        9
    """
    data = getattr(explanation, "data", None)
    if not isinstance(data, Mapping) or data.get("evidence") != "description":
        hint = "Pass what explain of LatentDescription or GroupDescription returned."
        got = type(explanation).__name__
        raise ParameterError("explanation", "descriptions", got, hint)
    rows = choose_rows(which, len(data["axes"]), _MOST)
    strips = np.asarray(data["strips"], dtype=np.float64)
    groups = data.get("directions") is None
    per_row = strips.shape[2] * (2 if groups else 1)
    widths = [_FRAME * per_row, _TEXT, _BARS]
    figure = layout.figure_or_new(figure, sum(widths) + 1.2, _ROW * len(rows) + 0.7)
    grid = figure.add_gridspec(len(rows), 3, width_ratios=widths)
    axes: list[Axes] = []
    for at, row in enumerate(rows):
        strip, text, bars = (figure.add_subplot(grid[at, column]) for column in range(3))
        frames = strips[row].reshape(-1, *strips.shape[3:]) if groups else strips[row, 0]
        draw_strip(strip, frames)
        label_strip(strip, data["axes"][row])
        _draw_sentence(text, data, row)
        _draw_measures(bars, data, row, last=at == len(rows) - 1)
        axes += [strip, text, bars]
    layout.footnote(figure, _notes(data))
    return layout.array_of(*axes)


def _draw_sentence(ax: Axes, data: Mapping[str, Any], row: int) -> None:
    """Write the sentence, and below it whether it is to be believed."""
    ax.axis("off")
    is_clear = data["status"][row] == "clear"
    lines = textwrap.wrap(clean(data["sentence"][row], _WIDTH * _LINES), _WIDTH)
    ax.text(
        0.0, 0.5, "\n".join(lines[:_LINES]), fontsize=SMALL, va="center",
        color=INK if is_clear else MUTED, style="normal" if is_clear else "italic",
    )  # fmt: skip
    if is_clear:
        words = "confirmed" if data["confirmed"][row] else "not confirmed"
        ax.text(0.0, -0.05, words, fontsize=TINY, color=MUTED, va="bottom")


def _draw_measures(ax: Axes, data: Mapping[str, Any], row: int, *, last: bool) -> None:
    layout.tidy(ax)
    certainty = float(np.asarray(data["certainty"], dtype=np.float64)[row])
    rate = float(np.asarray(data["hit_rate"], dtype=np.float64)[row])
    low, high = np.asarray(data["hit_interval"], dtype=np.float64)[row]
    ax.set(xlim=(0.0, 1.03), ylim=(-0.6, 1.6))
    if np.isfinite(certainty):
        colour = _OWN if data["status"][row] == "clear" else _RANDOM
        ax.barh(1.0, certainty, height=0.5, color=colour).patches[0].set_gid(f"certainty:{row}")
        if data["threshold"] is not None:
            needed = max(float(data["threshold"]), float(data["least"]))
            ax.plot([needed] * 2, [0.65, 1.35], color=INK, linewidth=1.0)
    if np.isfinite(rate):
        colour = _OWN if data["confirmed"][row] else _RANDOM
        ax.plot([low, high], [0.0, 0.0], color=colour, linewidth=2.0)
        ax.plot([rate], [0.0], "o", color=colour, markersize=4.0)
        control = float(np.asarray(data["control_rate"], dtype=np.float64)[row])
        beaten = np.fmax(float(data["chance"]), control)
        ax.plot([beaten] * 2, [-0.3, 0.3], color=INK, linewidth=1.0)
    ax.set_yticks([1.0, 0.0], ["certainty", "match"], fontsize=TINY, color=MUTED)
    ax.spines["left"].set_color(FAINT)
    ax.set_xticks([0.0, 0.5, 1.0])
    if not last:
        ax.tick_params(labelbottom=False)


def _notes(data: Mapping[str, Any]) -> list[str]:
    m = len(data["null_certainty"])
    if not m:
        return ["Nothing was asked: no axis changes anything visible."]
    return [
        f"Marks: the certainty needed, {float(data['least']):g} and more than {m} films with "
        "nothing in them have; and the rate of guessing, or of this film with other sentences "
        "where that is more. Dark: clear, confirmed."
    ]
