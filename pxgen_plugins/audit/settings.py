"""The settings of an audit, read from YAML or TOML without running anything."""

from __future__ import annotations

import hashlib
import json
import os
import re
import sys
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pxgen_plugins.audit.settings_schema import ONE_OF, REQUIRED, SPEC, Key
from pxgen_plugins.utils import optional
from pxgen_plugins.utils.errors import ParameterError, short_repr
from pxgen_plugins.utils.validation import nearest

__all__ = ["Config", "config_of", "load_config"]

_LARGEST = 2**20  # bytes of a settings file
_DEEPEST = 12
_ENDLESS = (float("inf"), float("-inf"))
_MOST = 10_000  # values in it, after aliases
_ONLY = {"weights": "factory", "arguments": "factory", "split": "shipped", "digits": "shipped"}
_VARIABLE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")


@dataclass(frozen=True)
class Config:
    """Checked settings.

    Attributes:
        values: By key, nested as in the file; every key of
            :data:`~pxgen_plugins.audit.settings_schema.SPEC` is there, paths are absolute.
    """

    values: dict[str, Any]

    def __getitem__(self, key: str) -> Any:
        return self.values[key]

    @property
    def output(self) -> Path:
        """The run folder."""
        return Path(self.values["output"])

    def scoring(self) -> dict[str, Any]:
        """Return what values, groups and representatives depend on, as JSON holds it."""
        free = {"adapters", "conditions", "baseline", "output", "executor", "name"}
        return {key: value for key, value in self.values.items() if key not in free}

    def shown(self) -> dict[str, Any]:
        """Return :meth:`scoring` with names of files instead of paths, the same in every folder."""
        found: dict[str, Any] = _renamed(self.scoring(), SPEC, lambda path: Path(path).name)
        return found

    def arguments(self) -> dict[str, Any]:
        """Return the arguments of the model's factory, environment variables put in."""
        place = "model.arguments"
        found: dict[str, Any] = _expanded(self["model"]["arguments"], "settings", place)
        return found

    def digest(self) -> str:
        """Return the SHA-256 of :meth:`scoring` without paths, which say nothing of contents."""
        content = _renamed(self.scoring(), SPEC, lambda path: "")
        text = json.dumps(content, sort_keys=True, allow_nan=False)
        return hashlib.sha256(text.encode()).hexdigest()


def load_config(path: str | os.PathLike[str], overrides: Sequence[str] = ()) -> Config:
    """Return the settings in a ``.yaml``, ``.yml`` or ``.toml`` file.

    Paths in it are relative to the file; ``${NAME}`` in a string is replaced by the environment
    variable of that name, and by nothing else.

    Args:
        path: The file.
        overrides: ``"key.inner=value"`` texts, which win over the file; values are read as YAML.

    Raises:
        ParameterError: When the file cannot be read, or a key or value is not allowed.
        MissingDependencyError: When pyyaml is needed and absent.
    """
    source = Path(path)
    where = f"settings {source.name}"
    try:
        if source.stat().st_size > _LARGEST:
            hint = "Settings hold no data; name files instead."
            raise ParameterError("the file", where, f"of at most {_LARGEST} bytes", "more", hint)
        text = source.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        hint = f"Check the path ({type(error).__name__})."
        raise ParameterError(
            "the file", where, "readable text", short_repr(str(path)), hint
        ) from error
    content = _toml(text, where) if source.suffix == ".toml" else _yaml(text, where)
    for item in overrides:
        _override(content, item)
    return config_of(content, source.resolve().parent, where)


def config_of(content: Mapping[str, Any], folder: Path, where: str = "settings") -> Config:
    """Return checked settings of a mapping; paths in it are relative to ``folder``.

    Raises:
        ParameterError: When a key or value is not allowed.

    Example:
        >>> found = config_of({"model": {"shipped": "mnist_vae"}, "anchors": {"shipped": "mnist"},
        ...                    "output": "run"}, Path("/tmp"))
        >>> found["intrinsic"], found.output.as_posix()
        (['kld'], '/tmp/run')
    """
    _check_size(content, where)
    values = _checked(content, SPEC, folder, where, "")
    for name, choices in ONE_OF.items():
        given = [c for c in choices if (values[name] or {}).get(c) is not None]
        if values[name] is not None and len(given) != 1:
            got = " and ".join(given) or "none"
            hint = f"Keep one of {name}." + f", {name}.".join(choices) + "."
            raise ParameterError(name, where, "exactly one of " + ", ".join(choices), got, hint)
        for key, owner in _ONLY.items():
            if given and given != [owner] and (content.get(name) or {}).get(key) is not None:
                hint = f"Remove {name}.{key}, or {name}.{given[0]}."
                allowed = f"absent without {name}.{owner}"
                raise ParameterError(f"{name}.{key}", where, allowed, "given", hint)
    return Config(values)


def _renamed(values: Any, keys: Mapping[str, Key], name: Callable[[str], str]) -> Any:
    found = dict(values)
    for key, value in found.items():
        if value is None:
            continue
        if keys[key].kind == "table":
            found[key] = _renamed(value, keys[key].keys, name)
        elif keys[key].kind == "path":
            found[key] = name(value)
        elif keys[key].kind == "paths":
            found[key] = {role: name(path) for role, path in value.items()}
    return found


def _checked(
    content: Any, keys: Mapping[str, Key], folder: Path, where: str, place: str
) -> dict[str, Any]:
    if not isinstance(content, Mapping):
        hint = "Write keys and values, as pxgen init does."
        name = place or "the file"
        raise ParameterError(name.rstrip("."), where, "a table of keys", short_repr(content), hint)
    for name in content:
        if name not in keys:
            allowed = "one of " + ", ".join(keys)
            raise ParameterError(
                f"{place}{name}", where, allowed, "an unknown key", nearest(str(name), keys)
            )
    return {
        name: _value(content.get(name, key.default), key, folder, where, f"{place}{name}")
        for name, key in keys.items()
    }


def _value(value: Any, key: Key, folder: Path, where: str, place: str) -> Any:
    if value is REQUIRED:
        raise ParameterError(place, where, "given", "nothing", f"Add it: {key.help}.")
    if value is None and key.default is None:
        return None
    if key.kind == "table":
        return _checked(value, key.keys, folder, where, f"{place}.")
    expanded = _expanded(value, where, place)  # a variable that is not set is an error now
    value = value if key.late else expanded
    kinds: dict[str, tuple[type, ...]] = {
        "string": (str,), "path": (str,), "integer": (int,), "list": (list,), "mapping": (dict,),
        "paths": (dict,),
    }  # fmt: skip
    good = isinstance(value, kinds[key.kind]) and not isinstance(value, bool)
    allowed = {
        "list": "a list",
        "mapping": "keys and values",
        "path": "a path",
        "paths": "paths by role",
    }.get(key.kind, f"a value of type {key.kind}")
    if good and key.options:
        good, allowed = value in key.options, "one of " + ", ".join(key.options)
    if good and key.kind == "integer":
        good, allowed = value <= key.maximum, f"at most {key.maximum}"
    if good and key.minimum is not None:
        good, allowed = value >= key.minimum, f"at least {key.minimum:g}"
    if not good:
        raise ParameterError(place, where, allowed, short_repr(value), f"It is: {key.help}.")
    if key.kind == "path":
        return _path(value, folder, where, place)
    if key.kind == "paths":
        return {role: _path(file, folder, where, f"{place}.{role}") for role, file in value.items()}
    return value


def _path(value: Any, folder: Path, where: str, place: str) -> str:
    if not isinstance(value, str) or not value or "\0" in value:
        raise ParameterError(place, where, "a path", short_repr(value), "Write a file's name.")
    return str((folder / Path(value).expanduser()).absolute())


def _expanded(value: Any, where: str, place: str) -> Any:
    """Return ``value`` with ``${NAME}`` replaced in its strings."""
    if isinstance(value, Mapping):
        return {str(k): _expanded(v, where, f"{place}.{k}") for k, v in value.items()}
    if isinstance(value, list):
        return [_expanded(v, where, f"{place}[{i}]") for i, v in enumerate(value)]
    if not isinstance(value, str):
        return value

    def replaced(found: re.Match[str]) -> str:
        name = found.group(1)
        if name not in os.environ:
            hint = f"Set the environment variable {name}, or write the value."
            raise ParameterError(place, where, f"with {name} set", "an unset variable", hint)
        return os.environ[name]

    return _VARIABLE.sub(replaced, value)


def _yaml(text: str, where: str) -> dict[str, Any]:
    yaml: Any = optional.load("yaml", "audit", "pxgen audit")

    class Loader(yaml.SafeLoader):  # type: ignore[misc]
        """Refuses keys that occur twice, of which YAML would keep the last."""

    def mapping(loader: Any, node: Any, deep: bool = False) -> dict[Any, Any]:
        seen: dict[Any, Any] = {}
        for key_node, value_node in node.value:
            key = loader.construct_object(key_node, deep=True)
            if not isinstance(key, Hashable) or key in seen:
                at = key_node.start_mark.line + 1
                hint = "Remove one of them."
                raise ParameterError(str(key), where, "given once", f"twice, in line {at}", hint)
            seen[key] = loader.construct_object(value_node, deep=True)
        return seen

    Loader.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, mapping)
    try:
        found = yaml.load(text, Loader)
    except ParameterError:
        raise
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        hint = "Mend the line."
        got = " ".join(str(error).split())[:200]
        raise ParameterError("the file", where, "YAML without tags", got, hint) from error
    return found if isinstance(found, dict) else {"": found} if found is not None else {}


def _toml(text: str, where: str) -> dict[str, Any]:
    if sys.version_info < (3, 11):
        hint = "Use YAML, or Python 3.11."
        raise ParameterError("the file", where, "YAML on Python 3.10", "TOML", hint)
    import tomllib

    try:
        return tomllib.loads(text)
    except (RecursionError, ValueError) as error:  # of which TOMLDecodeError is one
        raise ParameterError("the file", where, "TOML", str(error)[:200], "Mend it.") from error


def _override(content: dict[str, Any], item: str) -> None:
    name, sign, text = item.partition("=")
    parts = name.strip().split(".")
    if not sign or not all(parts):
        hint = "Write --set threshold.n_samples=500, say."
        raise ParameterError("--set", "pxgen audit", "key=value", short_repr(item), hint)
    inner = content
    first = SPEC.get(parts[0])
    if len(parts) > 1 and first is not None and isinstance(first.default, dict):
        inner.setdefault(parts[0], dict(first.default))  # a part of a default is overridden
    for part in parts[:-1]:
        if inner.get(part) is None:
            inner[part] = {}
        below = inner[part]
        if not isinstance(below, dict):
            hint = f"Set {name} in the file."
            raise ParameterError("--set", "pxgen audit", "a key of a table", short_repr(item), hint)
        inner = below
    inner[parts[-1]] = _yaml(f"value: {text}", "--set")["value"]


def _check_size(content: Any, where: str) -> None:
    """Raise for nests that are too deep or too large, as aliases of aliases make them.

    Raise too for what JSON does not hold: dates, bytes, sets, NaN.
    """
    left = _MOST
    stack = [(content, 0)]
    while stack:
        node, depth = stack.pop()
        left -= 1
        if depth > _DEEPEST or left < 0:
            allowed = f"of at most {_MOST} values and {_DEEPEST} levels"
            raise ParameterError("the file", where, allowed, "more", "Use no aliases.")
        if isinstance(node, Mapping):
            stack += [(value, depth + 1) for value in node.values()]
        elif isinstance(node, list):
            stack += [(value, depth + 1) for value in node]
        elif (
            not isinstance(node, (str, int, float, type(None))) or node in _ENDLESS or node != node
        ):
            allowed = "text, finite numbers, true, false, lists and tables"
            hint = "Write it in quotation marks if it is text."
            raise ParameterError("a value", where, allowed, short_repr(node), hint)
