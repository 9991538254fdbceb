"""Delusion and alignment: what HILE and LIHE anchors look like, above their reconstructions."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import NDArray

from pxgen_plugins.plots import _layout as layout
from pxgen_plugins.plots._layout import AnyFigure
from pxgen_plugins.plots._names import anchor_name, criterion_title
from pxgen_plugins.plots._picture_rows import Column, Row, draw_rows
from pxgen_plugins.plots._pictures import collect
from pxgen_plugins.plots._text import clean
from pxgen_plugins.plots._text_rows import Section, draw_sections, example_texts
from pxgen_plugins.plots.style import MUTED, STYLES
from pxgen_plugins.result import Result
from pxgen_plugins.utils.errors import ParameterError, caller
from pxgen_plugins.utils.sequences import even_positions
from pxgen_plugins.utils.text import number
from pxgen_plugins.utils.validation import choice, integer

__all__ = ["plot_alignment", "plot_delusion"]

# of each strip: the kind of criterion that is low in it, and the kind that is not
_KINDS = {"delusion": ("intrinsic", "extrinsic"), "alignment": ("extrinsic", "intrinsic")}
_GROUPS = {"delusion": "HILE", "alignment": "LIHE"}
_FIRST = {
    "delusion": "those that the model holds likeliest and gives back worst first",
    "alignment": "those that the model gives back best and holds least likely first",
}
_SELECTIONS = ("group", "lowest")


@caller("plot_delusion")
@layout.panels_only
def plot_delusion(
    explanation: Any,
    n: int = 10,
    *,
    selection: str = "group",
    images: Any = None,
    reconstructions: Any = None,
    figure: AnyFigure | None = None,
) -> NDArray[np.object_]:
    """Draw HILE anchors, sure and wrong first: "model delusion" (Huang, Weng and Yang, 2025).

    They lie where the model expects its own samples, and yet it cannot reproduce them. The order is
    that of :func:`pxgen_plugins.groups.foremost`: lowest intrinsic and highest extrinsic values, by
    ranks, and anchors that another calibration may move to another group last.

    Args:
        explanation: What ``PXGen.explain`` returned, or the same read from JSON.
        n: Number of anchors; an explanation holds the pictures of 20.
        selection: ``"group"``, or ``"lowest"`` for the paper's figure: of the anchors with the
            lowest 5% of the first intrinsic criterion, whatever their group, at most 20, thinned
            evenly, by rising extrinsic value.
        images: Anything that gives the anchor at an index into the anchor set; the examples of the
            explanation by default.
        reconstructions: Likewise; without any, only the originals are drawn.
        figure: An empty figure or subfigure to draw in; a new figure by default.

    Returns:
        One Axes for each line of pictures (ten in a new figure). Every picture is an image of its
        own, or a curve when anchors are flat.

    Raises:
        ParameterError: The anchors are neither in the explanation nor given; ``n`` is below 1;
            ``selection`` is unknown.

    Cost: O(n) pictures, however many anchors there are.

    Example:
        >>> import numpy as np
        >>> from types import SimpleNamespace
        >>> from pxgen_plugins.plots import plot_delusion
        >>> data = {
        ...     "criteria": ["kld", "mse"],
        ...     "kinds": ["intrinsic", "extrinsic"],
        ...     "values": [[1.0, 0.1], [2.0, 0.3]],
        ...     "thresholds": {"kld": 3.0, "mse": 0.2},
        ...     "group": ["HIHE", "HILE"],
        ...     "groups": {"HIHE": {"count": 1, "fraction": 0.5}},
        ... }  # the least that an explanation of PXGen holds
        >>> explanation = SimpleNamespace(data=data)
        >>> (ax,) = plot_delusion(explanation, images=np.zeros((2, 1, 8, 8)))
        >>> len(ax.images)
        1
    """
    return layout.array_of(
        *_draw_strip("delusion", explanation, n, selection, images, reconstructions, figure)
    )


@caller("plot_alignment")
@layout.panels_only
def plot_alignment(
    explanation: Any,
    n: int = 10,
    *,
    selection: str = "group",
    images: Any = None,
    reconstructions: Any = None,
    figure: AnyFigure | None = None,
) -> NDArray[np.object_]:
    """Draw LIHE anchors, the clearest first: "aligned conception" (Huang, Weng and Yang, 2025).

    They are reproduced well, although the model never samples from where they lie: lowest extrinsic
    and highest intrinsic values first. Arguments, result and errors are those of
    :func:`plot_delusion`; ``selection="lowest"`` takes the lowest 5% of the first extrinsic
    criterion, by rising intrinsic value.

    Example:
        >>> import numpy as np
        >>> from types import SimpleNamespace
        >>> from pxgen_plugins.plots import plot_alignment
        >>> data = {
        ...     "criteria": ["kld", "mse"],
        ...     "kinds": ["intrinsic", "extrinsic"],
        ...     "values": [[1.0, 0.1], [4.0, 0.1]],
        ...     "thresholds": {"kld": 3.0, "mse": 0.2},
        ...     "group": ["HIHE", "LIHE"],
        ...     "groups": {"HIHE": {"count": 1, "fraction": 0.5}},
        ... }  # the least that an explanation of PXGen holds
        >>> explanation = SimpleNamespace(data=data)
        >>> (ax,) = plot_alignment(explanation, images=np.zeros((2, 1, 8, 8)))
        >>> len(ax.images)
        1
    """
    return layout.array_of(
        *_draw_strip("alignment", explanation, n, selection, images, reconstructions, figure)
    )


def _draw_strip(
    name: str,
    explanation: Any,
    n: int,
    selection: str,
    images: Any,
    reconstructions: Any,
    figure: AnyFigure | None,
) -> list[Axes]:
    n = integer(n, "n", minimum=1)
    choice(selection, "selection", _SELECTIONS)
    result = Result.of(explanation)
    low, other = (result.first(kind) for kind in _KINDS[name])
    shown = [column for column in (other, low) if column is not None]
    titles = [criterion_title(result, column) for column in shown]
    if selection == "group":
        rows, group = result.foremost(_GROUPS[name], n), _GROUPS[name]
        words = STYLES[group].words
        note = f"{group} anchors ({words}), {_FIRST[name]}." if len(rows) else ""
        empty = f"No anchor is in {group} ({words})."
    else:
        rows, note = _lowest(name, result, n, titles)
        empty = "No anchors in this strip: all are invalid, or there are none."
    columns = [_column(result, int(row), shown) for row in rows]
    heads = [*titles, *(["label"] if result.labels is not None else [])]
    heads = ["group", *heads, "anchor"]
    texts = example_texts(result) if images is None else None
    if texts is not None:
        entries = [
            (f"{column.title}, {_cells(heads, column)}:", texts.get(int(row), "(not kept)"))
            for column, row in zip(columns, rows, strict=True)
        ]
        section = Section(name, note or name, STYLES["HILE"].colour, entries, empty)
        return draw_sections(figure, [section])
    gallery = collect(result, rows, images, reconstructions)
    row = Row(columns, empty)
    return draw_rows(figure, [row], gallery, heads if len(rows) else [], [note, gallery.note])


def _lowest(name: str, result: Result, n: int, titles: list[str]) -> tuple[NDArray[np.int64], str]:
    """Return the paper's strip of lowest values, thinned, and what to say of it."""
    if name not in result.strips:
        hint = "Explain again with this version of the package."
        raise ParameterError("explanation", f"one with the strip {name!r}", "none", hint)
    strip = result.strips[name]
    rows = strip[even_positions(len(strip), n)]
    if len(titles) < 2 or not len(rows):
        return rows, ""
    along, lowest = (title.split(" (")[0].split(" = ")[0] for title in titles)
    return rows, f"Anchors with the lowest 5 % of {lowest}, by rising {along}."


def _cells(heads: list[str], column: Column) -> str:
    pairs = zip(heads[1:], column.cells, strict=True)
    return ", ".join(f"{head.split(' (')[0]} {cell}" for head, cell in pairs)


def _column(result: Result, row: int, shown: list[int]) -> Column:
    group = str(result.group[row])
    cells = [number(float(result.values[row, column]), 3) for column in shown]
    if result.labels is not None:
        cells.append(clean(result.labels[row], 10))
    cells.append(anchor_name(result, row))
    colour = STYLES[group].dark if group in STYLES else MUTED
    return Column(cells, title=group, colour=colour)
