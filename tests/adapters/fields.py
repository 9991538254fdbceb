"""What class docstrings say of an adapter's data, and whether real data are so."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

_ENTRY = re.compile(r"^ {4}([\w, ]+) \((.+?)\): (.*(?:\n {8}.*)*)", re.MULTILINE)
_ARRAY = re.compile(r"(\w+) \((.*)\)")
_TYPES = {"str": str, "int": int, "float": float, "bool": bool, "dict": dict, "list": list}


def fields_of(cls: type) -> dict[str, tuple[str, str]]:
    """Return type and meaning of every key under ``Fields:`` in a class docstring."""
    _, _, rest = (inspect.getdoc(cls) or "").partition("\nFields:\n")
    entries = _ENTRY.findall(rest.split("\n\n")[0] + "\n")
    return {
        key: (kind, " ".join(text.split()))
        for names, kind, text in entries
        for key in names.split(", ")
    }


def mismatches(
    fields: Mapping[str, tuple[str, str]], data: Mapping[str, Any], model: Any
) -> Iterator[str]:
    """Yield what data hold that is not as the docstring says: types, shapes, and what is missing.

    A letter stands for one size in all shapes; ``*sample_shape`` and ``*latent_shape`` are the
    model's. Where a value is None or NaN, the text must have a word on it.
    """
    sizes: dict[str, int] = {}
    for key, (kind, text) in fields.items():
        value = data[key]
        named = re.match(r"([a-z]), ", text)
        if named and isinstance(value, int | list):
            yield from _size(key, named[1], value if isinstance(value, int) else len(value), sizes)
        if value is None:
            if kind != "None" and "None" not in text:
                yield f"{key}: no word on None"
        else:
            yield from _mismatch(key, value, kind, sizes, model)
        array = isinstance(value, np.ndarray) and value.dtype.kind == "f"
        if array and np.isnan(value).any() and "NaN" not in text:
            yield f"{key}: no word on NaN"


def _mismatch(key: str, value: Any, kind: str, sizes: dict[str, int], model: Any) -> Iterator[str]:
    array = _ARRAY.fullmatch(kind)
    if kind.startswith("list of "):
        if not isinstance(value, list):
            yield f"{key}: {type(value).__name__}, not {kind}"
            return
        for one in value:  # grids of different sizes have one letter
            yield from _mismatch(key, one, kind.removeprefix("list of "), dict(sizes), model)
    elif array:
        is_array = isinstance(value, np.ndarray)
        dtype = ("str" if value.dtype.kind == "U" else value.dtype.name) if is_array else "none"
        if dtype != array[1]:
            yield f"{key}: {dtype}, not {kind}"
        else:
            yield from _shape(key, value.shape, array[2], sizes, model)
    elif not isinstance(value, tuple(_TYPES.get(one, str) for one in kind.split(" or "))):
        yield f"{key}: {type(value).__name__}, not {kind}"


def _shape(
    key: str, shape: tuple[int, ...], said: str, sizes: dict[str, int], model: Any
) -> Iterator[str]:
    parts = [part for part in said.split(", ") if part]
    parts[-1] = parts[-1].removesuffix(",")
    rest = next((part for part in parts if part.startswith("*")), "")
    fixed = len(parts) - bool(rest)
    if len(shape) < fixed or (len(shape) > fixed and not rest):
        yield f"{key}: shape {shape}, not ({said})"
        return
    at, end = (parts.index(rest), parts.index(rest) + len(shape) - fixed) if rest else (0, 0)
    known = getattr(model, rest[1:], None)
    if known is not None and shape[at:end] != tuple(known):
        yield f"{key}: shape {shape}, not ({said})"
    others = [part for part in parts if part != rest]
    for name, size in zip(others, shape[:at] + shape[end:], strict=True):
        yield from _size(key, name, size, sizes)


def _size(key: str, name: str, size: int, sizes: dict[str, int]) -> Iterator[str]:
    """Yield a size that is not what its letter stands for, or not the number said."""
    plus = re.fullmatch(r"([a-z]) \+ (\d)", name)
    if plus:
        name, size = plus[1], size - int(plus[2])
    if name.isdigit() and int(name) != size:
        yield f"{key}: {size}, not {name}"
    elif name.isidentifier() and sizes.setdefault(name, size) != size:
        yield f"{key}: {name} is {size}, not {sizes[name]}"
