"""JSON of regular files, of which no more is read, and made of it, than the limits say."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from typing import Any

from pxgen_plugins.utils.files import read_regular
from pxgen_plugins.utils.limits import JSON_FILE, JSON_MEMORY

__all__ = ["parse_json", "read_json"]

# Bytes of Python objects behind each of these characters of JSON, at most: a list, an element of
# one, a mapping, an entry of one.
_OBJECTS = {b"[": 64, b",": 64, b"{": 128, b":": 128}


def read_json(path: str | os.PathLike[str]) -> Any:
    """Return the content of a JSON file in UTF-8.

    Raises:
        ValueError: When it is no JSON, or more than fits the limits.
        OSError: When it cannot be opened, or is no regular file.
        RecursionError: When it is nested too deeply.
    """
    return parse_json(read_regular(path, JSON_FILE))


def parse_json(
    content: bytes,
    to_record: Callable[[list[tuple[str, Any]]], Any] | None = None,
    to_constant: Callable[[str], Any] | None = None,
) -> Any:
    """Return what JSON stands for, unless its objects could take more memory than allowed.

    Args:
        content: JSON in UTF-8.
        to_record: Makes something of the keys and values of a mapping; None makes a dict.
        to_constant: Makes something of ``NaN``, ``Infinity`` and ``-Infinity``; None makes floats.

    Raises:
        ValueError: When it is no JSON, or more than fits the limit.
        RecursionError: When it is nested too deeply.

    Example:
        >>> parse_json(b'{"a": [1, 2]}')
        {'a': [1, 2]}
    """
    # Text that is not ASCII may take 4 bytes a character, once as a whole and once in pieces.
    memory = len(content) * (2 if content.isascii() else 8)
    JSON_MEMORY.check(memory + sum(content.count(sign) * size for sign, size in _OBJECTS.items()))
    text = content.decode("utf-8")
    return json.loads(text, object_pairs_hook=to_record, parse_constant=to_constant)
