"""Copies: how close samples come to training instances, and the pairs that show it."""

from __future__ import annotations

import textwrap
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import NDArray

from pxgen_plugins.plots import _layout as layout
from pxgen_plugins.plots._cells import PITCH, draw_instance, page, write
from pxgen_plugins.plots._layout import AnyFigure
from pxgen_plugins.plots._scales import span
from pxgen_plugins.plots._text import clean
from pxgen_plugins.plots._ticks import set_ticks
from pxgen_plugins.plots.style import BASE, FAINT, INK, MUTED, SMALL, TINY
from pxgen_plugins.utils import validation
from pxgen_plugins.utils.errors import ParameterError, caller, short_repr

__all__ = ["plot_copies"]

_ROWS = (("training", "training"), ("sample", "sample"), ("held_out", "nearest held-out"))
_TRAINING, _CONTROL = "#D55E00", "#004F80"
_CHARS = 34  # of a line of text
_LINES = 3


@caller("plot_copies")
@layout.panels_only
def plot_copies(
    found: Any, *, n_pairs: int = 10, figure: AnyFigure | None = None
) -> NDArray[np.object_]:
    """Draw how close samples come to training and to held-out instances, and the surest pairs.

    Above: the share of instances of either set that are as close to a sample, or closer, in units
    of the distance to the nearest other real instance. Without memory the two lines lie on each
    other; marks at the foot are the training instances that are listed. Below: these, the sample
    that comes closest, and the held-out instance nearest to that sample.

    Args:
        found: What :func:`pxgen_plugins.evaluation.copies` returned.
        n_pairs: Pairs to draw, at most 24.
        figure: An empty figure or subfigure to draw in; a new figure by default.

    Returns:
        Axes of the lines, and of the pairs where there are some.

    Raises:
        ParameterError: When ``found`` is something else.
    """
    if not all(hasattr(found, name) for name in ("pairs", "closeness", "control", "instances")):
        hint = "Pass what pxgen_plugins.evaluation.copies returned."
        raise ParameterError("found", "a Copies", short_repr(found), hint)
    n_pairs = validation.integer(n_pairs, "n_pairs", minimum=1)
    pairs = list(found.pairs)[: min(n_pairs, len(found.instances.get("training", ())))]
    texts = bool(found.texts)
    cells = _cells(found, len(pairs)) if texts else []
    tall = max((len(lines) for row in cells for lines in row), default=1)
    height = 0.0 if not pairs else ((0.17 * tall + 0.12) * len(pairs) + 0.4 if texts else 2.3)
    figure = layout.figure_or_new(figure, 7.0, 2.6 + height)
    heights = [2.3, height] if pairs else [1.0]
    grid = figure.add_gridspec(len(heights), 1, height_ratios=heights)
    axes = [figure.add_subplot(grid[0])]
    _draw_lines(axes[0], found, len(pairs) > 0)
    if pairs and texts:
        axes.append(_draw_texts(figure.add_subplot(grid[1]), cells, pairs))
    elif pairs:
        axes.append(_draw_pictures(page(figure, grid[1], len(pairs), 3), found, pairs))
    axes[0].set_title(found.sentence(), loc="left", fontsize=SMALL, color=INK, weight="bold")
    return layout.array_of(*axes)


def _draw_lines(ax: Axes, found: Any, listed: bool) -> None:
    both = (("training", found.closeness, _TRAINING), ("held-out", found.control, _CONTROL))
    least = min((float(v[v > 0].min()) for _, v, _ in both if (v > 0).any()), default=1.0)
    for name, values, colour in both:
        x = np.sort(np.where(values > 0, values, least / 3.0))  # 0, a copy bit by bit, has no place
        share = np.arange(1, len(x) + 1) / max(len(x), 1)
        label = f"{name}, {len(x):,}"
        (line,) = ax.step(x, share, where="post", color=colour, linewidth=1.2, label=label)
        line.set_gid(f"closeness:{name}")
    if listed:
        place = {int(p): k for k, p in enumerate(found.positions)}
        hits = np.array([found.closeness[place[pair.training]] for pair in found.pairs])
        hits = np.where(hits > 0, hits, least / 3.0)
        look: dict[str, Any] = {
            "color": _TRAINING,
            "linewidth": 0.0,
            "marker": "|",
            "clip_on": False,
        }
        (marks,) = ax.plot(hits, np.zeros(len(hits)), markersize=7, label="given back", **look)
        marks.set_gid("listed")
    both_sets = np.concatenate([values for _, values, _ in both])
    everything = np.where(both_sets > 0, both_sets, least / 3.0)
    ax.set_xscale("log")
    set_ticks(ax.xaxis, span("log", everything), everything)
    if (both_sets == 0.0).any():  # what stands left of the least distance is none
        ends = ax.get_xlim()
        kept = [(at, f"{at:g}") for at in ax.get_xticks() if least <= at <= ends[1]]
        ax.set_xticks(*zip((least / 3.0, "0"), *kept, strict=True))
        ax.set_xlim(*ends)
        ax.axvline(least / 1.7, color=FAINT, linewidth=0.8, linestyle=":")
    ax.set_ylim(0.0, 1.0)
    ax.set_xlabel("distance to the nearest sample / to the nearest other real instance")
    ax.set_ylabel("share of instances")
    ax.xaxis.label.set_fontsize(SMALL)
    ax.yaxis.label.set_fontsize(SMALL)
    layout.tidy(ax)
    ax.legend(frameon=False, fontsize=TINY, loc="upper left")


def _draw_pictures(ax: Axes, found: Any, pairs: list[Any]) -> Axes:
    ax.set_ylim((3 + 0.25) * PITCH, 0.0)
    for row, (key, name) in enumerate(_ROWS):
        at = (0.0, row * PITCH + 0.5)
        write(ax, name, at, (-6.0, 0.0), ha="right", va="center", color=MUTED)
        for column in range(len(pairs)):
            draw_instance(ax, found.instances[key][column], column, row)
    for column, pair in enumerate(pairs):
        words = f"x {pair.times:,}" if pair.times > 1 else ""
        at = (column * PITCH + 0.5, 3 * PITCH)
        write(ax, words, at, (0.0, -2.0), ha="center", va="top", color=MUTED)
    if any(pair.times > 1 for pair in pairs):
        write(ax, "times in the set", (0.0, 3 * PITCH), (-6.0, -2.0), ha="right", va="top",
              color=MUTED)  # fmt: skip
    return ax


def _cells(found: Any, n: int) -> list[list[list[str]]]:
    """Return the lines of each text, pair by pair."""
    return [
        [
            textwrap.wrap(
                clean(str(found.texts[key][row]), 400), _CHARS, max_lines=_LINES, placeholder=" ..."
            )
            for key, _ in _ROWS
        ]
        for row in range(n)
    ]


def _draw_texts(ax: Axes, cells: list[list[list[str]]], pairs: list[Any]) -> Axes:
    times = any(pair.times > 1 for pair in pairs)
    ax.set(xlim=(0.0, 3.3 if times else 3.0), ylim=(len(pairs) + 0.1, 0.0), xticks=[], yticks=[])
    ax.spines[:].set_visible(False)
    head: dict[str, Any] = {"fontsize": TINY, "color": MUTED, "va": "bottom", "weight": "bold"}
    for column, (_, name) in enumerate(_ROWS):
        ax.text(column, -0.05, name, **head)
        for row, texts in enumerate(cells):
            words = "\n".join(texts[column])
            ax.text(column, row + 0.1, words, fontsize=TINY, color=INK, va="top")
    if times:
        ax.text(3.3, -0.05, "times", ha="right", **head)
    for row, pair in enumerate(pairs):
        ax.axhline(row, color=FAINT, linewidth=0.5)
        if pair.times > 1:
            words = f"x {pair.times:,}"
            ax.text(3.3, row + 0.1, words, fontsize=TINY, color=MUTED, va="top", ha="right")
    ax.tick_params(labelsize=BASE)
    return ax
