"""Where the anchors of each group went between two runs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import PathPatch, Rectangle
from matplotlib.path import Path
from numpy.typing import NDArray

from pxgen_plugins.groups import INVALID
from pxgen_plugins.plots import _layout as layout
from pxgen_plugins.plots._style import BASE, FAINT, GROUPS, INK, MUTED, ORDER, TINY, share_text
from pxgen_plugins.plots._text import wrap
from pxgen_plugins.utils.errors import ParameterError, short_repr

__all__ = ["plot_migration"]

_WHERE = "plot_migration"
_STATES = (*ORDER, INVALID)
_SIZE = (5.6, 4.0)  # inches
_BAR = 0.16
_MARGIN = 0.06
_LINE = TINY * layout.LINE / 72.0
_SIDES = ("before", "after")


@dataclass(frozen=True)
class _Plan:
    """Measures in inches: y of each group's bar on both sides, and x of the bars' inner edges."""

    counts: NDArray[np.int64]
    used: tuple[int, ...]
    tops: tuple[dict[int, float], dict[int, float]]
    scale: float
    left: float
    right: float
    texts: tuple[dict[int, str], dict[int, str]]


def plot_migration(changes: Any, *, ax: Axes | None = None) -> NDArray[np.object_]:
    """Draw the groups before at the left, after at the right, and bands between them.

    A band is as high as its number of anchors and has the colour of the group it comes from; those
    that stayed are pale. Numbers stand in bands that are high enough; all moves are listed below,
    where there is room. Invalid anchors have a grey bar when there are any.

    Args:
        changes: What :func:`pxgen_plugins.audit.compare_runs` returned; only its ``matrix``
            of counts is read, (5, 5), rows before and columns after, in the order HIHE, HILE, LIHE,
            LILE, invalid.
        ax: Axes to draw in; a new figure by default.

    Returns:
        One Axes, in inches, y downwards.

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
    layout.check(ax, _WHERE)
    size = _SIZE if ax is None else layout.inches(ax)
    page = layout.sheet(ax, *size, _WHERE)
    if not counts.any():
        text = layout.write(page, size[0] / 2, size[1] / 2, "No anchors.", color=MUTED)
        text.set_gid("empty")
        return layout.array_of(page)
    note = _note(counts, size)
    plan = _plan(counts, size, note.count("\n") + 1 if note else 0)
    _draw_bands(page, plan)
    for side in (0, 1):
        _draw_bars(page, plan, side)
    if note:
        below = size[1] - _MARGIN
        look: dict[str, Any] = {"color": MUTED, "va": "bottom", "linespacing": layout.LINE}
        layout.write(page, size[0] / 2, below, note, **look).set_gid("caption")
    return layout.array_of(page)


def _matrix(changes: Any) -> NDArray[np.int64]:
    found = np.asarray(getattr(changes, "matrix", None))
    size = (len(_STATES), len(_STATES))
    if found.shape != size or found.dtype.kind not in "iu" or (found < 0).any():
        hint = "Pass what compare_runs returned."
        allowed = "changes between two runs, with a matrix of counts (5, 5)"
        raise ParameterError("changes", _WHERE, allowed, short_repr(changes), hint)
    return found.astype(np.int64)


def _note(counts: NDArray[np.int64], size: tuple[float, float]) -> str:
    """Return how many moved and where, in no more lines than a third of the height holds."""
    n = int(counts.sum())
    moves = [(i, j) for i in range(len(_STATES)) for j in range(len(_STATES)) if i != j]
    moves = [move for move in moves if counts[move]]
    moves.sort(key=lambda move: -counts[move])
    total = sum(int(counts[move]) for move in moves)
    said = f"{share_text(total, total / n)} of {n:,} anchors changed their group."
    each = [f"{_STATES[i]}\u00a0to\u00a0{_STATES[j]}\u00a0{counts[i, j]:,}" for i, j in moves]
    width = max(16, int((size[0] - 2 * _MARGIN) / layout.text_width("n") * 1.08))
    room = size[1] / 3
    for text in (f"{said} {', '.join(each)}." if each else said, said):
        lines = wrap([text.replace(" %", "\u00a0%")], width)
        widest = max(map(layout.text_width, lines.split("\n")))
        if (lines.count("\n") + 1) * _LINE <= room and widest <= size[0]:
            return lines
    return ""


def _plan(counts: NDArray[np.int64], size: tuple[float, float], n_lines: int) -> _Plan:
    used = tuple(
        k for k in range(len(_STATES)) if k < len(ORDER) or (counts[k] + counts[:, k]).any()
    )
    totals = (counts.sum(axis=1), counts.sum(axis=0))
    head = 1.6 * BASE * layout.LINE / 72.0 + _MARGIN
    foot = n_lines * _LINE + 2 * _MARGIN + (0.06 if n_lines else 0.0)
    room = max(size[1] - head - foot, 0.2 * size[1])
    # a line of text between two bars keeps the words beside them apart, however thin they are
    gap = min(1.25 * _LINE, 0.5 * room / len(used))
    scale = (room - gap * (len(used) - 1)) / int(counts.sum())
    tops = []
    for total in totals:
        places, top = {}, head
        for k in used:
            places[k] = top
            top += scale * int(total[k]) + gap
        tops.append(places)
    texts, beside = _texts(totals, used, size[0])
    bar = min(_BAR, 0.1 * size[0])
    edge = beside + bar + _MARGIN
    found = (tops[0], tops[1])
    return _Plan(counts, used, found, scale, edge, size[0] - edge, texts)


def _texts(
    totals: tuple[NDArray[np.int64], NDArray[np.int64]], used: tuple[int, ...], width: float
) -> tuple[tuple[dict[int, str], dict[int, str]], float]:
    """Return the words beside the bars, as many as fit, and the width they take."""
    n = int(totals[0].sum())
    names = {k: _STATES[k] for k in used}
    full = [
        {k: f"{_STATES[k]}  {share_text(int(t[k]), int(t[k]) / n)}" for k in used} for t in totals
    ]
    for texts in (full, [names, names]):
        widest = max(layout.text_width(text) for side in texts for text in side.values())
        if 2 * widest < 0.62 * width:
            return (texts[0], texts[1]), widest + 2 * _MARGIN
    nothing: dict[int, str] = {}
    return (nothing, nothing), _MARGIN


def _draw_bars(page: Axes, plan: _Plan, side: int) -> None:
    bar = min(_BAR, 0.1 * page.get_xlim()[1])
    outer = plan.left - bar if side == 0 else plan.right + bar
    start = outer if side == 0 else plan.right
    totals = plan.counts.sum(axis=1 - side)
    for k in plan.used:
        name, top, tall = _STATES[k], plan.tops[side][k], plan.scale * int(totals[k])
        box = Rectangle((start, top), bar, tall, color=_colour(k), zorder=3)
        # the edge keeps a few anchors among very many in sight, as in the bands
        box.set(linewidth=0.5 if totals[k] else 0.0, gid=f"bar:{_SIDES[side]}:{name}")
        page.add_patch(box)
        if k in plan.texts[side]:
            at = outer + (-_MARGIN if side == 0 else _MARGIN)
            look: dict[str, Any] = {"ha": "right" if side == 0 else "left", "color": _dark(k)}
            text = layout.write(page, at, top + tall / 2, plan.texts[side][k], **look)
            text.set_gid(f"count:{_SIDES[side]}:{name}")
    if sum(layout.text_width(text, BASE, "bold") for text in _SIDES) < plan.right - plan.left:
        above = min(plan.tops[side].values()) - 0.8 * _LINE
        look = {"ha": "left" if side == 0 else "right", "weight": "bold", "color": INK}
        text = layout.write(page, outer, above, _SIDES[side], BASE, **look)
        text.set_gid(f"title:{_SIDES[side]}")


def _draw_bands(page: Axes, plan: _Plan) -> None:
    starts, ends = dict(plan.tops[0]), dict(plan.tops[1])
    for i in plan.used:
        for j in plan.used:
            count = int(plan.counts[i, j])
            tall = plan.scale * count
            if count:
                _draw_band(page, plan, (i, j), starts[i], ends[j], tall)
            starts[i] += tall
            ends[j] += tall


def _draw_band(
    page: Axes, plan: _Plan, move: tuple[int, int], start: float, end: float, tall: float
) -> None:
    i, j = move
    way = f"{_STATES[i]}:{_STATES[j]}"
    middle = (plan.left + plan.right) / 2
    points = [
        (plan.left, start), (middle, start), (middle, end), (plan.right, end),
        (plan.right, end + tall), (middle, end + tall), (middle, start + tall),
        (plan.left, start + tall), (plan.left, start),
    ]  # fmt: skip
    curve = [Path.CURVE4] * 3
    path = Path(points, [Path.MOVETO, *curve, Path.LINETO, *curve, Path.CLOSEPOLY])
    band = PathPatch(
        path, facecolor=_colour(i), alpha=0.22 if i == j else 0.62, zorder=1 + (i != j)
    )
    band.set(edgecolor=_colour(i), linewidth=0.0 if i == j else 0.5, gid=f"band:{way}")
    page.add_patch(band)
    text = f"{int(plan.counts[i, j]):,}"
    if tall > 0.9 * _LINE and plan.right - plan.left > 4 * layout.text_width(text):
        # the bands lie side by side at their starts, and cross further on
        at = plan.left + 0.05
        colour = INK if i == j or i >= len(ORDER) else GROUPS[ORDER[i]].on
        look: dict[str, Any] = {"ha": "left", "color": colour, "zorder": 4}
        layout.write(page, at, start + tall / 2, text, **look).set_gid(f"count:{way}")


def _colour(state: int) -> str:
    return GROUPS[ORDER[state]].colour if state < len(ORDER) else FAINT


def _dark(state: int) -> str:
    return GROUPS[ORDER[state]].dark if state < len(ORDER) else MUTED
