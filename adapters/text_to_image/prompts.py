"""Prompts: those that hold a concept, and the same with other words in its place."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import numpy as np

from pxgen_plugins.utils.errors import ParameterError, short_repr

__all__ = ["Pair", "concept_text", "pair_of", "prompts_of", "replaced", "texts"]

Pair = tuple[str, str]
"""A prompt, and the one that is put in its place."""


def prompts_of(X: Any, default: Sequence[str]) -> list[str]:
    """Return the prompts that ``explain`` is given: strings; anything else takes the default.

    A comparison gives every method the anchors, which are pictures and not prompts.

    Raises:
        ParameterError: When a list holds some strings and something else.

    Example:
        >>> prompts_of("a thin seven", []), prompts_of(np.zeros((2, 8, 8)), ["a four"])
        (['a thin seven'], ['a four'])
    """
    if isinstance(X, str):
        return [X]
    several = X.tolist() if isinstance(X, np.ndarray) and X.dtype.kind == "U" else X
    if not isinstance(several, (list, tuple)) or not any(isinstance(one, str) for one in several):
        return list(default)
    return texts(several, "X")


def texts(value: Any, parameter: str) -> list[str]:
    """Return one text or several as a list, or raise."""
    several = [value] if isinstance(value, str) else value
    if not isinstance(several, (list, tuple)) or not several:
        hint = f"Pass {parameter}=['a thick seven'], say."
        raise ParameterError(parameter, "a text, or a list of them", short_repr(value), hint)
    return [concept_text(one, parameter) for one in several]


def concept_text(value: Any, parameter: str, *, empty: bool = False) -> str:
    """Return words of a prompt, or raise."""
    if not isinstance(value, str) or not (empty or value.strip()):
        hint = f"Pass words, as in {parameter}='thick'."
        raise ParameterError(parameter, "a text of at least one word", short_repr(value), hint)
    return value.strip()


def replaced(prompt: str, words: str, others: str) -> str | None:
    """Return a prompt with other words in the place of some, None where these are not in it.

    Example:
        >>> replaced("a thick seven", "thick", "thin"), replaced("a thickset man", "thick", "thin")
        ('a thin seven', None)
        >>> replaced("a thick seven", "thick", "")
        'a seven'
    """
    pattern = rf"(?<!\w){re.escape(words)}(?!\w)"
    if re.search(pattern, prompt) is None:
        return None
    return " ".join(re.sub(pattern, lambda _: others, prompt).split())


def pair_of(prompt: str, words: str, others: str, parameter: str = "concept") -> Pair:
    """Return a prompt and the same with other words.

    Raises:
        ParameterError: When the words are not in it, or nothing else comes out.
    """
    other = replaced(prompt, words, others)
    if other is None:
        hint = "Give prompts that hold it as words of their own, or a whole prompt as concept."
        raise ParameterError(parameter, f"in {short_repr(prompt)}", short_repr(words), hint)
    if other == " ".join(prompt.split()):
        hint = "Give other words as target."
        raise ParameterError("target", f"other than {parameter}", short_repr(others), hint)
    return prompt, other
