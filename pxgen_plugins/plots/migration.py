"""Where the anchors of each group went between two runs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import PathPatch, Rectangle
from matplotlib.path import Path
from numpy.typing import NDArray

from pxgen_plugins.groups import GROUPS, INVALID
from pxgen_plugins.plots import _layout as layout
from pxgen_plugins.plots._protocols import Changes
from pxgen_plugins.plots._text import clean
from pxgen_plugins.plots.style import BASE, FAINT, INK, MUTED, STYLES, TINY, share_text
from pxgen_plugins.utils.errors import ParameterError, caller, short_repr

__all__ = ["plot_migration"]

_STATES = (*GROUPS, INVALID)
_SIZE = (5.6, 4.0)  # inches of a new figure
_BAR = 0.05  # width of a bar, of the distance of the two sides
_GAP = 0.055  # between two bars, of all anchors: a line of text in a new figure
_TALL = 0.035  # of all anchors; lower bands have no number
_SIDES = ("before", "after")
_LONGEST = 24  # letters of a model's name


@dataclass(frozen=True)
class _Plan:
    """Names of the sides, moves, states that occur, and the top of each one's bar on both sides."""

    names: tuple[str, str]
    counts: NDArray[np.int64]
    used: tuple[int, ...]
    tops: tuple[dict[int, float], dict[int, float]]


@caller("plot_migration")
def plot_migration(changes: Changes, *, ax: Axes | None = None) -> NDArray[np.object_]:
    """Draw the groups before at the left, after at the right, and bands between them.

    A band is as high as its number of anchors and has the colour of the group it comes from; those
    that stayed are pale. Numbers stand in bands that are high enough; all moves are listed below.
    Invalid anchors have a grey bar when there are any.

    Args:
        changes: What :func:`pxgen_plugins.audit.compare_runs` returned, or a
            :class:`pxgen_plugins.comparison.Migration`: its ``matrix`` of counts is read, (5, 5),
            rows before and columns after, in the order HIHE, HILE, LIHE, LILE, invalid, and the
            ``names`` of the two sides where it has any.
        ax: Axes to draw in; a new figure by default.

    Returns:
        One Axes; y counts anchors, downwards, x runs from 0 (before) to 1 (after).

    Raises:
        ParameterError: ``changes`` has no such matrix.

    Cost: O(1).

    Example:
        >>> from types import SimpleNamespace
        >>> from pxgen_plugins.plots import plot_migration
        >>> changes = SimpleNamespace(matrix=np.diag([60, 10, 20, 8, 2]))
        >>> (ax,) = plot_migration(changes)
        >>> len([patch for patch in ax.patches if patch.get_gid().startswith("band:")])
        5
    """
    counts = _matrix(changes)
    axes = layout.axes_or_new(ax, *_SIZE)
    axes.set(xlim=(-_BAR, 1.0 + _BAR), xticks=[], yticks=[])
    axes.spines[:].set_visible(False)
    if not counts.any():
        look: dict[str, Any] = {"transform": axes.transAxes, "ha": "center", "fontsize": TINY}
        axes.text(0.5, 0.5, "No anchors.", color=MUTED, **look).set_gid("empty")
        return layout.array_of(axes)
    names = getattr(changes, "names", _SIDES)  # of models, where two are compared
    plan = _plan(counts, (clean(names[0], _LONGEST), clean(names[1], _LONGEST)))
    _draw_bands(axes, plan)
    for side in (0, 1):
        _draw_bars(axes, plan, side)
    layout.caption(axes, _notes(counts), layout.inches(axes)[0])
    return layout.array_of(axes)


def _matrix(changes: Any) -> NDArray[np.int64]:
    matrix = np.asarray(getattr(changes, "matrix", None))
    size = (len(_STATES), len(_STATES))
    if matrix.shape != size or matrix.dtype.kind not in "iu" or (matrix < 0).any():
        hint = "Pass what compare_runs returned."
        allowed = "changes between two runs, with a matrix of counts (5, 5)"
        raise ParameterError("changes", allowed, short_repr(changes), hint)
    return matrix.astype(np.int64)


def _notes(counts: NDArray[np.int64]) -> list[str]:
    """Return how many anchors moved, and where, the most frequent move first."""
    n = int(counts.sum())
    moves = [(i, j) for i in range(len(_STATES)) for j in range(len(_STATES)) if i != j]
    moves = sorted((move for move in moves if counts[move]), key=lambda move: -counts[move])
    total = share_text(sum(int(counts[move]) for move in moves), 1.0 - np.trace(counts) / n)
    notes = [f"{total} of {n:,} anchors changed their group.".replace(" %", "\u00a0%")]
    each = [f"{_STATES[i]}\u00a0to\u00a0{_STATES[j]}\u00a0{counts[i, j]:,}" for i, j in moves]
    return [*notes, ", ".join(each) + "."] if each else notes


def _plan(counts: NDArray[np.int64], names: tuple[str, str]) -> _Plan:
    used = tuple(
        k for k in range(len(_STATES)) if k < len(GROUPS) or (counts[k] + counts[:, k]).any()
    )
    # the gap keeps the words beside two bars apart, however low the bars are
    gap = _GAP * int(counts.sum())
    tops = []
    for totals in (counts.sum(axis=1), counts.sum(axis=0)):
        places, top = {}, 0.0
        for k in used:
            places[k] = top
            top += int(totals[k]) + gap
        tops.append(places)
    return _Plan(names, counts, used, (tops[0], tops[1]))


def _draw_bars(ax: Axes, plan: _Plan, side: int) -> None:
    start, outer = (-_BAR, -_BAR) if side == 0 else (1.0, 1.0 + _BAR)
    look: dict[str, Any] = {"ha": "right" if side == 0 else "left", "textcoords": "offset points"}
    look |= {"va": "center", "annotation_clip": False, "xytext": (-4.0 if side == 0 else 4.0, 0.0)}
    totals = plan.counts.sum(axis=1 - side)
    n = int(totals.sum())
    for k in plan.used:
        name, top, tall = _STATES[k], plan.tops[side][k], int(totals[k])
        bar = Rectangle((start, top), _BAR, tall, color=_colour(k), zorder=3, clip_on=False)
        # the edge keeps a few anchors among very many in sight, as in the bands
        bar.set(linewidth=0.5 if tall else 0.0, gid=f"bar:{_SIDES[side]}:{name}")
        ax.add_patch(bar)
        words, at = f"{name}  {share_text(tall, tall / n)}", (outer, top + tall / 2)
        text = ax.annotate(words, at, color=_dark(k), fontsize=TINY, **look)
        text.set_gid(f"count:{_SIDES[side]}:{name}")
    bold: dict[str, Any] = {"fontsize": BASE, "weight": "bold", "color": INK}
    title = ax.set_title(plan.names[side], loc="left" if side == 0 else "right", **bold)
    title.set_gid(f"title:{_SIDES[side]}")
    sums = (plan.counts.sum(axis=1), plan.counts.sum(axis=0))
    ends = [tops[k] + int(of[k]) for tops, of in zip(plan.tops, sums, strict=True) for k in tops]
    ax.set_ylim(max(ends) + n * _GAP, -0.01 * n)  # room for the words of a low last bar


def _draw_bands(ax: Axes, plan: _Plan) -> None:
    starts, ends = dict(plan.tops[0]), dict(plan.tops[1])
    for i in plan.used:
        for j in plan.used:
            count = int(plan.counts[i, j])
            if count:
                _draw_band(ax, plan, (i, j), starts[i], ends[j])
            starts[i] += count
            ends[j] += count


def _draw_band(ax: Axes, plan: _Plan, move: tuple[int, int], start: float, end: float) -> None:
    i, j = move
    tall, n = int(plan.counts[i, j]), int(plan.counts.sum())
    way = f"{_STATES[i]}:{_STATES[j]}"
    points = [
        (0.0, start), (0.5, start), (0.5, end), (1.0, end),
        (1.0, end + tall), (0.5, end + tall), (0.5, start + tall),
        (0.0, start + tall), (0.0, start),
    ]  # fmt: skip
    curve = [Path.CURVE4] * 3
    path = Path(points, [Path.MOVETO, *curve, Path.LINETO, *curve, Path.CLOSEPOLY])
    band = PathPatch(
        path, facecolor=_colour(i), alpha=0.22 if i == j else 0.62, zorder=1 + (i != j)
    )
    band.set(edgecolor=_colour(i), linewidth=0.0 if i == j else 0.5, gid=f"band:{way}")
    ax.add_patch(band)
    if tall > _TALL * n:
        # the bands lie side by side at their starts, and cross further on
        colour = INK if i == j or i >= len(GROUPS) else STYLES[GROUPS[i]].on
        look: dict[str, Any] = {"va": "center", "color": colour, "fontsize": TINY, "zorder": 4}
        ax.text(0.012, start + tall / 2, f"{tall:,}", **look).set_gid(f"count:{way}")


def _colour(state: int) -> str:
    return STYLES[GROUPS[state]].colour if state < len(GROUPS) else FAINT


def _dark(state: int) -> str:
    return STYLES[GROUPS[state]].dark if state < len(GROUPS) else MUTED
