"""Prompts, and where the tokens of their words are."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import numpy as np

from pxgen_plugins.utils.errors import ParameterError, short_repr

__all__ = ["Offsets", "positions", "texts_of"]

Offsets = Sequence[tuple[int, int]]
"""The place (start, end) in a prompt of each of its tokens, (0, 0) where one stands for no text."""


def texts_of(value: Any, parameter: str) -> tuple[str, ...]:
    """Return one text or several as several, or raise."""
    texts = [value] if isinstance(value, str) else value
    good = isinstance(texts, (Sequence, np.ndarray)) and len(texts) > 0
    if not good or not all(isinstance(text, str) for text in texts):
        hint = "Pass a text, or a list of texts."
        raise ParameterError(parameter, "a text, or several", short_repr(value), hint)
    return tuple(str(text) for text in texts)


def _whole(words: str) -> str:
    r"""Return a pattern of words that are not parts of longer ones, whatever is between them."""
    parts = [re.escape(word) for word in words.split()]
    return r"(?<!\w)" + r"\s+".join(parts) + r"(?!\w)" if parts else "(?!)"


def positions(text: str, words: Sequence[str], offsets: Offsets) -> list[int]:
    """Return which tokens of a prompt are of some words, in rising order.

    Args:
        text: The prompt.
        words: One or more words in a row, each; every place where they are whole words counts.
        offsets: The places of the tokens.

    Raises:
        ParameterError: When some are not in the prompt.

    Example:
        >>> positions("a van gogh", ["van gogh"], [(0, 0), (0, 1), (1, 5), (6, 8), (8, 10)])
        [2, 3, 4]
    """
    found: set[int] = set()
    for sought in words:
        spans = [m.span() for m in re.finditer(_whole(sought), text, re.IGNORECASE)]
        own = {
            position
            for position, (start, end) in enumerate(offsets)
            for low, high in spans
            if start < high and low < end and text[max(start, low) : min(end, high)].strip()
        }
        if not own:
            allowed = f"in the prompt {short_repr(text)}, as whole words"
            raise ParameterError("words", allowed, short_repr(sought), "Check the spelling.")
        found |= own
    return sorted(found)
