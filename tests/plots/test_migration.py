"""Migration: bars and bands as high as their counts, and nothing lost from sight."""

from __future__ import annotations

from itertools import pairwise
from types import SimpleNamespace
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.patches import PathPatch, Rectangle

from pxgen_plugins.plots import plot_migration
from pxgen_plugins.utils.errors import ParameterError

pytestmark = pytest.mark.filterwarnings("error")
STATES = ("HIHE", "HILE", "LIHE", "LILE", "invalid")
MOVES = np.array(
    [
        [500, 21, 12, 6, 16],
        [2, 80, 3, 30, 3],
        [40, 3, 150, 6, 0],
        [1, 3, 8, 120, 7],
        [0, 1, 1, 0, 9],
    ]
)


def changes(matrix: Any) -> Any:
    return SimpleNamespace(matrix=np.asarray(matrix))


def ends(band: PathPatch) -> tuple[tuple[float, float], tuple[float, float]]:
    """Top and bottom of a band at its left and at its right end."""
    vertices = np.asarray(band.get_path().vertices)
    low, high = vertices[:, 0].min(), vertices[:, 0].max()
    at = [vertices[vertices[:, 0] == x, 1] for x in (low, high)]
    return (at[0].min(), at[0].max()), (at[1].min(), at[1].max())


def test_bars_and_bands_are_as_high_as_their_counts(by_gid: Any) -> None:
    (ax,) = plot_migration(changes(MOVES))
    heights = []
    for side, totals in (("before", MOVES.sum(axis=1)), ("after", MOVES.sum(axis=0))):
        for name, total in zip(STATES, totals, strict=True):
            (bar,) = by_gid(ax, f"bar:{side}:{name}")
            heights.append(bar.get_height() / total)
    for i, start in enumerate(STATES):
        for j, end in enumerate(STATES):
            bands = by_gid(ax, f"band:{start}:{end}")
            assert len(bands) == (MOVES[i, j] > 0)
            for band in bands:
                for top, bottom in ends(band):
                    heights.append((bottom - top) / MOVES[i, j])
    assert heights == pytest.approx([heights[0]] * len(heights))


@pytest.mark.parametrize("side", ["before", "after"])
def test_bands_fill_each_bar_without_gap_or_overlap(side: str, by_gid: Any) -> None:
    (ax,) = plot_migration(changes(MOVES))
    for name in STATES:
        (bar,) = by_gid(ax, f"bar:{side}:{name}")
        ways = f"band:{name}:*" if side == "before" else "band:*"
        bands = [b for b in by_gid(ax, ways) if side == "before" or b.get_gid().endswith(name)]
        pieces = sorted(ends(band)[0 if side == "before" else 1] for band in bands)
        edge = bar.get_y()
        for top, bottom in pieces:
            assert top == pytest.approx(edge)
            edge = bottom
        assert edge == pytest.approx(bar.get_y() + bar.get_height())


def test_counts_of_groups_and_of_all_moves_are_written(texts: Any) -> None:
    (ax,) = plot_migration(changes(MOVES))
    shown = texts(ax).replace("\n", " ")
    assert "HIHE  555 (54.3 %)" in shown
    assert "163 (15.9 %) of 1,022 anchors changed their group." in shown
    for i, start in enumerate(STATES):
        for j, end in enumerate(STATES):
            if i != j and MOVES[i, j]:
                assert f"{start} to {end} {MOVES[i, j]}" in shown


def test_without_invalid_anchors_there_is_no_bar_for_them(by_gid: Any, texts: Any) -> None:
    moves = MOVES.copy()
    moves[4], moves[:, 4] = 0, 0
    (ax,) = plot_migration(changes(moves))
    assert by_gid(ax, "bar:*:invalid") == by_gid(ax, "bar:before:invalid") == []
    assert "invalid" not in texts(ax)
    assert len(by_gid(ax, "bar:before:*")) == 4


def test_words_beside_the_bars_never_touch(draw: Any, by_gid: Any) -> None:
    for moves in (MOVES, np.diag([9000, 0, 1, 0, 1]), np.diag([1, 1, 1, 1, 9000])):
        axes = plot_migration(changes(moves))
        draw(axes)
        for side in ("before", "after"):
            boxes = [one.get_window_extent() for one in by_gid(axes[0], f"count:{side}:*")]
            boxes.sort(key=lambda box: box.y0)
            assert len(boxes) >= 4
            assert all(a.y1 <= b.y0 + 1 for a, b in pairwise(boxes))


def test_everything_stays_on_the_page() -> None:
    (ax,) = plot_migration(changes(MOVES * 1_000))
    ax.figure.canvas.draw()
    page = ax.figure.bbox
    for text in ax.texts:
        box = text.get_window_extent()
        assert page.x0 <= box.x0 + 2  # pixels: fonts are hinted at this resolution
        assert box.x1 <= page.x1 + 2
        assert page.y0 <= box.y0
        assert box.y1 <= page.y1
    for patch in ax.patches:
        assert isinstance(patch, (PathPatch, Rectangle))


@pytest.mark.parametrize("moves", [0 * MOVES, MOVES, np.diag([1, 0, 0, 0, 0]), MOVES * 10**12])
@pytest.mark.parametrize("size", [(7.0, 4.0), (1.2, 1.0)])
def test_a_given_ax_holds_the_figure(moves: Any, size: Any, draw: Any) -> None:
    figure, (left, right) = plt.subplots(1, 2, figsize=size)
    children = set(map(id, right.get_children()))
    axes = plot_migration(changes(moves), ax=left)
    assert isinstance(axes, np.ndarray)
    assert axes[0] is left
    assert plt.get_fignums() == [figure.number]
    assert set(map(id, right.get_children())) == children
    assert draw(axes).std() > 0


def test_no_anchors_are_said(by_gid: Any) -> None:
    (ax,) = plot_migration(changes(0 * MOVES))
    assert len(by_gid(ax, "empty")) == 1


@pytest.mark.parametrize(
    "wrong", [None, 3, changes(MOVES[:4]), changes(MOVES * 0.5), changes(-MOVES)]
)
def test_something_else_than_changes_is_refused(wrong: Any) -> None:
    with pytest.raises(ParameterError, match="plot_migration: changes must be changes"):
        plot_migration(wrong)


def test_something_else_than_an_ax_is_refused() -> None:
    with pytest.raises(ParameterError, match="plot_migration: ax must be"):
        plot_migration(changes(MOVES), ax=3)  # type: ignore[arg-type]
