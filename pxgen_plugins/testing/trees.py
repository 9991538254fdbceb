"""Compare nested results leaf by leaf: explanations, metadata, JSON that was read back."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

__all__ = ["differences", "foreign_values", "leaves", "mutable_parts", "plain", "superset"]

_ALLOWED = (str, bool, int, float, type(None))


def plain(value: Any, *, json: bool = False) -> Any:
    """Return ``value`` as nested dicts, lists and Python scalars.

    Args:
        value: Anything made of dicts, sequences, arrays and scalars.
        json: Also what JSON does to it: keys become strings, NaN and infinity become None.

    Example:
        >>> plain({1: np.array([1.0, np.nan])}, json=True)
        {'1': [1.0, None]}
    """
    if isinstance(value, Mapping):
        return {(str(k) if json else k): plain(v, json=json) for k, v in value.items()}
    if isinstance(value, np.ndarray | np.generic):
        return plain(value.tolist(), json=json)
    if isinstance(value, set | frozenset):
        return [plain(part, json=json) for part in sorted(value, key=repr)]
    if isinstance(value, list | tuple):
        return [plain(part, json=json) for part in value]
    if json and isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def differences(
    one: Any, other: Any, *, rtol: float = 0.0, atol: float = 0.0, json: bool = False
) -> list[str]:
    """Return where two nested values differ, as sentences; empty when they agree.

    Numbers agree within ``atol + rtol * |other|``, NaN agrees with NaN, dtypes are not compared.

    Example:
        >>> differences({"a": [1.0, 2.0]}, {"a": np.array([1.0, 2.5])})
        ['a.1: 2.0 against 2.5']
    """
    entries: list[str] = []
    _compare(plain(one, json=json), plain(other, json=json), "", (rtol, atol), entries)
    return entries


def _compare(one: Any, other: Any, path: str, tol: tuple[float, float], entries: list[str]) -> None:
    if isinstance(one, dict) and isinstance(other, dict):
        for key in (key for key in (*one, *other) if key not in one or key not in other):
            entries += [f"{_join(path, key)}: only in {'one' if key in one else 'the other'}"]
        for key in (key for key in one if key in other):
            _compare(one[key], other[key], _join(path, key), tol, entries)
    elif isinstance(one, list) and isinstance(other, list):
        if len(one) != len(other):
            entries.append(f"{path}: {len(one)} against {len(other)} entries")
            return
        for index, (left, right) in enumerate(zip(one, other, strict=True)):
            _compare(left, right, _join(path, index), tol, entries)
    elif not _agree(one, other, tol):
        entries.append(f"{path or 'value'}: {_short(one)} against {_short(other)}")


def _agree(one: Any, other: Any, tol: tuple[float, float]) -> bool:
    numbers = (int, float)
    if isinstance(one, numbers) and isinstance(other, numbers):
        if isinstance(one, bool) or isinstance(other, bool):
            return bool(one == other)
        if math.isnan(one) or math.isnan(other):
            return math.isnan(one) and math.isnan(other)
        return one == other or abs(one - other) <= tol[1] + tol[0] * abs(other)
    try:
        return one is other or bool(one == other)
    except Exception:  # objects that refuse comparison (alibi's Explanation does) are not equal
        return False


def superset(big: Mapping[Any, Any], small: Mapping[Any, Any]) -> list[str]:
    """Return what of ``small`` is missing or different in ``big``, entry by entry."""
    entries: list[str] = []
    for key, value in small.items():
        if key not in big:
            entries.append(f"{key}: missing")
        elif isinstance(value, Mapping) and isinstance(big[key], Mapping):
            entries += [f"{key}.{text}" for text in superset(big[key], value)]
        else:
            entries += [_join(str(key), text) for text in differences(big[key], value)]
    return entries


def leaves(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Yield (path, value) for every entry below ``value``, containers included."""
    yield path, value
    if isinstance(value, Mapping):
        for key, part in value.items():
            yield from leaves(part, _join(path, key))
    elif isinstance(value, list | tuple | set | frozenset):
        for index, part in enumerate(value):
            yield from leaves(part, _join(path, index))


def foreign_values(value: Any) -> list[str]:
    """Return the entries that are no plain data: tensors, ``np.bool_``, bytes, functions, ...

    Plain are None, bool, int, float, str, numpy numbers other than longdouble and complex, arrays
    of numbers, bools and strings, lists, tuples, sets, and dicts with keys that are str, int or
    float. An array of objects counts by its members.
    """
    entries = []
    for path, leaf in leaves(value):
        if isinstance(leaf, Mapping):
            keys = [key for key in leaf if not isinstance(key, str | int | float)]
            keys += [key for key in leaf if isinstance(key, np.generic)]
            entries += [f"{path}: key {_short(key)} of type {type(key).__name__}" for key in keys]
        elif isinstance(leaf, np.ndarray) and leaf.dtype == object:
            entries += [_join(path, text) for text in foreign_values(leaf.ravel().tolist())]
        elif isinstance(leaf, np.ndarray):
            if leaf.dtype.kind not in "biufU" or leaf.dtype == np.longdouble:
                entries.append(f"{path}: array of dtype {leaf.dtype}")
        elif isinstance(leaf, np.generic):
            if leaf.dtype.kind not in "iuf" or isinstance(leaf, np.longdouble):
                entries.append(f"{path}: scalar of type {type(leaf).__name__}")
        elif not isinstance(leaf, (*_ALLOWED, list, tuple, set, frozenset)):
            entries.append(f"{path or 'value'}: object of type {type(leaf).__name__}")
    return entries


def mutable_parts(value: Any) -> dict[int, str]:
    """Return the dicts, lists, sets and arrays below ``value``, by ``id``, with their paths."""
    kinds = (dict, list, set, np.ndarray)
    return {id(leaf): path for path, leaf in leaves(value) if isinstance(leaf, kinds)}


def _join(path: str, key: object) -> str:
    return f"{path}.{key}" if path else str(key)


def _short(value: Any) -> str:
    text = repr(value).replace("\n", " ")
    return text if len(text) <= 60 else text[:60] + "..."
