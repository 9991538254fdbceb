"""A settings file as plain values: YAML or TOML, every key once, within limits.

What can be read in spite of a fault is read on, so that all faults of a file are reported at once.
"""

from __future__ import annotations

import math
import os
import re
import tomllib
from collections.abc import Hashable, Mapping
from pathlib import Path
from typing import Any

from pxgen_plugins.utils import optional
from pxgen_plugins.utils.errors import ParameterError, short_repr
from pxgen_plugins.utils.files import read_regular
from pxgen_plugins.utils.limits import Limit, LimitError
from pxgen_plugins.utils.redaction import remember

__all__ = ["MOST", "Faults", "plain_values", "read_file", "read_yaml"]

MOST = 10**9
"""The largest number of anything that settings ask for; seeds, and what a model gets, are free."""

_SIZE = Limit("SETTINGS", 2**20, "bytes of settings")
_MAX_DEPTH = 12
_MAX_VALUES = 10_000  # after aliases of YAML, which can multiply them
_MAX_PLACE = 240  # characters of a place in messages; a key may be a megabyte long
_MAX_DOTS = 100
_TOML_PARTS = re.compile(r"[=,{}\[\]\n]")
_FREE = re.compile(r"^model\.|seed[^.]*$")
_VARIABLE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")

Faults = list[ParameterError]
"""What is wrong, in the order in which it was met."""


def read_file(path: Path, faults: Faults) -> dict[str, Any]:
    """Return the content of a ``.toml`` file, or of any other as YAML.

    Args:
        path: The file.
        faults: Keys that occur twice are added here.

    Raises:
        ParameterError: When it cannot be read, is too large, or is no table.
        MissingDependencyError: When pyyaml is needed and absent.
    """
    try:
        text = read_regular(path, _SIZE).decode("utf-8-sig")
    except LimitError as error:
        hint = "Settings hold no data; name files instead."
        allowed = f"of at most {_SIZE.value:,} {_SIZE.what}"
        raise ParameterError("the file", allowed, str(error), hint) from error
    except (OSError, ValueError) as error:
        hint = f"Check the path ({type(error).__name__})."
        raise ParameterError("the file", "readable text", short_repr(str(path)), hint) from error
    toml = path.suffix.lower() == ".toml"
    content = _read_toml(text) if toml else read_yaml(text, "the file", faults)
    if content is None:
        return {}
    if not isinstance(content, dict):
        hint = "Write keys and values, as pxgen init does."
        raise ParameterError("the file", "a table of keys", short_repr(content), hint)
    return content


def read_yaml(text: str, name: str, faults: Faults) -> Any:
    """Return what YAML text stands for; a key that occurs twice keeps its first value.

    Args:
        text: The text.
        name: What it is, for messages.
        faults: Keys that occur twice are added here.

    Raises:
        ParameterError: When it is not YAML, or has tags, which could run code.
        MissingDependencyError: When pyyaml is absent.
    """
    yaml: Any = optional.load("yaml", "pyyaml")

    n_nodes = 0

    class Loader(yaml.SafeLoader):  # type: ignore[misc]
        """Notices keys that occur twice, of which YAML would keep the last; stops at too many."""

        def compose_node(self, parent: Any, index: Any) -> Any:
            nonlocal n_nodes
            n_nodes += 1
            if n_nodes > 2 * _MAX_VALUES:  # keys and values
                raise _too_many()
            return super().compose_node(parent, index)

    def mapping(loader: Any, node: Any, deep: bool = False) -> dict[Any, Any]:
        table: dict[Any, Any] = {}
        for key_node, value_node in node.value:
            key = loader.construct_object(key_node, deep=True)
            value = loader.construct_object(value_node, deep=True)
            line = f"in line {key_node.start_mark.line + 1}"
            if not isinstance(key, Hashable):
                got = f"{short_repr(key)} {line}"
                raise ParameterError("a key", "text", got, "Write it in quotation marks.")
            if key in table:
                got = f"twice, {line}"
                faults.append(ParameterError(str(key), "given once", got, "Remove one of them."))
            table.setdefault(key, value)
        return table

    Loader.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, mapping)
    try:
        return yaml.load(text, Loader)
    except ParameterError:
        raise
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        got = " ".join(str(error).split())[:200]
        raise ParameterError(name, "YAML without tags", got, "Correct the line.") from error


def _too_many() -> ParameterError:
    allowed = f"of at most {_MAX_VALUES} values and {_MAX_DEPTH} levels"
    return ParameterError("the file", allowed, "more", "Use no aliases.")


def _read_toml(text: str) -> dict[str, Any]:
    # tomllib looks at each part of a dotted key once for every part before it
    if any(part.count(".") > _MAX_DOTS for part in _TOML_PARTS.split(text)):
        hint = "Write tables, [a.b], or break the text."
        allowed = f"TOML with at most {_MAX_DOTS} dots in a key or a piece of text"
        raise ParameterError("the file", allowed, "more", hint)
    try:
        return tomllib.loads(text)
    except (RecursionError, ValueError) as error:  # of which TOMLDecodeError is one
        hint = "Correct the line."
        raise ParameterError("the file", "TOML", str(error)[:200], hint) from error


def plain_values(content: Any, faults: Faults, *, place: str = "", late: str = "") -> Any:
    """Return a copy as JSON holds it: text as keys, and environment variables put into texts.

    Args:
        content: Nested mappings and lists.
        faults: Variables that are not set are added here, and values that JSON does not hold
            (dates, bytes, sets, NaN).
        place: Where the content stands, for messages; empty for all settings.
        late: In this place variables are looked for, but not put in.

    Raises:
        ParameterError: For nests that are too deep or too large, as aliases of aliases make them.
    """
    n_values = 0

    def copy(value: Any, place: str, depth: int) -> Any:
        nonlocal n_values
        n_values += 1
        if depth > _MAX_DEPTH or n_values > _MAX_VALUES:
            raise _too_many()
        place = place[:_MAX_PLACE]
        if isinstance(value, Mapping):
            dot = "." if place else ""
            return {str(k): copy(v, f"{place}{dot}{k}", depth + 1) for k, v in value.items()}
        if isinstance(value, list):
            return [copy(v, f"{place}[{i}]", depth + 1) for i, v in enumerate(value)]
        if isinstance(value, str):
            text = _expand(value, place, faults)
            return value if late and place.startswith(late) else text
        finite = not isinstance(value, float) or math.isfinite(value)
        if not finite or not isinstance(value, (int, float, type(None))):
            allowed = "text, a finite number, true, false, a list or a table"
            hint = "Write it in quotation marks if it is text."
            faults.append(ParameterError(place, allowed, short_repr(value), hint))
        elif isinstance(value, int) and abs(value) > MOST and not _FREE.search(place):
            allowed, hint = f"at most {MOST:,}", "Ask for less."
            faults.append(ParameterError(place, allowed, short_repr(value), hint))
        return value

    return copy(content, place, 0)


def _expand(text: str, place: str, faults: Faults) -> str:
    """Return a text with ``${NAME}`` replaced by environment variables, where they are set."""
    for name in _VARIABLE.findall(text):
        if name not in os.environ:
            hint = f"Set the environment variable {name}, or write the value."
            faults.append(ParameterError(place, f"with {name} set", "an unset variable", hint))
        else:
            remember(name, os.environ[name])
    expanded = _VARIABLE.sub(lambda match: os.environ.get(match[1], match[0]), text)
    return text if expanded == text else _Expanded(expanded, text)


class _Expanded(str):
    """A text with variables put in, which shows itself as it was written.

    So no message repeats what an environment variable holds, also not from inside a table.
    """

    __slots__ = ("_written",)
    _written: str

    def __new__(cls, text: str, written: str) -> _Expanded:
        self = super().__new__(cls, text)
        self._written = written
        return self

    def __reduce__(self) -> tuple[Any, ...]:  # for a copy, also in another process
        return _Expanded, (str(self), self._written)

    def __repr__(self) -> str:
        return repr(self._written)
