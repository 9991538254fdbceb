"""Escape text from users' data: no page, parser or terminal obeys it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Protocol

from pxgen_plugins.utils.invisible import escape_invisible
from pxgen_plugins.utils.redaction import redact

__all__ = ["Ids", "anchor_name", "code", "distinct", "visible"]


class Ids(Protocol):
    """Ids of anchors by position: a list, or an array, without numpy being loaded for it."""

    def __getitem__(self, index: int, /) -> Any: ...


_LONGEST_ID = 80


def visible(value: Any, longest: int | None = None) -> str:
    r"""Return one line in which invisible characters are escapes, without environment's values.

    Control, bidirectional, zero-width, blank, surrogate, private and unassigned characters, and the
    line and paragraph separators, become ``\x1b`` or ``\u202e``
    (:func:`~pxgen_plugins.utils.invisible.escape_invisible`); a value of an environment variable
    that the settings use becomes its name (:func:`~pxgen_plugins.utils.redaction.redact`).

    Args:
        value: Anything; its ``str`` is taken.
        longest: Longest result in characters, the ellipsis included; None for no limit.

    Example:
        >>> print(visible("a\x1b[31m\n\u202eb"), visible("a long label", 6))
        a\x1b[31m\n\u202eb a lon…
    """
    text = redact(str(value))
    if longest is not None:
        text = text[: longest + 1]
    text = escape_invisible(text)
    if longest is not None and len(text) > longest:
        text = text[: longest - 1] + "…"
    return text


def anchor_name(index: int, ids: Ids | None = None) -> str:
    """Return how an anchor is named: by its id where it has one, else by its number.

    Example:
        >>> anchor_name(12), anchor_name(1, ["a.png", "b.png"])
        ('#12', 'b.png')
    """
    return f"#{index}" if ids is None else visible(ids[index], _LONGEST_ID)


def code(value: Any, longest: int = 60) -> str:
    r"""Return a Markdown code span that shows ``value`` and nothing else.

    Inside a code span no Markdown, HTML, link, mention or issue number works (CommonMark 0.31,
    section 6.1). Its fence is longer than any run of backticks in the text. ``|`` becomes a broken
    bar, as it would end a table's cell even there.

    Args:
        value: Anything; its ``str`` is taken.
        longest: Longest text in characters.

    Example:
        >>> code("<b>@you</b>"), code("a`b"), code("")
        ('`<b>@you</b>`', '``a`b``', '(empty)')
    """
    text = visible(value, longest).replace("|", "¦")
    if not text.strip():
        return "(empty)" if not text else "(blank)"
    fence = "`"
    while fence in text:
        fence += "`"
    # one space on each side is taken off again where a fence would touch a backtick
    touches = text[0] in "` " or text[-1] in "` "
    return f"{fence} {text} {fence}" if touches else f"{fence}{text}{fence}"


def distinct(names: Iterable[str], sign: str) -> list[str]:
    """Return names that differ: the second of its kind gets ``sign`` and a 2 behind it.

    Names that differ may be equal once they are escaped or cut.

    Example:
        >>> distinct(["a", "a", "a #2"], " #")
        ['a', 'a #3', 'a #2']
    """
    given = list(names)
    unique: dict[str, None] = {}
    for name in given:
        other, place = name, 2
        while other in unique or (other != name and other in given):
            other, place = f"{name}{sign}{place}", place + 1
        unique[other] = None
    return list(unique)
