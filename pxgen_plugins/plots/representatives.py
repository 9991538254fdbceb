"""Representatives of the four groups."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from pxgen_plugins.groups import GROUPS
from pxgen_plugins.plots import _layout as layout
from pxgen_plugins.plots._layout import AnyFigure
from pxgen_plugins.plots._names import anchor_name, anchor_text
from pxgen_plugins.plots._picture_rows import Column, Row, draw_rows
from pxgen_plugins.plots._pictures import collect
from pxgen_plugins.plots._text import clean
from pxgen_plugins.plots._text_rows import Section, draw_sections, example_texts
from pxgen_plugins.plots.style import STYLES, share_text
from pxgen_plugins.result import Result
from pxgen_plugins.utils.errors import ParameterError, caller
from pxgen_plugins.utils.validation import choice, integer

__all__ = ["plot_representatives"]


@caller("plot_representatives")
@layout.panels_only
def plot_representatives(
    explanation: Any,
    selector: str | None = None,
    n: int | None = None,
    *,
    reconstructions: Any = True,
    images: Any = None,
    figure: AnyFigure | None = None,
) -> NDArray[np.object_]:
    """Draw the representatives of the four groups, each original above its reconstruction.

    Anchors that are texts, or rows of a table, are written in lines.

    Args:
        explanation: What ``PXGen.explain`` returned, or the same read from JSON.
        selector: Whose representatives; the first selector of the explanation by default.
        n: At most so many per group, in the selector's order; all by default.
        reconstructions: False leaves the reconstructions out; anything indexable by anchor index
            is used in place of the examples.
        images: Anything that gives the anchor at an index into the anchor set; the examples of the
            explanation by default.
        figure: An empty figure or subfigure to draw in; a new figure by default.

    Returns:
        One Axes for each group, from HIHE to LILE, more where a group takes several lines of
        pictures. Every picture is an image of its own, or a curve when anchors are flat. An empty
        group says so.

    Raises:
        ParameterError: Unknown selector; ``n`` is below 1; the anchors are neither in the
            explanation nor given.

    Cost: O(k) pictures for k representatives, however many anchors there are.

    Example:
        >>> import numpy as np
        >>> from types import SimpleNamespace
        >>> from pxgen_plugins.plots import plot_representatives
        >>> data = {
        ...     "criteria": ["kld", "mse"],
        ...     "kinds": ["intrinsic", "extrinsic"],
        ...     "values": [[1.0, 0.1], [2.0, 0.3]],
        ...     "thresholds": {"kld": 3.0, "mse": 0.2},
        ...     "group": ["HIHE", "HILE"],
        ...     "groups": {"HIHE": {"count": 1, "representatives": {"top": [0]}}},
        ... }  # the least that an explanation of PXGen holds
        >>> explanation = SimpleNamespace(data=data)
        >>> axes = plot_representatives(explanation, images=np.zeros((2, 1, 8, 8)))
        >>> [len(ax.images) for ax in axes]
        [1, 0, 0, 0]
    """
    result = Result.of(explanation)
    selector = _selector(result, selector)
    most = None if n is None else integer(n, "n", minimum=1)
    both = reconstructions if isinstance(reconstructions, bool) else True
    rebuilt = None if isinstance(reconstructions, bool) else reconstructions
    picks = {
        name: result.groups[name].representatives.get(selector, np.empty(0, np.int64))[:most]
        for name in GROUPS
    }
    texts = example_texts(result) if images is None else None
    if texts is not None:
        sections = [_section(result, name, picks[name], texts) for name in GROUPS]
        return layout.array_of(*draw_sections(figure, sections))
    gallery = collect(result, np.concatenate(list(picks.values())), images, rebuilt, both=both)
    rows = [_row(result, name, picks[name]) for name in GROUPS]
    under = "anchor" if result.labels is None else "label"
    notes = [f"Selector: {clean(selector)}.", gallery.note]
    return layout.array_of(*draw_rows(figure, rows, gallery, [under], notes))


def _selector(result: Result, selector: str | None) -> str:
    known: list[str] = []
    for group in result.groups.values():
        known += [name for name in group.representatives if name not in known]
    if not known:
        hint = "Explain with selectors=('k_center',), for instance."
        raise ParameterError("explanation", "one with representatives", "none", hint)
    return known[0] if selector is None else choice(selector, "selector", known)


def _heading(result: Result, name: str) -> tuple[str, str]:
    """Return what stands above a group, and what stands there in place of pictures."""
    group = result.groups[name]
    heading = f"{name}, {STYLES[name].words}: {share_text(group.count, group.fraction)}"
    some = group.count > 0
    return heading, f"no {'representatives of' if some else 'anchors in'} this group"


def _row(result: Result, name: str, picks: NDArray[np.int64]) -> Row:
    columns = [Column([anchor_text(result, int(row))]) for row in picks]
    heading, empty = _heading(result, name)
    return Row(columns, empty, name, heading, STYLES[name].colour, STYLES[name].dark)


def _section(result: Result, name: str, picks: NDArray[np.int64], texts: dict[int, str]) -> Section:
    entries = []
    for row in map(int, picks):
        label = "" if result.labels is None else f" [{clean(result.labels[row], 20)}]"
        entries.append((anchor_name(result, row) + label, texts.get(row, "(not kept)")))
    heading, empty = _heading(result, name)
    return Section(name, heading, STYLES[name].colour, entries, empty)
