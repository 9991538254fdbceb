"""Labels and ids: whatever type they come in, they become strings."""

from __future__ import annotations

import datetime
import numbers
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pxgen_plugins.utils.errors import AnchorError, short_repr
from pxgen_plugins.utils.limits import LABELS

__all__ = ["NoScalarsError", "as_ids", "as_labels", "as_text", "is_missing", "item_label"]

_LONGEST = 1024  # numpy gives every string the room of the longest one
_EXACT = 2.0**53
_GROUPS = (list, tuple, dict, set)


class NoScalarsError(AnchorError):
    """What was given as labels or ids is not one scalar per anchor, as lists are not."""


def as_text(value: Any) -> str:
    """Return one label as a string.

    Integers and integral floats lose their type ("3" for 3 and 3.0: a column of class numbers with
    a gap is stored as floats), missing values (None, NaN, NaT, NA, masked) become "", dates and
    times are written by ISO 8601 whatever library holds them, bytes are decoded as UTF-8, and
    halves of surrogate pairs (file names that are no text) become escapes, so that every label can
    be written.

    Raises:
        TypeError: When ``value`` is a list, tuple, dict or set.
        ValueError: When it is an array of several elements (RuntimeError for a tensor).

    Example:
        >>> [as_text(value) for value in (3, 3.0, 0.5, None, float("nan"), True, b"cat")]
        ['3', '3', '0.5', '', '', 'True', 'cat']
    """
    if isinstance(value, str):
        if value.isascii():
            return str(value)
        return value.encode(errors="backslashreplace").decode()
    if isinstance(value, np.ma.core.MaskedConstant):
        return ""
    if isinstance(value, _GROUPS):
        raise TypeError(f"a {type(value).__name__} is no label")
    if value is None or type(value).__name__ == "NAType":
        return ""
    if isinstance(value, bytes):
        return value.decode("utf-8", "backslashreplace")
    if isinstance(value, (bool, np.bool_)):
        return str(bool(value))
    if isinstance(value, numbers.Integral):
        return str(int(value))
    if not isinstance(value, np.generic) and hasattr(value, "item") and hasattr(value, "ndim"):
        return as_text(value.item())
    if value != value:
        return ""
    if isinstance(value, np.datetime64):
        whole = value.astype("datetime64[us]")
        value = whole.item() if whole == value else value
    if isinstance(value, datetime.datetime):
        midnight = value.time() == datetime.time() and value.tzinfo is None
        return value.isoformat()[: 10 if midnight and not getattr(value, "nanosecond", 0) else None]
    if isinstance(value, numbers.Real) and float(value).is_integer() and abs(float(value)) < _EXACT:
        return str(int(float(value)))
    return str(value)


def as_labels(labels: Any, n: int, parameter: str = "labels") -> NDArray[np.str_]:
    """Return ``n`` labels as strings, shape (n,); see :func:`as_text`.

    Args:
        labels: A list, an array, a tensor, a pandas Series or any other sequence of ``n`` values.
        n: Number of anchors.
        parameter: What they are, for messages.

    Raises:
        AnchorError: When there are more or fewer than ``n``, one is no scalar or longer than
            1,024 characters, or they would take more memory than the limit ``LABELS``.

    Example:
        >>> as_labels([3.0, None, "cat"], 3).tolist()
        ['3', '', 'cat']
    """
    return _strings(labels, n, parameter)


def as_ids(ids: Any, n: int) -> NDArray[np.str_]:
    """Return ``n`` ids as strings, shape (n,); see :func:`as_text`.

    Raises:
        AnchorError: As :func:`as_labels`, and when an id is missing or occurs twice.
    """
    names = _strings(ids, n, "ids")
    seen: set[str] = set()
    for position, name in enumerate(names.tolist()):
        if name == "" or name in seen:
            got = f"{short_repr(name)} again at position {position}"
            if name == "":
                got = f"an empty id at position {position}"
            hint = "Pass ids= with one distinct name per anchor."
            raise AnchorError("ids", "distinct and not empty", got, hint)
        seen.add(name)
    return names


def is_missing(value: Any) -> bool:
    """Return whether a cell of a table holds nothing: None, NaN, NaT or NA.

    Example:
        >>> [is_missing(value) for value in (None, float("nan"), 0.0, "", [float("nan")])]
        [True, True, False, False, False]
    """
    if value is None or type(value).__name__ in ("NAType", "NaTType"):
        return True
    return isinstance(value, float) and value != value


def item_label(label: Any) -> str:
    """Return the label of one item; "" when it is missing, no scalar, or overlong."""
    try:
        text = as_text(label)
    except (TypeError, ValueError, RuntimeError, OverflowError):
        return ""
    return text if len(text) <= _LONGEST else ""


def _strings(values: Any, n: int, parameter: str) -> NDArray[np.str_]:
    flat = _flat(values)
    one = "a sequence with one value per anchor"
    if flat is None:
        hint = f"Pass a one-dimensional sequence of {parameter}."
        raise NoScalarsError(parameter, one, short_repr(values), hint)
    if len(flat) != n:
        hint = f"Pass as many {parameter} as there are anchors, in the same order."
        allowed = f"of length {n}, the number of anchors"
        raise AnchorError(parameter, allowed, f"length {len(flat)}", hint)
    _check_size([value for value in flat if isinstance(value, (str, bytes))], parameter)
    try:
        if isinstance(flat, np.ndarray) and flat.dtype.kind in "biufM":
            unique, inverse = np.unique(flat, return_inverse=True)
            return np.array([as_text(value) for value in unique], np.str_)[inverse]
        texts = [as_text(value) for value in flat]
    except (TypeError, ValueError, RuntimeError, OverflowError) as error:
        hint = f"Pass strings or numbers as {parameter}."
        raise NoScalarsError(parameter, one, short_repr(values), hint) from error
    _check_size(texts, parameter)
    return np.array(texts, np.str_)


def _check_size(texts: Sequence[str | bytes], parameter: str) -> None:
    """Raise when one is too long, or all of them in an array: numpy gives each the longest's room.

    Before texts are copied, and again afterwards, as bytes that are no UTF-8 become longer.
    """
    longest = max(texts, key=len, default="")
    if len(longest) > _LONGEST:
        got = f"one of {len(longest)} characters: {short_repr(longest[:_LONGEST])}"
        hint = f"Shorten the {parameter}."
        raise AnchorError(parameter, f"of at most {_LONGEST} characters", got, hint)
    memory = 4 * len(longest) * len(texts)
    if memory > LABELS.value:
        got = LABELS.refusal(f"{memory:,} for {len(texts):,} of up to {len(longest)} characters")
        hint = f"Shorten the {parameter}, or raise the limit."
        raise AnchorError(parameter, f"of at most {LABELS.value:,} {LABELS.what}", got, hint)


def _flat(values: Any) -> list[Any] | NDArray[Any] | None:
    """Return ``values`` as a list or a one-dimensional array; None if they are neither."""
    if isinstance(values, (str, bytes, Mapping, set, frozenset)):  # a set has no order
        return None
    if hasattr(values, "detach"):
        values = values.detach().cpu()
        try:
            values = values.numpy()
        except (TypeError, RuntimeError):  # a type that numpy lacks, or a tensor that is not dense
            values = values.tolist()
    if isinstance(values, np.ma.MaskedArray):
        return list(np.ma.ravel(values)) if values.size == len(values) else None
    exact = _exact(values)
    if exact is not None:
        return exact
    if hasattr(values, "__array__"):
        array = np.asarray(values)
        if array.ndim == 2 and array.shape[1] == 1:
            array = array[:, 0]
        return array if array.ndim == 1 else None
    return list(values) if isinstance(values, Iterable) and hasattr(values, "__len__") else None


def _exact(values: Any) -> list[Any] | None:
    """Return the values of an extension type, which as an array would be floats where some miss."""
    dtype = getattr(values, "dtype", None)
    if hasattr(values, "to_pylist"):  # pyarrow
        return list(values.to_pylist())
    one = getattr(values, "ndim", 1) == 1
    extension = one and dtype is not None and not isinstance(dtype, np.dtype)
    return list(values) if extension and isinstance(values, Iterable) else None
