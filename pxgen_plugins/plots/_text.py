"""Untrusted text (labels, ids, names of criteria) made safe to draw."""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache
from typing import Any

from matplotlib import font_manager, rcParams

__all__ = ["break_name", "clean", "shorten", "wrap"]

_UNSEEN = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})


def clean(value: Any, longest: int = 24) -> str:
    r"""Return one line of drawable text for a label or an id.

    Control, formatting (bidirectional, zero-width), surrogate and unassigned characters become
    spaces; characters that none of the configured fonts has become U+FFFD, so that drawing neither
    warns nor fails; runs of white space become one space; ``$`` is escaped, so that mathematical
    layout is never started; the text is cut after ``longest`` characters.

    Args:
        value: Anything; its ``str`` is taken.
        longest: Longest result in characters, the ellipsis included.

    Example:
        >>> clean("a\nb\u202e"), clean("$x^2$"), clean("a long label", 6)
        ('a b', '\\$x^2\\$', 'a lon…')
    """
    text = "".join(
        " " if unicodedata.category(character) in _UNSEEN else character
        for character in str(value)[: 8 * longest]
    )
    text = " ".join(text.split())
    families = tuple(rcParams["font.family"])
    text = "".join(
        character if character < "\x7f" or _has_glyph(character, families) else "\ufffd"
        for character in text
    )
    if len(text) > longest:
        text = text[: longest - 1].rstrip() + "…"
    return text.replace("$", r"\$")


def shorten(value: Any, longest: int) -> str:
    """Return one line of drawable text, cut between words; a single longer word is cut inside.

    Example:
        >>> shorten("one two three four", 12), shorten("one", 12), shorten("incomprehensible", 8)
        ('one two…', 'one', 'incompr…')
    """
    whole = clean(value, max(longest, len(str(value)) + 1))
    if len(whole) <= longest:
        return whole
    head, _, _ = whole[:longest].rpartition(" ")
    return f"{head.rstrip(' ,;:.')}…" if head else clean(value, longest)


def break_name(value: Any, width: int) -> str:
    """Return a name in lines of at most ``width`` characters, broken at spaces and underscores.

    Example:
        >>> print(break_name("alibi_gradient_similarity of zeros", 20))
        alibi_gradient_
        similarity of zeros
    """
    lines = [""]
    for part in re.findall(r"[^\s_]*_+|[^\s_]+\s?|\s", clean(value, 8 * width)):
        if len((lines[-1] + part).rstrip()) <= width or not lines[-1]:
            lines[-1] += part
        else:
            lines.append(part)
    return "\n".join(line.strip() for line in lines)


def wrap(parts: list[str], width: int) -> str:
    """Return sentences joined into lines of at most ``width`` characters.

    Lines are broken at spaces, not at no-break ones.

    Example:
        >>> print(wrap(["One anchor.", "Two samples."], 14))
        One anchor.
        Two samples.
    """
    lines = [""]
    for word in " ".join(part for part in parts if part).split(" "):
        longer = f"{lines[-1]} {word}".strip()
        if len(longer) <= width or not lines[-1]:
            lines[-1] = longer
        else:
            lines.append(word)
    return "\n".join(lines)


@lru_cache(maxsize=4096)
def _has_glyph(character: str, families: tuple[str, ...]) -> bool:
    paths = (
        font_manager.findfont(font_manager.FontProperties(family=[family])) for family in families
    )
    return any(
        font_manager.get_font(path).get_char_index(ord(character)) > 0  # 0 is the missing glyph
        for path in paths
    )
