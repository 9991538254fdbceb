"""An explanation as HTML for a notebook: the summary, and small pictures where there are some."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pxgen_plugins.groups import GROUPS
from pxgen_plugins.result.evidence import evidence_facts, evidence_pictures
from pxgen_plugins.result.result import Examples, Result
from pxgen_plugins.result.style import STYLES
from pxgen_plugins.result.summary import HEAD, facts, group_rows, next_steps
from pxgen_plugins.utils import html
from pxgen_plugins.utils.html import Html
from pxgen_plugins.utils.thumbnails import Pixels, drawable, png_url

__all__ = ["evidence_card", "groups_card"]

# pictures of a group, their longest side in pixels, colours: the first that fits is taken
_TRIES = ((8, 56, 256), (6, 56, 64), (5, 48, 32), (4, 40, 16), (2, 32, 16), (0, 1, 2))
_BAR = 320  # width of the bar of shares
_TEXT = 200  # characters of a line, and of an anchor that is a text


def groups_card(title: str, meta: Mapping[str, Any], result: Result) -> str:
    """Return PXGen's explanation as HTML, under :data:`pxgen_plugins.utils.html.LIMIT` bytes."""
    head = HEAD if result.labels is not None else HEAD[:-1]
    about = html.table((), facts(meta, result), longest=_TEXT)
    groups = html.table(head, group_rows(result))
    steps = [html.line("Next: ", step) for step in next_steps(result)]
    shown, place = _drawn(result.examples)

    def render(most: int, side: int, colours: int) -> Callable[[], str]:
        def page() -> str:
            rows = _representatives(result, shown, place, most, side, colours)
            pictures = html.table((), rows) if rows else ""
            return html.card(title, about, _bar(result), groups, pictures, *steps)

        return page

    return html.fit(render(*size) for size in _TRIES)


def evidence_card(title: str, meta: Mapping[str, Any], data: Mapping[str, Any]) -> str:
    """Return another method's explanation as HTML, with its maps or images as pictures."""
    words, pictures = evidence_pictures(data, _TRIES[0][0])

    def render(most: int, side: int, colours: int) -> Callable[[], str]:
        def page() -> str:
            row = [] if pictures is None else [_picture(p, words, side, colours) for p in pictures]
            drawn = html.line(words, ": ", Html(" ".join(row[:most]))) if row and most else ""
            return html.card(
                title, html.table((), evidence_facts(meta, data), longest=_TEXT), drawn
            )

        return page

    return html.fit(render(*size) for size in _TRIES)


def _drawn(examples: Examples | None) -> tuple[Pixels | None, dict[int, int]]:
    """Return each kept anchor above its reconstruction, and where each is."""
    if examples is None:
        return None, {}
    place = {int(index): at for at, index in enumerate(examples.indices)}
    if examples.anchors is None or not len(examples.indices):
        return None, place
    stacks = [examples.anchors]
    if examples.reconstructions is not None:
        stacks.append(examples.reconstructions)
    together = drawable(np.concatenate(stacks))  # on one scale
    return np.concatenate(np.split(together, len(stacks)), axis=1), place


def _representatives(
    result: Result,
    shown: Pixels | None,
    place: Mapping[int, int],
    most: int,
    side: int,
    colours: int,
) -> list[list[Any]]:
    rows: list[list[Any]] = []
    examples = result.examples
    twice = shown is not None and examples is not None and examples.reconstructions is not None
    for name in GROUPS:
        picks = next(iter(result.groups[name].representatives.values()), np.empty(0, np.int64))
        known = [int(row) for row in picks[:most] if int(row) in place]
        cells: list[Any] = []
        if shown is not None:
            longest = 2 * side if twice else side
            cells = [
                _picture(shown[place[row]], _name(result, row), longest, colours) for row in known
            ]
        elif examples is not None and examples.texts is not None:
            cells = [html.line(examples.texts[place[row]], longest=_TEXT) for row in known[:4]]
        if cells:
            rows.append([name, Html(f'<div align="left">{" ".join(cells)}</div>')])
    if (
        rows
        and shown is not None
        and result.examples
        and result.examples.reconstructions is not None
    ):
        rows.append(["", "Representatives, each above its reconstruction."])
    return rows


def _name(result: Result, row: int) -> str:
    name = f"anchor {row if result.ids is None else result.ids[row]}"
    return name if result.labels is None else f"{name}, label {result.labels[row]}"


def _picture(pixels: NDArray[Any], words: str, side: int, colours: int) -> Html:
    url, width, height = png_url(pixels, side, colours)
    return html.picture(url, words, width, height)


def _bar(result: Result) -> Html:
    """Draw the shares of the groups as one bar; attributes of SVG are no styles."""
    parts, left = [], 0.0
    for name in GROUPS:
        width = _BAR * (result.groups[name].fraction or 0.0)
        parts.append(
            f'<rect x="{left:.1f}" y="1" width="{width:.1f}" height="12" '
            f'fill="{STYLES[name].colour}" stroke="currentColor" stroke-width="0.4"/>'
        )
        left += width
    size = f'width="{_BAR + 2}" height="14"'
    return Html(f'<svg {size} role="img" aria-label="shares of the groups">{"".join(parts)}</svg>')
