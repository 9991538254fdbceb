"""Small pieces of HTML for notebooks: nothing in them runs, loads anything or sets a colour.

There is neither style nor script nor class, so that a strict Content-Security-Policy finds nothing
to block, and text has the colours of the notebook, light or dark. Text is escaped.
"""

from __future__ import annotations

import html
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from pxgen_plugins.utils.invisible import escape_invisible
from pxgen_plugins.utils.text import number

__all__ = ["LIMIT", "Html", "card", "escape", "fit", "line", "picture", "rows_card", "table"]

LIMIT = 49_000
"""Most bytes of a card, so that many fit into a notebook."""

_TRIES = ((60, 120), (40, 60), (20, 40), (10, 24), (5, 12))  # rows, characters of a cell
_COLUMNS = 12
_NUMERIC = frozenset("0123456789.,-+<>~%eE infa/")


class Html(str):
    """Markup that is ours, put in as it is; any other text is escaped."""

    __slots__ = ()


def escape(value: Any, longest: int = 120) -> Html:
    r"""Return one line of text as HTML: invisible characters as escapes, cut, inert.

    Args:
        value: Anything; its ``str`` is taken. :class:`Html` is returned as it is.
        longest: Longest text in characters, before it is escaped.

    Example:
        >>> print(escape("<b>\u202e"), escape("a long label", 6))
        &lt;b&gt;\u202e a lon…
    """
    if isinstance(value, Html):
        return value
    text = escape_invisible(str(value)[: longest + 1])
    if len(text) > longest:
        text = text[: longest - 1] + "…"
    return Html(html.escape(text, quote=True))


def line(*parts: Any, longest: int = 300) -> Html:
    """Return a paragraph of parts, escaped unless they are :class:`Html`."""
    return Html("<p>" + "".join(escape(part, longest) for part in parts) + "</p>")


def table(
    head: Sequence[Any], rows: Sequence[Sequence[Any]], most: int = 60, longest: int = 120
) -> Html:
    """Return a table; what is left out is counted below it.

    Args:
        head: Names of the columns; none for a table of names and texts, all begun at the left.
        rows: Cells of each row, escaped unless they are :class:`Html`.
        most: Most rows.
        longest: Most characters of a cell.
    """
    parts = ["<table>"]
    if head:
        names = "".join(f"<th>{_cell(name, longest)}</th>" for name in head[:_COLUMNS])
        parts.append(f"<thead><tr>{names}</tr></thead>")
    body = "".join(
        "<tr>"
        + "".join(f"<td>{_cell(cell, longest, not head)}</td>" for cell in row[:_COLUMNS])
        + "</tr>"
        for row in rows[:most]
    )
    parts.append(f"<tbody>{body}</tbody></table>")
    if len(rows) > most:
        parts.append(line(f"{len(rows) - most:,} more rows are not shown."))
    return Html("".join(parts))


def picture(url: str, words: Any, width: int, height: int) -> Html:
    """Return a picture out of a ``data:`` address of ours, with words for whoever cannot see it."""
    text = escape(words, 60)
    return Html(f'<img src="{url}" alt="{text}" title="{text}" width="{width}" height="{height}">')


def card(title: Any, *parts: str) -> Html:
    """Return a titled block of parts that are HTML already."""
    return Html(f"<div><p><b>{escape(title)}</b></p>{''.join(parts)}</div>")


def fit(renders: Iterable[Callable[[], str]], limit: int = LIMIT) -> str:
    """Return the first result of at most ``limit`` bytes; the last where none is.

    Args:
        renders: From the richest to the plainest; the plainest must fit.
        limit: Most bytes in UTF-8.
    """
    text = ""
    for render in renders:
        text = render()
        if len(text.encode("utf-8", "replace")) <= limit:
            break
    return text


def rows_card(
    title: Any,
    rows: Sequence[Mapping[str, Any] | Sequence[Any]],
    notes: Sequence[Any] = (),
    head: Sequence[str] | None = None,
) -> str:
    """Return the card of an object that is rows: what its ``_repr_html_`` returns.

    Args:
        title: What it is.
        rows: Mappings from column to value, or the cells themselves. Numbers are shortened.
        notes: Sentences below.
        head: Names of the columns; those of the first mapping by default.

    Example:
        >>> from dataclasses import dataclass
        >>> @dataclass
        ... class Sizes:
        ...     entries: list[dict[str, object]]
        ...     def _repr_html_(self) -> str:
        ...         return rows_card("Sizes", self.entries, ["All in seconds."])
        >>> "<b>Sizes</b>" in Sizes([{"step": "fit", "seconds": 1.25}])._repr_html_()
        True
    """
    first = rows[0] if rows else {}
    names = list(first) if head is None and isinstance(first, Mapping) else list(head or [])
    cells = [
        [_text(row.get(name)) for name in names]
        if isinstance(row, Mapping)
        else [_text(cell) for cell in row]
        for row in rows
    ]

    def render(most: int, longest: int) -> Callable[[], str]:
        words = [line(note, longest=3 * longest) for note in notes[:most]]
        return lambda: card(title, table(names, cells, most, longest), *words)

    return fit(render(*size) for size in _TRIES)


def _cell(value: Any, longest: int, left: bool = False) -> Html:
    text = escape(value, longest)
    if isinstance(value, Html) or (not left and set(str(value)) <= _NUMERIC):
        return text
    # notebooks align cells to the right, as suits numbers; words begin at the left
    return Html(f'<div align="left">{text}</div>')


def _text(value: Any) -> Any:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return number(value, 3)
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {_text(inner)}" for key, inner in value.items())
    if isinstance(value, (list, tuple)):
        return ", ".join(str(_text(inner)) for inner in value)
    return value
