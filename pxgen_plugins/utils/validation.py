"""Checks of arguments, each raising :class:`~pxgen_plugins.utils.errors.ParameterError`.

They do not know who was called: the public function says so once, with
:class:`~pxgen_plugins.utils.errors.caller`.
"""

from __future__ import annotations

import difflib
import math
import numbers
from collections.abc import Iterable, Sequence
from typing import Any

from pxgen_plugins.utils.errors import ParameterError, short_repr

__all__ = [
    "LARGEST",
    "boolean",
    "choice",
    "data_range",
    "function",
    "integer",
    "nearest",
    "positions",
    "real",
    "shape",
]

LARGEST = 2**63 - 1
"""The largest integer that is taken anywhere: 64 bits, with a sign."""


def nearest(name: str, options: Iterable[str]) -> str:
    """Return a sentence that points from a wrong name to the likeliest right one.

    Example:
        >>> nearest("mss", ["kld", "mse"])
        "Did you mean 'mse'?"
    """
    known = sorted(options)
    close = difflib.get_close_matches(str(name), known, n=1)
    return f"Did you mean {close[0]!r}?" if close else "Choose one of these."


def integer(
    value: Any,
    parameter: str,
    *,
    minimum: int | None = None,
    maximum: int = LARGEST,
    hint: str = "",
) -> int:
    """Return ``value`` as an int, or raise: bools, fractions and strings are refused."""
    allowed = "an integer" + ("" if minimum is None else f" >= {minimum}")
    good = isinstance(value, numbers.Integral) and not isinstance(value, bool)
    if not good or (minimum is not None and value < minimum):
        hint = hint or f"Pass {parameter}={minimum if minimum is not None else 0} or more."
        raise ParameterError(parameter, allowed, short_repr(value), hint)
    if value > LARGEST:
        hint = "Use a smaller one; generators take no more than 64 bits."
        raise ParameterError(parameter, f"{allowed} and < 2**63", short_repr(value), hint)
    if value > maximum:
        allowed = f"{allowed} and <= {maximum:,}"
        raise ParameterError(parameter, allowed, short_repr(value), "Use a smaller one.")
    return int(value)


def real(
    value: Any,
    parameter: str,
    *,
    above: float | None = None,
    below: float | None = None,
    minimum: float | None = None,
    maximum: float | None = None,
) -> float:
    """Return ``value`` as a finite float inside the bounds (above and below: open), or raise."""
    bounds = [
        f"{sign} {bound:g}"
        for sign, bound in ((">", above), (">=", minimum), ("<", below), ("<=", maximum))
        if bound is not None
    ]
    allowed = " ".join(["a finite number", " and ".join(bounds)]).strip()
    good = isinstance(value, numbers.Real) and not isinstance(value, bool)
    if good and (good := math.isfinite(value)):
        good = not (
            (above is not None and value <= above)
            or (minimum is not None and value < minimum)
            or (below is not None and value >= below)
            or (maximum is not None and value > maximum)
        )
    if not good:
        hint = f"Pass a {parameter} inside these bounds."
        raise ParameterError(parameter, allowed, short_repr(value), hint)
    return float(value)


def choice(value: Any, parameter: str, options: Sequence[str]) -> str:
    """Return ``value`` if it is one of ``options``, or raise with the nearest one."""
    if not isinstance(value, str) or value not in options:
        allowed = "one of " + ", ".join(repr(option) for option in options)
        hint = nearest(str(value), options)
        raise ParameterError(parameter, allowed, short_repr(value), hint)
    return value


def boolean(value: Any, parameter: str) -> bool:
    """Return ``value`` if it is a bool, or raise: ``1`` and ``"no"`` are refused."""
    if not isinstance(value, bool):
        hint = f"Pass {parameter}=True or {parameter}=False."
        raise ParameterError(parameter, "True or False", short_repr(value), hint)
    return value


def positions(value: Any, parameter: str, n: int) -> list[int]:
    """Return distinct positions in ``n`` rows as ints, or raise; a sequence or an array is taken.

    Example:
        >>> positions((2, 0), "indices", 3)
        [2, 0]
    """
    allowed = f"distinct integers in [0, {n})"
    hint = f"Pass {parameter}=[0, 1], say."
    try:
        rows = list(value)
    except TypeError as error:
        raise ParameterError(parameter, allowed, short_repr(value), hint) from error
    whole = [
        int(row) for row in rows if isinstance(row, numbers.Integral) and not isinstance(row, bool)
    ]
    if len(whole) < len(rows) or len(set(whole)) < len(rows) or not set(whole) <= set(range(n)):
        raise ParameterError(parameter, allowed, short_repr(value), hint)
    return whole


def function(value: Any, parameter: str, signature: str) -> Any:
    """Return ``value`` if it can be called, or raise.

    Args:
        value: What was given.
        parameter: Its name.
        signature: How it is called, for the message: ``"x -> (mean, log_var)"``.
    """
    if not callable(value):
        hint = "Pass a function, a method or a module."
        raise ParameterError(parameter, f"a callable {signature}", short_repr(value), hint)
    return value


def shape(value: Any, parameter: str) -> tuple[int, ...]:
    """Return ``value`` as a tuple of positive ints, or raise; a bare int is one dimension."""
    sizes = (value,) if isinstance(value, numbers.Integral) else value
    good = isinstance(sizes, Sequence) and not isinstance(sizes, str) and len(sizes) > 0
    if not good or any(
        isinstance(s, bool) or not isinstance(s, numbers.Integral) or s < 1 for s in sizes
    ):
        hint = "Give the shape of one instance, without the batch axis, as in (1, 28, 28)."
        allowed = "a tuple of positive integers"
        raise ParameterError(parameter, allowed, short_repr(value), hint)
    return tuple(int(s) for s in sizes)


def data_range(value: Any, name: str = "data_range") -> tuple[float, float] | None:
    """Return a range as two floats, lowest value first, or None; else raise."""
    if value is None:
        return None
    try:
        low, high = (float(bound) for bound in value)
    except (TypeError, ValueError):
        low, high = 0.0, 0.0
    if not (low < high and math.isfinite(high - low)):
        hint = "Give the range the model was trained on, as in (0.0, 1.0) or (-1.0, 1.0)."
        if name != "data_range":
            hint = "Give the lowest and the highest value, as in (0.0, 1.0) or (0, 255)."
        raise ParameterError(name, "(low, high) or None", short_repr(value), hint)
    return low, high
