"""What is kept out of texts: values of environment variables, and addresses of objects."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import PurePath
from typing import Any
from urllib.parse import quote

__all__ = ["redact", "redact_values", "remember", "without_addresses"]

_SHORTEST = 5  # characters: "1" or "cpu" is no secret, and stands in half of all texts

_ADDRESS = re.compile(r"\bat 0x[0-9a-fA-F]{6,16}\b")

_names: dict[str, str] = {}  # by value, and by the forms that it takes inside of other texts


def remember(name: str, value: str) -> None:
    """Have :func:`redact` put ``${name}`` in the place of a value, from now on in this process.

    Args:
        name: Of the environment variable.
        value: What it holds; one of fewer than five characters stays as it is.
    """
    if len(value) < _SHORTEST:
        return
    forms = [value, repr(value)[1:-1], json.dumps(value)[1:-1], quote(value, safe="")]
    path = str(PurePath(value))  # as a path reads it, without doubled slashes
    for form in [*forms, path] if len(path) >= _SHORTEST else forms:
        _names.setdefault(form, f"${{{name}}}")
    for form in sorted(_names, key=len, reverse=True):  # the longest is looked for first
        _names[form] = _names.pop(form)


def redact(text: str) -> str:
    """Return a text with names of variables in the place of the values that were remembered.

    It holds for values as they are, and escaped as Python, JSON and URLs do it; not for parts of
    one, nor for what somebody computes from it.

    Example:
        >>> remember("EXAMPLE_TOKEN", "an example of a token")
        >>> redact("refused: 'an example of a token'")
        "refused: '${EXAMPLE_TOKEN}'"
    """
    for value, name in _names.items():
        if value in text:
            text = text.replace(value, name)
    return text


def redact_values(content: Any) -> Any:
    """Return nested mappings and lists with every text redacted, keys included."""
    if not _names:
        return content
    if isinstance(content, str):
        return redact(content)
    if isinstance(content, Mapping):
        return {redact_values(key): redact_values(value) for key, value in content.items()}
    if isinstance(content, (list, tuple)):
        return [redact_values(value) for value in content]
    return content


def without_addresses(text: str) -> str:
    """Return a text without the addresses of objects, which differ from one process to the next.

    It has to be whole: of an address that was cut, something would be left.

    Example:
        >>> without_addresses("cannot add <Net object at 0x7f3a5c0b1d90> and 0x7f3a5c0b1d90")
        'cannot add <Net object at 0x...> and 0x7f3a5c0b1d90'
    """
    return _ADDRESS.sub("at 0x...", text)
