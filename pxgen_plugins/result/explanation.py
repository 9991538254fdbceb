"""The explanation: its keys, its strict JSON, and reading it back as arrays."""

from __future__ import annotations

import copy
import math
import os
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from pxgen_plugins.result.result import Result
from pxgen_plugins.utils.errors import ParameterError, caller, short_repr
from pxgen_plugins.utils.files import read_regular, write_atomic
from pxgen_plugins.utils.json_files import parse_json
from pxgen_plugins.utils.limits import JSON_FILE

if TYPE_CHECKING:
    from pxgen_plugins.result.readable import Explanation

__all__ = [
    "DEFAULT_DATA_PXGEN",
    "DEFAULT_META_PXGEN",
    "StrictArray",
    "build",
    "from_json",
    "read_json",
    "write_json",
]

_LISTS = ("criteria", "kinds", "units", "reasons", "notes")
_TABLES = ("thresholds", "threshold_std", "groups", "strips", "calibration")

DEFAULT_META_PXGEN: dict[str, Any] = {
    "name": None,
    "type": ["blackbox"],
    "explanations": ["global"],
    "params": {},
    "version": None,
}
"""Default metadata of PXGen, to be deep-copied."""

DEFAULT_DATA_PXGEN: dict[str, Any] = {
    name: [] if name in _LISTS else {} if name in _TABLES else None
    for name in Result.__dataclass_fields__
}
"""Default data of PXGen's explanation, to be deep-copied.

The keys are the attributes of :class:`~pxgen_plugins.result.Result`, where each is described.
"""


class StrictArray(np.ndarray[Any, np.dtype[Any]]):
    """An ndarray that strict JSON can hold: its ``tolist`` gives None for NaN and infinity.

    Alibi writes arrays by ``tolist``, and bare ``NaN`` is no JSON.

    Example:
        >>> np.array([1.0, np.nan]).view(StrictArray).tolist()
        [1.0, None]
    """

    def __repr__(self) -> str:
        # an explanation holds dozens of arrays, and numpy elides only above 1,000 elements
        with np.printoptions(threshold=12, edgeitems=2):
            return super().__repr__()

    def tolist(self) -> Any:
        """Return nested lists, with None in the place of values that are not finite."""
        plain = self.view(np.ndarray)
        if plain.dtype.kind != "f" or np.isfinite(plain).all():
            return plain.tolist()
        holes = plain.astype(object)
        holes[~np.isfinite(plain)] = None
        return holes.tolist()


def build(
    meta: Mapping[str, Any],
    data: Mapping[str, Any],
    defaults: Mapping[str, Any] = DEFAULT_DATA_PXGEN,
    *,
    copy_arrays: bool = True,
) -> Explanation:
    """Return an explanation that owns ``meta`` and ``data``, ready for strict JSON.

    The metadata gains ``arrays``: dtype and shape of every array, by its dotted path, so that
    :func:`from_json` can restore what JSON turns into lists.

    Args:
        meta: The explainer's metadata with the parameters of the call.
        data: What was found, by key.
        defaults: All keys, with what a missing one is.
        copy_arrays: Copy arrays; False when nobody else holds them and they are large.

    Example:
        >>> build({"name": "PXGen"}, {"values": np.array([[1.0]])}).values.shape
        (1, 1)
    """
    from pxgen_plugins.result.readable import Explanation

    full = {**copy.deepcopy(dict(defaults)), **data}
    arrays = {
        path: {"dtype": array.dtype.str, "shape": list(array.shape)}
        for path, array in _arrays(full)
    }
    strict_meta = {**copy.deepcopy(dict(meta)), "arrays": arrays}
    return Explanation(meta=_strict(strict_meta), data=_strict(full, copy_arrays))


@caller("from_json")
def from_json(text: str) -> Explanation:
    """Return the explanation behind ``explanation.to_json()``, its arrays restored.

    Args:
        text: Strict JSON as written by ``to_json``.

    Raises:
        ParameterError: When the text is no explanation.

    Example:
        >>> one = build({"name": "PXGen"}, {"values": np.array([[1.0, np.inf]])})
        >>> from_json(one.to_json()).values
        StrictArray([[ 1., nan]])
    """
    from pxgen_plugins.result.readable import Explanation

    try:
        parsed = parse_json(text.encode(), to_constant=_refuse_constant)
        meta, data = parsed["meta"], parsed["data"]
        for path, form in meta.get("arrays", {}).items():
            _restore(data, path.split("."), form)
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        hint = f"Give the text that to_json returned ({type(error).__name__}: {str(error)[:200]})."
        raise ParameterError("text", "an explanation as JSON", short_repr(text), hint) from error
    return Explanation(meta=meta, data=data)


def write_json(explanation: Explanation, path: str | os.PathLike[str]) -> None:
    """Write an explanation as strict JSON; the file appears whole or not at all."""
    write_atomic(path, explanation.to_json().encode())


@caller("read_json")
def read_json(path: str | os.PathLike[str]) -> Explanation:
    """Return the explanation in a file written by :func:`write_json`, its arrays restored.

    Raises:
        ParameterError: When the file cannot be read or is no explanation.
    """
    try:
        text = read_regular(path, JSON_FILE).decode("utf-8")
    except (OSError, ValueError) as error:
        hint = f"Check the path ({error})."
        raise ParameterError("path", "a readable file", short_repr(path), hint) from error
    return from_json(text)


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is no JSON")


def _arrays(node: Any, path: str = "") -> Iterator[tuple[str, NDArray[Any]]]:
    if isinstance(node, np.ndarray):
        yield path, node
    elif isinstance(node, Mapping):
        for key, child in node.items():
            yield from _arrays(child, f"{path}.{key}" if path else str(key))


def _strict(node: Any, copy_arrays: bool = True) -> Any:
    """Copy ``node`` with arrays as StrictArray, numpy scalars as Python's, non-finite as None."""
    if isinstance(node, np.ndarray):
        return (np.array(node) if copy_arrays else node).view(StrictArray)
    if isinstance(node, Mapping):
        return {str(key): _strict(child, copy_arrays) for key, child in node.items()}
    if isinstance(node, (list, tuple)):
        return [_strict(child, copy_arrays) for child in node]
    if isinstance(node, np.generic):
        node = node.item()
    if isinstance(node, float) and not math.isfinite(node):
        return None
    return node


def _restore(data: Any, path: list[str], form: Mapping[str, Any]) -> None:
    """Turn the list at ``path`` into an array; keys may themselves hold dots."""
    for cut in range(1, len(path) + 1):
        key = ".".join(path[:cut])
        if isinstance(data, dict) and key in data:
            if cut < len(path) and not isinstance(data[key], dict):
                continue  # "a" is an array and "a.b" another
            if cut == len(path):
                dtype = np.dtype(form["dtype"])
                if dtype.kind not in "fiubU":
                    raise ValueError(f"arrays of {dtype} are not read")
                array = np.array(data[key], dtype=dtype).reshape(form["shape"])
                data[key] = array.view(StrictArray)
            else:
                _restore(data[key], path[cut:], form)
            return
