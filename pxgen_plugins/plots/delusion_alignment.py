"""Delusion and alignment: anchors along one criterion, originals above reconstructions."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import NDArray

from pxgen_plugins.plots import _layout as layout
from pxgen_plugins.plots._picture_rows import Column, draw_rows
from pxgen_plugins.plots._pictures import collect
from pxgen_plugins.plots._reading import Reading, indices, read
from pxgen_plugins.plots._style import GROUPS, MUTED, number
from pxgen_plugins.plots._text import clean
from pxgen_plugins.plots._text_rows import Section, draw_lines, texts_of
from pxgen_plugins.utils.errors import ParameterError
from pxgen_plugins.utils.validation import integer

__all__ = ["plot_alignment", "plot_delusion"]

_WIDTH = 7.0


def plot_delusion(
    explanation: Any,
    n: int = 10,
    *,
    ax: Axes | None = None,
    images: Any = None,
    reconstructions: Any = None,
) -> NDArray[np.object_]:
    """Draw anchors with high intrinsic affinity, ordered by rising extrinsic value.

    These are the anchors of the lowest 5% of the first intrinsic criterion (Huang, Weng and Yang,
    2025: "model delusion"). Those far to the right lie where the model expects its own samples,
    and yet it cannot reproduce them.

    Args:
        explanation: What ``PXGen.explain`` returned, or the same read from JSON.
        n: Number of anchors, thinned evenly from the strip of the explanation (at most 20).
        ax: Axes to draw in; a new figure by default.
        images: Anything that gives the anchor at an index into the anchor set; the examples of the
            explanation by default.
        reconstructions: Likewise; without any, only the originals are drawn.

    Returns:
        One Axes; every picture in it is an image of its own, or a curve when anchors are flat.

    Raises:
        ParameterError: The anchors are neither in the explanation nor given; ``n`` is below 1.

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
        ...     "strips": {"delusion": [0, 1]},
        ... }  # the least that an explanation of PXGen holds
        >>> explanation = SimpleNamespace(data=data)
        >>> (ax,) = plot_delusion(explanation, images=np.zeros((2, 1, 8, 8)))
        >>> len(ax.images)
        2
    """
    return _strip(explanation, n, ax, images, reconstructions, "delusion", "plot_delusion")


def plot_alignment(
    explanation: Any,
    n: int = 10,
    *,
    ax: Axes | None = None,
    images: Any = None,
    reconstructions: Any = None,
) -> NDArray[np.object_]:
    """Draw anchors with high extrinsic affinity, ordered by rising intrinsic value.

    These are the anchors of the lowest 5% of the first extrinsic criterion (Huang, Weng and Yang,
    2025: "aligned conception"). Those far to the right are reproduced well, although the model
    never samples from where they lie.

    Args:
        explanation: What ``PXGen.explain`` returned, or the same read from JSON.
        n: Number of anchors, thinned evenly from the strip of the explanation (at most 20).
        ax: Axes to draw in; a new figure by default.
        images: Anything that gives the anchor at an index into the anchor set; the examples of the
            explanation by default.
        reconstructions: Likewise; without any, only the originals are drawn.

    Returns:
        One Axes; every picture in it is an image of its own, or a curve when anchors are flat.

    Raises:
        ParameterError: The anchors are neither in the explanation nor given; ``n`` is below 1.

    Cost: O(n) pictures, however many anchors there are.

    Example:
        >>> import numpy as np
        >>> from types import SimpleNamespace
        >>> from pxgen_plugins.plots import plot_alignment
        >>> data = {
        ...     "criteria": ["kld", "mse"],
        ...     "kinds": ["intrinsic", "extrinsic"],
        ...     "values": [[1.0, 0.1], [2.0, 0.3]],
        ...     "thresholds": {"kld": 3.0, "mse": 0.2},
        ...     "group": ["HIHE", "HILE"],
        ...     "groups": {"HIHE": {"count": 1, "fraction": 0.5}},
        ...     "strips": {"alignment": [0, 1]},
        ... }  # the least that an explanation of PXGen holds
        >>> explanation = SimpleNamespace(data=data)
        >>> (ax,) = plot_alignment(explanation, images=np.zeros((2, 1, 8, 8)))
        >>> len(ax.images)
        2
    """
    return _strip(explanation, n, ax, images, reconstructions, "alignment", "plot_alignment")


def _strip(
    explanation: Any,
    n: int,
    ax: Axes | None,
    images: Any,
    reconstructions: Any,
    name: str,
    where: str,
) -> NDArray[np.object_]:
    n = integer(n, "n", where, minimum=1)
    reading = read(explanation, where)
    strips = reading.data.get("strips") or {}
    if name not in strips:
        hint = "Explain again with this version of the package."
        raise ParameterError("explanation", where, f"one with the strip {name!r}", "none", hint)
    rows = _thinned(indices(strips[name]), n)
    kinds = ("intrinsic", "extrinsic") if name == "delusion" else ("extrinsic", "intrinsic")
    held, rising = (reading.first(kind) for kind in kinds)
    shown = [column for column in (rising, held) if column is not None]
    columns = [_column(reading, int(row), shown) for row in rows]
    headers = [reading.title(column) for column in shown]
    heads = ["group", *headers, *(["label"] if reading.labels is not None else []), "anchor"]
    notes = []
    if held is not None and rising is not None and len(rows):
        low, high = (layout_name(reading, column) for column in (held, rising))
        notes.append(f"Anchors with the lowest 5 % of {low}, by rising {high}.")
    empty = "No anchors in this strip: all are invalid, or there are none."
    texts = texts_of(reading) if images is None else None
    if texts is not None:
        entries = [
            (f"{column.title}, {_cells(heads, column)}:", texts.get(int(row), "(not kept)"))
            for column, row in zip(columns, rows, strict=True)
        ]
        heading = notes[0] if notes else name
        section = Section(name, heading, GROUPS["HILE"].colour, entries, empty)
        return layout.array_of(draw_lines(ax, _WIDTH, [section], where))
    gallery = collect(reading, rows, images, reconstructions, where)
    notes.append(gallery.note)
    axes = draw_rows(ax, _WIDTH, columns, gallery, heads, notes, empty, where)
    return layout.array_of(axes)


def _cells(heads: list[str], column: Column) -> str:
    pairs = zip(heads[1:], column.cells, strict=True)
    return ", ".join(f"{head.split(' (')[0]} {cell}" for head, cell in pairs)


def layout_name(reading: Reading, column: int) -> str:
    """Name of a criterion without its unit."""
    return reading.title(column).split(" (")[0].split(" = ")[0]


def _thinned(rows: NDArray[np.int64], n: int) -> NDArray[np.int64]:
    """Keep n of the rows, evenly spread over their order, both ends included."""
    if len(rows) <= n:
        return rows
    if n == 1:
        return rows[:1]
    spread = np.rint(np.linspace(0, len(rows) - 1, n)).astype(np.int64)
    return np.asarray(rows[spread])


def _column(reading: Reading, row: int, shown: list[int]) -> Column:
    group = str(reading.group[row])
    cells = [number(float(reading.values[row, column])) for column in shown]
    if reading.labels is not None:
        cells.append(clean(reading.labels[row], 10))
    cells.append(reading.name(row))
    colour = GROUPS[group].dark if group in GROUPS else MUTED
    return Column(title=group, colour=colour, cells=cells)
