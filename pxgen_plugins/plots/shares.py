"""Shares of the groups among the anchors of each label."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import Patch
from numpy.typing import NDArray

from pxgen_plugins.groups import GROUPS, INVALID
from pxgen_plugins.plots import _layout as layout
from pxgen_plugins.plots._names import invalid_note
from pxgen_plugins.plots._text import clean
from pxgen_plugins.plots.style import BASE, INK, MUTED, SMALL, STYLES, TINY
from pxgen_plugins.result import Result
from pxgen_plugins.utils.errors import caller
from pxgen_plugins.utils.validation import choice

__all__ = ["plot_label_shares"]

_SORTS = ("label", "share", "count")
_MOST = 30
_WIDTH = 5.2
_BAR = 0.76


@dataclass(frozen=True)
class _Row:
    """One bar: the label, its anchors in each group, the invalid ones, the interval of HIHE."""

    label: str
    counts: tuple[int, ...]
    invalid: int
    interval: tuple[float, float]

    @property
    def total(self) -> int:
        """Anchors in a group."""
        return sum(self.counts)

    @property
    def shares(self) -> list[float]:
        """Share of each group; zeros when all anchors are invalid."""
        return [count / max(self.total, 1) for count in self.counts]


@caller("plot_label_shares")
def plot_label_shares(
    explanation: Any, *, sort: str = "label", ax: Axes | None = None
) -> NDArray[np.object_]:
    """Draw, for each label, which share of its anchors is in which group.

    The whisker is the 95% interval of the HIHE share, for other anchors of the label and another
    calibration (:class:`pxgen_plugins.groups.GroupShares`). The
    numbers in the bars are counts, where they fit; the number at the right is the count of the
    label's anchors, those whose values are not finite left out of bar and count. Without labels
    there is one bar for all anchors; of more than 30 labels the 30 most frequent are drawn, and a
    note says what is left out.

    Args:
        explanation: What ``PXGen.explain`` returned, or the same read from JSON.
        sort: ``"label"`` (numbers by value, then text), ``"share"`` (falling share of HIHE) or
            ``"count"`` (falling number of anchors); the first bar is at the top.
        ax: Axes to draw in; a new figure by default.

    Returns:
        One Axes; x is the share in percent.

    Raises:
        ParameterError: ``sort`` is unknown.

    Cost: O(n log n) time, O(n) memory.

    Example:
        >>> from types import SimpleNamespace
        >>> from pxgen_plugins.plots import plot_label_shares
        >>> data = {
        ...     "criteria": ["kld", "mse"],
        ...     "kinds": ["intrinsic", "extrinsic"],
        ...     "values": [[1.0, 0.1], [2.0, 0.3]],
        ...     "thresholds": {"kld": 3.0, "mse": 0.2},
        ...     "group": ["HIHE", "HILE"],
        ...     "groups": {"HIHE": {"count": 1, "fraction": 0.5}},
        ...     "labels": ["cat", "dog"],
        ... }  # the least that an explanation of PXGen holds
        >>> explanation = SimpleNamespace(data=data)
        >>> (ax,) = plot_label_shares(explanation)
        >>> [text.get_text() for text in ax.get_yticklabels()]
        ['cat', 'dog']
    """
    choice(sort, "sort", _SORTS)
    result = Result.of(explanation)
    rows = _rows(result)
    total = sum(row.total for row in rows)
    frequent = sorted(rows, key=lambda row: -row.total)
    rest, rows = frequent[_MOST:], _in_order(frequent[:_MOST], sort)
    axes = layout.axes_or_new(ax, _WIDTH, 0.95 + 0.215 * max(len(rows), 2))
    width = layout.inches(axes)[0]
    for at, row in enumerate(rows):
        _draw_bar(axes, row, at, width)
    _finish(axes, rows, width)
    notes = [f"Whisker: 95\u00a0% interval of HIHE, for {result.interval_source}."]
    if rest:
        missing = sum(row.total for row in rest)
        notes.append(f"{len(rest):,} rarer labels with {missing:,} anchors not shown.")
    if not total:
        notes = ["No anchors in any group."]
    layout.caption(axes, [*notes, invalid_note(result)], width)
    return layout.array_of(axes)


def _rows(result: Result) -> list[_Row]:
    columns = (*GROUPS, INVALID)
    if result.labels is None:
        counts = [result.counts[name] for name in columns]
        return [_Row("all anchors", tuple(counts[:-1]), counts[-1], _interval(result, None))]
    names, code = np.unique(result.labels, return_inverse=True)
    table = np.stack(
        [np.bincount(code[result.group == name], minlength=len(names)) for name in columns], axis=1
    )
    return [
        _Row(str(name), tuple(counts[:-1]), counts[-1], _interval(result, code.reshape(-1) == k))
        for k, (name, counts) in enumerate(zip(names, table.tolist(), strict=True))
    ]


def _interval(result: Result, among: NDArray[np.bool_] | None) -> tuple[float, float]:
    """Return the interval of the HIHE share of the anchors that are in a group."""
    valid = ~result.is_invalid if among is None else among & ~result.is_invalid
    low, high = result.shares.intervals(valid)[0]
    return (0.0, 0.0) if np.isnan(low) else (float(low), float(high))


def _in_order(rows: list[_Row], sort: str) -> list[_Row]:
    rows = sorted(rows, key=lambda row: _natural(row.label))
    if sort == "share":
        return sorted(rows, key=lambda row: -row.shares[0])
    return sorted(rows, key=lambda row: -row.total) if sort == "count" else rows


def _natural(label: str) -> tuple[bool, float, str]:
    """Order labels that are numbers by value, before all others."""
    if re.fullmatch(r"[-+]?\d{1,15}(\.\d{1,15})?", label, flags=re.ASCII):
        return False, float(label), label
    return True, 0.0, label


def _draw_bar(ax: Axes, row: _Row, at: int, width: float) -> None:
    low, high = row.interval
    start = 0.0
    for name, count, share in zip(GROUPS, row.counts, row.shares, strict=True):
        if not count:
            continue
        style = STYLES[name]
        (bar,) = ax.barh(
            at, share, left=start, height=_BAR, color=style.colour, edgecolor="white", linewidth=0.4
        )
        bar.set_gid(f"share:{name}:{at}")
        # a count stands beside the whisker, never under it
        left, right = (0.0, low) if name == "HIHE" else (max(start, high), start + share)
        text = f"{count:,}"
        if layout.text_width(text, TINY) + 0.08 < (right - left) * width:
            _write(ax, (left + right) / 2, at, text, ha="center", color=style.on)
        start += share
    if row.total:
        _draw_whisker(ax, row.shares[0], low, high, at)
    _write(ax, 1.012, at, f"{row.total:,}", ha="left", color=MUTED)


def _write(ax: Axes, x: float, y: float, text: str, **look: Any) -> None:
    ax.text(x, y, text, va="center", fontsize=TINY, **look)


def _draw_whisker(ax: Axes, share: float, low: float, high: float, at: int) -> None:
    for line, colour, order in ((2.4, "white", 4), (1.0, INK, 5)):
        whisker = ax.errorbar(
            share,
            at,
            xerr=[[share - low], [high - share]],
            fmt="none",
            ecolor=colour,
            elinewidth=line,
            capsize=2.4 if order == 5 else 2.9,
            capthick=line,
            zorder=order,
            clip_on=False,
        )
        whisker.lines[2][0].set_gid(f"whisker:{at}" if order == 5 else f"halo:{at}")


def _finish(ax: Axes, rows: list[_Row], width: float) -> None:
    layout.tidy(ax)
    ax.spines["left"].set_visible(False)
    ax.set(xlim=(0.0, 1.0), ylim=(max(len(rows), 1) - 0.45, -0.55))
    ax.set_xticks([0.0, 0.25, 0.5, 0.75, 1.0], ["0", "25", "50", "75", "100"])
    ax.set_yticks(range(len(rows)), [clean(row.label) for row in rows], fontsize=SMALL)
    ax.tick_params(axis="y", length=0)
    ax.set_xlabel("share of the label's anchors (%)", fontsize=BASE)
    ax.annotate(
        "anchors",
        (1.0, 1.0),
        xycoords="axes fraction",
        xytext=(2.0, 2.0),
        textcoords="offset points",
        fontsize=TINY,
        color=MUTED,
    )
    words = [f"{name} {STYLES[name].words}" for name in GROUPS]
    columns = 4 if sum(map(layout.text_width, words)) + 1.6 < width else 2
    if max(map(layout.text_width, words)) * 2 + 0.8 > width:
        words = list(GROUPS)
        columns = 4 if width > 2.2 else 2
    legend = ax.legend(
        handles=[
            Patch(facecolor=STYLES[name].colour, label=text)
            for name, text in zip(GROUPS, words, strict=True)
        ],
        loc="lower center",
        bbox_to_anchor=(0.5, 1.0),
        ncols=columns,
        frameon=False,
        fontsize=TINY,
        handlelength=1.0,
        handleheight=0.9,
        columnspacing=1.2,
        handletextpad=0.5,
        borderaxespad=1.4,
        borderpad=0.0,
    )
    legend.set_gid("legend")
