"""Characters that show nothing, or change how others show, written as escapes."""

from __future__ import annotations

import re
import unicodedata

__all__ = ["escape_invisible"]

# Control, format, surrogate, private, unassigned, line and paragraph separators.
_CATEGORIES = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
# Letters and marks without a glyph (Default_Ignorable_Code_Point of Unicode 15.1, of which the rest
# has one of the categories above), the blank of Braille, and spaces that look like the common one.
_BLANK = re.compile(
    "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u3164\ufe00-\ufe0f\uffa0\U000e0100-\U000e01ef"
    "\u2800\u00a0\u1680\u2000-\u200a\u202f\u205f]"
)


def escape_invisible(text: str) -> str:
    r"""Return one line in which invisible characters are escapes such as ``\x1b`` or ``\u3164``.

    What is left may stand in UTF-8, in XML 1.0 once ``<`` and ``&`` are escaped, and on a terminal,
    and two texts that differ look different, but for letters of the same shape.

    Example:
        >>> print(escape_invisible("a\x1b[31m\n\u202eb\ufe0f"))
        a\x1b[31m\n\u202eb\ufe0f
    """
    if not text.isprintable():  # a printable text holds none of these categories
        text = "".join(
            _escape(character) if unicodedata.category(character) in _CATEGORIES else character
            for character in text
        )
    return text if text.isascii() else _BLANK.sub(lambda match: _escape(match[0]), text)


def _escape(character: str) -> str:
    return character.encode("unicode_escape").decode()
